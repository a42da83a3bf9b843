package gitops

import (
	"testing"
	"time"
)

func TestLooksThatAreDueAboutTheSameTimeAreDueTogether(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, after := range []time.Duration{0, time.Millisecond, 100 * time.Millisecond, tick - 1} {
		if due := (look{at: start.Add(after)}).due(time.Minute); !due.Equal(start.Add(time.Minute)) {
			t.Errorf("a source that was looked at after %s is due at %s", after, due)
		}
	}
	if due := (look{at: start.Add(tick)}).due(time.Minute); !due.Equal(start.Add(time.Minute + tick)) {
		t.Errorf("a source of the next tick is due at %s", due)
	}
}

func TestAShortIntervalIsKeptToTheLetter(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 12, 0, 0, 123, time.UTC)
	if due := (look{at: at}).due(time.Second); !due.Equal(at.Add(time.Second)) {
		t.Errorf("due at %s", due)
	}
}

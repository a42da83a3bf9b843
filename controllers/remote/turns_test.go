package remote_test

import (
	"errors"
	"testing"
	"time"

	"github.com/keptn/gitops/controllers/remote"
)

func TestAServerThatDoesNotAnswerHasOneTurnAtATime(t *testing.T) {
	turns := remote.Turns{Most: 3}
	take := func(server string) func(bool) {
		t.Helper()
		done, err := turns.Take(server)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	busy := func(server string) time.Duration {
		t.Helper()
		_, err := turns.Take(server)
		var busy *remote.BusyError
		if !errors.As(err, &busy) || busy.Wait <= 0 {
			t.Fatalf("%s: %v, want that it is busy", server, err)
		}
		return busy.Wait
	}
	first, second, third := take("a"), take("a"), take("a")
	soon := busy("a")
	other := take("b")

	first(false)
	busy("a")
	second(true)
	second = take("a")
	third(false)
	second(false)
	only := take("a")
	if wait := busy("a"); wait <= soon || wait > time.Minute {
		t.Errorf("beside the one that tries whether it answers one waits %s", wait)
	}
	only(true)
	for range 3 {
		defer take("a")(true)
	}
	busy("a")
	other(true)
}

func TestOneServerLeavesHalfOfTheWorkersToOthers(t *testing.T) {
	for _, others := range []int{0, 1, 4} {
		var turns remote.Turns
		workers := turns.Among(others)
		if workers <= others || turns.Most < 1 || turns.Most > workers/2 {
			t.Errorf("beside %d others: %d workers, %d of them at one server", others, workers, turns.Most)
		}
	}
}

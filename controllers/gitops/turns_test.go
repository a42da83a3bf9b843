package gitops_test

import (
	"testing"
	"time"

	"github.com/keptn/gitops/controllers/gitops"
)

func TestAServerThatDoesNotAnswerHasOneTurnAtATime(t *testing.T) {
	turns := gitops.Turns{Most: 3}
	take := func(server string, want bool) func(bool) {
		t.Helper()
		done, wait := turns.Take(server)
		if (done != nil) != want || (wait == 0) != want || wait < 0 {
			t.Fatalf("%s: taken %t, to wait %s, want taken %t", server, done != nil, wait, want)
		}
		return done
	}
	first, second, third := take("a", true), take("a", true), take("a", true)
	take("a", false)
	other := take("b", true)

	first(false)
	take("a", false)
	second(true)
	second = take("a", true)
	third(false)
	second(false)
	only := take("a", true)
	if done, wait := turns.Take("a"); done != nil || wait <= gitops.NextTurn || wait > time.Minute {
		t.Errorf("beside the one that tries whether it answers: taken %t, to wait %s", done != nil, wait)
	}
	only(true)
	for range 3 {
		defer take("a", true)(true)
	}
	take("a", false)
	other(true)
}

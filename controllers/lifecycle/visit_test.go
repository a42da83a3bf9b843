package lifecycle

import (
	"testing"

	"github.com/keptn/gitops/controllers/remote"
)

func TestAReconcileHasOneTurnAtEachServerUntilItsEnd(t *testing.T) {
	turns := &remote.Turns{Most: 1}
	ask := func(v *visit, server string, answered bool) error {
		done, err := v.take(server)
		if err == nil {
			done(answered)
		}
		return err
	}
	first, second := &visit{turns: turns}, &visit{turns: turns}
	for _, server := range []string{"a", "a", "b"} {
		if err := ask(first, server, server == "a"); err != nil {
			t.Errorf("the one that has begun with %s: %v", server, err)
		}
	}
	if ask(second, "a", true) == nil || ask(second, "b", true) == nil {
		t.Error("a server has more turns than there are")
	}
	first.end()
	if err := ask(second, "a", true); err != nil {
		t.Errorf("after the end of the first: %v", err)
	}

	turns.Most = 2
	if err := ask(second, "b", true); err != nil {
		t.Errorf("the one that tries whether b answers: %v", err)
	}
	third := &visit{turns: turns}
	if ask(third, "b", true) == nil {
		t.Error("b did not answer, and has more than one turn")
	}
	if err := ask(third, "a", true); err != nil {
		t.Errorf("a answered: %v", err)
	}
	second.end()
	third.end()
	for range turns.Most + 1 { // what still reads then keeps no turn
		if err := ask(second, "a", true); err != nil {
			t.Error(err)
		}
	}
}

package phase_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/phase"
)

// What holds at any time of any delivery, whatever its phases find, and whoever
// cancels it, retries it or takes its place: walks by chance, always the same ones.
func TestNoWalkBreaksTheOrderOfPhases(t *testing.T) {
	const walks, steps = 200, 30
	for walk := range uint64(walks) {
		w := &walker{chance: rand.New(rand.NewPCG(walk, 1)), story: newStory(map[lifecyclev1.Phase]phase.Outcome{}), now: noon}
		table().Begin(&w.Delivery, w.now)
		for step := range steps {
			did := w.step(t)
			if problem := w.problem(); problem != "" {
				t.Fatalf("walk %d, step %d: after %s %s\n%+v", walk, step, did, problem, w.Phases)
			}
			w.was = w.DeepCopy()
		}
	}
}

// walker walks a delivery by chance.
type walker struct {
	*story

	chance  *rand.Rand
	now     time.Time
	was     *lifecyclev1.Delivery
	retried bool
}

// outcomes are all that a phase can find.
var outcomes = []phase.Outcome{
	phase.Pass("fine"), phase.Pass("fine"), phase.Pass("fine"), phase.Wait(phase.Progressing, "running"),
	phase.Fail(phase.Failed, "bad"), {State: warning, Reason: phase.Warning}, {State: unknown, Reason: phase.Inconclusive},
	{State: pending, Reason: phase.Missing},
}

// step does what a reconcile does, and says what that was.
func (w *walker) step(t *testing.T) string {
	w.now = w.now.Add(time.Duration(w.chance.IntN(5000)) * time.Millisecond)
	w.retried, w.ran = false, nil
	did := "an advance"
	switch {
	case w.Status.Completed():
		if w.Status.Passed() || w.Status == deprecated || w.chance.IntN(3) > 0 {
			return "nothing"
		}
		table().Retry(&w.Delivery)
		w.retried, did = true, "a retry"
	case w.chance.IntN(20) == 0:
		table().Cancel(&w.Delivery, "cancelled", w.now)
		did = "a cancellation"
	case w.chance.IntN(20) == 0:
		table().GiveUp(&w.Delivery, phase.Superseded, "overtaken", w.now)
		did = "giving up"
	}
	for _, name := range []lifecyclev1.Phase{before, deploy, after} {
		w.finds[name] = outcomes[w.chance.IntN(len(outcomes))]
	}
	w.fails = nil
	if w.chance.IntN(10) == 0 {
		w.fails = map[lifecyclev1.Phase]error{deploy: errors.New("no API server")}
	}
	blocking := w.chance.IntN(3) > 0
	_, err := table().Advance(t.Context(), w.story, &w.Delivery, phase.Options{Now: w.now, Blocking: blocking})
	if err != nil {
		did += " and an error"
	}
	table().Conclude(w.story, &w.Delivery, w.now)
	return did
}

// problem says which of the rules is broken.
func (w *walker) problem() string {
	for _, rule := range []func() string{w.order, w.oneRuns, w.endsOnce, w.concludesOnce, w.fieldsAgree} {
		if problem := rule(); problem != "" {
			return problem
		}
	}
	return ""
}

// order: a phase never begins before all above it have passed, and no phase runs that
// has ended.
func (w *walker) order() string {
	for i, rec := range w.Phases {
		if rec.StartTime == nil {
			continue
		}
		for _, above := range w.Phases[:i] {
			if !above.State.Passed() {
				return fmt.Sprintf("%s has begun, and %s has not passed", rec.Name, above.Name)
			}
		}
	}
	for _, name := range w.ran {
		if w.was == nil || w.retried {
			continue
		}
		if was := w.was.Phase(name); was.State.Completed() {
			return fmt.Sprintf("%s ran again", name)
		}
	}
	return ""
}

// oneRuns: a delivery has ended, or exactly one phase is its turn.
func (w *walker) oneRuns() string {
	first := slices.IndexFunc(w.Phases, func(rec lifecyclev1.PhaseRecord) bool { return !rec.State.Completed() })
	ended := first < 0
	switch {
	case ended != w.Status.Completed(), ended == w.EndTime.IsZero():
		return fmt.Sprintf("it is %s, and ended at %s", w.Status, w.EndTime)
	case ended:
		return ""
	case w.Phases[first].StartTime == nil:
		return fmt.Sprintf("nobody works on %s, which is next", w.Phases[first].Name)
	case w.CurrentPhase != w.Phases[first].Name:
		return fmt.Sprintf("it says to be at %s", w.CurrentPhase)
	}
	for _, rec := range w.Phases[first+1:] {
		if rec.State != pending || rec.StartTime != nil {
			return fmt.Sprintf("%s is %s before its turn", rec.Name, rec.State)
		}
	}
	return ""
}

// endsOnce: times are written once, unless the phase is run again.
func (w *walker) endsOnce() string {
	if w.was == nil || w.retried {
		return ""
	}
	for i := range w.Phases {
		was, is := &w.was.Phases[i], &w.Phases[i]
		if was.StartTime != nil && !was.StartTime.Equal(is.StartTime) || was.EndTime != nil && !was.EndTime.Equal(is.EndTime) {
			return fmt.Sprintf("a time of %s moved", is.Name)
		}
		if was.State.Completed() && was.State != is.State || was.Attempt != is.Attempt {
			return fmt.Sprintf("%s changed from %s to %s", is.Name, was.State, is.State)
		}
		if is.StartTime != nil && is.State.Completed() && is.EndTime == nil {
			return fmt.Sprintf("%s has no end", is.Name)
		}
	}
	if !w.was.EndTime.IsZero() && !w.was.EndTime.Equal(&w.EndTime) {
		return "its end moved"
	}
	return ""
}

// concludesOnce: what is derived is the same a second and an hour later.
func (w *walker) concludesOnce() string {
	once := w.DeepCopy()
	table().Conclude(w.story, &w.Delivery, w.now.Add(time.Hour))
	return cmp.Diff(once, &w.Delivery)
}

// fieldsAgree: Keptn's own fields say what the records say.
func (w *walker) fieldsAgree() string {
	for _, rec := range w.Phases {
		if field := *w.fields[rec.Name]; field != rec.State {
			return fmt.Sprintf("the field of %s says %s", rec.Name, field)
		}
	}
	return ""
}

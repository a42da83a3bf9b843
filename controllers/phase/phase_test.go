package phase_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/phase"
)

const (
	pending     = lifecyclev1.StatePending
	progressing = lifecyclev1.StateProgressing
	succeeded   = lifecyclev1.StateSucceeded
	warning     = lifecyclev1.StateWarning
	failed      = lifecyclev1.StateFailed
	unknown     = lifecyclev1.StateUnknown
	deprecated  = lifecyclev1.StateDeprecated
)

// The phases of the deliveries of these tests. The second is one that stops what
// follows also where checks do not block.
const (
	before lifecyclev1.Phase = "Before"
	deploy lifecyclev1.Phase = "Deploy"
	after  lifecyclev1.Phase = "After"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// story is a delivery whose phases find what they are told to find.
type story struct {
	lifecyclev1.Delivery

	finds  map[lifecyclev1.Phase]phase.Outcome
	fails  map[lifecyclev1.Phase]error
	ran    []lifecyclev1.Phase
	fields map[lifecyclev1.Phase]*lifecyclev1.KeptnState
}

func table() phase.Table[*story] {
	row := func(name lifecyclev1.Phase, stops bool) phase.Phase[*story] {
		return phase.Phase[*story]{
			Name: name, Stops: stops,
			Run: func(_ context.Context, of *story, _ *lifecyclev1.PhaseRecord) (phase.Outcome, error) {
				of.ran = append(of.ran, name)
				return of.finds[name], of.fails[name]
			},
			State: func(of *story) *lifecyclev1.KeptnState { return of.fields[name] },
		}
	}
	return phase.Table[*story]{row(before, false), row(deploy, true), row(after, false)}
}

func newStory(finds map[lifecyclev1.Phase]phase.Outcome) *story {
	return &story{finds: finds, fields: map[lifecyclev1.Phase]*lifecyclev1.KeptnState{
		before: new(lifecyclev1.KeptnState), deploy: new(lifecyclev1.KeptnState), after: new(lifecyclev1.KeptnState),
	}}
}

// inStates is a delivery whose phases are in these states. What is not pending began
// at noon, and ended then if it has ended.
func inStates(states ...lifecyclev1.KeptnState) *story {
	s := newStory(nil)
	table().Begin(&s.Delivery, noon)
	for i, state := range states {
		rec := &s.Phases[i]
		rec.State = state
		if state != pending && state != deprecated {
			rec.StartTime = phase.Time(noon)
		}
		if state.Completed() {
			rec.EndTime = phase.Time(noon)
		}
	}
	return s
}

func (s *story) states() []lifecyclev1.KeptnState {
	var states []lifecyclev1.KeptnState
	for _, rec := range s.Phases {
		states = append(states, rec.State)
	}
	return states
}

func (s *story) advance(t *testing.T, now time.Time, blocking bool) time.Duration {
	t.Helper()
	recheck, err := table().Advance(t.Context(), s, &s.Delivery, phase.Options{Now: now, Blocking: blocking})
	if err != nil {
		t.Fatal(err)
	}
	return recheck
}

func TestAPhaseRunsOnceAllAboveItHavePassed(t *testing.T) {
	type found = map[lifecyclev1.Phase]phase.Outcome
	pass, fail := phase.Pass("fine"), phase.Fail(phase.Failed, "bad")
	wait := phase.Wait(phase.Progressing, "running").In(time.Minute)
	undecided := phase.Outcome{State: unknown, Reason: phase.Inconclusive, Message: "no data"}
	warn := phase.Outcome{State: warning, Reason: phase.Warning, Message: "so so"}
	missing := phase.Outcome{State: pending, Reason: phase.Missing, Message: "no definition"}
	type names = []lifecyclev1.Phase
	cases := map[string]struct {
		reason  string
		finds   found
		lenient bool
		ran     names
		states  []lifecyclev1.KeptnState
		current lifecyclev1.Phase
		recheck time.Duration
	}{
		"AllPass":           {"It goes as far as it can at once.", found{before: pass, deploy: pass, after: pass}, false, names{before, deploy, after}, []lifecyclev1.KeptnState{succeeded, succeeded, succeeded}, after, 0},
		"Waits":             {"What is under way is waited for, and looked at again when it says.", found{before: pass, deploy: wait}, false, names{before, deploy}, []lifecyclev1.KeptnState{succeeded, progressing, pending}, deploy, time.Minute},
		"WaitsForMissing":   {"A missing definition is Pending, and stops nothing for ever.", found{before: missing}, false, names{before}, []lifecyclev1.KeptnState{pending, pending, pending}, before, 0},
		"Fails":             {"Nothing runs after a failure.", found{before: fail}, false, names{before}, []lifecyclev1.KeptnState{failed, pending, pending}, before, 0},
		"Undecided":         {"Nothing runs after what is inconclusive.", found{before: undecided}, false, names{before}, []lifecyclev1.KeptnState{unknown, pending, pending}, before, 0},
		"Warns":             {"A warning passes (R36).", found{before: warn, deploy: pass, after: pass}, false, names{before, deploy, after}, []lifecyclev1.KeptnState{warning, succeeded, succeeded}, after, 0},
		"LenientFails":      {"Where checks do not block a failure is a warning (R49).", found{before: fail, deploy: pass, after: fail}, true, names{before, deploy, after}, []lifecyclev1.KeptnState{warning, succeeded, warning}, after, 0},
		"LenientUndecided":  {"So is what is inconclusive.", found{before: undecided, deploy: pass, after: pass}, true, names{before, deploy, after}, []lifecyclev1.KeptnState{warning, succeeded, succeeded}, after, 0},
		"LenientWaits":      {"It is waited for all the same.", found{before: wait}, true, names{before}, []lifecyclev1.KeptnState{progressing, pending, pending}, before, time.Minute},
		"LenientFailedStop": {"A rollout that failed stops even then (R48).", found{before: pass, deploy: fail}, true, names{before, deploy}, []lifecyclev1.KeptnState{succeeded, failed, pending}, deploy, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStory(tc.finds)
			table().Begin(&s.Delivery, noon)
			if got := s.advance(t, noon, !tc.lenient); got != tc.recheck {
				t.Errorf("%s\nlooks again after %s, want %s", tc.reason, got, tc.recheck)
			}
			if diff := cmp.Diff(tc.ran, s.ran); diff != "" {
				t.Errorf("%s\nran (-want +got):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.states, s.states()); diff != "" {
				t.Errorf("%s\nstates (-want +got):\n%s", tc.reason, diff)
			}
			if s.CurrentPhase != tc.current {
				t.Errorf("%s\nis at %s, want %s", tc.reason, s.CurrentPhase, tc.current)
			}
		})
	}
}

func TestWhatHasEndedDoesNotRunAgain(t *testing.T) {
	s := inStates(succeeded, failed, deprecated)
	s.advance(t, noon.Add(time.Hour), true)
	if len(s.ran) > 0 {
		t.Errorf("ran %v", s.ran)
	}
	if !s.Phase(deploy).EndTime.Time.Equal(noon) {
		t.Errorf("its end moved to %s", s.Phase(deploy).EndTime)
	}
}

func TestAPhaseBeginsAndEndsOnce(t *testing.T) {
	s := newStory(map[lifecyclev1.Phase]phase.Outcome{before: phase.Wait(phase.Progressing, "running")})
	table().Begin(&s.Delivery, noon)
	s.advance(t, noon.Add(time.Second), true)
	s.advance(t, noon.Add(2*time.Second), true)
	s.finds = map[lifecyclev1.Phase]phase.Outcome{before: phase.Pass("done"), deploy: phase.Wait(phase.Progressing, "rolling out")}
	s.advance(t, noon.Add(3*time.Second+time.Millisecond), true)
	s.advance(t, noon.Add(4*time.Second), true)
	want := []lifecyclev1.PhaseRecord{
		{Name: before, State: succeeded, Reason: phase.Succeeded, Message: "done", StartTime: phase.Time(noon.Add(time.Second)), EndTime: phase.Time(noon.Add(3 * time.Second))},
		{Name: deploy, State: progressing, Reason: phase.Progressing, Message: "rolling out", StartTime: phase.Time(noon.Add(3 * time.Second))},
		{Name: after, State: pending},
	}
	if diff := cmp.Diff(want, s.Phases); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnErrorLeavesTheRecordAsItWas(t *testing.T) {
	s := newStory(map[lifecyclev1.Phase]phase.Outcome{before: phase.Fail(phase.Failed, "half the truth")})
	s.fails = map[lifecyclev1.Phase]error{before: errors.New("no API server")}
	table().Begin(&s.Delivery, noon)
	_, err := table().Advance(t.Context(), s, &s.Delivery, phase.Options{Now: noon, Blocking: true})
	if err == nil || err.Error() != "Before: no API server" {
		t.Errorf("error: %v", err)
	}
	want := lifecyclev1.PhaseRecord{Name: before, State: pending, StartTime: phase.Time(noon)}
	if diff := cmp.Diff(want, s.Phases[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBeginningAgainChangesNothing(t *testing.T) {
	s := inStates(succeeded, progressing, pending)
	was := s.DeepCopy()
	table().Begin(&s.Delivery, noon.Add(time.Hour))
	if diff := cmp.Diff(was, &s.Delivery); diff != "" {
		t.Errorf("(-was +is):\n%s", diff)
	}
}

func TestTheStateOfADeliveryIsThatOfItsPhases(t *testing.T) {
	type states = []lifecyclev1.KeptnState
	cases := map[string]struct {
		reason string
		phases states
		want   lifecyclev1.KeptnState
		after  states
	}{
		"New":          {"Nothing has begun.", states{pending, pending, pending}, progressing, states{pending, pending, pending}},
		"First":        {"The first phase runs.", states{progressing, pending, pending}, progressing, states{progressing, pending, pending}},
		"Second":       {"The second phase runs.", states{succeeded, progressing, pending}, progressing, states{succeeded, progressing, pending}},
		"Last":         {"The last phase runs.", states{succeeded, succeeded, progressing}, progressing, states{succeeded, succeeded, progressing}},
		"Passed":       {"All have passed.", states{succeeded, succeeded, succeeded}, succeeded, states{succeeded, succeeded, succeeded}},
		"Warned":       {"A warning passes, and is shown.", states{succeeded, succeeded, warning}, warning, states{succeeded, succeeded, warning}},
		"WarnedEarly":  {"It is shown while more is to come as well, and stops nothing.", states{warning, progressing, pending}, progressing, states{warning, progressing, pending}},
		"FailedEarly":  {"What follows a failed check never runs (R39).", states{failed, pending, pending}, failed, states{failed, deprecated, deprecated}},
		"Stuck":        {"After a failed rollout nothing is checked.", states{succeeded, failed, pending}, failed, states{succeeded, failed, deprecated}},
		"Rejected":     {"A failed check fails the delivery.", states{succeeded, succeeded, failed}, failed, states{succeeded, succeeded, failed}},
		"Inconclusive": {"What cannot be judged is neither good nor bad, and stops what follows.", states{unknown, pending, pending}, unknown, states{unknown, deprecated, deprecated}},
		"Overtaken":    {"What was given up is not a failure.", states{succeeded, succeeded, deprecated}, deprecated, states{succeeded, succeeded, deprecated}},
		"OvertakenAll": {"It is not even if it never rolled out.", states{deprecated, deprecated, deprecated}, deprecated, states{deprecated, deprecated, deprecated}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := inStates(tc.phases...)
			s.CurrentPhase = deploy
			table().Conclude(s, &s.Delivery, noon)
			if s.Status != tc.want {
				t.Errorf("%s\nstate: got %s, want %s", tc.reason, s.Status, tc.want)
			}
			if diff := cmp.Diff(tc.after, s.states()); diff != "" {
				t.Errorf("%s\nphases (-want +got):\n%s", tc.reason, diff)
			}
			if ended := !s.EndTime.IsZero(); ended != tc.want.Completed() {
				t.Errorf("%s\nended: got %t", tc.reason, ended)
			}
			for i, name := range []lifecyclev1.Phase{before, deploy, after} {
				if *s.fields[name] != tc.after[i] {
					t.Errorf("%s\nKeptn's own field of %s says %s", tc.reason, name, *s.fields[name])
				}
			}
			if at := s.CurrentPhase; (at == lifecyclev1.PhaseCompleted) != tc.want.Passed() {
				t.Errorf("%s\nis at %s: only what passed is Completed, what did not stays where it is", tc.reason, at)
			}
		})
	}
}

func TestWhereChecksDoNotBlockADeliveryHasSucceeded(t *testing.T) {
	fail := phase.Fail(phase.Failed, "bad")
	s := newStory(map[lifecyclev1.Phase]phase.Outcome{before: fail, deploy: phase.Pass("runs"), after: fail})
	table().Begin(&s.Delivery, noon)
	s.advance(t, noon, false)
	table().Conclude(s, &s.Delivery, noon)
	if s.Status != succeeded || s.CurrentPhase != lifecyclev1.PhaseCompleted {
		t.Errorf("is %s at %s, want Succeeded as with Keptn (R49)", s.Status, s.CurrentPhase)
	}
	if rec := s.Phase(before); rec.Reason != phase.NotBlocking || rec.Message != "bad" || *s.fields[before] != warning {
		t.Errorf("the phase does not say what it found: %+v", rec)
	}
}

func TestADeliveryEndsOnce(t *testing.T) {
	s := inStates(succeeded, succeeded, succeeded)
	table().Conclude(s, &s.Delivery, noon)
	table().Conclude(s, &s.Delivery, noon.Add(time.Hour))
	if !s.EndTime.Time.Equal(noon) {
		t.Errorf("its end moved to %s", s.EndTime)
	}
}

func TestGivingUpLeavesWhatHasEndedAndLetsNothingGo(t *testing.T) {
	s := inStates(succeeded, progressing, pending)
	later := noon.Add(time.Minute)
	table().GiveUp(&s.Delivery, phase.Superseded, "overtaken", later)
	want := []lifecyclev1.PhaseRecord{
		{Name: before, State: succeeded, StartTime: phase.Time(noon), EndTime: phase.Time(noon)},
		{Name: deploy, State: deprecated, Reason: phase.Superseded, Message: "overtaken", StartTime: phase.Time(noon), EndTime: phase.Time(later)},
		// It has no start: pods of a phase that began are let go.
		{Name: after, State: deprecated, Reason: phase.Superseded, Message: "overtaken", EndTime: phase.Time(later)},
	}
	if diff := cmp.Diff(want, s.Phases); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatIsDeliveredAgainIsDeprecatedAsAWhole(t *testing.T) {
	s := inStates(succeeded, progressing, pending)
	s.CurrentPhase = deploy
	later := noon.Add(time.Minute)
	table().Deprecate(s, &s.Delivery, "again", later)
	want := lifecyclev1.Delivery{
		CurrentPhase: deploy, Status: deprecated, StartTime: *phase.Time(noon), EndTime: *phase.Time(later),
		Phases: []lifecyclev1.PhaseRecord{
			{Name: before, State: deprecated, Reason: phase.Superseded, Message: "again", StartTime: phase.Time(noon), EndTime: phase.Time(noon)},
			{Name: deploy, State: deprecated, Reason: phase.Superseded, Message: "again", StartTime: phase.Time(noon), EndTime: phase.Time(later)},
			{Name: after, State: deprecated, Reason: phase.Superseded, Message: "again"},
		},
	}
	if diff := cmp.Diff(want, s.Delivery); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, field := range s.fields {
		if *field != deprecated {
			t.Errorf("the field of %s says %s (R29)", name, *field)
		}
	}
	table().Deprecate(s, &s.Delivery, "again", later.Add(time.Hour))
	if diff := cmp.Diff(want, s.Delivery); diff != "" {
		t.Errorf("a second time changes it (-want +got):\n%s", diff)
	}
}

func TestCancellingFailsThePhaseThatRuns(t *testing.T) {
	cases := map[string]struct {
		reason string
		was    []lifecyclev1.KeptnState
		want   []lifecyclev1.KeptnState
		at     lifecyclev1.Phase
	}{
		"New":     {"What never ran fails at its first phase.", []lifecyclev1.KeptnState{pending, pending, pending}, []lifecyclev1.KeptnState{failed, deprecated, deprecated}, before},
		"Running": {"What passed has passed.", []lifecyclev1.KeptnState{succeeded, progressing, pending}, []lifecyclev1.KeptnState{succeeded, failed, deprecated}, deploy},
		"Ended":   {"What has ended stays as it is.", []lifecyclev1.KeptnState{succeeded, succeeded, warning}, []lifecyclev1.KeptnState{succeeded, succeeded, warning}, lifecyclev1.PhaseCompleted},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := inStates(tc.was...)
			table().Cancel(&s.Delivery, "cancelled: stuck", noon)
			table().Conclude(s, &s.Delivery, noon)
			if diff := cmp.Diff(tc.want, s.states()); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
			if s.CurrentPhase != tc.at {
				t.Errorf("%s\nis at %s, want %s", tc.reason, s.CurrentPhase, tc.at)
			}
			if rec := s.Phase(tc.at); rec != nil && (rec.Reason != phase.Cancelled || rec.Message != "cancelled: stuck" || rec.EndTime == nil) {
				t.Errorf("%s\nit does not say why: %+v", tc.reason, rec)
			}
		})
	}
}

func TestRunningAgainBeginsWithThePhaseThatDidNotPass(t *testing.T) {
	s := inStates(succeeded, succeeded, failed)
	s.Phases[2].Attempt = 1
	table().Conclude(s, &s.Delivery, noon)
	table().Retry(&s.Delivery)
	if s.Status != progressing || !s.EndTime.IsZero() {
		t.Errorf("it has still ended: %s, %s", s.Status, s.EndTime)
	}
	want := []lifecyclev1.PhaseRecord{
		{Name: before, State: succeeded, StartTime: phase.Time(noon), EndTime: phase.Time(noon)},
		{Name: deploy, State: succeeded, StartTime: phase.Time(noon), EndTime: phase.Time(noon)},
		{Name: after, State: pending, Attempt: 2},
	}
	if diff := cmp.Diff(want, s.Phases); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	early := inStates(failed, pending, pending)
	table().Conclude(early, &early.Delivery, noon)
	table().Retry(&early.Delivery)
	if diff := cmp.Diff([]lifecyclev1.PhaseRecord{{Name: before, State: pending, Attempt: 1}, {Name: deploy, State: pending}, {Name: after, State: pending}}, early.Phases); diff != "" {
		t.Errorf("what never ran is no attempt (-want +got):\n%s", diff)
	}
	passed := inStates(succeeded, warning, succeeded)
	table().Conclude(passed, &passed.Delivery, noon)
	was := passed.DeepCopy()
	table().Retry(&passed.Delivery)
	if diff := cmp.Diff(was, &passed.Delivery); diff != "" {
		t.Errorf("what passed runs again (-was +is):\n%s", diff)
	}
}

func TestThePhaseThatDidNotPassSpeaksForTheDelivery(t *testing.T) {
	cases := map[string]struct {
		reason string
		phases []lifecyclev1.KeptnState
		want   lifecyclev1.Phase
	}{
		"First":  {"It is under way.", []lifecyclev1.KeptnState{progressing, pending, pending}, before},
		"Second": {"It is the first that did not pass.", []lifecyclev1.KeptnState{succeeded, failed, deprecated}, deploy},
		"Passed": {"The last one has the verdict.", []lifecyclev1.KeptnState{succeeded, succeeded, warning}, after},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := inStates(tc.phases...)
			if got := phase.Decisive(&s.Delivery); got.Name != tc.want || got.Reason != phase.Progressing {
				t.Errorf("%s\ngot %s (%s), want %s; a condition has to have a reason", tc.reason, got.Name, got.Reason, tc.want)
			}
		})
	}
	idle := inStates(succeeded, succeeded, succeeded)
	idle.Phases[2].Reason = phase.NothingToDo
	if got := phase.Decisive(&idle.Delivery); got.Name != deploy {
		t.Errorf("%s speaks, in which nothing was to be done", got.Name)
	}
	if got := phase.Decisive(&lifecyclev1.Delivery{}); got.Reason != phase.Progressing {
		t.Errorf("a delivery without phases has no reason: %+v", got)
	}
}

func TestTimesOfRecordsHaveSeconds(t *testing.T) {
	if got := phase.Time(noon.Add(999 * time.Millisecond)); !got.Time.Equal(noon) {
		t.Errorf("got %s: what the API server keeps is to the second", got)
	}
}

func TestWorseIsTheStateThatCounts(t *testing.T) {
	order := []lifecyclev1.KeptnState{succeeded, warning, deprecated, pending, progressing, unknown, failed}
	for i, a := range order {
		for j, b := range order {
			if got := phase.Worse(a, b); got != order[max(i, j)] {
				t.Errorf("of %s and %s %s counts", a, b, got)
			}
		}
	}
}

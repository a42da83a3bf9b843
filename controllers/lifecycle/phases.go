package lifecycle

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// Reasons of phases.
const (
	reasonProgressing  = "Progressing"
	reasonSucceeded    = "Succeeded"
	reasonFailed       = "Failed"
	reasonTimeout      = "Timeout"
	reasonSuperseded   = "Superseded"
	reasonInconclusive = "Inconclusive"
	reasonWarning      = "Warning"
	reasonWaiting      = "Waiting"
	reasonUnreadable   = "LifecycleUnreadable"
)

// outcome is what a phase found: where it stands, why, and when to look again
// if no event will tell.
type outcome struct {
	state           lifecyclev1.KeptnState
	reason, message string
	recheck         time.Duration
}

func waiting(reason, format string, args ...any) outcome {
	return outcome{state: lifecyclev1.StateProgressing, reason: reason, message: fmt.Sprintf(format, args...)}
}

func passed(format string, args ...any) outcome {
	return outcome{state: lifecyclev1.StateSucceeded, reason: reasonSucceeded, message: fmt.Sprintf(format, args...)}
}

func failed(reason, format string, args ...any) outcome {
	return outcome{state: lifecyclev1.StateFailed, reason: reason, message: fmt.Sprintf(format, args...)}
}

// in returns the outcome with the time after which to look again.
func (o outcome) in(d time.Duration) outcome {
	o.recheck = d
	return o
}

// phase is one step in the life of a delivery.
type phase struct {
	name lifecyclev1.Phase
	run  func(*AppVersionReconciler, context.Context, *delivery, *lifecyclev1.PhaseRecord) (outcome, error)
	// state is where Keptn's own field for the phase is; nil where it has none.
	state func(*lifecyclev1.KeptnAppVersionStatus) *lifecyclev1.KeptnState
}

// appPhases is the life of a delivery, first to last. A phase runs only once
// every phase above it has passed; the whole state machine is this list.
func appPhases() []phase {
	return []phase{
		{
			name: lifecyclev1.PhaseAppDeploy, run: (*AppVersionReconciler).observeRollout,
			state: func(s *lifecyclev1.KeptnAppVersionStatus) *lifecyclev1.KeptnState { return &s.WorkloadOverallStatus },
		},
		{
			name: lifecyclev1.PhaseAppSoak, run: (*AppVersionReconciler).soak,
		},
		{
			name: lifecyclev1.PhaseAppPostDeployEvaluations, run: (*AppVersionReconciler).evaluatePolicies,
			state: func(s *lifecyclev1.KeptnAppVersionStatus) *lifecyclev1.KeptnState {
				return &s.PostDeploymentEvaluationStatus
			},
		},
	}
}

// advance walks the phases as far as they will go, and returns when to look
// again. An error in a phase leaves the record as it was before the phase ran.
func (r *AppVersionReconciler) advance(ctx context.Context, d *delivery) (time.Duration, error) {
	for _, p := range appPhases() {
		rec := recordOf(&d.kav.Status, p.name)
		if rec.State.Passed() {
			continue
		}
		if rec.State.Completed() {
			return 0, nil // what has failed has failed
		}
		begin(rec, d.now)
		d.kav.Status.CurrentPhase = p.name
		o, err := p.run(r, ctx, d, rec)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", p.name, err)
		}
		settle(rec, o, d.now)
		if !rec.State.Passed() {
			return o.recheck, nil
		}
	}
	return 0, nil
}

// recordOf returns the record of a phase, and adds it where there is none.
func recordOf(s *lifecyclev1.KeptnAppVersionStatus, name lifecyclev1.Phase) *lifecyclev1.PhaseRecord {
	for i := range s.Phases {
		if s.Phases[i].Name == name {
			return &s.Phases[i]
		}
	}
	s.Phases = append(s.Phases, lifecyclev1.PhaseRecord{Name: name, State: lifecyclev1.StatePending})
	return &s.Phases[len(s.Phases)-1]
}

func begin(rec *lifecyclev1.PhaseRecord, now time.Time) {
	if rec.StartTime == nil {
		rec.StartTime = timestamp(now)
	}
}

func settle(rec *lifecyclev1.PhaseRecord, o outcome, now time.Time) {
	rec.State, rec.Reason, rec.Message = o.state, o.reason, o.message
	if o.state.Completed() {
		rec.EndTime = timestamp(now)
	}
}

func timestamp(t time.Time) *metav1.Time {
	at := metav1.NewTime(t.UTC().Truncate(time.Second))
	return &at
}

// giveUp ends every phase that has not ended, since something newer took the
// delivery's place.
func giveUp(d *delivery, reason, message string) {
	for _, p := range appPhases() {
		if rec := recordOf(&d.kav.Status, p.name); !rec.State.Completed() {
			begin(rec, d.now)
			settle(rec, outcome{state: lifecyclev1.StateDeprecated, reason: reason, message: message}, d.now)
		}
	}
}

// conclude derives all that the status says of the whole delivery from the
// records of its phases.
func conclude(d *delivery) {
	s := &d.kav.Status
	overall, ended := lifecyclev1.StateSucceeded, true
	for _, p := range appPhases() {
		rec := recordOf(s, p.name)
		if !overall.Passed() && ended && rec.State == lifecyclev1.StatePending {
			rec.State, rec.Reason = lifecyclev1.StateDeprecated, reasonFailed
			rec.Message = "not run, since a phase before it failed"
		}
		if p.state != nil {
			*p.state(s) = rec.State
		}
		overall, ended = worse(overall, rec.State), ended && rec.State.Completed()
	}
	if !ended {
		s.Status = lifecyclev1.StateProgressing
		return
	}
	s.Status = overall
	s.CurrentPhase = lifecyclev1.PhaseCompleted
	if s.EndTime.IsZero() {
		s.EndTime = *timestamp(d.now)
	}
}

// severity orders states of phases by what they mean for the whole.
func severity(s lifecyclev1.KeptnState) int {
	for i, known := range []lifecyclev1.KeptnState{
		lifecyclev1.StateSucceeded, lifecyclev1.StateWarning, lifecyclev1.StateDeprecated,
		lifecyclev1.StatePending, lifecyclev1.StateProgressing, lifecyclev1.StateUnknown, lifecyclev1.StateFailed,
	} {
		if s == known {
			return i
		}
	}
	return 0
}

func worse(a, b lifecyclev1.KeptnState) lifecyclev1.KeptnState {
	if severity(b) > severity(a) {
		return b
	}
	return a
}

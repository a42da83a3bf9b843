// Package phase walks deliveries through their phases. What the phases of a kind
// of delivery are, and in which order, is a [Table]; how they are walked, given up,
// cancelled and run again is here, once for all kinds. All that is known of a
// delivery is in its record, lifecyclev1.Delivery: nothing else is kept.
//
// The package reads no clock and no cluster.
package phase

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// Reasons of phases.
const (
	Progressing  = "Progressing"
	Succeeded    = "Succeeded"
	Failed       = "Failed"
	Timeout      = "Timeout"
	Superseded   = "Superseded"
	Inconclusive = "Inconclusive"
	Warning      = "Warning"
	Waiting      = "Waiting"
	Cancelled    = "Cancelled"
	Missing      = "DefinitionMissing"
	NothingToDo  = "NothingToDo"
	// NotBlocking: the phase did not pass, and nothing was stopped by that.
	NotBlocking = "NotBlocking"
)

// Outcome is what a phase found: where it stands, why, and when to look again if
// no event will tell.
type Outcome struct {
	State           lifecyclev1.KeptnState
	Reason, Message string
	Recheck         time.Duration
}

// Wait is the outcome of a phase that is under way.
func Wait(reason, format string, args ...any) Outcome {
	return Outcome{State: lifecyclev1.StateProgressing, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Pass is the outcome of a phase that succeeded.
func Pass(format string, args ...any) Outcome {
	return Outcome{State: lifecyclev1.StateSucceeded, Reason: Succeeded, Message: fmt.Sprintf(format, args...)}
}

// Skip is the outcome of a phase in which nothing was to be done.
func Skip(format string, args ...any) Outcome {
	return Outcome{State: lifecyclev1.StateSucceeded, Reason: NothingToDo, Message: fmt.Sprintf(format, args...)}
}

// Fail is the outcome of a phase that failed.
func Fail(reason, format string, args ...any) Outcome {
	return Outcome{State: lifecyclev1.StateFailed, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// In returns the outcome with the time after which to look again.
func (o Outcome) In(d time.Duration) Outcome {
	o.Recheck = d
	return o
}

// Phase is one step in the life of a delivery.
type Phase[T any] struct {
	Name lifecyclev1.Phase
	// Run brings the phase as far as it will go. An error leaves the record as it was
	// before, but for its start.
	Run func(ctx context.Context, of T, rec *lifecyclev1.PhaseRecord) (Outcome, error)
	// State returns where Keptn's own field for the phase is, or nil.
	State func(of T) *lifecyclev1.KeptnState
	// Stops says that a failure of the phase stops what follows even where checks do
	// not block.
	Stops bool
}

// tell has Keptn's own field for the phase say a state.
func (p *Phase[T]) tell(of T, state lifecyclev1.KeptnState) {
	if field := p.State(of); field != nil {
		*field = state
	}
}

// Table is the life of a kind of delivery, first to last. A phase runs only once
// every phase above it has passed; the whole state machine is this list.
type Table[T any] []Phase[T]

// Options are what is the same for all phases of a walk.
type Options struct {
	// Now is the time of the walk.
	Now time.Time
	// Blocking says that a check that fails stops what follows; else its failure is
	// a warning.
	Blocking bool
}

// Advance walks the phases as far as they will go, and returns when to look again.
func (t Table[T]) Advance(ctx context.Context, of T, d *lifecyclev1.Delivery, o Options) (time.Duration, error) {
	for _, p := range t {
		rec := record(d, p.Name)
		if rec.State.Passed() {
			continue
		}
		if rec.State.Completed() {
			return 0, nil // what has failed has failed
		}
		begin(rec, o.Now)
		d.CurrentPhase = p.Name
		found, err := p.Run(ctx, of, rec)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", p.Name, err)
		}
		settle(rec, tolerated(found, o.Blocking || p.Stops), o.Now)
		if !rec.State.Passed() {
			return found.Recheck, nil
		}
	}
	return 0, nil
}

// tolerated is an outcome as it counts: where checks do not block, what failed or
// could not be decided is a warning.
func tolerated(o Outcome, blocking bool) Outcome {
	if !blocking && o.State.Completed() && !o.State.Passed() {
		o.State, o.Reason = lifecyclev1.StateWarning, NotBlocking
	}
	return o
}

// Begin makes the records of all phases.
func (t Table[T]) Begin(d *lifecyclev1.Delivery, now time.Time) {
	for _, p := range t {
		record(d, p.Name)
	}
	if d.StartTime.IsZero() {
		d.StartTime = *Time(now)
	}
}

// GiveUp ends every phase that has not ended, since something newer took the
// delivery's place. What never began does not begin by that: no pod is let go.
func (t Table[T]) GiveUp(d *lifecyclev1.Delivery, reason, message string, now time.Time) {
	for _, p := range t {
		if rec := record(d, p.Name); !rec.State.Completed() {
			settle(rec, Outcome{State: lifecyclev1.StateDeprecated, Reason: reason, Message: message}, now)
		}
	}
}

// Deprecate marks every phase, and the whole, as Deprecated, also those that ended:
// the same version is delivered anew.
func (t Table[T]) Deprecate(of T, d *lifecyclev1.Delivery, message string, now time.Time) {
	for _, p := range t {
		rec := record(d, p.Name)
		rec.State, rec.Reason, rec.Message = lifecyclev1.StateDeprecated, Superseded, message
		if rec.StartTime != nil && rec.EndTime == nil {
			rec.EndTime = Time(now)
		}
		p.tell(of, rec.State)
	}
	d.Status = lifecyclev1.StateDeprecated
	if d.EndTime.IsZero() {
		d.EndTime = *Time(now)
	}
}

// Cancel ends the delivery: the phase that runs has failed.
func (t Table[T]) Cancel(d *lifecyclev1.Delivery, message string, now time.Time) {
	for _, p := range t {
		if rec := record(d, p.Name); !rec.State.Completed() {
			begin(rec, now)
			settle(rec, Fail(Cancelled, "%s", message), now)
			d.CurrentPhase = p.Name
			return
		}
	}
}

// Retry makes a delivery that failed run again, from the phase that failed on.
func (t Table[T]) Retry(d *lifecyclev1.Delivery) {
	failed := false
	for _, p := range t {
		rec := record(d, p.Name)
		if rec.State.Passed() && !failed {
			continue
		}
		again := lifecyclev1.PhaseRecord{Name: rec.Name, State: lifecyclev1.StatePending, Attempt: rec.Attempt}
		if !failed {
			again.Attempt++
		}
		*rec, failed = again, true
	}
	if failed {
		d.Status, d.EndTime = lifecyclev1.StateProgressing, metav1.Time{}
	}
}

// Conclude derives all that the status says of the whole delivery from the records
// of its phases. A delivery that did not pass stays at the phase that it came to, as
// with Keptn.
func (t Table[T]) Conclude(of T, d *lifecyclev1.Delivery, now time.Time) {
	overall, ended := lifecyclev1.StateSucceeded, true
	for _, p := range t {
		rec := record(d, p.Name)
		if !overall.Passed() && ended && rec.State == lifecyclev1.StatePending {
			rec.State, rec.Reason = lifecyclev1.StateDeprecated, Failed
			rec.Message = "not run, since a phase before it failed"
		}
		p.tell(of, rec.State)
		overall, ended = Worse(overall, counted(rec)), ended && rec.State.Completed()
	}
	if !ended {
		d.Status = lifecyclev1.StateProgressing
		return
	}
	d.Status = overall
	if overall.Passed() {
		d.CurrentPhase = lifecyclev1.PhaseCompleted
	}
	if d.EndTime.IsZero() {
		d.EndTime = *Time(now)
	}
}

// counted is the state of a phase as it counts for the whole: where checks do not
// block, what they found does not keep a delivery from having succeeded.
func counted(rec *lifecyclev1.PhaseRecord) lifecyclev1.KeptnState {
	if rec.State == lifecyclev1.StateWarning && rec.Reason == NotBlocking {
		return lifecyclev1.StateSucceeded
	}
	return rec.State
}

// record returns the record of a phase, and adds it where there is none.
func record(d *lifecyclev1.Delivery, name lifecyclev1.Phase) *lifecyclev1.PhaseRecord {
	if rec := d.Phase(name); rec != nil {
		return rec
	}
	d.Phases = append(d.Phases, lifecyclev1.PhaseRecord{Name: name, State: lifecyclev1.StatePending})
	return &d.Phases[len(d.Phases)-1]
}

func begin(rec *lifecyclev1.PhaseRecord, now time.Time) {
	if rec.StartTime == nil {
		rec.StartTime = Time(now)
	}
}

func settle(rec *lifecyclev1.PhaseRecord, o Outcome, now time.Time) {
	rec.State, rec.Reason, rec.Message = o.State, o.Reason, o.Message
	if o.State.Completed() {
		rec.EndTime = Time(now)
	}
}

// Time is a time as records keep it, with a resolution of one second.
func Time(t time.Time) *metav1.Time {
	at := metav1.NewTime(t.UTC().Truncate(time.Second))
	return &at
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

// Worse is the one of two states that counts for the whole.
func Worse(a, b lifecyclev1.KeptnState) lifecyclev1.KeptnState {
	if severity(b) > severity(a) {
		return b
	}
	return a
}

// Decisive is the phase that speaks for the delivery: the one that did not pass,
// else the last in which something was done.
func Decisive(d *lifecyclev1.Delivery) lifecyclev1.PhaseRecord {
	var last lifecyclev1.PhaseRecord
	for _, rec := range d.Phases {
		if last.Name == "" || rec.Reason != NothingToDo {
			last = rec
		}
		if !rec.State.Passed() {
			break
		}
	}
	if last.Reason == "" {
		last.Reason = Progressing
	}
	return last
}

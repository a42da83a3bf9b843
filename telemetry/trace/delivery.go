package trace

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry/record"
)

// maxLinks is how many spans a delivery is linked to.
const maxLinks = 32

// Attributes of ours that only spans have.
const (
	taskDefinitionKey       = attribute.Key("keptn.deployment.task.definition")
	taskExitCodeKey         = attribute.Key("keptn.deployment.task.exit_code")
	taskRetriesKey          = attribute.Key("keptn.deployment.task.retries")
	evaluationDefinitionKey = attribute.Key("keptn.deployment.evaluation.definition")
	evaluationRetriesKey    = attribute.Key("keptn.deployment.evaluation.retries")
	evaluationScoreKey      = attribute.Key("keptn.deployment.evaluation.score")
)

// Delivery writes the spans of what ended between two records of a delivery: each phase
// with its checks, and the delivery itself. Of a delivery that nothing was known of
// before it is the whole trace so far.
//
// A span has the status Ok where it tells of what passed, also with a warning, Error with
// the message where it failed or could not be decided, and none where it was given up for
// a newer delivery. Without the tasks and evaluations among the
// facts their spans tell less.
func (t *Tracer) Delivery(ctx context.Context, before, after record.Delivery, facts record.Facts) {
	if !t.Exports() {
		return
	}
	root := after.Root()
	for _, rec := range record.PhasesEnded(before, after) {
		t.phase(ctx, after, rec, root, facts)
	}
	if !record.Ended(before, after) {
		return
	}
	for i := range after.Progress.Phases {
		if rec := &after.Progress.Phases[i]; rec.StartTime != nil && rec.EndTime == nil {
			t.phase(ctx, after, rec, root, facts) // it ended with the delivery
		}
	}
	t.write(ctx, after.Parent(), deliverySpan(after))
}

// A span is what a record says of one span.
type span struct {
	name       string
	ids        trace.SpanContext
	start, end time.Time
	state      lifecyclev1.KeptnState
	message    string
	attributes []attribute.KeyValue
	links      []trace.Link
	events     []event
}

// An event is something that happened within a span.
type event struct {
	name string
	at   time.Time
}

// write writes a span below its parent. A parent that is not valid makes it a root,
// whatever span the context is in.
func (t *Tracer) write(ctx context.Context, parent trace.SpanContext, r span) {
	ctx = trace.ContextWithSpanContext(withIDs(ctx, r.ids), parent)
	_, s := t.tracer.Start(ctx, r.name,
		trace.WithTimestamp(r.start),
		trace.WithSpanKind(trace.SpanKindConsumer), // as Keptn's
		trace.WithAttributes(r.attributes...),
		trace.WithLinks(r.links...),
	)
	switch r.state {
	case lifecyclev1.StateSucceeded, lifecyclev1.StateWarning:
		s.SetStatus(codes.Ok, "")
	case lifecyclev1.StateFailed, lifecyclev1.StateUnknown:
		s.SetStatus(codes.Error, r.message)
	case lifecyclev1.StatePending, lifecyclev1.StateProgressing, lifecyclev1.StateDeprecated:
		// It came to no result, good or bad.
	}
	if r.end.Before(r.start) {
		r.end = r.start
	}
	for _, e := range r.events {
		s.AddEvent(e.name, trace.WithTimestamp(e.at))
	}
	if r.message != "" {
		// Only the status Error has room for a message.
		s.AddEvent(r.message, trace.WithTimestamp(r.end))
	}
	s.End(trace.WithTimestamp(r.end))
}

func deliverySpan(d record.Delivery) span {
	_, message := d.Conclusion()
	state := d.Progress.Status
	status, name := record.AppStatus, d.Name
	if !d.IsApp() {
		status = record.WorkloadStatus
	}
	if attempt := d.Attempt(); attempt > 0 {
		name = fmt.Sprintf("%s (retry %d)", name, attempt)
	}
	return span{
		name: name, ids: d.Root(), start: d.Start(), end: d.Progress.EndTime.Time,
		state: state, message: message, links: links(d),
		attributes: append(d.Attributes(), status.String(string(state))),
		events:     append(preDeployment(d), result(d.Name, state, d.Progress.EndTime.Time, "finished")...),
	}
}

// preDeployment tells, in Keptn's words, that the tasks before a deployment began.
func preDeployment(d record.Delivery) []event {
	phase, what := lifecyclev1.PhaseAppPreDeployTasks, "App Version"
	if !d.IsApp() {
		phase, what = lifecyclev1.PhaseWorkloadPreDeployTasks, "WorkloadVersion"
	}
	rec := d.Progress.Phase(phase)
	if rec == nil || rec.StartTime == nil || rec.StartTime.Time.Before(d.Start()) || len(d.Checks[phase]) == 0 {
		return nil
	}
	return []event{{what + " Pre-Deployment Tasks started", rec.StartTime.Time}}
}

// result tells, in Keptn's words, how something ended; nothing of what came to none.
func result(what string, state lifecyclev1.KeptnState, at time.Time, passed string) []event {
	switch {
	case state.Passed():
		return []event{{what + " has " + passed, at}}
	case state == lifecyclev1.StateFailed || state == lifecyclev1.StateUnknown:
		return []event{{what + " has failed", at}}
	default:
		return nil
	}
}

// links are what led to a delivery: what its record names, the pipeline that built the
// commit, where a trailer of its message tells, and the attempt before.
func links(d record.Delivery) []trace.Link {
	of := []trace.SpanContext{d.Previous()}
	headers := d.SpanLinks
	if d.Commit != nil {
		headers = append(slices.Clone(headers), d.Commit.Trailers[lifecyclev1.TraceParentAnnotation]...)
	}
	for _, header := range headers {
		of = append(of, record.Remote(header))
	}
	var all []trace.Link
	for _, sc := range of {
		if sc.IsValid() && len(all) < maxLinks {
			all = append(all, trace.Link{SpanContext: sc, Attributes: []attribute.KeyValue{
				attribute.String("opentracing.ref_type", "follows-from"), // as Keptn's
			}})
		}
	}
	return all
}

// phase writes the span of a phase, and below it those of its checks.
func (t *Tracer) phase(ctx context.Context, d record.Delivery, rec *lifecyclev1.PhaseRecord, root trace.SpanContext, facts record.Facts) {
	name, ids := string(rec.Name), d.PhaseSpan(rec)
	if !d.IsApp() {
		name = d.WorkloadName + "/" + name
	}
	end := d.Progress.EndTime.Time
	if rec.EndTime != nil {
		end = rec.EndTime.Time
	}
	t.write(ctx, root, span{
		name: name, ids: ids, start: rec.StartTime.Time, end: end, state: rec.State, message: rec.Message,
		attributes: d.Attributes(), events: result(rec.Name.LongName(), rec.State, end, "succeeded"),
	})
	for _, item := range d.Checks[rec.Name] {
		if s := checkSpan(d, rec.Name, item, end, facts); !s.start.IsZero() {
			t.write(ctx, ids, s)
		}
	}
}

// checkSpan is the span of one check; without a start for one that never ran. A check
// that has not ended by then ended with its phase.
func checkSpan(d record.Delivery, phase lifecyclev1.Phase, item lifecyclev1.ItemStatus, end time.Time, facts record.Facts) span {
	s := span{
		name: item.Name, ids: d.CheckSpan(phase, item.Name),
		start: item.StartTime.Time, end: item.EndTime.Time, state: item.Status, attributes: d.Attributes(),
	}
	if record.Evaluates(phase) {
		s.evaluation(phase, item, facts.Evaluation(item.Name))
	} else {
		s.task(phase, item, facts.Task(item.Name))
	}
	if s.end.IsZero() {
		s.end = end
	}
	return s
}

// task adds what is known of a task.
func (s *span) task(phase lifecyclev1.Phase, item lifecyclev1.ItemStatus, task *lifecyclev1.KeptnTask) {
	s.attributes = append(s.attributes,
		record.TaskName.String(item.Name), record.TaskType.String(string(phase.Check())),
		taskDefinitionKey.String(item.DefinitionName))
	if task != nil {
		status := &task.Status
		s.times(status.StartTime.Time, status.EndTime.Time)
		s.state, s.message = cmp.Or(status.Status, s.state), status.Message
		if status.ExitCode != nil {
			s.attributes = append(s.attributes, taskExitCodeKey.Int(int(*status.ExitCode)))
		}
		if task.Spec.Retries != nil {
			s.attributes = append(s.attributes, taskRetriesKey.Int(int(*task.Spec.Retries)))
		}
	}
	s.attributes = append(s.attributes, record.TaskStatus.String(string(s.state)))
	if s.state == lifecyclev1.StateFailed {
		s.events = append(s.events, event{fmt.Sprintf("task '%s' failed with reason: '%s'", item.Name, s.message), s.end})
	}
}

// evaluation adds what is known of an evaluation.
func (s *span) evaluation(phase lifecyclev1.Phase, item lifecyclev1.ItemStatus, e *lifecyclev1.KeptnEvaluation) {
	if e != nil {
		status := &e.Status
		s.times(status.StartTime.Time, status.EndTime.Time)
		s.state, s.message = cmp.Or(status.OverallStatus, s.state), status.Summary
		s.attributes = append(s.attributes, evaluationRetriesKey.Int(status.RetryCount))
		if status.Score != "" {
			s.attributes = append(s.attributes, evaluationScoreKey.String(status.Score+"/"+status.MaxScore))
		}
		for _, name := range slices.Sorted(maps.Keys(status.EvaluationStatus)) {
			if found := status.EvaluationStatus[name]; found.Status == lifecyclev1.StateFailed {
				s.events = append(s.events, event{
					fmt.Sprintf("evaluation of '%s' failed with value: '%s' and reason: '%s'", name, found.Value, strings.TrimSpace(found.Message)), s.end,
				})
			}
		}
	}
	s.attributes = append(s.attributes,
		record.EvaluationName.String(item.Name), record.EvaluationType.String(string(phase.Check())),
		evaluationDefinitionKey.String(item.DefinitionName), record.EvaluationStatus.String(string(s.state)))
}

// times takes what the check's own object says of its times.
func (s *span) times(start, end time.Time) {
	if !start.IsZero() {
		s.start = start
	}
	if !end.IsZero() {
		s.end = end
	}
}

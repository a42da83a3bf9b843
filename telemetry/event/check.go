package event

import (
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry/record"
)

// CheckData is the data of a CloudEvent of a task or an evaluation, as JSON. A field
// that is unknown, or has no meaning for the type of event, is absent.
type CheckData struct {
	// App and AppVersion that are checked, or Workload and WorkloadVersion of the app.
	App             string `json:"app,omitempty"`
	AppVersion      string `json:"appVersion,omitempty"`
	Workload        string `json:"workload,omitempty"`
	WorkloadVersion string `json:"workloadVersion,omitempty"`
	// Namespace and Name of the KeptnTask or the KeptnEvaluation.
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Definition is the name of what is run or evaluated.
	Definition string `json:"definition"`
	// Type says when it runs: pre, post, promotion, pre-eval or post-eval.
	Type string `json:"type,omitempty"`
	// Commit is the full SHA of the commit that is evaluated.
	Commit string `json:"commit,omitempty"`
	// State is Progressing where it has started, else Succeeded, Warning, Failed or
	// Unknown (inconclusive).
	State string `json:"state"`
	// Reason in one word, and Message for people.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// ExitCode of the container that ended a task.
	ExitCode *int32 `json:"exitCode,omitempty"`
	// Verdict of an evaluation: pass, warning, fail or inconclusive.
	Verdict string `json:"verdict,omitempty"`
	// Score and MaxScore of an evaluation, in decimal.
	Score    string `json:"score,omitempty"`
	MaxScore string `json:"maxScore,omitempty"`
}

// OfTask returns the CloudEvents of our own that a change of a task gives cause for: it
// started, it finished. Nil before is a task that nothing was known of. Ids and times are
// made as those of deliveries; the trace is the one that the task itself was told of.
func OfTask(before, after *lifecyclev1.KeptnTask) []cloudevents.Event {
	of, s := after.Spec.Context, &after.Status
	data := CheckData{
		App: of.AppName, AppVersion: of.AppVersion, Workload: of.WorkloadName, WorkloadVersion: of.WorkloadVersion,
		Namespace: after.Namespace, Name: after.Name, Definition: after.Spec.TaskDefinition, Type: string(after.Spec.Type),
	}
	c := check{object: after, kinds: [2]string{TaskStartedType, TaskFinishedType}, trace: of.Metadata[lifecyclev1.TraceParentAnnotation]}
	var events []cloudevents.Event
	if !s.StartTime.IsZero() && (before == nil || before.Status.StartTime.IsZero()) {
		events = append(events, c.started(s.StartTime.Time, data))
	}
	if record.TaskEnded(before, after) {
		data.State, data.Reason, data.Message, data.ExitCode = string(s.Status), s.Reason, s.Message, s.ExitCode
		events = append(events, c.finished(s.EndTime.Time, data))
	}
	return events
}

// OfEvaluation is [OfTask] for evaluations.
func OfEvaluation(before, after *lifecyclev1.KeptnEvaluation) []cloudevents.Event {
	of, s := &after.Spec, &after.Status
	data := CheckData{
		App: of.AppName, AppVersion: of.AppVersion, Workload: of.Workload, WorkloadVersion: of.WorkloadVersion,
		Namespace: after.Namespace, Name: after.Name, Definition: of.EvaluationDefinition, Type: string(of.Type),
	}
	if of.Commit != nil {
		data.Commit = of.Commit.SHA
	}
	c := check{object: after, kinds: [2]string{EvaluationStartedType, EvaluationFinishedType}}
	var events []cloudevents.Event
	if !s.StartTime.IsZero() && (before == nil || before.Status.StartTime.IsZero()) {
		events = append(events, c.started(s.StartTime.Time, data))
	}
	if record.EvaluationEnded(before, after) {
		data.State, data.Message = string(s.OverallStatus), s.Summary
		data.Verdict, data.Score, data.MaxScore = string(s.Verdict), s.Score, s.MaxScore
		events = append(events, c.finished(s.EndTime.Time, data))
	}
	return events
}

// A check is what events of a task, or of an evaluation, have in common.
type check struct {
	object metav1.Object
	kinds  [2]string // started, finished
	trace  string
}

func (c check) started(at time.Time, data CheckData) cloudevents.Event {
	data.State = string(lifecyclev1.StateProgressing)
	return c.event(c.kinds[0], "started", at, data)
}

func (c check) finished(at time.Time, data CheckData) cloudevents.Event {
	return c.event(c.kinds[1], "finished/"+data.State, at, data)
}

func (c check) event(kind, what string, at time.Time, data CheckData) cloudevents.Event {
	trace := ""
	if record.Remote(c.trace).IsValid() {
		trace = c.trace
	}
	return newEvent(kind, string(c.object.GetUID())+"/"+what, data.Namespace+"/"+data.Name, at, trace, data)
}

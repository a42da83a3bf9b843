package event

import (
	"fmt"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/telemetry/record"
)

// The types of our own CloudEvents. They are stable: a change that breaks consumers
// gets a new type.
const (
	// DeliveryStartedType: a delivery of an app has begun, or was begun again.
	DeliveryStartedType = "sh.keptn.delivery.started"
	// PhaseFinishedType: a phase of it ran and came to an end, whatever its result.
	PhaseFinishedType = "sh.keptn.delivery.phase.finished"
	// DeliveryFinishedType: it succeeded, failed, or was given up for a newer one.
	DeliveryFinishedType = "sh.keptn.delivery.finished"

	// The same of the delivery of a workload.
	WorkloadStartedType       = "sh.keptn.workload.started"
	WorkloadPhaseFinishedType = "sh.keptn.workload.phase.finished"
	WorkloadFinishedType      = "sh.keptn.workload.finished"

	// A task, or an evaluation, began or ended.
	TaskStartedType        = "sh.keptn.task.started"
	TaskFinishedType       = "sh.keptn.task.finished"
	EvaluationStartedType  = "sh.keptn.evaluation.started"
	EvaluationFinishedType = "sh.keptn.evaluation.finished"
)

// Source is the source of all CloudEvents, as Keptn's.
const Source = "keptn.sh"

// DeliveryData is the data of a CloudEvent of a delivery, as JSON. A field that is
// unknown, or has no meaning for the type of event, is absent.
type DeliveryData struct {
	// App is the name of the app that is delivered.
	App string `json:"app"`
	// Workload is the name of the workload, where one is delivered.
	Workload string `json:"workload,omitempty"`
	// Namespace and Delivery name the KeptnAppVersion, or KeptnWorkloadVersion, that is
	// the record.
	Namespace string `json:"namespace"`
	Delivery  string `json:"delivery"`
	// Attempt counts retries of the delivery.
	Attempt int `json:"attempt,omitempty"`
	// Environment that is delivered to.
	Environment string `json:"environment,omitempty"`
	// Version of the app, or of the workload.
	Version string `json:"version"`
	// Commit is the full SHA of the commit that the delivery comes from.
	Commit string `json:"commit,omitempty"`
	// Repository is the URL of the commit's repository, without credentials.
	Repository string `json:"repository,omitempty"`
	// Phase that finished, by its short name, for example AppDeploy.
	Phase string `json:"phase,omitempty"`
	// State of the phase, or of the delivery: Progressing where it has started,
	// else Succeeded, Warning, Failed, Unknown (inconclusive) or Deprecated
	// (given up).
	State string `json:"state"`
	// Reason in one word, and Message for people.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Verdicts of the policies, of a phase that evaluates and of the delivery.
	Verdicts []PolicyVerdict `json:"verdicts,omitempty"`
	// LeadTimeSeconds is the change lead time of a delivery that succeeded.
	LeadTimeSeconds *float64 `json:"leadTimeSeconds,omitempty"`
}

// PolicyVerdict is what became of one policy.
type PolicyVerdict struct {
	// Policy is the name of the policy.
	Policy string `json:"policy"`
	// Evaluation is the name of the KeptnEvaluation that has the details.
	Evaluation string `json:"evaluation,omitempty"`
	// State is Succeeded, Warning, Failed or Unknown (inconclusive); Pending or
	// Progressing where the delivery ended first.
	State string `json:"state"`
}

// OfDelivery returns the CloudEvents of our own that a change of a delivery's record
// gives cause for, in the order of what happened: the delivery started, a phase
// finished, the delivery finished. Of a delivery that nothing was known of before it is
// the whole story so far.
//
// The id of an event is made of the record's UID, the attempt, the phase and the state,
// so a consumer can drop what it has seen. The time is the record's own, the subject is
// namespace/name of the record, and the extension traceparent names the
// delivery's trace
// (https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/distributed-tracing.md).
func OfDelivery(before, after record.Delivery) []cloudevents.Event {
	kinds := [3]string{DeliveryStartedType, PhaseFinishedType, DeliveryFinishedType}
	if !after.IsApp() {
		kinds = [3]string{WorkloadStartedType, WorkloadPhaseFinishedType, WorkloadFinishedType}
	}
	var events []cloudevents.Event
	if record.Began(before, after) {
		data := dataOf(after)
		data.State = string(lifecyclev1.StateProgressing)
		events = append(events, ofDelivery(after, kinds[0], "started", after.Start(), data))
	}
	for _, rec := range record.PhasesEnded(before, after) {
		data := dataOf(after)
		data.Phase, data.State, data.Reason, data.Message = string(rec.Name), string(rec.State), rec.Reason, rec.Message
		data.Verdicts = verdictsOf(after, rec.Name)
		events = append(events, ofDelivery(after, kinds[1], data.Phase+"/"+data.State, rec.EndTime.Time, data))
	}
	if record.Ended(before, after) {
		data := dataOf(after)
		data.State = string(after.Progress.Status)
		data.Reason, data.Message = after.Conclusion()
		for _, rec := range after.Progress.Phases {
			data.Verdicts = append(data.Verdicts, verdictsOf(after, rec.Name)...)
		}
		if lead := after.LeadTime; lead != nil {
			seconds := lead.Seconds()
			data.LeadTimeSeconds = &seconds
		}
		events = append(events, ofDelivery(after, kinds[2], "finished/"+data.State, after.Progress.EndTime.Time, data))
	}
	return events
}

func dataOf(d record.Delivery) DeliveryData {
	data := DeliveryData{
		App: d.AppName, Workload: d.WorkloadName, Namespace: d.Namespace, Delivery: d.Name, Attempt: d.Attempt(),
		Environment: d.Environment, Version: d.Version,
	}
	if c := d.Commit; c != nil {
		data.Commit, data.Repository = c.SHA, gitname.PublicURL(c.Repository)
	}
	return data
}

// verdictsOf are the verdicts of a phase that evaluates, none of any other.
func verdictsOf(d record.Delivery, phase lifecyclev1.Phase) []PolicyVerdict {
	var verdicts []PolicyVerdict
	if record.Evaluates(phase) {
		for _, item := range d.Checks[phase] {
			verdicts = append(verdicts, PolicyVerdict{
				Policy: item.DefinitionName, Evaluation: item.Name, State: string(item.Status),
			})
		}
	}
	return verdicts
}

func ofDelivery(d record.Delivery, kind, what string, at time.Time, data any) cloudevents.Event {
	return newEvent(kind, idOf(d, what), d.Namespace+"/"+d.Name, at, d.Traceparent(), data)
}

// idOf is the id of an event of a delivery.
func idOf(d record.Delivery, what string) string {
	if attempt := d.Attempt(); attempt > 0 {
		what = fmt.Sprintf("retry-%d/%s", attempt, what)
	}
	return string(d.UID) + "/" + what
}

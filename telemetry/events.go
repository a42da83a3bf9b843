package telemetry

import (
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// The types of the CloudEvents. They are stable: a change that breaks consumers
// gets a new type.
const (
	// DeliveryStartedType: a delivery has begun.
	DeliveryStartedType = "sh.keptn.delivery.started"
	// PhaseFinishedType: a phase of a delivery ran and came to an end, whatever
	// its result.
	PhaseFinishedType = "sh.keptn.delivery.phase.finished"
	// DeliveryFinishedType: a delivery succeeded, failed, or was given up for a
	// newer one.
	DeliveryFinishedType = "sh.keptn.delivery.finished"
)

// EventSource is the source of all CloudEvents, as Keptn's.
const EventSource = "keptn.sh"

// DeliveryData is the data of every CloudEvent, as JSON. A field that is unknown,
// or has no meaning for the type of event, is absent.
type DeliveryData struct {
	// App is the name of the app that is delivered.
	App string `json:"app"`
	// Namespace and Delivery name the KeptnAppVersion that is the record.
	Namespace string `json:"namespace"`
	Delivery  string `json:"delivery"`
	// Environment that is delivered to.
	Environment string `json:"environment,omitempty"`
	// Version of the app.
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

// EventsOf returns the CloudEvents that a change of a delivery's record gives
// cause for, in the order of what happened: the delivery started, a phase
// finished, the delivery finished. A nil before stands for a delivery that nothing
// is known of: then it is the whole story so far.
//
// The id of an event is made of the record's UID, the phase and the state, so a
// consumer can drop what it has seen. The time is the record's own, the subject is
// namespace/name of the record, and the extension traceparent names the
// delivery's trace
// (https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/distributed-tracing.md).
func EventsOf(before, after *lifecyclev1.KeptnAppVersion) []cloudevents.Event {
	if before == nil {
		before = &lifecyclev1.KeptnAppVersion{}
	}
	var events []cloudevents.Event
	if before.Status.StartTime.IsZero() && !after.Status.StartTime.IsZero() {
		events = append(events, startedEvent(after))
	}
	for i := range after.Status.Phases {
		p := &after.Status.Phases[i]
		was := before.Status.Phase(p.Name)
		if phaseEnded(p) && (was == nil || !phaseEnded(was) || was.State != p.State) {
			events = append(events, phaseEvent(after, p))
		}
	}
	if Ended(before, after) {
		events = append(events, finishedEvent(after))
	}
	return events
}

func startedEvent(kav *lifecyclev1.KeptnAppVersion) cloudevents.Event {
	data := dataOf(kav)
	data.State = string(lifecyclev1.StateProgressing)
	return newEvent(kav, DeliveryStartedType, "started", kav.Status.StartTime.Time, data)
}

func phaseEvent(kav *lifecyclev1.KeptnAppVersion, p *lifecyclev1.PhaseRecord) cloudevents.Event {
	data := dataOf(kav)
	data.Phase, data.State = string(p.Name), string(p.State)
	data.Reason, data.Message = p.Reason, p.Message
	if p.Name == lifecyclev1.PhaseAppPostDeployEvaluations {
		data.Verdicts = verdictsOf(kav)
	}
	return newEvent(kav, PhaseFinishedType, data.Phase+"/"+data.State, p.EndTime.Time, data)
}

func finishedEvent(kav *lifecyclev1.KeptnAppVersion) cloudevents.Event {
	data := dataOf(kav)
	data.State = string(kav.Status.Status)
	data.Reason, data.Message = conclusion(kav)
	data.Verdicts = verdictsOf(kav)
	if lead := kav.Status.LeadTime; lead != nil {
		seconds := lead.Seconds()
		data.LeadTimeSeconds = &seconds
	}
	return newEvent(kav, DeliveryFinishedType, "finished/"+data.State, kav.Status.EndTime.Time, data)
}

func dataOf(kav *lifecyclev1.KeptnAppVersion) DeliveryData {
	data := DeliveryData{
		App:         kav.Spec.AppName,
		Namespace:   kav.Namespace,
		Delivery:    kav.Name,
		Environment: kav.Spec.Environment,
		Version:     kav.Spec.Version,
	}
	if c := kav.Spec.Commit; c != nil {
		data.Commit, data.Repository = c.SHA, PublicURL(c.Repository)
	}
	return data
}

func verdictsOf(kav *lifecyclev1.KeptnAppVersion) []PolicyVerdict {
	var verdicts []PolicyVerdict
	for _, item := range kav.Status.PostDeploymentEvaluationTaskStatus {
		verdicts = append(verdicts, PolicyVerdict{
			Policy: item.DefinitionName, Evaluation: item.Name, State: string(item.Status),
		})
	}
	return verdicts
}

func newEvent(kav *lifecyclev1.KeptnAppVersion, kind, what string, at time.Time, data DeliveryData) cloudevents.Event {
	e := cloudevents.NewEvent()
	e.SetID(string(kav.UID) + "/" + what)
	e.SetType(kind)
	e.SetSource(EventSource)
	e.SetSubject(kav.Namespace + "/" + kav.Name)
	e.SetTime(at)
	e.SetExtension("traceparent", Traceparent(kav.UID))
	// Strings and finite numbers: there is nothing that JSON cannot hold.
	_ = e.SetData(cloudevents.ApplicationJSON, data)
	return e
}

package event

import (
	"net/url"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/telemetry/record"
)

// The types of CDEvents that are sent, of version 0.4.1 of the specification
// (https://github.com/cdevents/spec/tree/v0.4.1).
const (
	ServiceDeployedType     = "dev.cdevents.service.deployed.0.2.0"
	ServiceUpgradedType     = "dev.cdevents.service.upgraded.0.2.0"
	ServiceRolledBackType   = "dev.cdevents.service.rolledback.0.2.0"
	TestCaseRunFinishedType = "dev.cdevents.testcaserun.finished.0.2.0"
	IncidentDetectedType    = "dev.cdevents.incident.detected.0.2.0"
	IncidentResolvedType    = "dev.cdevents.incident.resolved.0.2.0"
)

const cdeventsVersion = "0.4.1"

// cdEvent is a CDEvent, the data of a CloudEvent
// (https://github.com/cdevents/spec/blob/v0.4.1/cloudevents-binding.md). Its content type
// is application/json, as the project's own SDK has it: the binding's
// application/cdevents+json is refused by receivers built with CloudEvents' Go SDK.
type cdEvent struct {
	Context               cdContext `json:"context"`
	Subject               cdSubject `json:"subject"`
	CustomData            any       `json:"customData,omitempty"`
	CustomDataContentType string    `json:"customDataContentType,omitempty"`
}

type cdContext struct {
	Version   string `json:"version"`
	ID        string `json:"id"`
	ChainID   string `json:"chainId,omitempty"`
	Source    string `json:"source"`
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
}

type cdSubject struct {
	ID      string `json:"id"`
	Source  string `json:"source"`
	Type    string `json:"type"`
	Content any    `json:"content"`
}

// cdReference names an environment, a service or the like.
type cdReference struct {
	ID string `json:"id"`
}

type cdService struct {
	Environment cdReference `json:"environment"`
	ArtifactID  string      `json:"artifactId"`
}

type cdTestCaseRun struct {
	Outcome      string      `json:"outcome"`
	Reason       string      `json:"reason,omitempty"`
	Environment  cdReference `json:"environment"`
	TestCase     cdTestCase  `json:"testCase"`
	TestSuiteRun cdReference `json:"testSuiteRun"`
}

type cdTestCase struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type cdIncident struct {
	Description string       `json:"description,omitempty"`
	Environment cdReference  `json:"environment"`
	Service     *cdReference `json:"service,omitempty"`
	ArtifactID  string       `json:"artifactId,omitempty"`
}

// CDEventsOf returns the CDEvents that a change of a delivery's record gives cause for: a
// service was deployed, upgraded or rolled back once the rollout of an app has passed,
// whatever the checks after it say; and a test case ran for each task and each evaluation
// of a phase that ended. The service is the app, the environment is that of the
// delivery, else the namespace; the delivery itself is the custom data, as our own
// events have it, and its UID the chain.
func CDEventsOf(before, after record.Delivery, facts record.Facts) []cloudevents.Event {
	var events []cloudevents.Event
	for _, rec := range record.PhasesEnded(before, after) {
		for _, item := range after.Checks[rec.Name] {
			if item.Status.Completed() && item.Name != "" {
				events = append(events, testCaseRun(after, rec, item, facts))
			}
		}
	}
	if rec := record.Deployed(before, after); rec != nil && after.IsApp() {
		kind := ServiceDeployedType
		switch {
		case after.RolledBack:
			kind = ServiceRolledBackType
		case after.PreviousVersion != "":
			kind = ServiceUpgradedType
		}
		data := dataOf(after)
		data.State = string(rec.State)
		e := cdEvent{
			Subject: cdSubject{ID: service(after.Namespace, after.AppName), Type: "service", Content: cdService{
				Environment: environmentOf(after), ArtifactID: artifact(after.AppName, after.Version, after.Commit),
			}},
			CustomData: data,
		}
		events = append(events, e.of(after, kind, string(rec.Name)+"/service", rec.EndTime.Time))
	}
	return events
}

func testCaseRun(d record.Delivery, rec *lifecyclev1.PhaseRecord, item lifecyclev1.ItemStatus, facts record.Facts) cloudevents.Event {
	at, reason := item.EndTime.Time, ""
	if e := facts.Evaluation(item.Name); e != nil {
		reason = e.Status.Summary
	} else if t := facts.Task(item.Name); t != nil {
		reason = t.Status.Message
	}
	if at.IsZero() {
		at = rec.EndTime.Time
	}
	data := dataOf(d)
	data.Phase, data.State = string(rec.Name), string(item.Status)
	e := cdEvent{
		Subject: cdSubject{ID: d.Namespace + "/" + item.Name, Type: "testCaseRun", Content: cdTestCaseRun{
			Outcome: outcome(item.Status), Reason: reason, Environment: environmentOf(d),
			TestCase:     cdTestCase{ID: item.DefinitionName, Name: item.DefinitionName},
			TestSuiteRun: cdReference{ID: d.Namespace + "/" + d.Name + "/" + string(rec.Name)},
		}},
		CustomData: data,
	}
	return e.of(d, TestCaseRunFinishedType, string(rec.Name)+"/"+item.Name, at)
}

// outcome is how a check ended, in the words of CDEvents.
func outcome(s lifecyclev1.KeptnState) string {
	switch {
	case s.Passed():
		return "pass"
	case s == lifecyclev1.StateFailed:
		return "fail"
	case s == lifecyclev1.StateDeprecated:
		return "cancel"
	default:
		return "error" // it could not be decided
	}
}

// of makes the event one of a delivery.
func (e cdEvent) of(d record.Delivery, kind, what string, at time.Time) cloudevents.Event {
	e.Context.ChainID = string(d.UID)
	return e.event(kind, idOf(d, what), at, d.Traceparent())
}

func (e cdEvent) event(kind, id string, at time.Time, trace string) cloudevents.Event {
	e.Context.Version, e.Context.ID, e.Context.Source, e.Context.Type = cdeventsVersion, id, Source, kind
	e.Context.Timestamp = at.UTC().Format(time.RFC3339Nano)
	e.Subject.Source = Source
	if e.CustomData != nil {
		e.CustomDataContentType = cloudevents.ApplicationJSON
	}
	return newEvent(kind, id, e.Subject.ID, at, trace, e)
}

func service(namespace, app string) string { return namespace + "/" + app }

func environmentOf(d record.Delivery) cdReference {
	if d.Environment == "" {
		return cdReference{d.Namespace}
	}
	return cdReference{d.Environment}
}

// artifact identifies what runs as a package URL
// (https://github.com/package-url/purl-spec/blob/main/types-doc/generic-definition.md).
func artifact(app, version string, c *lifecyclev1.Commit) string {
	purl := "pkg:generic/" + url.PathEscape(app) + "@" + url.PathEscape(version)
	if c == nil {
		return purl
	}
	if repository := gitname.PublicURL(c.Repository); repository != "" {
		purl += "?vcs_url=" + url.QueryEscape("git+"+repository+"@"+c.SHA)
	}
	return purl
}

// Incident is a problem with an app in an environment.
type Incident struct {
	// ID names it; an id is of one incident for good.
	ID string
	// Namespace and App that it is of, and the environment.
	Namespace, App, Environment string
	// Summary in one line.
	Summary string
	// Commit that was running, full SHA, or empty.
	Commit string
	// StartedAt and ResolvedAt; zero where it is not resolved.
	StartedAt, ResolvedAt time.Time
}

// OfIncident returns the CDEvent of an incident: that it was resolved where it is, else
// that it was detected.
func OfIncident(i Incident) cloudevents.Event {
	kind, what, at := IncidentDetectedType, "detected", i.StartedAt
	if !i.ResolvedAt.IsZero() {
		kind, what, at = IncidentResolvedType, "resolved", i.ResolvedAt
	}
	content := cdIncident{Description: i.Summary, Environment: cdReference{i.Environment}}
	if i.Environment == "" {
		content.Environment.ID = i.Namespace
	}
	if i.App != "" {
		content.Service = &cdReference{service(i.Namespace, i.App)}
		if i.Commit != "" {
			content.ArtifactID = artifact(i.App, i.Commit, nil)
		}
	}
	e := cdEvent{Subject: cdSubject{ID: i.ID, Type: "incident", Content: content}}
	return e.event(kind, service(i.Namespace, i.App)+"/"+i.ID+"/"+what, at, "")
}

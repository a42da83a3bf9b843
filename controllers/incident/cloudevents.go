package incident

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/keptn/gitops/controllers/directory"
	"github.com/keptn/gitops/telemetry/event"
)

// The CloudEvents that tell of incidents. Those of CDEvents have a version behind the
// last dot.
const (
	cdDetected = "dev.cdevents.incident.detected."
	cdReported = "dev.cdevents.incident.reported."
	cdResolved = "dev.cdevents.incident.resolved."
	// keptnProblem and keptnProblemOpen are what Keptn 0.x was told problems by:
	// https://github.com/keptn/spec/blob/master/cloudevents.md#problem.
	keptnProblem     = "sh.keptn.events.problem"
	keptnProblemOpen = "sh.keptn.event.problem.open"
)

// cdEvent is the data of a CDEvent about an incident:
// https://github.com/cdevents/spec/blob/main/continuous-operations.md.
type cdEvent struct {
	Context struct {
		Source    string    `json:"source"`
		Timestamp time.Time `json:"timestamp"`
	} `json:"context"`
	Subject struct {
		ID      string `json:"id"`
		Source  string `json:"source"`
		Content struct {
			Description string    `json:"description"`
			Environment reference `json:"environment"`
			Service     reference `json:"service"`
		} `json:"content"`
	} `json:"subject"`
	CustomData any `json:"customData"`
}

type reference struct {
	ID string `json:"id"`
}

// problem is the data of a problem of Keptn 0.x.
type problem struct {
	State        string `json:"State"`
	ProblemID    string `json:"ProblemID"`
	PID          string `json:"PID"`
	ProblemTitle string `json:"ProblemTitle"`
	Stage        string `json:"stage"`
	Service      string `json:"service"`
}

// told is what the data of an event tells of an incident at a time: that it began, or
// that it ended.
type told struct {
	Report
	at    time.Time
	ended bool
}

// FromCloudEvent reads a CloudEvent in binary or structured mode: an incident of
// CDEvents that was detected, reported or resolved, or a problem of Keptn 0.x. The app
// is the service, the environment that of the event, which is Keptn's stage, and
// customData.commit is the commit that is held responsible. An event that Keptn sent is
// ignored, and no error: taken in it would be told again without end, and brokers
// repeat, or set aside as dead, what is not answered 2xx. An error says where in the
// event it is.
func FromCloudEvent(header http.Header, body []byte, now time.Time) ([]Report, []Ignored, error) {
	e, err := cehttp.NewEventFromHTTPRequest(&http.Request{Header: header, Body: io.NopCloser(bytes.NewReader(body))})
	if err != nil {
		return nil, nil, fmt.Errorf("not a CloudEvent: %s", oneLine(err.Error()))
	}
	if err := e.Validate(); err != nil {
		return nil, nil, fmt.Errorf("not a CloudEvent: %s", oneLine(err.Error()))
	}
	if e.Source() == event.Source {
		return nil, ours("source"), nil
	}
	var t told
	switch kind := e.Type(); {
	case strings.HasPrefix(kind, cdDetected), strings.HasPrefix(kind, cdReported), strings.HasPrefix(kind, cdResolved):
		t, err = fromCDEvent(e)
	case kind == keptnProblem, kind == keptnProblemOpen:
		t, err = fromProblem(e)
	default:
		return nil, nil, fmt.Errorf("type %q: has to be %s*, %s*, %s*, %s or %s", kind, cdDetected, cdReported, cdResolved, keptnProblem, keptnProblemOpen)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("data: %w", err)
	}
	if t.Source == event.Source {
		return nil, ours("data"), nil
	}
	at := cmp.Or(t.at, e.Time(), now)
	if err := checkTime("time", at, now); err != nil {
		return nil, nil, err
	}
	t.At = "data"
	if t.ended {
		t.ResolvedAt = at
	} else {
		t.StartedAt = at
	}
	return []Report{t.Report}, nil, nil
}

// ours is what becomes of an event whose source is Keptn, which is said at a place of it.
func ours(at string) []Ignored {
	return []Ignored{{At: at, Reason: fmt.Sprintf("its source is %s: what Keptn tells of is not taken in again", event.Source)}}
}

// fromCDEvent reads an incident of CDEvents. Its subject's ID is unique within the
// subject's source, which is the event's where it is not given.
func fromCDEvent(e *cloudevents.Event) (told, error) {
	var d cdEvent
	if err := decode(e.Data(), &d); err != nil {
		return told{}, err
	}
	if d.Subject.ID == "" {
		return told{}, errors.New("subject.id: is missing")
	}
	source := cmp.Or(d.Subject.Source, d.Context.Source, e.Source())
	t := told{
		Report: Report{
			Name:   directory.Name{App: d.Subject.Content.Service.ID, Environment: d.Subject.Content.Environment.ID},
			Key:    source + "#" + d.Subject.ID,
			Source: source, Summary: cmp.Or(d.Subject.Content.Description, d.Subject.ID),
		},
		at: d.Context.Timestamp, ended: strings.HasPrefix(e.Type(), cdResolved),
	}
	custom, _ := d.CustomData.(map[string]any)
	commit, _ := custom["commit"].(string)
	var err error
	t.Commit, err = commitOf("customData.commit", commit)
	return t, err
}

// fromProblem reads a problem of Keptn 0.x, as Dynatrace sends it.
func fromProblem(e *cloudevents.Event) (told, error) {
	var d problem
	if err := decode(e.Data(), &d); err != nil {
		return told{}, err
	}
	id := cmp.Or(d.PID, d.ProblemID)
	if id == "" {
		return told{}, errors.New("PID: is missing")
	}
	t := told{Report: Report{
		Name:   directory.Name{App: d.Service, Environment: d.Stage},
		Key:    e.Source() + "#" + id,
		Source: e.Source(), Summary: cmp.Or(d.ProblemTitle, id),
	}}
	switch {
	case d.State == "OPEN", d.State == "" && e.Type() == keptnProblemOpen:
		return t, nil
	case d.State == "RESOLVED", d.State == "CLOSED", d.State == "MERGED": // merged: another problem stands for it
		t.ended = true
		return t, nil
	default:
		return t, fmt.Errorf("State %q: has to be OPEN, RESOLVED, CLOSED or MERGED", d.State)
	}
}

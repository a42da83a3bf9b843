package event

import (
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
)

// traceparent is the extension that names the trace that an event belongs to.
const traceparent = "traceparent"

// newEvent is a CloudEvent of an object, with data in JSON.
func newEvent(kind, id, subject string, at time.Time, trace string, data any) cloudevents.Event {
	e := cloudevents.NewEvent()
	e.SetID(id)
	e.SetType(kind)
	e.SetSource(Source)
	e.SetSubject(subject)
	e.SetTime(at)
	if trace != "" {
		e.SetExtension(traceparent, trace)
	}
	// Strings and finite numbers: there is nothing that JSON cannot hold.
	_ = e.SetData(cloudevents.ApplicationJSON, data)
	return e
}

package event

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/go-logr/logr"
)

// A Mode is how CloudEvents are written, a content mode of the HTTP protocol binding
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#13-content-modes).
type Mode string

// The content modes.
const (
	// Binary: attributes as headers, and the data as the body.
	Binary Mode = "binary"
	// Structured: all of an event in the body.
	Structured Mode = "structured"
	// Batched: up to a hundred events in the body of one request, which not every
	// receiver takes.
	Batched Mode = "batched"
)

// mostBatched is how many events go into one request in mode Batched.
const mostBatched = 100

// ParseMode reads the name of a mode.
func ParseMode(name string) (Mode, error) {
	if m := Mode(name); slices.Contains([]Mode{Binary, Structured, Batched}, m) {
		return m, nil
	}
	return "", fmt.Errorf("%q is no content mode; write %s, %s or %s", name, Binary, Structured, Batched)
}

func (m Mode) format() format[cloudevents.Event] {
	f := format[cloudevents.Event]{
		most: 1,
		request: func(ctx context.Context, endpoint string, events []cloudevents.Event) (*http.Request, error) {
			if m == Structured {
				ctx = binding.WithForceStructured(ctx)
			}
			return cloudevents.NewHTTPRequestFromEvent(ctx, endpoint, events[0])
		},
		identity: func(e cloudevents.Event) []any {
			return []any{"id", e.ID(), "type", e.Type(), "subject", e.Subject()}
		},
	}
	if m == Batched {
		f.most, f.request = mostBatched, cehttp.NewHTTPRequestFromEvents
	}
	return f
}

// Events posts CloudEvents 1.0 to one HTTP endpoint, one request after the other, so that
// they arrive in the order they were sent in. It is safe for concurrent use; nil is one
// that is off.
type Events struct{ *poster[cloudevents.Event] }

// NewEvents returns an Events that posts to the endpoint, an absolute http or
// https URL. Where the endpoint is empty it is off, and drops what it is given.
// Nothing is posted before Start; till then, and while the receiver is away, up to
// 1024 events wait.
//
// The endpoint may hold a token: of it, only the host is ever logged or in an
// error.
func NewEvents(endpoint string, log logr.Logger, opts ...Option) (*Events, error) {
	o := optionsOf(opts)
	p, err := newPoster("CloudEvents", "keptn.cloudevent", endpoint, o.mode.format(), log, o)
	if err != nil {
		return nil, err
	}
	return &Events{p}, nil
}

// On says whether events go anywhere.
func (e *Events) On() bool { return e != nil && e.endpoint != "" }

// Send queues events. It never blocks: where the queue is full, the events that
// have waited longest are dropped, which is logged and counted.
func (e *Events) Send(ctx context.Context, events ...cloudevents.Event) {
	if !e.On() {
		return
	}
	for _, event := range events {
		e.send(ctx, event)
	}
}

// Flux posts events to Flux's notification-controller, for example at
// http://notification-controller.flux-system.svc.cluster.local, in the same way as
// [Events] does. It is safe for concurrent use; nil is one that is off.
type Flux struct{ *poster[eventv1.Event] }

// NewFlux returns a Flux that posts to the address, an absolute http or https URL, as
// [NewEvents] does. Where the address is empty it is off.
func NewFlux(address string, log logr.Logger, opts ...Option) (*Flux, error) {
	asJSON := format[eventv1.Event]{
		most:    1,
		request: requestOfFlux,
		identity: func(e eventv1.Event) []any {
			about := e.InvolvedObject
			return []any{"kind", about.Kind, "object", about.Namespace + "/" + about.Name, "reason", e.Reason}
		},
	}
	p, err := newPoster("events for Flux", "keptn.fluxevent", address, asJSON, log, optionsOf(opts))
	if err != nil {
		return nil, err
	}
	return &Flux{p}, nil
}

func requestOfFlux(ctx context.Context, endpoint string, events []eventv1.Event) (*http.Request, error) {
	body, err := json.Marshal(events[0])
	if err != nil {
		return nil, fmt.Errorf("write the event: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	return request, nil
}

// On says whether events go anywhere.
func (f *Flux) On() bool { return f != nil && f.endpoint != "" }

// Send queues events, as [Events.Send] does.
func (f *Flux) Send(ctx context.Context, events ...eventv1.Event) {
	if !f.On() {
		return
	}
	for _, event := range events {
		f.send(ctx, event)
	}
}

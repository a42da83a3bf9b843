package event_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/telemetry/event"
	"github.com/keptn/gitops/telemetry/record"
	"github.com/keptn/gitops/telemetry/recordtest"
)

// posted is what a receiver got.
type posted struct {
	header http.Header
	body   []byte
	event  *cloudevents.Event
}

// receive starts a receiver, which hands what it got to the channel.
func receive(t *testing.T) (url string, got <-chan posted) {
	t.Helper()
	arrived := make(chan posted, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		e, err := cloudevents.NewEventFromHTTPRequest(r)
		if err != nil {
			e = nil
		}
		arrived <- posted{r.Header, body, e}
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(server.Close)
	return server.URL, arrived
}

func TestBothContentModesCarryTheSameEvent(t *testing.T) {
	all := append(eventsOf(nil, recordtest.Failed())[:1],
		event.OfKubernetes(told()), event.CDEventsOf(record.OfApp(nil), record.OfApp(recordtest.Delivered()), record.Facts{})[0])
	for name, tc := range map[string]struct {
		reason      string
		options     []event.Option
		contentType string
	}{
		"Binary":     {"Attributes are headers, and the body is the data.", nil, "application/json"},
		"Structured": {"All is in the body.", []event.Option{event.WithMode(event.Structured)}, "application/cloudevents+json"},
	} {
		t.Run(name, func(t *testing.T) {
			url, arrived := receive(t)
			events, err := event.NewEvents(url, logr.Discard(), tc.options...)
			if err != nil {
				t.Fatal(err)
			}
			defer start(t, events)()
			events.Send(t.Context(), all...)
			for i, sent := range all {
				got := <-arrived
				if contentType := got.header.Get("Content-Type"); contentType != tc.contentType {
					t.Errorf("%s\nevent %d is %q, want %q", tc.reason, i, contentType, tc.contentType)
				}
				if got.event == nil {
					t.Fatalf("event %d is no CloudEvent: %s", i, got.body)
				}
				for what, pair := range map[string][2]string{
					"id": {sent.ID(), got.event.ID()}, "type": {sent.Type(), got.event.Type()}, "source": {sent.Source(), got.event.Source()},
					"subject": {sent.Subject(), got.event.Subject()}, "time": {sent.Time().String(), got.event.Time().String()},
					"data type": {sent.DataContentType(), got.event.DataContentType()},
				} {
					if pair[0] != pair[1] {
						t.Errorf("event %d: %s arrived as %q, want %q", i, what, pair[1], pair[0])
					}
				}
				if diff := cmp.Diff(sent.Extensions(), got.event.Extensions()); diff != "" {
					t.Errorf("event %d: extensions, -want +got:\n%s", i, diff)
				}
				data := got.body
				if len(tc.options) > 0 {
					data, _ = json.Marshal(decode(t, got.body)["data"])
				}
				if diff := cmp.Diff(decode(t, sent.Data()), decode(t, data)); diff != "" {
					t.Errorf("event %d: data, -want +got:\n%s", i, diff)
				}
			}
		})
	}
}

func TestABatchHoldsWhatHappenedTogetherInOrder(t *testing.T) {
	bodies := make(chan []cloudevents.Event, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		events, err := cehttp.NewEventsFromHTTPRequest(r)
		if got := r.Header.Get("Content-Type"); err != nil || !strings.HasPrefix(got, "application/cloudevents-batch+json") {
			t.Errorf("content type %q, %v", got, err)
		}
		bodies <- events
	}))
	defer server.Close()
	events, err := event.NewEvents(server.URL, logr.Discard(), event.WithMode(event.Batched))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 102 {
		events.Send(t.Context(), newEvent(fmt.Sprint(i)))
	}
	start(t, events)()
	first, second := <-bodies, <-bodies
	if len(first) != 100 || len(second) != 2 {
		t.Fatalf("batches of %d and %d events, want 100 and 2", len(first), len(second))
	}
	for i, e := range append(first, second...) {
		if e.ID() != fmt.Sprint(i) {
			t.Errorf("event %d is %q", i, e.ID())
		}
	}
}

func TestAModeIsKnownByItsName(t *testing.T) {
	for _, name := range []string{"binary", "structured", "batched"} {
		if m, err := event.ParseMode(name); err != nil || string(m) != name {
			t.Errorf("%s: %s, %v", name, m, err)
		}
	}
	if _, err := event.ParseMode("batch"); err == nil || !strings.Contains(err.Error(), "batched") {
		t.Errorf("error %v, want it to name the modes", err)
	}
}

func TestTheTokenIsReadForEachEvent(t *testing.T) {
	url, arrived := receive(t)
	file := filepath.Join(t.TempDir(), "token")
	events, err := event.NewEvents(url, logr.Discard(), event.WithTokenFile(file))
	if err != nil {
		t.Fatal(err)
	}
	defer start(t, events)()
	for _, token := range []string{"first", "second"} {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		events.Send(t.Context(), newEvent(token))
		if got := (<-arrived).header.Get("Authorization"); got != "Bearer "+token {
			t.Errorf("Authorization is %q, want %q", got, "Bearer "+token)
		}
	}
}

func TestAnEventWithoutItsTokenIsNotSent(t *testing.T) {
	var logged []string
	b := newBench(t, nil)
	events, err := event.NewEvents(secretEndpoint, b.log(), event.WithTransport(b.receiver), event.WithTokenFile(filepath.Join(t.TempDir(), "none")))
	if err != nil {
		t.Fatal(err)
	}
	events.Send(t.Context(), newEvent("first"))
	start(t, events)()
	if logged = b.logged; len(b.receiver.got) != 0 || len(logged) != 1 || !strings.Contains(logged[0], "read the token") {
		t.Errorf("sent %q and logged %q, want nothing sent, and why", b.receiver.got, logged)
	}
}

func TestNotificationControllerGetsWhatItUnmarshals(t *testing.T) {
	url, arrived := receive(t)
	flux, err := event.NewFlux(url, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	stop := startAny(t, flux.Start)
	defer stop()
	sent := event.OfFlux(record.OfApp(nil), record.OfApp(recordtest.Failed()), record.Facts{})
	flux.Send(t.Context(), sent...)
	for i := range sent {
		var got eventv1.Event
		if err := json.Unmarshal((<-arrived).body, &got); err != nil {
			t.Fatal(err)
		}
		got.Timestamp.Time = got.Timestamp.UTC()
		if diff := cmp.Diff(sent[i], got); diff != "" {
			t.Errorf("event %d, -sent +arrived:\n%s", i, diff)
		}
	}
}

func TestSendersThatAreOffSendNothing(t *testing.T) {
	flux, err := event.NewFlux("", logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*event.Flux{flux, nil} {
		if f.On() {
			t.Error("a Flux without an address says that it is on")
		}
		f.Send(t.Context(), eventv1.Event{})
	}
	var events *event.Events
	if events.On() {
		t.Error("nil says that it is on")
	}
	events.Send(t.Context(), newEvent("first"))
}

func TestEventsThatAreAnsweredWithABodyShareAConnection(t *testing.T) {
	const sent = 5
	var connections atomic.Int32
	arrived := make(chan struct{}, sent)
	receiver := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "taken, thank you")
		arrived <- struct{}{}
	}))
	receiver.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	receiver.Start()
	defer receiver.Close()
	events, err := event.NewEvents(receiver.URL, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, events)
	defer stop()
	for range sent {
		events.Send(t.Context(), newEvent("an event"))
		<-arrived
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d events took %d connections, want one", sent, n)
	}
}

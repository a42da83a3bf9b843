package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/keptn/gitops/e2e/internal/collector"
	"github.com/keptn/gitops/telemetry/event"
)

// tellEvery is how often metrics are pushed, and how often they are scraped.
const tellEvery = 15 * time.Second

// An audience is everybody that a controller can tell of deliveries. A nil one is nobody.
type audience struct {
	mode      event.Mode // of CloudEvents
	collector *collector.Collector
	sink      *http.Server
	sinkURL   string
	events    atomic.Int64 // CloudEvents that came
	scrapes   atomic.Int64
	received  received
}

// received is what an audience has been told: spans, CloudEvents, pushes of metrics by
// OTLP, and scrapes. Lost is what the controller says was not delivered.
type received struct{ spans, events, pushes, scrapes, lost int }

// newAudience listens until close.
func newAudience(ctx context.Context, mode event.Mode) (*audience, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for CloudEvents: %w", err)
	}
	a := &audience{mode: mode, sinkURL: "http://" + listener.Addr().String()}
	if a.collector, err = collector.Start(ctx, "127.0.0.1:0"); err != nil {
		listener.Close()
		return nil, err
	}
	a.sink = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.events.Add(eventsIn(r))
		w.WriteHeader(http.StatusAccepted)
	})}
	go func() { _ = a.sink.Serve(listener) }() // it ends with close
	return a, nil
}

// eventsIn counts the CloudEvents of a request.
func eventsIn(r *http.Request) int64 {
	if !cehttp.IsHTTPBatch(r.Header) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return 0
		}
		return 1
	}
	var batch []json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&batch); err != nil {
		return 0
	}
	return int64(len(batch))
}

func (a *audience) close() error {
	a.collector.Close()
	if err := a.sink.Close(); err != nil {
		return fmt.Errorf("end the sink of CloudEvents: %w", err)
	}
	return nil
}

// settings have a controller tell the audience, or nobody.
func (a *audience) settings() settings {
	if a == nil {
		return settings{}
	}
	return settings{
		flags: []string{"--cloudevents-endpoint", a.sinkURL, "--cloudevents-families", "delivery,keptn,cdevents", "--cloudevents-mode", string(a.mode)},
		variables: []string{
			"OTEL_EXPORTER_OTLP_ENDPOINT=" + a.collector.Endpoint(),
			fmt.Sprintf("OTEL_METRIC_EXPORT_INTERVAL=%d", tellEvery.Milliseconds()),
		},
	}
}

// scrape scrapes a controller as Prometheus does until the returned function is called,
// or ctx ends.
func (a *audience) scrape(ctx context.Context, of *controller) (stop func()) {
	if a == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for pause(ctx, tellEvery) == nil {
			for _, url := range []string{of.metrics, of.values} {
				if _, err := scrape(ctx, http.DefaultClient, url); err == nil {
					a.scrapes.Add(1)
				}
			}
		}
	}()
	return func() { cancel(); <-done }
}

// account notes what has been received, and what a controller says was lost.
func (a *audience) account(ctx context.Context, of *controller) error {
	if a == nil {
		return nil
	}
	told, err := scrape(ctx, http.DefaultClient, of.metrics)
	if err != nil {
		return err
	}
	spans, events := told.by("keptn_span_count_total", "keptn_span_outcome"), told.by("keptn_cloudevent_count_total", "keptn_cloudevent_outcome")
	a.received.spans, a.received.pushes = a.collector.Received()
	a.received.events, a.received.scrapes = int(a.events.Load()), int(a.scrapes.Load())
	a.received.lost = int(spans["failed"] + spans["dropped"] + events["givenup"] + events["dropped"])
	if a.received.spans == 0 || a.received.pushes == 0 || a.received.events == 0 || a.received.scrapes == 0 {
		return errors.New("the controller told somebody nothing: " + fmt.Sprintf("%+v", a.received))
	}
	return nil
}

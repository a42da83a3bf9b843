package event_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/keptn/gitops/telemetry/event"
	"github.com/keptn/gitops/telemetry/recordtest"
)

func TestEventsArriveAtAReceiverThatFailsFirst(t *testing.T) {
	var requests int
	arrived := make(chan *cloudevents.Event, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests++; requests <= 2 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		e, err := cloudevents.NewEventFromHTTPRequest(r)
		if err != nil {
			t.Errorf("not a CloudEvent: %v", err)
		}
		if got, want := r.Header.Get("Ce-Traceparent"), traceparent; r.Method != http.MethodPost || got != want {
			t.Errorf("%s with Ce-Traceparent %q, want POST in binary mode with %q", r.Method, got, want)
		}
		w.WriteHeader(http.StatusAccepted)
		arrived <- e
	}))
	defer receiver.Close()

	events, err := event.NewEvents(receiver.URL+"/events", logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	stop := start(t, events)
	defer stop()
	sent := eventsOf(nil, recordtest.Failed())[2]
	events.Send(t.Context(), sent)
	got := <-arrived
	if diff := cmp.Diff(sent.String(), got.String()); diff != "" {
		t.Errorf("-sent +arrived:\n%s", diff)
	}
	if requests != 3 {
		t.Errorf("%d requests, want two that failed and one that did not", requests)
	}
}

// start runs events until the returned function is called, which waits for it.
func start(t *testing.T, events *event.Events) (stop func()) {
	t.Helper()
	return startAny(t, events.Start)
}

func startAny(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Start: %v", err)
		}
	}
}

// receiver answers requests in the process, so that a test's time can be fake.
type receiver struct {
	mu     sync.Mutex
	answer func(*http.Request) (*http.Response, error)
	got    []string        // ids of the events, in order
	after  []time.Duration // of each, since the first
	first  time.Time
}

func (r *receiver) RoundTrip(request *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first.IsZero() {
		r.first = time.Now()
	}
	r.got = append(r.got, request.Header.Get("Ce-Id"))
	r.after = append(r.after, time.Since(r.first))
	if r.answer == nil {
		return status(http.StatusNoContent)(request)
	}
	return r.answer(request)
}

func status(code int, header ...string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
	}
}

// inTurn answers the first request with the first answer, and so on.
func inTurn(answers ...func(*http.Request) (*http.Response, error)) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		answer := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		return answer(r)
	}
}

func refused(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }

// hangs answers nothing.
func hangs(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// bench is an Events in front of a receiver, its log and its metrics.
type bench struct {
	*event.Events
	receiver *receiver
	reader   *sdkmetric.ManualReader
	mu       sync.Mutex
	logged   []string
}

const secretEndpoint = "https://hooks.example.com/T0K3N?key=s3cr3t"

func newBench(t *testing.T, answer func(*http.Request) (*http.Response, error)) *bench {
	t.Helper()
	b := &bench{receiver: &receiver{answer: answer}, reader: sdkmetric.NewManualReader()}
	var err error
	b.Events, err = event.NewEvents(secretEndpoint, b.log(), event.WithTransport(b.receiver),
		event.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(b.reader))))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// log keeps what is logged.
func (b *bench) log() logr.Logger {
	return funcr.New(func(_, args string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.logged = append(b.logged, args)
	}, funcr.Options{})
}

// counted are the values of keptn.cloudevent.count by outcome.
func (b *bench) counted(t *testing.T) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := b.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			for _, point := range m.Data.(metricdata.Sum[int64]).DataPoints {
				outcome, _ := point.Attributes.Value("keptn.cloudevent.outcome")
				out[outcome.AsString()] = point.Value
			}
		}
	}
	return out
}

// newEvent returns an event with the id.
func newEvent(id string) cloudevents.Event {
	e := eventsOf(nil, recordtest.Delivered())[0]
	e.SetID(id)
	return e
}

func TestAnEventIsTriedUntilItIsTakenRefusedOrTooLate(t *testing.T) {
	tooMany := status(http.StatusTooManyRequests, "Retry-After", "90")
	cases := map[string]struct {
		reason  string
		answer  func(*http.Request) (*http.Response, error)
		after   []time.Duration // tries of the first event, since the first try
		outcome string
		logged  string
	}{
		"Taken": {
			"Any status of success will do.",
			status(http.StatusOK), []time.Duration{0}, "posted", "",
		},
		"BackOff": {
			"The wait doubles.",
			inTurn(refused, status(http.StatusBadGateway), status(http.StatusInternalServerError), status(http.StatusAccepted)),
			[]time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}, "posted", "",
		},
		"RetryAfter": {
			"The receiver knows best when to come again.",
			inTurn(tooMany, status(http.StatusAccepted)), []time.Duration{0, 90 * time.Second}, "posted", "",
		},
		"Hangs": {
			"A try takes ten seconds at most.",
			inTurn(hangs, status(http.StatusAccepted)), []time.Duration{0, 11 * time.Second}, "posted", "",
		},
		"Refused": {
			"What the receiver will never take is not sent again.",
			status(http.StatusForbidden), []time.Duration{0}, "givenup", "the receiver answered 403 Forbidden",
		},
		"Redirect": {
			"Following it would make a GET of the POST, and lose the event.",
			status(http.StatusFound, "Location", "https://elsewhere.example.com"), []time.Duration{0}, "givenup", "302 Found",
		},
		"Down": {
			"After five minutes it is given up, and the log says what the last try came to.",
			refused, []time.Duration{
				0, 1 * time.Second, 3 * time.Second, 7 * time.Second, 15 * time.Second, 31 * time.Second,
				61 * time.Second, 91 * time.Second, 121 * time.Second, 151 * time.Second, 181 * time.Second,
				211 * time.Second, 241 * time.Second, 271 * time.Second,
			}, "givenup", "connection refused",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, tc.answer)
				stop := start(t, b.Events)
				b.Send(t.Context(), newEvent("first"))
				time.Sleep(time.Hour) // of fake time
				stop()
				if diff := cmp.Diff(tc.after, b.receiver.after); diff != "" {
					t.Errorf("%s\ntries, -want +got:\n%s", tc.reason, diff)
				}
				if diff := cmp.Diff(map[string]int64{tc.outcome: 1}, b.counted(t)); diff != "" {
					t.Errorf("%s\ncounted, -want +got:\n%s", tc.reason, diff)
				}
				if log := strings.Join(b.logged, "\n"); (tc.logged == "") != (log == "") || !strings.Contains(log, tc.logged) {
					t.Errorf("%s\nlogged %q, want %q in it", tc.reason, log, tc.logged)
				}
			})
		})
	}
}

func TestAReceiverThatAsksForNoWaitIsNotFlooded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, status(http.StatusServiceUnavailable, "Retry-After", "0"))
		stop := start(t, b.Events)
		b.Send(t.Context(), newEvent("first"))
		synctest.Wait()
		stop()
		if got := len(b.receiver.got); got > 21 {
			t.Errorf("%d tries at once, want 21 at most", got)
		}
	})
}

func TestEventsArriveInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, inTurn(refused, status(http.StatusOK)))
		stop := start(t, b.Events)
		b.Send(t.Context(), newEvent("first"), newEvent("second"))
		b.Send(t.Context(), newEvent("third"))
		time.Sleep(time.Minute) // of fake time
		stop()
		if diff := cmp.Diff([]string{"first", "first", "second", "third"}, b.receiver.got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestAFullQueueDropsTheOldestAndNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		for i := range 1024 + 3 {
			b.Send(t.Context(), newEvent(fmt.Sprint(i)))
		}
		stop := start(t, b.Events)
		synctest.Wait()
		stop()
		if got := b.receiver.got; len(got) != 1024 || got[0] != "3" || got[1023] != "1026" {
			t.Errorf("%d events arrived, from %q, want the 1024 latest", len(got), got[0])
		}
		if diff := cmp.Diff(map[string]int64{"posted": 1024, "dropped": 3}, b.counted(t)); diff != "" {
			t.Errorf("counted, -want +got:\n%s", diff)
		}
		if len(b.logged) != 3 || !strings.Contains(b.logged[0], `"id"="0"`) || !strings.Contains(b.logged[0], "the queue is full") {
			t.Errorf("logged %q, want a line for each event dropped", b.logged)
		}
	})
}

func TestWhatIsQueuedAtTheEndIsStillSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.Send(t.Context(), newEvent("first"), newEvent("second"))
		start(t, b.Events)()
		if diff := cmp.Diff([]string{"first", "second"}, b.receiver.got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestTheEndDoesNotWaitForAReceiverThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, hangs)
		stop := start(t, b.Events)
		b.Send(t.Context(), newEvent("first"), newEvent("second"))
		synctest.Wait()
		asked := time.Now()
		stop()
		if took := time.Since(asked); took != 5*time.Second {
			t.Errorf("the end took %s, want 5s", took)
		}
		if diff := cmp.Diff(map[string]int64{"givenup": 1, "dropped": 1}, b.counted(t)); diff != "" {
			t.Errorf("counted, -want +got:\n%s", diff)
		}
	})
}

func TestTheEndpointsSecretsAreNeverLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, inTurn(status(http.StatusForbidden), refused))
		stop := start(t, b.Events)
		b.Send(t.Context(), newEvent("first"), newEvent("second"))
		time.Sleep(time.Hour) // of fake time
		stop()
		if len(b.logged) != 2 {
			t.Fatalf("logged %q, want both events", b.logged)
		}
		for _, line := range b.logged {
			if strings.Contains(line, "T0K3N") || strings.Contains(line, "s3cr3t") || !strings.Contains(line, "hooks.example.com") {
				t.Errorf("logged %s, want the host of the endpoint and nothing else of it", line)
			}
		}
	})
}

func TestWithoutAnEndpointNothingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		events, err := event.NewEvents("", logr.Discard(), event.WithTransport(r))
		if err != nil {
			t.Fatal(err)
		}
		stop := start(t, events)
		events.Send(t.Context(), newEvent("first"))
		synctest.Wait()
		stop()
		if len(r.got) != 0 {
			t.Errorf("sent %q to nowhere", r.got)
		}
	})
}

func TestAnEndpointThatIsNoWebAddressIsAnError(t *testing.T) {
	for name, endpoint := range map[string]string{
		"Relative": "events.s3cr3t/sink",
		"Scheme":   "amqp://events.s3cr3t/sink",
		"NoHost":   "https:///s3cr3t",
		"Broken":   "https://ci:s3cr3t",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := event.NewEvents(endpoint, logr.Discard())
			if err == nil || !strings.Contains(err.Error(), "https://host/path") || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("NewEvents(%q) = %v, want an error that says how to write it and quotes nothing", endpoint, err)
			}
		})
	}
}

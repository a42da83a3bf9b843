package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/go-logr/logr"
	"github.com/hashicorp/go-cleanhttp"
	"github.com/hashicorp/go-retryablehttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

const (
	// queueSize is how many events wait at most: some hundred deliveries.
	queueSize = 1024
	// eventDeadline is how long one event is tried for, attemptTimeout how long
	// one of the tries may take.
	eventDeadline  = 5 * time.Minute
	attemptTimeout = 10 * time.Second
	// The wait between two tries doubles from the first to the second of these,
	// unless the receiver asks for another by Retry-After. maxRetries is more than
	// fit into the deadline that way: it only stops a receiver that asks for none.
	minRetryWait = time.Second
	maxRetryWait = 30 * time.Second
	maxRetries   = 20
	// drainTimeout is how long an Events that is stopped goes on sending.
	drainTimeout = 5 * time.Second
)

// Outcomes of an event, as the metric keptn.cloudevent.count shows them.
const (
	outcomePosted  = "posted"  // the receiver took it
	outcomeGivenUp = "givenup" // the receiver refused it, or the deadline passed
	outcomeDropped = "dropped" // the queue was full, or the program ended
)

const eventOutcomeKey = attribute.Key("keptn.cloudevent.outcome")

// Events posts CloudEvents 1.0 to one HTTP endpoint, in binary content mode
// (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md),
// one after the other, so that they arrive in the order they were sent in. It is
// safe for concurrent use.
type Events struct {
	endpoint string // empty: off
	host     string // of the endpoint, all of it that is logged
	client   *http.Client
	log      logr.Logger
	queue    chan cloudevents.Event
	count    metric.Int64Counter
}

// EventsOption changes an Events under construction.
type EventsOption func(*eventsOptions)

type eventsOptions struct {
	transport http.RoundTripper
	meters    metric.MeterProvider
}

// WithTransport sends the requests through the transport. The default is a pooled
// one that heeds HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
func WithTransport(t http.RoundTripper) EventsOption {
	return func(o *eventsOptions) { o.transport = t }
}

// WithMeterProvider counts the events in keptn.cloudevent.count, by what became
// of them: keptn.cloudevent.outcome is posted, givenup or dropped. The default is
// not to count.
func WithMeterProvider(p metric.MeterProvider) EventsOption {
	return func(o *eventsOptions) { o.meters = p }
}

// NewEvents returns an Events that posts to the endpoint, an absolute http or
// https URL. Where the endpoint is empty it is off, and drops what it is given.
// Nothing is posted before Start; till then, and while the receiver is away, up to
// 1024 events wait.
//
// The endpoint may hold a token: of it, only the host is ever logged or in an
// error.
func NewEvents(endpoint string, log logr.Logger, opts ...EventsOption) (*Events, error) {
	o := eventsOptions{transport: cleanhttp.DefaultPooledTransport(), meters: noop.NewMeterProvider()}
	for _, opt := range opts {
		opt(&o)
	}
	host, err := hostOf(endpoint)
	if err != nil {
		return nil, err
	}
	count, err := o.meters.Meter(meterName).Int64Counter("keptn.cloudevent.count",
		metric.WithDescription("CloudEvents, by what became of them"))
	if err != nil {
		return nil, fmt.Errorf("create the metric of CloudEvents: %w", err)
	}
	return &Events{
		endpoint: endpoint,
		host:     host,
		client: &http.Client{
			Transport: o.transport,
			Timeout:   attemptTimeout,
			// A redirect may turn a POST into a GET, and so lose the event.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		log:   log,
		queue: make(chan cloudevents.Event, queueSize),
		count: count,
	}, nil
}

func hostOf(endpoint string) (string, error) {
	if endpoint == "" {
		return "", nil
	}
	// What url.Parse says is left out: it quotes what may be a token.
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", errors.New("endpoint of CloudEvents is not an absolute http or https URL; write it as https://host/path")
	}
	return u.Host, nil
}

// Send queues events. It never blocks: where the queue is full, the events that
// have waited longest are dropped, which is logged and counted.
func (e *Events) Send(ctx context.Context, events ...cloudevents.Event) {
	if e.endpoint == "" {
		return
	}
	for _, event := range events {
		e.enqueue(ctx, event)
	}
}

func (e *Events) enqueue(ctx context.Context, event cloudevents.Event) {
	for {
		select {
		case e.queue <- event:
			return
		default:
		}
		select {
		case oldest := <-e.queue:
			e.drop(ctx, oldest, "the queue is full")
		default:
		}
	}
}

// Start posts what is queued until the context ends, and then for up to five
// seconds more what is left, and returns nil. An event that the receiver does not
// take is tried again with back-off, or when its Retry-After says, for up to five
// minutes; one that it refuses (a status of 3xx, 4xx but 429, or 501) is given up
// at once. What is given up is logged and counted, and the next event goes on.
func (e *Events) Start(ctx context.Context) error {
	posting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(drainTimeout, cancel) })
	defer stop()
	for ctx.Err() == nil {
		select {
		case event := <-e.queue:
			e.post(posting, event)
		case <-ctx.Done():
		}
	}
	e.drain(posting)
	return nil
}

// drain posts what is queued; once the context has ended, it drops it.
func (e *Events) drain(posting context.Context) {
	for {
		select {
		case event := <-e.queue:
			if posting.Err() != nil {
				e.drop(posting, event, "the program ends")
				continue
			}
			e.post(posting, event)
		default:
			return
		}
	}
}

// post posts one event, trying again until it is taken, refused, or too late.
func (e *Events) post(ctx context.Context, event cloudevents.Event) {
	ctx, cancel := context.WithTimeout(ctx, eventDeadline)
	defer cancel()
	if err := e.attempt(ctx, event); err != nil {
		e.log.Error(err, "Gave up a CloudEvent", append(identityOf(event), "host", e.host)...)
		e.tally(ctx, outcomeGivenUp)
		return
	}
	e.tally(ctx, outcomePosted)
}

func (e *Events) attempt(ctx context.Context, event cloudevents.Event) error {
	request, err := cloudevents.NewHTTPRequestFromEvent(ctx, e.endpoint, event)
	if err != nil {
		return fmt.Errorf("write the request: %w", err)
	}
	retryable, err := retryablehttp.FromRequest(request)
	if err != nil {
		return fmt.Errorf("read the request's body: %w", err)
	}
	var last error // of the last try, which says more than that time is up
	client := &retryablehttp.Client{
		HTTPClient:   e.client,
		RetryWaitMin: minRetryWait,
		RetryWaitMax: maxRetryWait,
		RetryMax:     maxRetries,
		Backoff:      retryablehttp.DefaultBackoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
		CheckRetry: func(ctx context.Context, response *http.Response, err error) (bool, error) {
			last = problemOf(response, err)
			return retryablehttp.DefaultRetryPolicy(ctx, response, err)
		},
	}
	response, err := client.Do(retryable)
	if response != nil {
		_ = response.Body.Close() // never read: only the status matters
	}
	if last != nil {
		return last
	}
	return err
}

// problemOf is what a try came to: nil where the receiver took the event.
func problemOf(response *http.Response, err error) error {
	switch {
	case err != nil:
		return withoutURL(err)
	case response.StatusCode/100 == 2:
		return nil
	default:
		return fmt.Errorf("the receiver answered %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	}
}

func (e *Events) drop(ctx context.Context, event cloudevents.Event, reason string) {
	e.log.Info("Dropped a CloudEvent", append(identityOf(event), "reason", reason, "host", e.host)...)
	e.tally(ctx, outcomeDropped)
}

func (e *Events) tally(ctx context.Context, outcome string) {
	e.count.Add(ctx, 1, metric.WithAttributes(eventOutcomeKey.String(outcome)))
}

func identityOf(event cloudevents.Event) []any {
	return []any{"id", event.ID(), "type", event.Type(), "subject", event.Subject()}
}

// withoutURL takes the URL out of an error of net/http: it may hold a token.
func withoutURL(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

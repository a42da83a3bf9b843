package event

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

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
	// maxAnswer is how much of an answer is read, in bytes.
	maxAnswer = 16 << 10
	// gathering is how long an event waits for others that happen together with it: a
	// request that others follow at once takes a fourth of the processor's time of one
	// that comes alone.
	gathering = 200 * time.Millisecond
	// drainTimeout is how long a poster that is stopped goes on sending.
	drainTimeout = 5 * time.Second
)

// Outcomes of an event, as the metrics keptn.cloudevent.count and keptn.fluxevent.count
// show them.
const (
	outcomePosted  = "posted"  // the receiver took it
	outcomeGivenUp = "givenup" // the receiver refused it, or the deadline passed
	outcomeDropped = "dropped" // the queue was full, or the program ended
)

// A format is how events are written.
type format[Event any] struct {
	// most is how many go into one request.
	most int
	// request writes the request of so many.
	request func(ctx context.Context, endpoint string, events []Event) (*http.Request, error)
	// identity is what the log says of an event: keys and values.
	identity func(Event) []any
}

// poster posts events to one HTTP endpoint, one request after the other, so that they
// arrive in the order they were sent in.
type poster[Event any] struct {
	format[Event]

	what       string // what is posted, in the words of the log
	endpoint   string // empty: off
	host       string // of the endpoint, all of it that is logged
	tokenFile  string // empty: none
	client     *http.Client
	log        logr.Logger
	queue      chan Event
	count      metric.Int64Counter
	outcomeKey attribute.Key
}

// Option changes an [Events] or a [Flux] under construction.
type Option func(*options)

type options struct {
	transport http.RoundTripper
	meters    metric.MeterProvider
	tokenFile string
	mode      Mode
}

// WithTransport sends the requests through the transport. The default is a pooled
// one that heeds HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
func WithTransport(t http.RoundTripper) Option {
	return func(o *options) { o.transport = t }
}

// WithMeterProvider counts the events in keptn.cloudevent.count, or
// keptn.fluxevent.count, by what became of them: keptn.cloudevent.outcome, or
// keptn.fluxevent.outcome, is posted, givenup or dropped. The default is not to count.
func WithMeterProvider(p metric.MeterProvider) Option {
	return func(o *options) { o.meters = p }
}

// WithTokenFile sends the token that a file holds as "Authorization: Bearer". The file is
// read for each event, so that a token that is renewed needs no restart.
func WithTokenFile(path string) Option {
	return func(o *options) { o.tokenFile = path }
}

// WithMode sends CloudEvents in a content mode. The default is [Binary].
func WithMode(m Mode) Option {
	return func(o *options) { o.mode = m }
}

func newPoster[Event any](what, metricPrefix, endpoint string, f format[Event], log logr.Logger, o options) (*poster[Event], error) {
	host, err := hostOf(what, endpoint)
	if err != nil {
		return nil, err
	}
	count, err := o.meters.Meter("keptn/task").Int64Counter(metricPrefix+".count",
		metric.WithDescription(what+", by what became of them"))
	if err != nil {
		return nil, fmt.Errorf("create the metric of %s: %w", what, err)
	}
	return &poster[Event]{
		format: f, what: what, endpoint: endpoint, host: host, tokenFile: o.tokenFile,
		client: &http.Client{
			Transport: o.transport,
			Timeout:   attemptTimeout,
			// A redirect may turn a POST into a GET, and so lose the event.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		log: log, queue: make(chan Event, queueSize),
		count: count, outcomeKey: attribute.Key(metricPrefix + ".outcome"),
	}, nil
}

func optionsOf(opts []Option) options {
	o := options{transport: cleanhttp.DefaultPooledTransport(), meters: noop.NewMeterProvider(), mode: Binary}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

func hostOf(what, endpoint string) (string, error) {
	if endpoint == "" {
		return "", nil
	}
	// What url.Parse says is left out: it quotes what may be a token.
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("endpoint of %s is not an absolute http or https URL; write it as https://host/path", what)
	}
	return u.Host, nil
}

// send queues an event. It never blocks: where the queue is full, the events that have
// waited longest are dropped, which is logged and counted.
func (p *poster[Event]) send(ctx context.Context, e Event) {
	for {
		select {
		case p.queue <- e:
			return
		default:
		}
		select {
		case oldest := <-p.queue:
			p.drop(ctx, []Event{oldest}, "the queue is full")
		default:
		}
	}
}

// Start posts what is queued, a fifth of a second after the first of several, until the context ends, and then for up to five
// seconds more what is left, and returns nil. An event that the receiver does not
// take is tried again with back-off, or when its Retry-After says, for up to five
// minutes; one that it refuses (a status of 3xx, 4xx but 429, or 501) is given up
// at once. What is given up is logged and counted, and the next event goes on.
func (p *poster[Event]) Start(ctx context.Context) error {
	posting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(drainTimeout, cancel) })
	defer stop()
	for ctx.Err() == nil {
		select {
		case first := <-p.queue:
			gather(ctx)
			p.post(posting, p.take(first))
			p.drain(posting)
		case <-ctx.Done():
		}
	}
	p.drain(posting)
	return nil
}

// gather waits for what happens together with the first event, or for the end.
func gather(ctx context.Context) {
	wait := time.NewTimer(gathering)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
}

// drain posts what is queued; once the context has ended, it drops it.
func (p *poster[Event]) drain(posting context.Context) {
	for {
		select {
		case first := <-p.queue:
			events := p.take(first)
			if posting.Err() != nil {
				p.drop(posting, events, "the program ends")
				continue
			}
			p.post(posting, events)
		default:
			return
		}
	}
}

// take takes what goes into one request with the first event.
func (p *poster[Event]) take(first Event) []Event {
	events := []Event{first}
	for len(events) < p.most {
		select {
		case next := <-p.queue:
			events = append(events, next)
		default:
			return events
		}
	}
	return events
}

// post posts events in one request, trying again until they are taken, refused, or too
// late.
func (p *poster[Event]) post(ctx context.Context, events []Event) {
	ctx, cancel := context.WithTimeout(ctx, eventDeadline)
	defer cancel()
	if err := p.attempt(ctx, events); err != nil {
		for _, e := range events {
			p.log.Error(err, "Gave up one of the "+p.what, append(p.identity(e), "host", p.host)...)
		}
		p.tally(ctx, outcomeGivenUp, len(events))
		return
	}
	p.tally(ctx, outcomePosted, len(events))
}

func (p *poster[Event]) attempt(ctx context.Context, events []Event) error {
	request, err := p.request(ctx, p.endpoint, events)
	if err != nil {
		return fmt.Errorf("write the request: %w", withoutURL(err))
	}
	if err := p.authorize(request); err != nil {
		return err
	}
	retryable, err := retryablehttp.FromRequest(request)
	if err != nil {
		return fmt.Errorf("read the request's body: %w", err)
	}
	var last error // of the last try, which says more than that time is up
	client := &retryablehttp.Client{
		HTTPClient:   p.client,
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
		// Only the status matters, but a connection goes on only where its answer was read.
		_, _ = io.CopyN(io.Discard, response.Body, maxAnswer)
		_ = response.Body.Close()
	}
	if last != nil {
		return last
	}
	return err
}

// authorize adds the token.
func (p *poster[Event]) authorize(request *http.Request) error {
	if p.tokenFile == "" {
		return nil
	}
	token, err := os.ReadFile(p.tokenFile)
	if err != nil {
		return fmt.Errorf("read the token for the receiver of %s: %w", p.what, err)
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	return nil
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

func (p *poster[Event]) drop(ctx context.Context, events []Event, reason string) {
	for _, e := range events {
		p.log.Info("Dropped one of the "+p.what, append(p.identity(e), "reason", reason, "host", p.host)...)
	}
	p.tally(ctx, outcomeDropped, len(events))
}

func (p *poster[Event]) tally(ctx context.Context, outcome string, events int) {
	p.count.Add(ctx, int64(events), metric.WithAttributes(p.outcomeKey.String(outcome)))
}

// withoutURL takes the URL out of an error of net/http: it may hold a token.
func withoutURL(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

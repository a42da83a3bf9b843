package fabric_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/fabric"
)

// A server is one whose answers a test decides on, and that notes what it is asked.
type server struct {
	answer func(ctx context.Context, q metric.Query) (metric.Result, error)

	mu             sync.Mutex
	asked          []time.Time
	open, mostOpen int
	closed         int
}

func (s *server) Query(ctx context.Context, q metric.Query) (metric.Result, error) {
	s.note(func() {
		s.asked = append(s.asked, time.Now())
		s.open++
		s.mostOpen = max(s.mostOpen, s.open)
	})
	defer s.note(func() { s.open-- })
	return s.answer(ctx, q)
}

func (s *server) Close() error {
	s.note(func() { s.closed++ })
	return nil
}

func (s *server) note(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *server) most() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mostOpen
}

func (s *server) asks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// opens is the open of a Fabric that knows the one server.
func (s *server) opens(connect.Server) (metric.Querier, error) { return s, nil }

// number is a result of one sample.
func number(n float64) metric.Result {
	return metric.Result{Series: []metric.Series{{Samples: []metric.Sample{{Value: n}}}}}
}

// after answers once d has passed.
func after(d time.Duration) func(context.Context, metric.Query) (metric.Result, error) {
	return func(ctx context.Context, _ metric.Query) (metric.Result, error) {
		select {
		case <-time.After(d):
			return number(1), nil
		case <-ctx.Done():
			return metric.Result{}, connect.Error(ctx, ctx.Err())
		}
	}
}

// fails answers with errors, one after the other, and then with a number.
func fails(errs ...error) func(context.Context, metric.Query) (metric.Result, error) {
	var n atomic.Int64
	return func(context.Context, metric.Query) (metric.Result, error) {
		if i := n.Add(1) - 1; i < int64(len(errs)) {
			return metric.Result{}, errs[i]
		}
		return number(1), nil
	}
}

// always answers with one error.
func always(err error) func(context.Context, metric.Query) (metric.Result, error) {
	return func(context.Context, metric.Query) (metric.Result, error) { return metric.Result{}, err }
}

// at is a server's description.
func at(name string) connect.Server {
	return connect.Server{Spec: metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.Prometheus, TargetServer: "http://" + name + ":9090"}}
}

// limited is a server with limits.
func limited(concurrent, perSecond int32, timeout time.Duration) connect.Server {
	s := at("prometheus")
	s.Spec.Limits = &metricsv1.ProviderLimits{ConcurrentQueries: concurrent, QueriesPerSecond: perSecond}
	s.Spec.Timeout = &metav1.Duration{Duration: timeout}
	return s
}

// ask is a query for an expression as of a fixed instant.
func ask(expr string) metric.Query {
	return metric.Query{Expr: expr, At: time.Unix(1_000_000, 0)}
}

// questions tells all queries of together apart.
var questions atomic.Int64

// together asks n queries at a time, none of which was asked before, and returns
// their errors and how long each took.
func together(ctx context.Context, f *fabric.Fabric, s connect.Server, n int) ([]error, []time.Duration) {
	errs, took := make([]error, n), make([]time.Duration, n)
	began := time.Now()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			_, errs[i] = f.Query(ctx, s, ask(fmt.Sprint(questions.Add(1))))
			took[i] = time.Since(began)
		})
	}
	all.Wait()
	return errs, took
}

// count is how many errors are err.
func count(errs []error, err error) int {
	n := 0
	for _, one := range errs {
		if errors.Is(one, err) {
			n++
		}
	}
	return n
}

func TestIdenticalQueriesAreAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: after(time.Second)}
		f := fabric.New(s.opens)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				got, err := f.Query(t.Context(), at("a"), ask("up"))
				if diff := cmp.Diff(number(1), got); err != nil || diff != "" {
					t.Errorf("error %v, result (-want +got):\n%s", err, diff)
				}
			})
		}
		all.Wait()
		for wait, want := range map[time.Duration]int{0: 1, 59 * time.Second: 1} {
			time.Sleep(wait)
			if _, err := f.Query(t.Context(), at("a"), ask("up")); err != nil || s.asks() != want {
				t.Errorf("after %s more: error %v, asked %d times, want %d", wait, err, s.asks(), want)
			}
		}
		time.Sleep(time.Second)
		if _, err := f.Query(t.Context(), at("a"), ask("up")); err != nil || s.asks() != 2 {
			t.Errorf("after a minute: error %v, asked %d times, want 2", err, s.asks())
		}
	})
}

func TestAQueryThatDiffersIsAskedByItself(t *testing.T) {
	base := metric.Query{Expr: "up", At: time.Unix(100, 0), Window: time.Hour, Step: time.Minute, Args: map[string]string{"a": "bc"}}
	with := func(change func(*metric.Query)) metric.Query {
		q := base
		change(&q)
		return q
	}
	cases := map[string]struct {
		reason string
		q      metric.Query
		want   int
	}{
		"Same":       {"The same question has the same answer.", with(func(*metric.Query) {}), 1},
		"SameZone":   {"An instant is the same in every zone.", with(func(q *metric.Query) { q.At = q.At.UTC().In(time.FixedZone("", 3600)) }), 1},
		"Expression": {"Another expression is another question.", with(func(q *metric.Query) { q.Expr = "up " }), 2},
		"Second":     {"So is another second,", with(func(q *metric.Query) { q.At = q.At.Add(time.Second) }), 2},
		"Nanosecond": {"or a part of one,", with(func(q *metric.Query) { q.At = q.At.Add(1) }), 2},
		"Window":     {"another window,", with(func(q *metric.Query) { q.Window++ }), 2},
		"Step":       {"another step,", with(func(q *metric.Query) { q.Step++ }), 2},
		"Lines":      {"one that wants lines too,", with(func(q *metric.Query) { q.Lines = true }), 2},
		"Argument":   {"another argument,", with(func(q *metric.Query) { q.Args = map[string]string{"a": "bd"} }), 2},
		"NoArgument": {"none,", with(func(q *metric.Query) { q.Args = nil }), 2},
		"Boundary":   {"or one that reads the same in a row.", with(func(q *metric.Query) { q.Args = map[string]string{"ab": "c"} }), 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := &server{answer: fails()}
			f := fabric.New(s.opens)
			for _, q := range []metric.Query{base, tc.q} {
				if _, err := f.Query(t.Context(), at("a"), q); err != nil {
					t.Fatal(err)
				}
			}
			if got := s.asks(); got != tc.want {
				t.Errorf("%s: asked %d times, want %d", tc.reason, got, tc.want)
			}
		})
	}
}

func TestEveryPartOfAServerTellsItApart(t *testing.T) {
	same := map[string]bool{"Now": true}
	change := map[string]func(*connect.Server){
		"Spec":         func(s *connect.Server) { s.Spec.Headers = map[string]string{"X-Scope-OrgID": "b"} },
		"Secret":       func(s *connect.Server) { s.Secret = connect.Secret{"token": []byte("b")} },
		"Certificates": func(s *connect.Server) { s.Certificates = connect.Secret{"ca.crt": []byte("b")} },
		"Addresses": func(s *connect.Server) {
			s.Addresses.Allowed = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		},
		"Ambient":   func(s *connect.Server) { s.Ambient = true },
		"MaxSeries": func(s *connect.Server) { s.MaxSeries = 1 },
		"MaxBytes":  func(s *connect.Server) { s.MaxBytes = 1 },
		"Now":       func(s *connect.Server) { s.Now = time.Now },
	}
	base := at("a")
	base.Secret = connect.Secret{"token": []byte("a")}
	for field := range reflect.TypeFor[connect.Server]().Fields() {
		t.Run(field.Name, func(t *testing.T) {
			changed := base
			if change[field.Name] == nil {
				t.Fatalf("the field is new: say here whether it tells servers apart")
			}
			change[field.Name](&changed)
			var opened []connect.Server
			s := &server{answer: fails()}
			f := fabric.New(func(c connect.Server) (metric.Querier, error) {
				opened = append(opened, c)
				return s, nil
			})
			for _, c := range []connect.Server{base, changed, base, changed} {
				if _, err := f.Query(t.Context(), c, ask("up")); err != nil {
					t.Fatal(err)
				}
			}
			want := 2
			if same[field.Name] {
				want = 1
			}
			if len(opened) != want || s.asks() != want {
				t.Fatalf("%d clients and %d queries, want %d", len(opened), s.asks(), want)
			}
			if want == 2 && !reflect.DeepEqual(opened[1], changed) {
				t.Errorf("the second client is opened as %v, want %v", opened[1], changed)
			}
		})
	}
}

func TestAnErrorIsKeptIfItLasts(t *testing.T) {
	cases := map[string]struct {
		reason string
		err    error
		kept   bool
	}{
		"BadQuery":         {"A wrong query stays wrong.", metric.ErrBadQuery, true},
		"NoData":           {"What has no data now has none in a moment.", metric.ErrNoData, true},
		"TooManySeries":    {"Nor does it have fewer series.", metric.ErrTooManySeries, true},
		"Config":           {"A change of the configuration is another server.", metric.ErrConfig, true},
		"Unauthorized":     {"So is one of the secret.", metric.ErrUnauthorized, true},
		"ForbiddenAddress": {"An address stays forbidden.", metric.ErrForbiddenAddress, true},
		"BadResponse":      {"What is no API does not become one soon.", metric.ErrBadResponse, true},
		"Unreachable":      {"A server may be back at once.", metric.ErrUnreachable, false},
		"Timeout":          {"A query may be faster the next time.", metric.ErrTimeout, false},
		"RateLimited":      {"A rate limit ends.", &metric.RateLimitedError{RetryAfter: 25 * time.Second}, false},
		"Unknown":          {"What is not understood is not held on to.", errors.New("boom"), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{answer: always(fmt.Errorf("wrapped: %w", tc.err))}
				f := fabric.New(s.opens)
				again := func(wait time.Duration) int {
					time.Sleep(wait)
					before := s.asks()
					if _, err := f.Query(t.Context(), at("a"), ask("up")); !errors.Is(err, tc.err) && !errors.Is(err, metric.ErrRateLimited) {
						t.Errorf("error %v, want %v", err, tc.err)
					}
					return s.asks() - before
				}
				if again(0) == 0 {
					t.Error("the first query was not asked")
				}
				wait := 9 * time.Second
				if errors.Is(tc.err, metric.ErrRateLimited) {
					wait = 25 * time.Second
				}
				if kept := again(wait) == 0; kept != tc.kept {
					t.Errorf("%s: kept is %v", tc.reason, kept)
				}
				if again(26*time.Second) == 0 {
					t.Errorf("%v is kept for too long", tc.err)
				}
			})
		})
	}
}

func TestACallerThatLeavesDoesNotEndTheQueryOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: after(10 * time.Second)}
		f := fabric.New(s.opens)
		first, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := f.Query(first, at("a"), ask("up")); !errors.Is(err, metric.ErrTimeout) || strings.Contains(err.Error(), "behind") {
				t.Errorf("who leaves gets %v, want a timeout that blames no queue", err)
			}
			if took := time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)); took != time.Second {
				t.Errorf("it leaves after %s, want 1s", took)
			}
		})
		all.Go(func() {
			if _, err := f.Query(t.Context(), at("a"), ask("up")); err != nil {
				t.Errorf("who stays gets %v, want a result", err)
			}
		})
		all.Wait()
		if s.asks() != 1 {
			t.Errorf("asked %d times, want 1", s.asks())
		}
	})
}

func TestAQueryIsCancelledOnceAllItsCallersAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended error
		s := &server{answer: func(ctx context.Context, _ metric.Query) (metric.Result, error) {
			<-ctx.Done()
			ended = ctx.Err()
			return metric.Result{}, connect.Error(ctx, ctx.Err())
		}}
		f := fabric.New(s.opens)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				if _, err := f.Query(ctx, at("a"), ask("up")); !errors.Is(err, context.Canceled) {
					t.Errorf("error %v, want that of the context", err)
				}
			})
		}
		synctest.Wait()
		cancel()
		all.Wait()
		synctest.Wait()
		if !errors.Is(ended, context.Canceled) {
			t.Errorf("the server's context ended with %v, want a cancellation", ended)
		}
		if _, err := f.Query(ctx, at("a"), ask("other")); !errors.Is(err, context.Canceled) || s.asks() != 1 {
			t.Errorf("error %v, asked %d times: a context that has ended asks nothing", err, s.asks())
		}
		s.answer = fails()
		if _, err := f.Query(t.Context(), at("a"), ask("up")); err != nil {
			t.Errorf("the next caller gets %v, want an answer to a question of its own", err)
		}
	})
}

func TestNobodyJoinsAQueryThatIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := after(10 * time.Second)
		s := &server{answer: func(ctx context.Context, q metric.Query) (metric.Result, error) {
			r, err := answer(ctx, q)
			if err != nil {
				time.Sleep(time.Second) // the end takes its time
			}
			return r, err
		}}
		f := fabric.New(s.opens)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _ = f.Query(ctx, at("a"), ask("up"))
		var all sync.WaitGroup
		for _, wait := range []time.Duration{0, 5 * time.Second} { // during, and after the end
			all.Go(func() {
				time.Sleep(wait)
				if _, err := f.Query(t.Context(), at("a"), ask("up")); err != nil {
					t.Errorf("error %v, want an answer to a question of their own", err)
				}
			})
		}
		all.Wait()
		if s.asks() != 2 {
			t.Errorf("asked %d times, want 2", s.asks())
		}
	})
}

func TestAQueryEndsWithTheTimeoutOfItsServer(t *testing.T) {
	for _, timeout := range []time.Duration{3 * time.Second, 0} {
		synctest.Test(t, func(t *testing.T) {
			s := &server{answer: after(time.Hour)}
			f := fabric.New(s.opens)
			errs, took := together(t.Context(), f, limited(1, 1, timeout), 1)
			want := timeout
			if timeout == 0 {
				want = 20 * time.Second
			}
			if !errors.Is(errs[0], metric.ErrTimeout) || took[0] != want || s.asks() != 1 {
				t.Errorf("error %v after %s and %d tries, want a timeout after %s and 1", errs[0], took[0], s.asks(), want)
			}
		})
	}
}

func TestAClientThatPanicsEndsItsQueryOnly(t *testing.T) {
	s := &server{answer: func(context.Context, metric.Query) (metric.Result, error) { panic("index out of range") }}
	_, err := fabric.New(s.opens).Query(t.Context(), at("a"), ask("up"))
	if err == nil || !strings.Contains(err.Error(), `internal error of the client for type "prometheus": index out of range`) {
		t.Errorf("error %v, want one that tells of the panic", err)
	}
}

func TestAServerThatDoesNotOpenIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: fails()}
		opened := 0
		f := fabric.New(func(connect.Server) (metric.Querier, error) {
			if opened++; opened == 1 {
				return nil, fmt.Errorf("%w: no key", metric.ErrConfig)
			}
			return s, nil
		})
		if _, err := f.Query(t.Context(), at("a"), ask("up")); !errors.Is(err, metric.ErrConfig) {
			t.Errorf("error %v, want that of open", err)
		}
		time.Sleep(10 * time.Second)
		if _, err := f.Query(t.Context(), at("a"), ask("up")); err != nil || opened != 2 {
			t.Errorf("error %v after opening %d times", err, opened)
		}
	})
}

func TestEveryQueryIsObserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var got []fabric.Event
		s := &server{answer: after(time.Second)}
		f := fabric.New(s.opens, fabric.Observe(func(e fabric.Event) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, e)
		}))
		target := at("a")
		target.Spec.TargetServer = "https://user:pass@host:1/path?token=x"
		for _, q := range []metric.Query{ask("up"), ask("up")} {
			if _, err := f.Query(t.Context(), target, q); err != nil {
				t.Fatal(err)
			}
		}
		want := []fabric.Event{
			{Type: "prometheus", Server: "https://host:1/path", Duration: time.Second},
			{Type: "prometheus", Server: "https://host:1/path", Cached: true},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestAllAskAboutTheSameInstantWithinTheTolerance(t *testing.T) {
	f := fabric.New((&server{}).opens)
	second := func(s float64) time.Time { return time.Unix(1000, 0).Add(time.Duration(s * float64(time.Second))) }
	for _, step := range []struct {
		reason         string
		now, tolerance float64
		want           float64
	}{
		{"The first decides on a whole second,", 0.7, 2, 0},
		{"which the others take", 1.9, 2, 0},
		{"until it is as old as the tolerance.", 2, 2, 0},
		{"Then there is another.", 2.1, 2, 2},
		{"Another tolerance has an instant of its own.", 3.5, 5, 3},
		{"A clock that is behind gets none from the future.", 1.2, 2, 1},
		{"A tolerance below a second counts as one.", 7.9, 0, 7},
		{"It ends, too.", 8.1, 0.5, 8},
	} {
		got := f.Instant(second(step.now), time.Duration(step.tolerance*float64(time.Second)))
		if !got.Equal(second(step.want)) {
			t.Errorf("%s At %.1f with %.1f: %s, want %s", step.reason, step.now, step.tolerance, got, second(step.want))
		}
	}
}

func TestAnInstantIsNeverInTheFutureNorTooOld(t *testing.T) {
	f := fabric.New((&server{}).opens)
	now := time.Unix(1000, 0)
	for i := range 20_000 {
		now = now.Add(time.Duration(i*7919%1500) * time.Millisecond)
		tolerance := time.Second + time.Duration(i%3000)*time.Millisecond
		if got := f.Instant(now, tolerance); got.After(now) || now.Sub(got) > tolerance || got.Nanosecond() != 0 {
			t.Fatalf("at %s with %s: %s", now, tolerance, got)
		}
	}
}

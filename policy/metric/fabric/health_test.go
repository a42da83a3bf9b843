package fabric_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/fabric"
)

// breakDown makes the server count as down, and takes note of no query of that.
func breakDown(t *testing.T, f *fabric.Fabric, s *server) {
	t.Helper()
	errs, _ := together(t.Context(), f, at("a"), 5)
	if n := count(errs, metric.ErrUnreachable); n != 5 || s.asks() != 15 {
		t.Fatalf("%d of 5 queries end unreachable after %d tries, want 5 after 15: %v", n, s.asks(), errs)
	}
	s.note(func() { s.asked = nil })
}

func TestAServerThatIsDownIsAskedByOneQueryAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := fmt.Errorf("%w: connection refused", metric.ErrUnreachable)
		s := &server{answer: always(refused)}
		f := fabric.New(s.opens)
		breakDown(t, f, s)

		errs, took := together(t.Context(), f, at("a"), 20)
		if n := count(errs, refused); n != 20 || s.asks() != 0 || took[0] != 0 {
			t.Errorf("within a second %d of 20 fail with the last error after %d queries, want 20 after none: %v", n, s.asks(), errs)
		}
		for range 3 {
			time.Sleep(time.Second)
			errs, took = together(t.Context(), f, at("a"), 20)
			if n := count(errs, refused); n != 20 || took[0] != 0 {
				t.Errorf("%d of 20 fail with the last error, want 20 at once: %v", n, errs)
			}
		}
		if s.asks() != 3 {
			t.Errorf("asked %d times in three seconds, want one each, without a second try", s.asks())
		}

		s.answer = after(100 * time.Millisecond)
		time.Sleep(time.Second)
		errs, _ = together(t.Context(), f, at("a"), 20)
		if n := count(errs, refused); n != 19 || s.asks() != 4 {
			t.Errorf("%d of 20 fail while the one is under way, want 19: %v", n, errs)
		}
		if errs, _ = together(t.Context(), f, at("a"), 20); errors.Join(errs...) != nil {
			t.Errorf("once it answers again: %v", errs)
		}
	})
}

func TestTheErrorOfAServerThatIsDownIsTheServersOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: always(fmt.Errorf("%w: connection refused", metric.ErrUnreachable))}
		f := fabric.New(s.opens)
		for range 10 {
			together(t.Context(), f, at("a"), 50) // some of which are refused between their tries
			time.Sleep(time.Second)
		}
		together(t.Context(), f, at("a"), 1)
		errs, _ := together(t.Context(), f, at("a"), 1)
		text := errs[0].Error()
		if !strings.HasPrefix(text, "unreachable: connection refused; ") || strings.Count(text, "in a row") != 1 || strings.Contains(text, "asked 3 times") {
			t.Errorf("error %q, want the server's, and once that it counts as down", text)
		}
	})
}

func TestAQueryIsNotTriedAgainWithoutCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: always(metric.ErrUnreachable)}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		together(ctx, fabric.New(s.opens), at("a"), 1)
		time.Sleep(time.Minute)
		if s.asks() != 1 {
			t.Errorf("asked %d times, want 1", s.asks())
		}
	})
}

func TestAServerThatIsDownDoesNotAffectAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs, well := &server{answer: after(time.Hour)}, &server{answer: after(10 * time.Millisecond)}
		f := fabric.New(func(s connect.Server) (metric.Querier, error) {
			if s.Spec.TargetServer == at("well").Spec.TargetServer {
				return well, nil
			}
			return hangs, nil
		}, fabric.Concurrent(8))
		ctx, cancel := context.WithCancel(t.Context())
		go together(ctx, f, limited(1000, 1000, time.Minute), 100)
		synctest.Wait()
		if hangs.asks() != 3 {
			t.Errorf("%d queries hang, want one in the server's own place, and two in those of servers that nobody knows", hangs.asks())
		}
		errs, took := together(t.Context(), f, at("well"), 4)
		if errors.Join(errs...) != nil || took[3] > 20*time.Millisecond {
			t.Errorf("errors %v after %s, want none after 10ms", errs, took)
		}
		cancel()
		synctest.Wait()
		if hangs.open != 0 {
			t.Errorf("%d queries hang after their callers have gone", hangs.open)
		}
	})
}

func TestOnlyWhatTheServerDoesMakesItCountAsDown(t *testing.T) {
	var n atomic.Int64
	cases := map[string]struct {
		reason string
		answer func(context.Context, metric.Query) (metric.Result, error)
		down   bool
	}{
		"Unreachable":  {"A server that is not there is down.", always(metric.ErrUnreachable), true},
		"Timeout":      {"One that answers nothing in time is, too.", always(metric.ErrTimeout), true},
		"Gateway":      {"So is one of which a gateway says so.", always(&connect.Failure{Status: http.StatusBadGateway}), true},
		"OwnFailure":   {"One that fails over a query answers.", always(&connect.Failure{Status: http.StatusInternalServerError}), false},
		"OwnTimeout":   {"So does one that says that the query takes too long,", always(fmt.Errorf("up: %w", &metric.AnsweredError{Err: metric.ErrTimeout})), false},
		"OwnTrouble":   {"or that a part of the answer is missing.", always(&metric.AnsweredError{Err: metric.ErrUnreachable}), false},
		"Hangs":        {"So is one that does not answer at all.", after(time.Hour), true},
		"BadQuery":     {"A wrong query is its author's error.", always(metric.ErrBadQuery), false},
		"Unauthorized": {"A server that refuses answers.", always(metric.ErrUnauthorized), false},
		"NoData":       {"So does one without data.", always(metric.ErrNoData), false},
		"Unknown":      {"What is not understood tells nothing.", always(errors.ErrUnsupported), false},
		"Sometimes": {"A query that is answered begins the count anew.", func(context.Context, metric.Query) (metric.Result, error) {
			if n.Add(1)%13 == 0 { // 4 queries of 3 tries fail between
				return number(1), nil
			}
			return metric.Result{}, metric.ErrUnreachable
		}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{answer: tc.answer}
				f := fabric.New(s.opens)
				for range 30 {
					together(t.Context(), f, at("a"), 1)
				}
				before := s.asks()
				together(t.Context(), f, at("a"), 20)
				if got := s.asks()-before < 20; got != tc.down {
					t.Errorf("%s %d of 20 queries are asked", tc.reason, s.asks()-before)
				}
			})
		})
	}
}

func TestAQueueOfOurOwnDoesNotMakeAServerCountAsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: after(900 * time.Millisecond)}
		f := fabric.New(s.opens)
		target := limited(8, 1000, time.Second)
		errs, _ := together(t.Context(), f, target, 50)
		if n := count(errs, metric.ErrTimeout); n != 42 {
			t.Fatalf("%d time out, want all but the 8 that fit: %v", n, errs)
		}
		if errs, _ := together(t.Context(), f, target, 8); errors.Join(errs...) != nil {
			t.Errorf("then: %v", errs)
		}
	})
}

func TestAProbeThatIsCancelledMakesRoomForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: always(metric.ErrUnreachable)}
		f := fabric.New(s.opens)
		breakDown(t, f, s)
		s.answer = after(2 * time.Second)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		together(ctx, f, at("a"), 1)
		synctest.Wait()
		if errs, _ := together(t.Context(), f, at("a"), 1); errs[0] != nil || s.asks() != 2 {
			t.Errorf("error %v after %d queries, want an answer to the second", errs[0], s.asks())
		}
	})
}

func TestARotatedSecretIsInUseAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := map[string]*server{"old": {answer: always(metric.ErrUnauthorized)}, "new": {answer: fails()}}
		f := fabric.New(func(s connect.Server) (metric.Querier, error) { return servers[string(s.Secret["token"])], nil })
		with := func(token string) connect.Server {
			s := at("a")
			s.Secret = connect.Secret{"token": []byte(token)}
			return s
		}
		if _, err := f.Query(t.Context(), with("old"), ask("up")); !errors.Is(err, metric.ErrUnauthorized) {
			t.Errorf("with the old secret: %v", err)
		}
		if _, err := f.Query(t.Context(), with("new"), ask("up")); err != nil {
			t.Errorf("with the new secret: %v", err)
		}
		for minute := range 15 { // the new one stays in use
			if got, want := servers["old"].closed, minute/10; got != want {
				t.Errorf("after %d minutes the old client is closed %d times, want %d", minute, got, want)
			}
			_, _ = f.Query(t.Context(), with("new"), ask(fmt.Sprint(minute)))
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		if servers["new"].closed != 0 {
			t.Error("the client in use is closed")
		}
	})
}

func TestAnIdleClientIsClosedIfThereAreTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := map[string]*server{}
		for _, name := range []string{"a", "b", "c", "busy"} {
			servers[at(name).Spec.TargetServer] = &server{answer: fails()}
		}
		servers[at("busy").Spec.TargetServer].answer = after(10 * time.Second)
		opened := map[string]int{}
		f := fabric.New(func(s connect.Server) (metric.Querier, error) {
			opened[s.Spec.TargetServer]++
			return servers[s.Spec.TargetServer], nil
		}, fabric.KeepClients(2, time.Hour))
		go together(t.Context(), f, at("busy"), 1)
		synctest.Wait()
		for _, name := range []string{"a", "b", "a", "c"} {
			time.Sleep(time.Second)
			together(t.Context(), f, at(name), 1)
		}
		synctest.Wait()
		got := map[string]int{}
		for name, s := range servers {
			got[name] = s.closed
		}
		if diff := cmp.Diff(map[string]int{at("a").Spec.TargetServer: 0, at("b").Spec.TargetServer: 1, at("c").Spec.TargetServer: 0, at("busy").Spec.TargetServer: 0}, got); diff != "" {
			t.Errorf("closed: the one that was not used the longest (-want +got):\n%s", diff)
		}
		together(t.Context(), f, at("b"), 1)
		if got := opened[at("b").Spec.TargetServer]; got != 2 {
			t.Errorf("opened %d times, want again", got)
		}
		time.Sleep(10 * time.Second) // the busy one ends
	})
}

// idling is a Querier that keeps connections.
type idling struct {
	*server
	ended chan struct{}
}

func (i idling) CloseIdleConnections() { close(i.ended) }

func TestTheConnectionsOfADroppedClientEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := idling{&server{answer: fails()}, make(chan struct{})}
		f := fabric.New(func(connect.Server) (metric.Querier, error) { return q, nil }, fabric.KeepClients(0, time.Hour))
		if _, err := f.Query(t.Context(), at("a"), ask("up")); err != nil {
			t.Fatal(err)
		}
		<-q.ended // or the test is deadlocked
	})
}

func TestAnswersAreKeptWithinBounds(t *testing.T) {
	large := number(1)
	large.Raw = make([]byte, 90_000)
	tooLarge := number(1)
	tooLarge.Raw = make([]byte, 130_000)
	wordy := number(1)
	wordy.Series[0].Labels = map[string]string{"l": strings.Repeat("x", 40_000)}
	wordy.Lines, wordy.Warnings = []string{strings.Repeat("x", 40_000)}, []string{strings.Repeat("x", 10_000)}
	cases := map[string]struct {
		reason string
		opt    fabric.Option
		result metric.Result
		others int
		kept   bool
	}{
		"Few":         {"There is room for all.", fabric.KeepAnswers(time.Minute, 10, 1<<20), number(1), 9, true},
		"Many":        {"The oldest goes if there are too many,", fabric.KeepAnswers(time.Minute, 10, 1<<20), number(1), 10, false},
		"SomeBytes":   {"or if they are too large together.", fabric.KeepAnswers(time.Minute, 100, 1_000_000), large, 10, true},
		"ManyBytes":   {"Eleven and no more fit.", fabric.KeepAnswers(time.Minute, 100, 1_000_000), large, 11, false},
		"Words":       {"All that takes memory counts.", fabric.KeepAnswers(time.Minute, 100, 1_000_000), wordy, 11, false},
		"Large":       {"One that would push out most others is not kept.", fabric.KeepAnswers(time.Minute, 100, 1_000_000), tooLarge, 0, false},
		"SwitchedOff": {"Nothing is kept for no time.", fabric.KeepAnswers(0, 100, 1_000_000), number(1), 0, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := &server{answer: func(context.Context, metric.Query) (metric.Result, error) { return tc.result, nil }}
			f := fabric.New(s.opens, tc.opt)
			for i := range tc.others + 1 {
				_, _ = f.Query(t.Context(), at("a"), ask(fmt.Sprint(i)))
			}
			before := s.asks()
			_, _ = f.Query(t.Context(), at("a"), ask("0"))
			if kept := s.asks() == before; kept != tc.kept {
				t.Errorf("%s Kept is %v", tc.reason, kept)
			}
		})
	}
}

func BenchmarkAKeptAnswer(b *testing.B) {
	f := fabric.New((&server{answer: fails()}).opens)
	target := at("prometheus.monitoring")
	target.Secret = connect.Secret{"token": make([]byte, 64)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Query(b.Context(), target, ask("sum(rate(http_requests_total[5m]))")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAThousandIdenticalQueries(b *testing.B) {
	s := &server{answer: func(context.Context, metric.Query) (metric.Result, error) {
		time.Sleep(time.Millisecond)
		return number(1), nil
	}}
	f := fabric.New(s.opens)
	rounds := 0
	for b.Loop() {
		rounds++
		q := ask(fmt.Sprint(rounds))
		done := make(chan error, 1000)
		for range 1000 {
			go func() {
				_, err := f.Query(b.Context(), at("a"), q)
				done <- err
			}()
		}
		for range 1000 {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
	}
	if s.asks() != rounds {
		b.Errorf("asked %d times in %d rounds", s.asks(), rounds)
	}
	b.ReportMetric(float64(s.asks())/float64(rounds), "asks/op")
}

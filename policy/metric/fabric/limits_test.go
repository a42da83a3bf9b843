package fabric_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/fabric"
)

func TestAServerIsAskedAFewQueriesAtATime(t *testing.T) {
	cases := map[string]struct {
		reason     string
		concurrent int32
		all        int
		most       int
		last       time.Duration
	}{
		"OfTheServer": {"Its own limit holds.", 3, 64, 3, 4 * time.Second},
		"OfAll":       {"One server has half of what all have together.", 100, 4, 2, 5 * time.Second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{answer: after(time.Second)}
				f := fabric.New(s.opens, fabric.Concurrent(tc.all))
				errs, took := together(t.Context(), f, limited(tc.concurrent, 1000, time.Minute), 10)
				if err := errors.Join(errs...); err != nil {
					t.Fatal(err)
				}
				var last time.Duration
				for _, one := range took {
					last = max(last, one)
				}
				if s.mostOpen != tc.most || last != tc.last {
					t.Errorf("%s %d at a time, the last after %s; want %d and %s", tc.reason, s.mostOpen, last, tc.most, tc.last)
				}
			})
		})
	}
}

func TestAllServersTogetherAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: after(time.Second)}
		f := fabric.New(s.opens, fabric.Concurrent(4))
		const shared, most = 4, 5 + 4 // places that they share, and with each server's own
		for i := range 5 {
			together(t.Context(), f, at(fmt.Sprint(i)), 1) // so that it is known to answer
		}
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() {
				if errs, _ := together(t.Context(), f, at(fmt.Sprint(i)), 4); errors.Join(errs...) != nil {
					t.Error(errs)
				}
			})
		}
		all.Wait()
		if got := s.most(); got <= shared || got > most {
			t.Errorf("%d of 20 at a time, want more than %d and %d at most", got, shared, most)
		}
	})
}

func TestAServerIsAskedAtItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: fails()}
		errs, _ := together(t.Context(), fabric.New(s.opens), limited(16, 10, time.Minute), 31)
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		for i, at := range s.asked {
			if want := time.Duration(i) * 100 * time.Millisecond; at.Sub(s.asked[0]).Round(time.Millisecond) != want {
				t.Errorf("query %d is asked after %s, want %s", i, at.Sub(s.asked[0]), want)
			}
		}
	})
}

func TestAQueryWhoseTurnDoesNotComeSaysBehindHowMany(t *testing.T) {
	cases := map[string]struct {
		reason    string
		target    connect.Server
		queries   int
		want      string
		wantCount int
		after     time.Duration
	}{
		"Slot": {
			"The one query that has the slot hangs; the other three never get it.",
			limited(1, 1000, 5*time.Second), 4, "other queries for its turn: the provider is asked at most 1 at a time and 1000 per second", 3, 5 * time.Second,
		},
		"Rate": {
			"One per second: the fourth and later could begin after 3 s, and have 2.5.",
			limited(16, 1, 2500*time.Millisecond), 6, "other queries for its turn: the provider is asked at most 16 at a time and 1 per second", 3, 0,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := fabric.New((&server{answer: after(time.Hour)}).opens)
				errs, took := together(t.Context(), f, tc.target, tc.queries)
				got := 0
				for i, err := range errs {
					if !errors.Is(err, metric.ErrTimeout) {
						t.Errorf("error %v, want a timeout", err)
					}
					if strings.Contains(err.Error(), tc.want) && strings.Contains(err.Error(), "it waited behind ") {
						got++
						if tc.after > 0 && took[i] != tc.after {
							t.Errorf("it waits %s, want %s", took[i], tc.after)
						}
					}
				}
				if got != tc.wantCount {
					t.Errorf("%s %d errors tell of the queue, want %d: %v", tc.reason, got, tc.wantCount, errs)
				}
			})
		})
	}
}

func TestACallerWhoseTimeIsOverInTheQueueIsToldOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fabric.New((&server{answer: after(10 * time.Second)}).opens)
		target := limited(1, 1000, 20*time.Second)
		go together(t.Context(), f, target, 1)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		errs, took := together(ctx, f, target, 1)
		if want := "it waited behind 1 other queries of the provider for its turn"; !errors.Is(errs[0], metric.ErrTimeout) || !strings.Contains(errs[0].Error(), want) || took[0] != 2*time.Second {
			t.Errorf("error %v after %s, want a timeout after 2s with %q", errs[0], took[0], want)
		}
		time.Sleep(10 * time.Second) // the first one ends
	})
}

func TestATimeoutTellsHowLongTheQueryHadWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fabric.New((&server{answer: after(12 * time.Second)}).opens)
		errs, _ := together(t.Context(), f, limited(1, 1000, 20*time.Second), 2)
		if got, want := errors.Join(errs...), "before, it waited 12s behind 1 other queries for its turn"; count(errs, metric.ErrTimeout) != 1 || !strings.Contains(got.Error(), want) {
			t.Errorf("errors %v, want one with %q", errs, want)
		}
	})
}

func TestAQueryIsTriedAgainWhereThatMayHelp(t *testing.T) {
	slow := &metric.RateLimitedError{RetryAfter: 2 * time.Second}
	later := &metric.RateLimitedError{RetryAfter: time.Minute}
	cases := map[string]struct {
		reason   string
		errs     []error
		want     error
		asks     int
		from, to time.Duration
	}{
		"Unreachable":    {"A server that is back answers.", []error{metric.ErrUnreachable, metric.ErrUnreachable}, nil, 3, 625 * time.Millisecond, 1875 * time.Millisecond},
		"ThreeTries":     {"More than three tries are too many.", []error{metric.ErrUnreachable, metric.ErrTimeout, metric.ErrUnreachable}, metric.ErrUnreachable, 3, 625 * time.Millisecond, 1875 * time.Millisecond},
		"Timeout":        {"A server that gives up may be busy.", []error{metric.ErrTimeout}, nil, 2, 250 * time.Millisecond, 750 * time.Millisecond},
		"RateLimited":    {"A server that says when is asked then.", []error{slow}, nil, 2, 2 * time.Second, 2 * time.Second},
		"UnknownRate":    {"One that does not say is given a second.", []error{&metric.RateLimitedError{}}, nil, 2, time.Second, time.Second},
		"TooLate":        {"A time after the timeout is not waited for.", []error{later}, later, 1, 0, 0},
		"BadQuery":       {"A wrong query stays wrong.", []error{metric.ErrBadQuery}, metric.ErrBadQuery, 1, 0, 0},
		"Unauthorized":   {"So do wrong credentials, which a server may count.", []error{metric.ErrUnauthorized}, metric.ErrUnauthorized, 1, 0, 0},
		"BadResponse":    {"What is no API does not become one.", []error{metric.ErrBadResponse}, metric.ErrBadResponse, 1, 0, 0},
		"NoData":         {"No data is an answer.", []error{metric.ErrNoData}, metric.ErrNoData, 1, 0, 0},
		"Forbidden":      {"An address stays forbidden.", []error{metric.ErrForbiddenAddress}, metric.ErrForbiddenAddress, 1, 0, 0},
		"Config":         {"A configuration stays as it is.", []error{metric.ErrConfig}, metric.ErrConfig, 1, 0, 0},
		"ThenBadQuery":   {"An answer ends the tries.", []error{metric.ErrUnreachable, metric.ErrBadQuery}, metric.ErrBadQuery, 2, 250 * time.Millisecond, 750 * time.Millisecond},
		"AnswerAtOnce":   {"Nothing is repeated that went well.", nil, nil, 1, 0, 0},
		"LimitThenDown":  {"Each try counts, whatever its end.", []error{slow, metric.ErrTimeout, slow}, metric.ErrRateLimited, 3, 2375 * time.Millisecond, 3125 * time.Millisecond},
		"UnknownFailure": {"What is not understood is not repeated.", []error{errors.ErrUnsupported}, errors.ErrUnsupported, 1, 0, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{answer: fails(tc.errs...)}
				errs, took := together(t.Context(), fabric.New(s.opens), at("a"), 1)
				if !errors.Is(errs[0], tc.want) || s.asks() != tc.asks || took[0] < tc.from || took[0] > tc.to {
					t.Errorf("%s Got %v after %d tries and %s; want %v after %d and %s to %s", tc.reason, errs[0], s.asks(), took[0], tc.want, tc.asks, tc.from, tc.to)
				}
			})
		})
	}
}

func TestARateLimitMakesAllQueriesOfTheServerWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{answer: fails(&metric.RateLimitedError{RetryAfter: 30 * time.Second})}
		f := fabric.New(s.opens)
		rest := func() time.Duration {
			t.Helper()
			errs, took := together(t.Context(), f, at("a"), 1)
			var limit *metric.RateLimitedError
			if !errors.As(errs[0], &limit) || took[0] != 0 {
				t.Fatalf("error %v after %s, want a rate limit at once", errs[0], took[0])
			}
			return limit.RetryAfter
		}
		got := []time.Duration{rest()}
		time.Sleep(9500 * time.Millisecond)
		got = append(got, rest())
		time.Sleep(20 * time.Second)
		got = append(got, rest())
		if diff := cmp.Diff([]time.Duration{30 * time.Second, 21 * time.Second, time.Second}, got); diff != "" {
			t.Errorf("rests (-want +got):\n%s", diff)
		}
		if errs, _ := together(t.Context(), f, at("b"), 1); errs[0] != nil {
			t.Errorf("another server: %v", errs[0])
		}
		if s.asks() != 2 {
			t.Errorf("asked %d times, want once each", s.asks())
		}
		time.Sleep(500 * time.Millisecond)
		if errs, _ := together(t.Context(), f, at("a"), 5); errors.Join(errs...) != nil {
			t.Errorf("after the time: %v", errs)
		}
	})
}

func TestARateLimitDoesNotLastForLongerThanFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fabric.New((&server{answer: fails(&metric.RateLimitedError{RetryAfter: 9000 * time.Hour})}).opens)
		_, _ = f.Query(t.Context(), at("a"), ask("first"))
		time.Sleep(5*time.Minute - time.Nanosecond)
		if _, err := f.Query(t.Context(), at("a"), ask("up")); !errors.Is(err, metric.ErrRateLimited) {
			t.Errorf("error %v, want a rate limit yet", err)
		}
		time.Sleep(time.Nanosecond)
		if _, err := f.Query(t.Context(), at("a"), ask("up")); err != nil {
			t.Errorf("error %v, want none any more", err)
		}
	})
}

func TestQueriesInTheQueueSurviveARateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := fails(&metric.RateLimitedError{RetryAfter: 2 * time.Second})
		s := &server{answer: func(ctx context.Context, q metric.Query) (metric.Result, error) {
			time.Sleep(time.Millisecond) // in which the others join the queue
			return answer(ctx, q)
		}}
		errs, _ := together(t.Context(), fabric.New(s.opens), limited(1, 1000, 20*time.Second), 5)
		if errors.Join(errs...) != nil || s.asks() != 6 {
			t.Errorf("errors %v after %d queries, want none after 6", errs, s.asks())
		}
	})
}

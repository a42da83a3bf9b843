package fabric_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/fabric"
)

// greedy is a server whose administrator sets every limit as high as it goes.
func greedy(name string) connect.Server {
	s := at(name)
	s.Spec.Limits = &metricsv1.ProviderLimits{ConcurrentQueries: 32, QueriesPerSecond: 1000}
	s.Spec.Timeout = &metav1.Duration{Duration: 24 * time.Hour}
	return s
}

// between is a Fabric with the server "well", and others that are all hangs.
func between(well, hangs *server) *fabric.Fabric {
	return fabric.New(func(s connect.Server) (metric.Querier, error) {
		if s.Spec.TargetServer == at("well").Spec.TargetServer {
			return well, nil
		}
		return hangs, nil
	})
}

func TestServersThatHangTakeNothingFromOneThatAnswers(t *testing.T) {
	const usual = 100 * time.Millisecond
	cases := map[string]struct {
		reason string
		hang   int // servers
		first  int // queries to the healthy one before the others hang
	}{
		"Two":      {"Two tenants with the highest limits do not fill all places.", 2, 1},
		"Hundred":  {"Nor do a hundred.", 100, 1},
		"NewComer": {"One that was never asked has a place of its own, though a hundred hang.", 100, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				well, hangs := &server{answer: after(usual)}, &server{answer: after(100 * time.Hour)}
				f := between(well, hangs)
				together(t.Context(), f, at("well"), tc.first)
				ctx, cancel := context.WithCancel(t.Context())
				var hanging sync.WaitGroup
				defer hanging.Wait()
				defer cancel()
				for i := range tc.hang {
					hanging.Go(func() {
						for ctx.Err() == nil {
							together(ctx, f, greedy(fmt.Sprint(i)), 40)
							time.Sleep(time.Second) // a server that counts as down fails them at once
						}
					})
				}
				for range 3 {
					time.Sleep(time.Minute) // in which the queries that hang end, and others come
					errs, took := together(t.Context(), f, at("well"), 1)
					if errs[0] != nil || took[0] != usual {
						t.Fatalf("%s A query ends after %s with %v, want an answer after %s", tc.reason, took[0], errs[0], usual)
					}
					errs, took = together(t.Context(), f, at("well"), 16)
					for i := range errs {
						if errs[i] != nil || took[i] != usual {
							t.Fatalf("%s One of 16 ends after %s with %v, want an answer after %s", tc.reason, took[i], errs[i], usual)
						}
					}
				}
				if hangs.most() < 17 {
					t.Errorf("%d queries hang at a time: too few to show anything", hangs.most())
				}
			})
		})
	}
}

func TestAServerIsAskedThoughServersThatAnsweredHang(t *testing.T) {
	const usual = 100 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		well, other := &server{answer: after(usual)}, &server{answer: fails()}
		f := between(well, other)
		for _, name := range []string{"well", "a", "b"} {
			together(t.Context(), f, greedy(name), 1)
		}
		other.answer = after(100 * time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		go together(ctx, f, greedy("a"), 40)
		go together(ctx, f, greedy("b"), 40)
		synctest.Wait()
		if other.open != 64 {
			t.Fatalf("%d queries hang, want 64: all places that are shared", other.open)
		}
		errs, took := together(t.Context(), f, greedy("well"), 20)
		var last time.Duration
		for _, one := range took {
			last = max(last, one)
		}
		if err := errors.Join(errs...); err != nil || last != 20*usual {
			t.Errorf("errors %v, the last after %s; want none, one after the other", err, last)
		}
		cancel()
		synctest.Wait()
	})
}

func TestAQueryEndsAfterTwoMinutesAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fabric.New((&server{answer: after(100 * time.Hour)}).opens)
		errs, took := together(t.Context(), f, greedy("a"), 1)
		if !errors.Is(errs[0], metric.ErrTimeout) || took[0] != 2*time.Minute {
			t.Errorf("error %v after %s, want a timeout after 2m", errs[0], took[0])
		}
	})
}

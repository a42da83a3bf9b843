package fabric_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/fabric"
)

// decoder reads an answer, and takes its time to decode it.
type decoder struct {
	client     *http.Client
	url        string
	open, most *atomic.Int32
	decode     func()
}

func (d decoder) Query(ctx context.Context, q metric.Query) (metric.Result, error) {
	r, err := connect.Request(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return metric.Result{}, err
	}
	var text string
	if _, err := connect.JSON(d.client, r, &text); err != nil {
		return metric.Result{}, err
	}
	now := d.open.Add(1)
	for most := d.most.Load(); now > most && !d.most.CompareAndSwap(most, now); most = d.most.Load() {
	}
	d.decode()
	d.open.Add(-1)
	return metric.Result{Series: []metric.Series{{Samples: []metric.Sample{{Time: q.At, Value: float64(len(text))}}}}}, nil
}

func TestFewLargeAnswersAreDecodedAtATime(t *testing.T) {
	const queries = 16
	cases := map[string]struct {
		reason string
		size   int
		most   int32
	}{
		"Large": {"Once decoded they take many times their size.", 1 << 20, 4},
		"Small": {"Others need no place.", 1 << 10, queries},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			body := append(append([]byte{'"'}, bytes.Repeat([]byte{'x'}, tc.size)...), '"')
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write(body)
			}))
			t.Cleanup(server.Close)
			var open, most atomic.Int32
			full, fill := make(chan struct{}), sync.Once{}
			decode := func() {
				if open.Load() == tc.most {
					fill.Do(func() { close(full) })
				}
				select { // whoever decodes stays until as many do as may
				case <-full:
				case <-time.After(20 * time.Second):
				}
			}
			f := fabric.New(func(s connect.Server) (metric.Querier, error) {
				client, err := s.Client(nil)
				return decoder{client, server.URL, &open, &most, sync.OnceFunc(decode)}, err
			})
			var group sync.WaitGroup
			for i := range queries {
				group.Go(func() {
					s := connect.Server{
						Spec:      metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.Prometheus, TargetServer: fmt.Sprintf("http://server-%d", i)},
						Addresses: outbound.Addresses{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
					}
					if _, err := f.Query(t.Context(), s, metric.Query{Expr: "x", At: time.Unix(1, 0)}); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			if got := most.Load(); got != tc.most {
				t.Errorf("%s %d were decoded at a time, want %d", tc.reason, got, tc.most)
			}
		})
	}
}

package fabric_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/fabric"
	"github.com/keptn/gitops/policy/metric/provider"
)

// TestAServerOverHTTPIsAskedOnceForAll goes the whole way, with provider.Open: the
// other tests decide on the answers themselves.
func TestAServerOverHTTPIsAskedOnceForAll(t *testing.T) {
	var requests atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.Header.Get("Authorization") != "Bearer new" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"status":"success","data":{"resultType":"scalar","result":[1000,"42"]}}`)
	}))
	defer srv.Close()
	with := func(token string) connect.Server {
		s := connect.Server{
			Spec:      metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.Prometheus, TargetServer: srv.URL},
			Secret:    connect.Secret{"token": []byte(token)},
			Addresses: outbound.Addresses{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}},
		}
		s.Spec.SecretKeyRef.Key = "token"
		return s
	}
	f := fabric.New(provider.Open)
	for range 2 {
		if _, err := f.Query(t.Context(), with("old"), ask("answer")); !errors.Is(err, metric.ErrUnauthorized) {
			t.Errorf("error %v, want that of the credentials", err)
		}
	}
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			r, err := f.Query(t.Context(), with("new"), ask("answer"))
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := r.Number(); err != nil || got != 42 {
				t.Errorf("answer %v, error %v", got, err)
			}
		})
	}
	all.Wait()
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests, want one for each secret", n)
	}
}

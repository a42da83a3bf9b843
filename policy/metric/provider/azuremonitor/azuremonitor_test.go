package azuremonitor_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/provider/azuremonitor"
)

const (
	tenant   = "11111111-2222-3333-4444-555555555555"
	resource = "/subscriptions/s1/resourceGroups/shop/providers/Microsoft.Web/sites/checkout"
	expr     = `{"resource": "` + resource + `", "metric": "Http5xx", "aggregation": "Total"}`
)

// at is the instant that the tests ask for.
func at() time.Time { return time.Unix(1_700_000_000, 0).UTC() }

// reach is a server, whose certificate is trusted, with an application's secret.
func reach(server *httptest.Server) connect.Server {
	s := connect.Server{
		Secret:    connect.Secret{"tenantID": []byte(tenant), "clientID": []byte("app"), "clientSecret": []byte("hunter2\n")},
		Addresses: outbound.Addresses{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}
	s.Spec.TargetServer = server.URL
	s.Spec.SecretKeyRef.Name = "azure"
	if cert := server.Certificate(); cert != nil {
		s.Certificates = connect.Secret{"ca.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})}
	}
	return s
}

// both hands requests for tokens to one handler, and the others to another. What
// is asked for before a token is answered as Microsoft Entra does
// (https://learn.microsoft.com/en-us/entra/identity-platform/v2-protocols-oidc).
func both(token, query http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		authority := "https://" + r.Host + "/" + tenant
		switch r.URL.Path {
		case "/" + tenant + "/v2.0/.well-known/openid-configuration":
			answer(200, fmt.Sprintf(`{"token_endpoint":"%[1]s/oauth2/v2.0/token","authorization_endpoint":"%[1]s/oauth2/v2.0/authorize","issuer":"%[1]s/v2.0"}`, authority))(w, r)
		case "/" + tenant + "/oauth2/v2.0/token":
			token(w, r)
		default:
			query(w, r)
		}
	}
}

// token is Entra's answer to a client secret.
func token(w http.ResponseWriter, r *http.Request) {
	answer(200, `{"token_type":"Bearer","expires_in":3599,"access_token":"hunter3"}`)(w, r)
}

// serve starts a server that hands out tokens, and returns what queries it.
func serve(t *testing.T, handler http.HandlerFunc) metric.Querier {
	t.Helper()
	server := httptest.NewTLSServer(both(token, handler))
	t.Cleanup(server.Close)
	return open(t, reach(server))
}

func open(t *testing.T, s connect.Server) metric.Querier {
	t.Helper()
	q, err := azuremonitor.NewAt(s, s.Spec.TargetServer)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// answer is a handler that answers every request alike.
func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// metrics is an answer with time series of one metric.
func metrics(series ...string) string {
	return `{"cost":0,"timespan":"2023-11-14T22:08:20Z/2023-11-14T22:13:20Z","interval":"PT1M","namespace":"Microsoft.Web/sites","resourceregion":"westeurope","value":[{` +
		`"id":"` + resource + `/providers/Microsoft.Insights/metrics/Http5xx","type":"Microsoft.Insights/metrics","name":{"value":"Http5xx","localizedValue":"Http-Serverfehler"},"unit":"Count","errorCode":"Success","timeseries":[` +
		strings.Join(series, ",") + `]}]}`
}

// instance is a time series of a dimension's value.
func instance(name, data string) string {
	return `{"metadatavalues":[{"name":{"value":"instance","localizedValue":"Instanz"},"value":"` + name + `"}],"data":[` + data + `]}`
}

func TestATokenIsAskedForOnceAndShownWithEachQuery(t *testing.T) {
	asked, tokens := 0, 0
	server := httptest.NewTLSServer(both(func(w http.ResponseWriter, r *http.Request) {
		tokens++
		for name, want := range map[string]string{"grant_type": "client_credentials", "client_id": "app", "client_secret": "hunter2"} {
			if got := r.PostFormValue(name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		if got := r.PostFormValue("scope"); !strings.Contains(got, "https://management.example.com/.default") {
			t.Errorf("scope = %q", got)
		}
		if r.Header.Get("X-Team") != "" {
			t.Error("the server's headers are sent to the token server")
		}
		token(w, r)
	}, func(w http.ResponseWriter, r *http.Request) {
		asked++
		if got := r.Header.Get("Authorization"); got != "Bearer hunter3" {
			t.Errorf("Authorization = %q", got)
		}
		if got := r.Header.Get("X-Team"); got != "shop" {
			t.Errorf("X-Team = %q", got)
		}
		answer(200, metrics(`{"data":[{"timeStamp":"2023-11-14T22:08:00Z","total":1}]}`))(w, r)
	}))
	defer server.Close()
	s := reach(server)
	s.Spec.Headers = map[string]string{"X-Team": "shop"}
	q := open(t, s)
	for range 2 {
		if _, err := q.Query(t.Context(), metric.Query{Expr: expr, At: at()}); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 2 || tokens != 1 {
		t.Errorf("asked %d times with %d tokens, want 2 with 1", asked, tokens)
	}
}

func TestAQueryIsAsTheAPIHasIt(t *testing.T) {
	const yaml = "resource: " + resource + "/\nmetric: Percentage CPU\naggregation: average\n"
	cases := map[string]struct {
		reason, expr string
		window, step time.Duration
		want         url.Values
	}{
		"Instant": {"An instant is the last 5 minutes as a whole.", expr, 0, 0,
			url.Values{"metricnames": {"Http5xx"}, "aggregation": {"Total"}, "interval": {"FULL"}, "timespan": {"2023-11-14T22:08:20Z/2023-11-14T22:13:20Z"}}},
		"Window": {"So is a window without a step; YAML does as well as JSON, and aggregations in any case.", yaml, time.Hour, 0,
			url.Values{"metricnames": {"Percentage CPU"}, "aggregation": {"Average"}, "interval": {"FULL"}, "timespan": {"2023-11-14T21:13:20Z/2023-11-14T22:13:20Z"}}},
		"Step": {"A step is an interval that Azure adjusts to what the metric has.", expr, time.Hour, 90 * time.Second,
			url.Values{"metricnames": {"Http5xx"}, "aggregation": {"Total"}, "interval": {"PT2M"}, "AutoAdjustTimegrain": {"true"}, "timespan": {"2023-11-14T21:13:20Z/2023-11-14T22:13:20Z"}}},
		"Day": {"Long steps are in hours and days.", expr, 48 * time.Hour, 24 * time.Hour,
			url.Values{"metricnames": {"Http5xx"}, "aggregation": {"Total"}, "interval": {"P1D"}, "AutoAdjustTimegrain": {"true"}, "timespan": {"2023-11-12T22:13:20Z/2023-11-14T22:13:20Z"}}},
		"Everything": {"A filter yields all series there are, not the first 10; the query's own interval is kept.",
			yaml + "namespace: Custom\nfilter: Instance eq '*'\ninterval: PT5M\n", time.Hour, time.Minute,
			url.Values{"metricnames": {"Percentage CPU"}, "aggregation": {"Average"}, "interval": {"PT5M"}, "metricnamespace": {"Custom"}, "$filter": {"Instance eq '*'"}, "top": {"10001"}, "timespan": {"2023-11-14T21:13:20Z/2023-11-14T22:13:20Z"}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			q := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || r.URL.Path != resource+"/providers/Microsoft.Insights/metrics" {
					t.Errorf("%s: asked %s %s", tc.reason, r.Method, r.URL.Path)
				}
				got := r.URL.Query()
				got.Del("api-version")
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
				}
				answer(200, metrics(`{"data":[{"timeStamp":"2023-11-14T22:08:00Z","total":1,"average":1}]}`))(w, r)
			})
			if _, err := q.Query(t.Context(), metric.Query{Expr: tc.expr, At: at(), Window: tc.window, Step: tc.step}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAResourceIsAPathAndNoMore(t *testing.T) {
	q := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if want := "/subscriptions/s1/a%3Fb%23c%20d/providers/Microsoft.Insights/metrics"; r.URL.EscapedPath() != want {
			t.Errorf("path = %s, want %s", r.URL.EscapedPath(), want)
		}
		answer(200, metrics(`{"data":[{"timeStamp":"2023-11-14T22:08:00Z","total":1}]}`))(w, r)
	})
	odd := strings.Replace(expr, resource, "/subscriptions/s1/a?b#c d", 1)
	if _, err := q.Query(t.Context(), metric.Query{Expr: odd, At: at()}); err != nil {
		t.Error(err)
	}
}

func TestResultsAreSeries(t *testing.T) {
	sample := func(minute int, value float64) metric.Sample {
		return metric.Sample{Time: time.Date(2023, 11, 14, 22, minute, 0, 0, time.UTC), Value: value}
	}
	labels := func(instance string) map[string]string {
		return map[string]string{"__name__": "Http5xx", "instance": instance}
	}
	two := metrics(
		instance("b", `{"timeStamp":"2023-11-14T22:09:00Z","total":2},{"timeStamp":"2023-11-14T22:08:00Z","total":1,"average":9},{"timeStamp":"2023-11-14T22:10:00Z"}`),
		instance("a", `{"timeStamp":"2023-11-14T22:08:00Z","total":0}`),
		instance("c", `{"timeStamp":"2023-11-14T22:08:00Z","total":null}`))
	cases := map[string]struct {
		reason       string
		window, step time.Duration
		body         string
		want         []metric.Series
	}{
		"Value": {"Without a filter there is one series.", 0, 0, metrics(`{"metadatavalues":[],"data":[{"timeStamp":"2023-11-14T22:08:00Z","total":3.5}]}`),
			[]metric.Series{{Labels: map[string]string{"__name__": "Http5xx"}, Samples: []metric.Sample{sample(8, 3.5)}}}},
		"Window": {"Without a step, a series is its newest sample; an interval without a value is none.", time.Hour, 0, two,
			[]metric.Series{{Labels: labels("b"), Samples: []metric.Sample{sample(9, 2)}}, {Labels: labels("a"), Samples: []metric.Sample{sample(8, 0)}}}},
		"Step": {"With a step all samples are kept, in the order of time, and the series in the server's.", time.Hour, time.Minute, two,
			[]metric.Series{{Labels: labels("b"), Samples: []metric.Sample{sample(8, 1), sample(9, 2)}}, {Labels: labels("a"), Samples: []metric.Sample{sample(8, 0)}}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := serve(t, answer(200, tc.body)).Query(t.Context(), metric.Query{Expr: expr, At: at(), Window: tc.window, Step: tc.step})
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, got.Series); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if !json.Valid(got.Raw) || !strings.Contains(string(got.Raw), `"Http5xx"`) {
				t.Errorf("%s: raw = %s", tc.reason, got.Raw)
			}
		})
	}
}

package googlecloud_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/provider/googlecloud"
)

const (
	queryPath = "/v1/projects/shop-prod/location/global/prometheus/api/v1/query"
	rangePath = queryPath + "_range"
)

// at is the instant that the tests ask for.
func at() time.Time { return time.Unix(1_700_000_000, 500_000_000).UTC() }

// privateKey is a service account's key in PEM. It is made once.
var privateKey = sync.OnceValue(func() string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
})

// account is a service account's JSON as Google hands it out, with fields changed.
func account(t testing.TB, url string, changes map[string]string) []byte {
	t.Helper()
	fields := map[string]string{
		"type": "service_account", "project_id": "shop-prod", "private_key_id": "k1",
		"private_key": privateKey(), "client_email": "keptn@shop-prod.iam.gserviceaccount.com",
		"token_uri": url + "/token",
	}
	for name, value := range changes {
		fields[name] = value
	}
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// reach is a server at an address, with a service account of the same server.
func reach(t testing.TB, url string) connect.Server {
	t.Helper()
	s := connect.Server{
		Secret:    connect.Secret{"key.json": account(t, url, nil)},
		Addresses: outbound.Addresses{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}
	s.Spec.TargetServer = url
	s.Spec.SecretKeyRef.Name, s.Spec.SecretKeyRef.Key = "gcp", "key.json"
	s.Spec.GoogleCloud = &metricsv1.GoogleCloudProvider{Project: "shop-prod"}
	return s
}

// both hands requests for tokens to one handler, and the others to another.
func both(token, query http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			token(w, r)
			return
		}
		query(w, r)
	}
}

// token is Google's answer to a signed assertion.
func token(w http.ResponseWriter, r *http.Request) {
	answer(http.StatusOK, `{"access_token":"hunter3","expires_in":3599,"token_type":"Bearer"}`)(w, r)
}

// serve starts a server that hands out tokens, and returns what queries it.
func serve(t *testing.T, handler http.HandlerFunc) metric.Querier {
	t.Helper()
	server := httptest.NewServer(both(token, handler))
	t.Cleanup(server.Close)
	return open(t, reach(t, server.URL))
}

func open(t *testing.T, s connect.Server) metric.Querier {
	t.Helper()
	q, err := googlecloud.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// answer is a handler that answers every query alike.
func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// success is Prometheus's envelope of a result.
func success(kind, result string) string {
	return `{"status":"success","data":{"resultType":"` + kind + `","result":` + result + `},"warnings":["partial"]}`
}

func TestATokenIsAskedForOnceAndShownWithEachQuery(t *testing.T) {
	asked, tokens := 0, 0
	server := httptest.NewServer(both(func(w http.ResponseWriter, r *http.Request) {
		tokens++
		if got := r.PostFormValue("grant_type"); got != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
			t.Errorf("grant_type = %q", got)
		}
		if r.Header.Get("X-Goog-User-Project") != "" {
			t.Error("the server's headers are sent to the token server")
		}
		claims := claimsOf(t, r.PostFormValue("assertion"))
		want := map[string]any{"iss": "keptn@shop-prod.iam.gserviceaccount.com", "scope": "https://www.googleapis.com/auth/monitoring.read", "aud": "http://" + r.Host + "/token"}
		if diff := cmp.Diff(want, claims, cmpopts.IgnoreMapEntries(func(k string, _ any) bool { return k == "exp" || k == "iat" })); diff != "" {
			t.Errorf("claims (-want +got):\n%s", diff)
		}
		token(w, r)
	}, func(w http.ResponseWriter, r *http.Request) {
		asked++
		if got := r.Header.Get("Authorization"); got != "Bearer hunter3" {
			t.Errorf("Authorization = %q", got)
		}
		if got := r.Header.Get("X-Goog-User-Project"); got != "billing" {
			t.Errorf("X-Goog-User-Project = %q", got)
		}
		answer(200, success("scalar", `[1700000000.5,"1"]`))(w, r)
	}))
	defer server.Close()
	s := reach(t, server.URL)
	s.Spec.Headers = map[string]string{"X-Goog-User-Project": "billing"}
	q := open(t, s)
	for range 2 {
		if _, err := q.Query(t.Context(), metric.Query{Expr: "1", At: at()}); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 2 || tokens != 1 {
		t.Errorf("asked %d times with %d tokens, want 2 with 1", asked, tokens)
	}
}

// claimsOf is the payload of a JSON Web Token.
func claimsOf(t *testing.T, jwt string) map[string]any {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JSON Web Token", jwt)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestAQueryIsAnInstantOrARange(t *testing.T) {
	cases := map[string]struct {
		reason       string
		window, step time.Duration
		path         string
		want         string
	}{
		"Instant": {"No window is an instant.", 0, 0, queryPath,
			`{"query":"sum(up)","time":"2023-11-14T22:13:20.5Z"}`},
		"Window": {"A window without a step is asked for by its two ends.", time.Minute, 0, rangePath,
			`{"query":"sum(up)","start":"2023-11-14T22:12:20.5Z","end":"2023-11-14T22:13:20.5Z","step":"60"}`},
		"Step": {"A step is in seconds.", time.Minute, 1500 * time.Millisecond, rangePath,
			`{"query":"sum(up)","start":"2023-11-14T22:12:20.5Z","end":"2023-11-14T22:13:20.5Z","step":"1.5"}`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			q := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				if r.Method != http.MethodPost || r.URL.Path != tc.path || r.Header.Get("Content-Type") != "application/json" {
					t.Errorf("%s: asked %s %s with %s", tc.reason, r.Method, r.URL.Path, r.Header.Get("Content-Type"))
				}
				if diff := cmp.Diff(tc.want, string(body)); diff != "" {
					t.Errorf("%s: body (-want +got):\n%s", tc.reason, diff)
				}
				answer(200, success("matrix", `[{"metric":{},"values":[[1700000000,"1"]]}]`))(w, r)
			})
			_, err := q.Query(t.Context(), metric.Query{Expr: "sum(up)", At: at(), Window: tc.window, Step: tc.step})
			if tc.window > 0 && err != nil {
				t.Error(err)
			}
		})
	}
}

func TestResultsAreSeries(t *testing.T) {
	sample := func(seconds int64, value float64) metric.Sample {
		return metric.Sample{Time: time.Unix(seconds, 0).UTC(), Value: value}
	}
	two := `[{"metric":{"__name__":"up","pod":"a"},"values":[[1700000000,"1"],[1700000060,"2"]]},{"metric":{"pod":"b"},"values":[[1700000060,"NaN"]]},{"metric":{"pod":"c"},"values":[]}]`
	cases := map[string]struct {
		reason       string
		window, step time.Duration
		body         string
		want         []metric.Series
	}{
		"Scalar": {"A scalar is one series without labels.", 0, 0,
			success("scalar", `[1700000000,"0.5"]`), []metric.Series{{Samples: []metric.Sample{sample(1_700_000_000, 0.5)}}}},
		"Vector": {"Several series are kept in their order, with their labels.", 0, 0,
			success("vector", `[{"metric":{"pod":"b"},"value":[1700000000,"1"]},{"metric":{"pod":"a"},"value":[1700000000,"+Inf"]}]`),
			[]metric.Series{
				{Labels: map[string]string{"pod": "b"}, Samples: []metric.Sample{sample(1_700_000_000, 1)}},
				{Labels: map[string]string{"pod": "a"}, Samples: []metric.Sample{sample(1_700_000_000, math.Inf(1))}},
			}},
		"Window": {"Without a step, a window is the newest sample of each series that has any.", time.Minute, 0,
			success("matrix", two),
			[]metric.Series{
				{Labels: map[string]string{"__name__": "up", "pod": "a"}, Samples: []metric.Sample{sample(1_700_000_060, 2)}},
				{Labels: map[string]string{"pod": "b"}, Samples: []metric.Sample{sample(1_700_000_060, math.NaN())}},
			}},
		"Step": {"With a step all samples are kept.", time.Minute, time.Minute,
			success("matrix", two),
			[]metric.Series{
				{Labels: map[string]string{"__name__": "up", "pod": "a"}, Samples: []metric.Sample{sample(1_700_000_000, 1), sample(1_700_000_060, 2)}},
				{Labels: map[string]string{"pod": "b"}, Samples: []metric.Sample{sample(1_700_000_060, math.NaN())}},
			}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := serve(t, answer(200, tc.body)).Query(t.Context(), metric.Query{Expr: "x", At: at(), Window: tc.window, Step: tc.step})
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			if diff := cmp.Diff(tc.want, got.Series, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff([]string{"partial"}, got.Warnings); diff != "" {
				t.Errorf("%s: warnings (-want +got):\n%s", tc.reason, diff)
			}
			if !json.Valid(got.Raw) || !strings.Contains(tc.body, string(got.Raw)) {
				t.Errorf("%s: raw = %s, want the result as it came", tc.reason, got.Raw)
			}
		})
	}
}

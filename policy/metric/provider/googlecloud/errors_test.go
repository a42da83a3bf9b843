package googlecloud_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/provider/googlecloud"
)

// failure is Prometheus's envelope of an error.
func failure(kind, message string) string {
	return `{"status":"error","errorType":"` + kind + `","error":"` + message + `"}`
}

// status is Google's envelope of an error.
func status(code int, name, message string) string {
	return fmt.Sprintf(`{"error":{"code":%d,"message":%q,"status":%q}}`, code, message, name)
}

func TestErrorsAreToldApart(t *testing.T) {
	three := success("vector", `[{"metric":{},"value":[1,"1"]},{"metric":{},"value":[1,"1"]},{"metric":{},"value":[1,"1"]}]`)
	cases := map[string]struct {
		reason  string
		handler http.HandlerFunc
		want    error
		says    string
	}{
		"NoSample":      {"An empty vector is no data, never a zero.", answer(200, success("vector", `[]`)), metric.ErrNoData, "no sample"},
		"BadQuery":      {"A parse error is the author's, in the server's words.", answer(400, failure("bad_data", "1:5: parse error: unexpected end of input")), metric.ErrBadQuery, "1:5: parse error"},
		"Execution":     {"So is an expression that cannot be evaluated.", answer(422, failure("execution", "duplicate series")), metric.ErrBadQuery, "duplicate series"},
		"Google400":     {"Google has words of its own for it.", answer(400, status(400, "INVALID_ARGUMENT", "unknown metric type")), metric.ErrBadQuery, "unknown metric type"},
		"NoProject":     {"A project that is not there is the administrator's error.", answer(404, status(404, "NOT_FOUND", "Project not found: shop-prod")), metric.ErrConfig, "googleCloud.project"},
		"Precondition":  {"Google's other errors keep their words.", answer(412, status(412, "FAILED_PRECONDITION", "not yet")), metric.ErrBadResponse, "not yet"},
		"GaveUp":        {"A query that took longer than the server allows.", answer(400, failure("timeout", "query timed out")), metric.ErrTimeout, "query timed out"},
		"ErrorInPeace":  {"An error is one, whatever its status.", answer(200, failure("internal", "shard down")), metric.ErrUnreachable, "shard down"},
		"Range":         {"A range of samples has no single instant.", answer(200, success("matrix", `[]`)), metric.ErrBadQuery, "avg_over_time"},
		"String":        {"A string is no number.", answer(200, success("string", `[1,"x"]`)), metric.ErrBadQuery, "string"},
		"Histogram":     {"Nor is a native histogram.", answer(200, success("vector", `[{"metric":{},"histogram":[1,{"count":"1"}]}]`)), metric.ErrBadQuery, "histogram"},
		"OtherType":     {"Nor is a type that PromQL does not have.", answer(200, success("tree", `[]`)), metric.ErrBadResponse, "tree"},
		"HalfASample":   {"A sample without a value is no zero.", answer(200, success("vector", `[{"metric":{},"value":[1]}]`)), metric.ErrBadResponse, "1 parts"},
		"NoTime":        {"One without a time cannot be placed.", answer(200, success("scalar", `[null,"1"]`)), metric.ErrBadResponse, "time"},
		"NoNumber":      {"One that is no number is none.", answer(200, success("scalar", `[1,"many"]`)), metric.ErrBadResponse, "many"},
		"Unauthorized":  {"A token that the server refuses.", answer(401, status(401, "UNAUTHENTICATED", "hunter3")), metric.ErrUnauthorized, "401"},
		"Forbidden":     {"An account without the role.", answer(403, status(403, "PERMISSION_DENIED", "hunter3")), metric.ErrUnauthorized, "403"},
		"RateLimited":   {"A quota that is used up.", answer(429, status(429, "RESOURCE_EXHAUSTED", "quota")), metric.ErrRateLimited, "rate limited"},
		"Internal":      {"A server error is no answer.", answer(500, status(500, "INTERNAL", "oops")), metric.ErrUnreachable, "500"},
		"NotFound":      {"A wrong path is a wrong address.", answer(404, "404 page not found"), metric.ErrBadResponse, "404"},
		"Page":          {"A page in place of JSON is one too.", answer(200, "<html>Sign in</html>"), metric.ErrBadResponse, "URL"},
		"OtherJSON":     {"So is JSON of another API.", answer(200, `{"data":{}}`), metric.ErrBadResponse, "targetServer"},
		"Truncated":     {"Half an answer is none.", answer(200, three[:len(three)/2]), metric.ErrBadResponse, "URL"},
		"TooManySeries": {"A query without aggregation must not fill the memory.", answer(200, three), metric.ErrTooManySeries, "3"},
		"TooLarge":      {"Nor must a huge answer.", answer(200, strings.Repeat("x", 5000)), metric.ErrTooManySeries, "4000 bytes"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			asked := 0
			server := httptest.NewServer(both(token, func(w http.ResponseWriter, r *http.Request) {
				asked++
				tc.handler(w, r)
			}))
			defer server.Close()
			s := reach(t, server.URL)
			s.MaxSeries, s.MaxBytes = 2, 4000
			_, err := open(t, s).Query(t.Context(), metric.Query{Expr: "x", At: at()})
			if !errors.Is(err, tc.want) {
				t.Fatalf("%s: error %v, want %v", tc.reason, err, tc.want)
			}
			if !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter") {
				t.Errorf("%s: error %q, want it to say %q and no secret", tc.reason, err, tc.says)
			}
			if asked != 1 {
				t.Errorf("%s: asked %d times, want once", tc.reason, asked)
			}
		})
	}
}

func TestAServerThatEndsAQueryIsUp(t *testing.T) {
	for reason, tc := range map[string]struct {
		handler http.HandlerFunc
		want    error
		up      bool
	}{
		"The query took longer than is allowed.":   {answer(503, failure("timeout", "query timed out")), metric.ErrTimeout, true},
		"Other statuses say so too.":               {answer(400, failure("canceled", "query was canceled")), metric.ErrTimeout, true},
		"A server that is out of order is not up.": {answer(503, failure("unavailable", "shards are away")), metric.ErrUnreachable, false},
	} {
		server := httptest.NewServer(both(token, tc.handler))
		_, err := open(t, reach(t, server.URL)).Query(t.Context(), metric.Query{Expr: "x", At: at()})
		server.Close()
		var answered *metric.AnsweredError
		if !errors.Is(err, tc.want) || errors.As(err, &answered) != tc.up {
			t.Errorf("%s: error %v, want %v of a server that is up: %t", reason, err, tc.want, tc.up)
		}
	}
}

func TestTokensThatAreNotGivenAreToldApart(t *testing.T) {
	cases := map[string]struct {
		reason string
		token  http.HandlerFunc
		want   error
		says   string
	}{
		"Refused":      {"A key that was deleted.", answer(400, `{"error":"invalid_grant","error_description":"hunter3"}`), metric.ErrUnauthorized, "400 invalid_grant"},
		"OddCode":      {"What is no error code can be what was sent.", answer(400, `{"error":"hunter3: x"}`), metric.ErrUnauthorized, "400 without an error code"},
		"Unauthorized": {"The usual status.", answer(401, "hunter3"), metric.ErrUnauthorized, "401"},
		"RateLimited":  {"A token server that wants to be left alone.", answer(429, ""), metric.ErrRateLimited, "rate limited"},
		"Internal":     {"A token server that is out of order.", answer(503, ""), metric.ErrUnreachable, "503"},
		"Page":         {"A page is no token.", answer(200, "<html>"), metric.ErrBadResponse, "token_uri"},
		"Empty":        {"Nor is an answer without one.", answer(200, `{}`), metric.ErrBadResponse, "without a token"},
		"Redirect":     {"An assertion is not carried to another host.", http.RedirectHandler("http://127.0.0.1:1/x", http.StatusFound).ServeHTTP, metric.ErrBadResponse, "token"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(both(tc.token, func(http.ResponseWriter, *http.Request) { t.Error("the server was asked without a token") }))
			defer server.Close()
			_, err := open(t, reach(t, server.URL)).Query(t.Context(), metric.Query{Expr: "x", At: at()})
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter") {
				t.Errorf("%s: error %v, want %v that says %q and no secret", tc.reason, err, tc.want, tc.says)
			}
		})
	}
}

func TestATokenIsAskedForAtAllowedAddressesOnly(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the server was asked") }))
	defer server.Close()
	s := reach(t, "https://monitoring.example.com")
	s.Secret["key.json"] = account(t, server.URL, nil)
	s.Addresses = outbound.Addresses{}
	_, err := open(t, s).Query(t.Context(), metric.Query{Expr: "x", At: at()})
	if !errors.Is(err, metric.ErrForbiddenAddress) {
		t.Errorf("error %v, want ErrForbiddenAddress", err)
	}
}

func TestARateLimitSaysHowLongToWait(t *testing.T) {
	q := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	_, err := q.Query(t.Context(), metric.Query{Expr: "x", At: at()})
	var limited *metric.RateLimitedError
	if !errors.As(err, &limited) || limited.RetryAfter != 7*time.Second {
		t.Errorf("error %v, want to retry after 7s", err)
	}
}

func TestAQueryEndsWithItsContext(t *testing.T) {
	release := make(chan struct{})
	hang := func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see that the client has gone
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	cases := map[string]struct {
		reason  string
		handler http.HandlerFunc
	}{
		"Query": {"A server that does not answer.", both(token, hang)},
		"Token": {"A token server that does not.", both(hang, answer(200, ""))},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(tc.handler)
			defer server.Close()
			q := open(t, reach(t, server.URL))
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := q.Query(ctx, metric.Query{Expr: "x", At: at()}); !errors.Is(err, metric.ErrTimeout) {
				t.Errorf("%s: error %v, want ErrTimeout", tc.reason, err)
			}
		})
	}
	close(release)
}

func TestAProviderThatCannotBeIsRefused(t *testing.T) {
	change := func(name, value string) func(*connect.Server) {
		return func(s *connect.Server) {
			s.Secret["key.json"] = account(t, "https://x", map[string]string{name: value})
		}
	}
	cases := map[string]struct {
		reason string
		change func(*connect.Server)
		says   string
	}{
		"NoProject":    {"Metrics live in a project.", func(s *connect.Server) { s.Spec.GoogleCloud = nil }, "googleCloud.project"},
		"DotsProject":  {"Dots would be another path.", func(s *connect.Server) { s.Spec.GoogleCloud.Project = ".." }, "googleCloud.project"},
		"NoSecret":     {"The controller's own identity is not the namespace's.", func(s *connect.Server) { s.Secret = nil }, "secretKeyRef"},
		"NoKey":        {"A Secret without the key.", func(s *connect.Server) { s.Spec.SecretKeyRef.Key = "x" }, `"x"`},
		"NoJSON":       {"What is no JSON is not repeated.", func(s *connect.Server) { s.Secret["key.json"] = []byte("hunter2") }, "service_account"},
		"External":     {"An external account names files and URLs to read.", change("type", "external_account"), "service_account"},
		"User":         {"A user's credentials are a person's.", change("type", "authorized_user"), "service_account"},
		"NoEmail":      {"A key is an account's.", change("client_email", ""), "service_account"},
		"NoPrivateKey": {"A key that cannot sign.", change("private_key", "hunter2"), "private_key"},
		"OddKey":       {"Nor can what is no key.", change("private_key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("hunter2")}))), "private_key"},
		"OddTokenURI":  {"Only HTTP is spoken.", change("token_uri", "file:///etc/passwd"), "token_uri"},
		"NoURL":        {"And only at the server too.", func(s *connect.Server) { s.Spec.TargetServer = "ftp://x" }, "targetServer"},
		"AmbientElsewhere": {"The controller's token is not shown to whom the namespace chooses.",
			func(s *connect.Server) {
				s.Secret, s.Ambient, s.Spec.TargetServer = nil, true, "https://monitoring.googleapis.com.example.com"
			}, "no server but Google's"},
		"AmbientInClear": {"Nor to whom may listen.",
			func(s *connect.Server) {
				s.Secret, s.Ambient, s.Spec.TargetServer = nil, true, "http://monitoring.googleapis.com"
			}, "no server but Google's"},
		"AmbientUnverified": {"Nor to whom says to be Google.",
			func(s *connect.Server) {
				s.Secret, s.Ambient, s.Spec.TargetServer, s.Spec.InsecureSkipTLSVerify = nil, true, "", true
			}, "no server but Google's"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := reach(t, "http://127.0.0.1:1")
			tc.change(&s)
			_, err := googlecloud.New(s)
			if !errors.Is(err, metric.ErrConfig) || !strings.Contains(fmt.Sprint(err), tc.says) || strings.Contains(fmt.Sprint(err), "hunter") {
				t.Errorf("%s: error %v, want ErrConfig that says %q and no secret", tc.reason, err, tc.says)
			}
		})
	}
}

func TestTheProcessIdentityIsUsedWhereItMay(t *testing.T) {
	// The process asks for its token over its own connection, the server's is TLS.
	tokens := httptest.NewServer(http.HandlerFunc(token))
	defer tokens.Close()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer hunter3" {
			t.Errorf("Authorization = %q", got)
		}
		answer(200, success("scalar", `[1,"1"]`))(w, r)
	}))
	defer server.Close()
	s := reach(t, server.URL)
	s.Secret, s.Ambient = nil, true
	s.Certificates = connect.Secret{"ca.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})}
	file := filepath.Join(t.TempDir(), "key.json")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", file)
	ask := func() error {
		q, err := googlecloud.NewAt(s, "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		_, err = q.Query(t.Context(), metric.Query{Expr: "1", At: at()})
		return err
	}
	if err := ask(); !errors.Is(err, metric.ErrUnauthorized) || !strings.Contains(err.Error(), "no identity in Google Cloud") {
		t.Errorf("without an identity: error %v, want ErrUnauthorized", err)
	}
	if err := os.WriteFile(file, account(t, tokens.URL, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ask(); err != nil {
		t.Error(err)
	}
}

func TestCertificatesAreVerifiedUnlessToldOtherwise(t *testing.T) {
	server := httptest.NewTLSServer(both(token, answer(200, success("scalar", `[1,"1"]`))))
	defer server.Close()
	s := reach(t, server.URL)
	if _, err := open(t, s).Query(t.Context(), metric.Query{Expr: "x", At: at()}); !errors.Is(err, metric.ErrUnreachable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error %v, want one about the certificate", err)
	}
	s.Spec.InsecureSkipTLSVerify = true
	if _, err := open(t, s).Query(t.Context(), metric.Query{Expr: "x", At: at()}); err != nil {
		t.Errorf("with insecureSkipTlsVerify: %v", err)
	}
}

func FuzzAnswersOfAnyBytesAreAResultOrAKnownError(f *testing.F) {
	f.Add(200, []byte(success("matrix", `[{"metric":{"a":"b"},"values":[[2,"1"],[1,"NaN"]]},null]`)))
	f.Add(200, []byte(success("vector", `[null]`)))
	f.Add(200, []byte(success("scalar", `null`)))
	f.Add(400, []byte(failure("bad_data", "no")))
	f.Add(404, []byte(status(404, "NOT_FOUND", "no")))
	var code int
	var text []byte
	server := httptest.NewServer(both(token, func(w http.ResponseWriter, r *http.Request) { answer(code, string(text))(w, r) }))
	f.Cleanup(server.Close)
	q, err := googlecloud.New(reach(f, server.URL))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		code, text = 200+(status%400+400)%400, body
		got, err := q.Query(t.Context(), metric.Query{Expr: "x", At: at(), Window: time.Hour, Step: time.Minute})
		switch {
		case err != nil && metric.Reason(err) == "Failed":
			t.Errorf("error %v is none of package metric's", err)
		case err == nil && len(got.Samples()) == 0:
			t.Error("a result without a sample")
		}
	})
}

package azuremonitor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/provider/azuremonitor"
)

func TestErrorsAreToldApart(t *testing.T) {
	one := instance("a", `{"timeStamp":"2023-11-14T22:08:00Z","total":1}`)
	cases := map[string]struct {
		reason  string
		handler http.HandlerFunc
		want    error
		says    string
	}{
		"NoSeries":      {"No series is no data, never a zero.", answer(200, metrics()), metric.ErrNoData, "no sample"},
		"NoValue":       {"Nor is one without values of the aggregation.", answer(200, metrics(instance("a", `{"timeStamp":"2023-11-14T22:08:00Z","average":1}`))), metric.ErrNoData, "no sample"},
		"BadQuery":      {"A metric that does not exist is the author's error, in Azure's words.", answer(400, `{"code":"BadRequest","message":"Failed to find metric configuration for Http5xx"}`), metric.ErrBadQuery, "BadRequest: Failed to find metric configuration"},
		"NoResource":    {"So is a resource that does not; the Resource Manager puts it below error.", answer(404, `{"error":{"code":"ResourceNotFound","message":"The resource was not found"}}`), metric.ErrBadQuery, "ResourceNotFound: The resource"},
		"MetricFailed":  {"A metric can fail on its own.", answer(200, strings.Replace(metrics(), `"errorCode":"Success"`, `"errorCode":"Throttled","errorMessage":"too busy"`, 1)), metric.ErrBadResponse, "too busy"},
		"Unauthorized":  {"A token that the server refuses.", answer(401, "hunter3"), metric.ErrUnauthorized, "401"},
		"Forbidden":     {"An application without the role.", answer(403, "hunter3"), metric.ErrUnauthorized, "403"},
		"RateLimited":   {"A server that wants to be left alone.", answer(429, ""), metric.ErrRateLimited, "rate limited"},
		"Internal":      {"A server error is no answer.", answer(500, ""), metric.ErrUnreachable, "500"},
		"Unavailable":   {"Nor is a gateway's.", answer(503, "no healthy upstream"), metric.ErrUnreachable, "503"},
		"NotFound":      {"A wrong path is a wrong address.", answer(404, "404 page not found"), metric.ErrBadResponse, "404"},
		"Conflict":      {"Another status has no meaning here.", answer(409, `{"code":"Conflict","message":"x"}`), metric.ErrBadResponse, "409"},
		"Page":          {"A page in place of JSON is a wrong address too.", answer(200, "<html>Sign in</html>"), metric.ErrBadResponse, "targetServer"},
		"Truncated":     {"Half an answer is none.", answer(200, metrics(one)[:300]), metric.ErrBadResponse, "targetServer"},
		"NoTime":        {"A value without a time cannot be placed.", answer(200, metrics(instance("a", `{"total":1}`))), metric.ErrBadResponse, "time"},
		"TooManySeries": {"A filter must not fill the memory.", answer(200, metrics(one, one, one)), metric.ErrTooManySeries, "3"},
		"TooLarge":      {"Nor must a huge answer.", answer(200, strings.Repeat("x", 5000)), metric.ErrTooManySeries, "4000 bytes"},
		"CutConnection": {"An answer that breaks off can be asked for again.", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			answer(200, "{")(w, r)
		}, metric.ErrUnreachable, "reading the answer"},
		"Redirect": {"A redirect could hand the token to another host.", http.RedirectHandler("https://127.0.0.1:1/x", http.StatusFound).ServeHTTP, metric.ErrBadResponse, "redirects"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			asked := 0
			server := httptest.NewTLSServer(both(token, func(w http.ResponseWriter, r *http.Request) {
				asked++
				tc.handler(w, r)
			}))
			defer server.Close()
			s := reach(server)
			s.MaxSeries, s.MaxBytes = 2, 4000
			_, err := open(t, s).Query(t.Context(), metric.Query{Expr: expr, At: at()})
			if !errors.Is(err, tc.want) {
				t.Fatalf("%s: error %v, want %v", tc.reason, err, tc.want)
			}
			if !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: error %q, want it to say %q in a line and no secret", tc.reason, err, tc.says)
			}
			if asked != 1 {
				t.Errorf("%s: asked %d times, want once", tc.reason, asked)
			}
		})
	}
}

func TestTokensThatAreNotGivenAreToldApart(t *testing.T) {
	cases := map[string]struct {
		reason string
		token  http.HandlerFunc
		want   error
		says   string
	}{
		"Refused":      {"A tenant that does not know the application.", answer(400, `{"error":"unauthorized_client","error_description":"hunter2","error_codes":[700016]}`), metric.ErrUnauthorized, "400 AADSTS700016"},
		"Unauthorized": {"A wrong secret.", answer(401, `{"error":"invalid_client","error_description":"hunter2"}`), metric.ErrUnauthorized, "401"},
		"RateLimited":  {"A token server that wants to be left alone.", answer(429, ""), metric.ErrRateLimited, "rate limited"},
		"Internal":     {"A token server that is out of order.", answer(503, ""), metric.ErrUnreachable, "503"},
		"Page":         {"A page is no token.", answer(200, "<html>hunter2"), metric.ErrBadResponse, "no token"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			asked := 0
			server := httptest.NewTLSServer(both(func(w http.ResponseWriter, r *http.Request) {
				asked++
				tc.token(w, r)
			}, func(http.ResponseWriter, *http.Request) { t.Error("the server was asked without a token") }))
			defer server.Close()
			_, err := open(t, reach(server)).Query(t.Context(), metric.Query{Expr: expr, At: at()})
			if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter") {
				t.Errorf("%s: error %v, want %v that says %q and no secret", tc.reason, err, tc.want, tc.says)
			}
			if asked != 1 {
				t.Errorf("%s: asked for a token %d times, want once", tc.reason, asked)
			}
		})
	}
}

func TestARateLimitSaysHowLongToWait(t *testing.T) {
	q := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	_, err := q.Query(t.Context(), metric.Query{Expr: expr, At: at()})
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
			server := httptest.NewTLSServer(tc.handler)
			defer server.Close()
			q := open(t, reach(server))
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if _, err := q.Query(ctx, metric.Query{Expr: expr, At: at()}); !errors.Is(err, metric.ErrTimeout) {
				t.Errorf("%s: error %v, want ErrTimeout", tc.reason, err)
			}
		})
	}
	close(release)
}

func TestWrongQueriesAreNotAsked(t *testing.T) {
	cases := map[string]struct{ reason, expr, says string }{
		"Empty":         {"There is nothing to ask.", " ", "empty"},
		"NoYAML":        {"A query that cannot be read.", "resource: [", "YAML"},
		"Typo":          {"A field that is not known would be lost.", "agregation: Total", "agregation"},
		"NoMetric":      {"A resource has many metrics.", "resource: " + resource + "\naggregation: Total", "metric"},
		"NoAggregation": {"And a metric many aggregations.", "resource: " + resource + "\nmetric: x", "Average, Count, Maximum, Minimum, Total"},
		"NoResource":    {"A name is no resource ID.", "resource: checkout\nmetric: x\naggregation: Total", "/subscriptions/"},
		"OtherPath":     {"Dots would be another path.", "resource: /subscriptions/s1/../../x\nmetric: x\naggregation: Total", `".."`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			q := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was asked") })
			_, err := q.Query(t.Context(), metric.Query{Expr: tc.expr, At: at()})
			if !errors.Is(err, metric.ErrBadQuery) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: error %v, want ErrBadQuery that says %q", tc.reason, err, tc.says)
			}
		})
	}
}

func TestAProviderThatCannotBeIsRefused(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	cases := map[string]struct {
		reason string
		change func(*connect.Server)
		says   string
	}{
		"NoSecret":       {"The controller's own identity is not the namespace's.", func(s *connect.Server) { s.Secret = nil }, "secretKeyRef"},
		"NoTenant":       {"An application belongs to a tenant.", func(s *connect.Server) { delete(s.Secret, "tenantID") }, `"tenantID"`},
		"NoClient":       {"And has an ID.", func(s *connect.Server) { delete(s.Secret, "clientID") }, `"clientID"`},
		"NoClientSecret": {"And a secret.", func(s *connect.Server) { s.Secret["clientSecret"] = []byte("\n") }, `"clientSecret"`},
		"OddTenant":      {"A tenant cannot be another path.", func(s *connect.Server) { s.Secret["tenantID"] = []byte("../hunter2") }, "tenantID"},
		"NoURL":          {"Only HTTP is spoken.", func(s *connect.Server) { s.Spec.TargetServer = "ftp://x" }, "targetServer"},
		"InClear":        {"A token is not shown to whom may listen.", func(s *connect.Server) { s.Spec.TargetServer = "http://management.azure.com" }, "https"},
		"AmbientElsewhere": {"The controller's token is not shown to whom the namespace chooses.",
			func(s *connect.Server) {
				s.Secret, s.Ambient, s.Spec.TargetServer = nil, true, "https://management.azure.com.example.com"
			}, "no server but Azure's"},
		"AmbientUnverified": {"Nor to whom says to be Azure.",
			func(s *connect.Server) { s.Secret, s.Ambient, s.Spec.InsecureSkipTLSVerify = nil, true, true }, "no server but Azure's"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := reach(server)
			tc.change(&s)
			_, err := azuremonitor.New(s)
			if !errors.Is(err, metric.ErrConfig) || !strings.Contains(fmt.Sprint(err), tc.says) || strings.Contains(fmt.Sprint(err), "hunter") {
				t.Errorf("%s: error %v, want ErrConfig that says %q and no secret", tc.reason, err, tc.says)
			}
		})
	}
}

func TestTheCloudsAreKnownByTheirServers(t *testing.T) {
	for _, server := range []string{"", "https://management.azure.com", "https://management.usgovcloudapi.net/", "https://management.chinacloudapi.cn"} {
		t.Setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
		s := connect.Server{Ambient: true}
		s.Spec.TargetServer = server
		if _, err := azuremonitor.New(s); err != nil {
			t.Errorf("%q: %v", server, err)
		}
	}
}

func TestAProcessWithoutAnIdentityIsNotAuthorized(t *testing.T) {
	server := httptest.NewTLSServer(both(token, func(http.ResponseWriter, *http.Request) { t.Error("the server was asked") }))
	defer server.Close()
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
	t.Setenv("AZURE_TENANT_ID", tenant)
	t.Setenv("AZURE_CLIENT_ID", "process")
	t.Setenv("AZURE_CLIENT_SECRET", "hunter4")
	s := reach(server)
	s.Secret, s.Ambient = nil, true
	// The process asks over its own connection, which does not trust the server.
	_, err := open(t, s).Query(t.Context(), metric.Query{Expr: expr, At: at()})
	if !errors.Is(err, metric.ErrUnauthorized) || !strings.Contains(err.Error(), "no identity in Azure") || strings.Contains(err.Error(), "hunter") {
		t.Errorf("error %v, want ErrUnauthorized and no secret", err)
	}
}

func TestCertificatesAreVerifiedUnlessToldOtherwise(t *testing.T) {
	server := httptest.NewTLSServer(both(token, answer(200, metrics(instance("a", `{"timeStamp":"2023-11-14T22:08:00Z","total":1}`)))))
	defer server.Close()
	s := reach(server)
	s.Certificates = nil
	if _, err := open(t, s).Query(t.Context(), metric.Query{Expr: expr, At: at()}); !errors.Is(err, metric.ErrUnreachable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error %v, want one about the certificate", err)
	}
	s.Spec.InsecureSkipTLSVerify = true
	if _, err := open(t, s).Query(t.Context(), metric.Query{Expr: expr, At: at()}); err != nil {
		t.Errorf("with insecureSkipTlsVerify: %v", err)
	}
}

func FuzzAnswersOfAnyBytesAreAResultOrAKnownError(f *testing.F) {
	f.Add(200, []byte(metrics(instance("a", `{"timeStamp":"2023-11-14T22:08:00Z","total":1},null`), "null")))
	f.Add(200, []byte(`{"value":[null,{"name":null,"timeseries":[{"metadatavalues":[null],"data":[{}]}]}]}`))
	f.Add(400, []byte(`{"code":"BadRequest","message":"no"}`))
	f.Add(404, []byte(`{"error":{"code":"x","message":"no"}}`))
	var code int
	var text []byte
	server := httptest.NewTLSServer(both(token, func(w http.ResponseWriter, r *http.Request) { answer(code, string(text))(w, r) }))
	f.Cleanup(server.Close)
	q, err := azuremonitor.NewAt(reach(server), server.URL)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		code, text = 200+(status%400+400)%400, body
		got, err := q.Query(t.Context(), metric.Query{Expr: expr, At: at(), Window: time.Hour, Step: time.Minute})
		switch {
		case err != nil && metric.Reason(err) == "Failed":
			t.Errorf("error %v is none of package metric's", err)
		case err == nil && len(got.Samples()) == 0:
			t.Error("a result without a sample")
		}
	})
}

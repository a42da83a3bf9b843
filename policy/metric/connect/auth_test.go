package connect_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

func TestCredentialsAreSent(t *testing.T) {
	cases := map[string]struct {
		reason, key string
		data        map[string]string
		want        string
	}{
		"Basic":  {"As Keptn reads them.", "", map[string]string{"user": "u", "password": "p\n"}, "Basic dTpw"},
		"Bearer": {"A token, without the line break that a file ends with.", "t", map[string]string{"t": "abc\n"}, "Bearer abc"},
		"Both":   {"A user goes before a token, so that Keptn's Secrets mean what they meant.", "t", map[string]string{"user": "u", "password": "p", "t": "abc"}, "Basic dTpw"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got string
			s := secret(serve(t, func(w http.ResponseWriter, r *http.Request) {
				got = r.Header.Get("Authorization")
				fmt.Fprint(w, "{}")
			}), tc.key, tc.data)
			if err := ask(t, s); err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("%s: Authorization = %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestAServerWithoutASecretIsAskedWithoutCredentials(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got, sent := r.Header["Authorization"]; sent {
			t.Errorf("Authorization = %q", got)
		}
		fmt.Fprint(w, "{}")
	})
	if err := ask(t, s); err != nil {
		t.Error(err)
	}
	optional := true
	s = secret(s, "t", nil)
	s.Secret, s.Spec.SecretKeyRef.Optional = nil, &optional
	if err := ask(t, s); err != nil {
		t.Errorf("with an optional Secret: %v", err)
	}
}

func TestCredentialsThatCannotBeAreRefused(t *testing.T) {
	asked := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was asked") })
	gone := secret(asked, "t", nil)
	gone.Secret = nil
	oauth := func(url string, data map[string]string) connect.Server {
		s := secret(asked, "", data)
		s.Spec.OAuth2 = &metricsv1.OAuth2{TokenURL: url}
		return s
	}
	client := map[string]string{"clientID": "id", "clientSecret": "hunter2"}
	cases := map[string]struct {
		reason string
		s      connect.Server
		want   error
		says   string
	}{
		"Gone":      {"A Secret that is missing must not become a question without credentials.", gone, metric.ErrConfig, `"login" is missing`},
		"NoKeys":    {"Neither way is given.", secret(asked, "t", map[string]string{"x": "hunter2"}), metric.ErrConfig, `"t"`},
		"UserAlone": {"Half of basic authentication.", secret(asked, "", map[string]string{"user": "hunter2"}), metric.ErrConfig, "user and password"},
		"Blank":     {"An empty token.", secret(asked, "t", map[string]string{"t": "\n"}), metric.ErrConfig, "token"},
		"LineBreak": {"A token of two lines would forge a header.", secret(asked, "t", map[string]string{"t": "hunter2\r\nX-Admin: 1"}), metric.ErrConfig, "line break"},
		"NoID":      {"OAuth2 takes an ID.", oauth("http://x", map[string]string{"clientSecret": "hunter2"}), metric.ErrConfig, "clientID"},
		"NoSecret":  {"And a secret.", oauth("http://x", map[string]string{"clientID": "id"}), metric.ErrConfig, "clientSecret"},
		"NoURL":     {"And a URL.", oauth("sso", client), metric.ErrConfig, "token URL"},
		"Userinfo":  {"Without credentials.", oauth("http://hunter2@sso", client), metric.ErrConfig, "token URL"},
		"Metadata":  {"The guard of addresses holds for the token too.", oauth("http://169.254.169.254/token", client), metric.ErrForbiddenAddress, "169.254.169.254"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			wantError(t, tc.reason, ask(t, tc.s), tc.want, tc.says)
		})
	}
}

// An sso is a token server that counts what it is asked.
type sso struct {
	asked  atomic.Int32
	status int
	kind   string
	body   string
	// arrived is sent to and barrier waited for by each request, where they are set.
	arrived, barrier chan struct{}
}

func (o *sso) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.asked.Add(1)
	if o.barrier != nil {
		o.arrived <- struct{}{}
		select {
		case <-o.barrier:
		case <-r.Context().Done():
			return
		}
	}
	if o.kind != "" {
		w.Header().Set("Content-Type", o.kind)
	}
	if o.status == http.StatusFound {
		w.Header().Set("Location", "/login?hunter2")
	}
	w.WriteHeader(max(o.status, 200))
	fmt.Fprint(w, o.body)
}

// withOAuth2 is a server that is asked with the token server's tokens.
func withOAuth2(t *testing.T, s connect.Server, o http.Handler) connect.Server {
	t.Helper()
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	s = secret(s, "", map[string]string{"clientID": "id", "clientSecret": "hunter2"})
	s.Spec.OAuth2 = &metricsv1.OAuth2{TokenURL: server.URL + "/token", Scopes: []string{"read", "list"}}
	return s
}

func token(expiresIn int) string {
	return fmt.Sprintf(`{"access_token":"abc","token_type":"bearer","expires_in":%d}`, expiresIn)
}

func TestATokenIsAskedForByClientCredentials(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer abc" {
			t.Errorf("Authorization = %q", got)
		}
		fmt.Fprint(w, "{}")
	})
	s.Spec.Headers = map[string]string{"X-Scope-OrgID": "a"}
	s = withOAuth2(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.Method != http.MethodPost || user != "id" || password != "hunter2" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "read list" {
			t.Errorf("asked %s by %q with %v", r.Method, user, r.Form)
		}
		if r.Header.Get("X-Scope-OrgID") != "" {
			t.Error("the provider's headers were sent to the token server")
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, token(3600))
	}))
	if err := ask(t, s); err != nil {
		t.Error(err)
	}
}

func TestATokenIsRenewedOnceItExpires(t *testing.T) {
	for expiresIn, want := range map[int]int32{3600: 1, 1: 3} { // one that is about to expire is renewed too
		o := &sso{kind: "application/json", body: token(expiresIn)}
		s := withOAuth2(t, serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }), o)
		client, err := clientOf(s)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := askBy(t, client, s.Spec.TargetServer); err != nil {
				t.Fatal(err)
			}
		}
		if got := o.asked.Load(); got != want {
			t.Errorf("a token of %d s was asked for %d times in 3 requests, want %d", expiresIn, got, want)
		}
	}
}

func TestATokenThatIsRefusedIsNotKept(t *testing.T) {
	refuse := true
	o := &sso{kind: "application/json", body: token(3600)}
	s := withOAuth2(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if refuse {
			w.WriteHeader(http.StatusUnauthorized)
		}
		fmt.Fprint(w, "{}")
	}), o)
	client, err := clientOf(s)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, "The request itself is not repeated.", askBy(t, client, s.Spec.TargetServer), metric.ErrUnauthorized, "401")
	refuse = false
	if err := askBy(t, client, s.Spec.TargetServer); err != nil {
		t.Error(err)
	}
	if got := o.asked.Load(); got != 2 {
		t.Errorf("%d tokens were asked for, want another one after the first was refused", got)
	}
}

func TestOneRequestAtATimeAsksForAToken(t *testing.T) {
	const requests = 8
	o := &sso{kind: "application/json", body: token(3600), arrived: make(chan struct{}, requests), barrier: make(chan struct{})}
	s := withOAuth2(t, serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }), o)
	client, err := clientOf(s)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range requests {
		all.Go(func() {
			if err := askBy(t, client, s.Spec.TargetServer); err != nil {
				t.Error(err)
			}
		})
	}
	<-o.arrived // one of them asks, and whoever comes now has to wait
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := connect.Request(impatient, http.MethodGet, s.Spec.TargetServer, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := connect.JSON(client, r, new(any)); !errors.Is(err, context.Canceled) {
		t.Errorf("who waits for a token leaves with its context: %v", err)
	}
	close(o.barrier)
	all.Wait()
	if got := o.asked.Load(); got != 1 {
		t.Errorf("%d requests asked for %d tokens, want one", requests, got)
	}
}

func TestErrorsOfATokenServerAreToldApart(t *testing.T) {
	cases := map[string]struct {
		reason string
		o      *sso
		want   error
		says   string
	}{
		"InvalidClient": {"The code is the protocol's.", &sso{status: 400, kind: "application/json", body: `{"error":"invalid_client","error_description":"hunter2"}`}, metric.ErrUnauthorized, "invalid_client"},
		"With200":       {"Some servers refuse with 200.", &sso{kind: "application/json", body: `{"error":"invalid_scope"}`}, metric.ErrUnauthorized, "invalid_scope"},
		"Unauthorized":  {"Others with 401.", &sso{status: 401, body: "hunter2"}, metric.ErrUnauthorized, "401"},
		"StrangeCode":   {"A code that is none could be anything that was sent.", &sso{status: 400, kind: "application/json", body: `{"error":"hunter2"}`}, metric.ErrBadResponse, "400"},
		"NotFound":      {"A wrong URL is no wrong password.", &sso{status: 404, body: "not found"}, metric.ErrBadResponse, "404"},
		"Page":          {"Nor is a page.", &sso{kind: "text/html", body: "<html>hunter2"}, metric.ErrBadResponse, "token endpoint"},
		"NoToken":       {"Nor is other JSON.", &sso{kind: "application/json", body: `{"hunter2":1}`}, metric.ErrBadResponse, "token endpoint"},
		"LineBreak":     {"A token that is no header.", &sso{kind: "application/json", body: `{"access_token":"hunter2\nX: y"}`}, metric.ErrConfig, "Authorization"},
		"RateLimited":   {"A limit is passed on.", &sso{status: 429}, metric.ErrRateLimited, "rate limited"},
		"Down":          {"A server error is no refusal.", &sso{status: 503, body: "hunter2"}, metric.ErrUnreachable, "503"},
		"Redirect":      {"The secret follows no redirect.", &sso{status: 302}, metric.ErrBadResponse, "redirects"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := withOAuth2(t, serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was asked") }), tc.o)
			wantError(t, tc.reason, ask(t, s), tc.want, tc.says)
		})
	}
}

func TestATokenServerAtANameOfLoopbackIsRefused(t *testing.T) {
	s := withOAuth2(t, connect.Server{Addresses: local()}, &sso{})
	s.Spec.OAuth2.TokenURL = strings.Replace(s.Spec.OAuth2.TokenURL, "127.0.0.1", "localhost", 1)
	s.Addresses.Allowed = nil
	s.Spec.TargetServer = "http://192.0.2.1" // never asked: there is no token
	wantError(t, "A name is looked at once it is resolved.", ask(t, s), metric.ErrForbiddenAddress, "asking for a token")
}

func TestATokenServersCertificateIsVerified(t *testing.T) {
	o := httptest.NewTLSServer(&sso{kind: "application/json", body: token(3600)})
	defer o.Close()
	s := withOAuth2(t, serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }), &sso{})
	s.Spec.OAuth2.TokenURL = o.URL
	wantError(t, "Else anyone could take the client's secret.", ask(t, s), metric.ErrUnreachable, "certificate")
	s.Spec.InsecureSkipTLSVerify = true
	if err := ask(t, s); err != nil {
		t.Error(err)
	}
}

package connect_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// now is the time that the tests tell.
func now() time.Time { return time.Unix(1_700_000_000, 0).UTC() }

// local lets tests reach their own servers.
func local() outbound.Addresses {
	return outbound.Addresses{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
}

// serve starts a server and returns how to reach it.
func serve(t *testing.T, handler http.HandlerFunc) connect.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return connect.Server{
		Spec:      metricsv1.KeptnMetricsProviderSpec{TargetServer: server.URL},
		Addresses: local(), Now: now,
	}
}

// secret adds a Secret, whose values all begin with "hunter".
func secret(s connect.Server, key string, data map[string]string) connect.Server {
	s.Spec.SecretKeyRef = corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "login"}, Key: key}
	s.Secret = connect.Secret{}
	for k, v := range data {
		s.Secret[k] = []byte(v)
	}
	return s
}

// ask sends one request as a provider does.
func ask(t *testing.T, s connect.Server) error {
	t.Helper()
	client, err := clientOf(s)
	if err != nil {
		return err
	}
	t.Cleanup(client.CloseIdleConnections)
	return askBy(t, client, s.Spec.TargetServer)
}

func clientOf(s connect.Server) (*http.Client, error) {
	if _, err := s.URL(""); err != nil {
		return nil, err
	}
	auth, err := s.Auth()
	if err != nil {
		return nil, err
	}
	return s.Client(auth)
}

func askBy(t *testing.T, client *http.Client, url string) error {
	t.Helper()
	r, err := connect.Request(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	var into map[string]any
	_, err = connect.JSON(client, r, &into)
	return err
}

// wantError checks an error's identity and text, and that it shows no secret.
func wantError(t *testing.T, reason string, err, want error, says string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: error %v, want %v", reason, err, want)
	}
	if !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter") {
		t.Errorf("%s: error %q, want it to say %q and no secret", reason, err, says)
	}
}

func TestAServerNeverShowsItsSecrets(t *testing.T) {
	s := connect.Server{
		Secret:       connect.Secret{"password": []byte("hunter2")},
		Certificates: connect.Secret{"tls.key": []byte("hunter3")},
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%o"} {
		for _, shown := range []any{s, &s, s.Secret, []connect.Server{s}} {
			got := fmt.Sprintf(verb, shown)
			for _, secret := range []string{"hunter", fmt.Sprintf("%x", "hunter"), "104 117 110", "104, 117", "150 165"} {
				if strings.Contains(got, secret) {
					t.Errorf("%s shows %s", verb, got)
				}
			}
		}
	}
}

func TestATargetServerHasToBeAnHTTPAddress(t *testing.T) {
	cases := map[string]struct {
		reason, url string
		want        error
		says        string
	}{
		"Empty":     {"There is nothing to ask.", "", metric.ErrConfig, "no http or https"},
		"NoScheme":  {"A host alone is no URL.", "prometheus:9090", metric.ErrConfig, "http://host:9090"},
		"Scheme":    {"Only HTTP is spoken.", "ftp://x", metric.ErrConfig, "no http"},
		"NoHost":    {"A port alone is no server.", "http://:9090", metric.ErrConfig, "no http"},
		"Broken":    {"What cannot be read is not repeated, for it may hold a secret.", "http://u:hunter2@x:port", metric.ErrConfig, "no http"},
		"Opaque":    {"Nor is what reads as another scheme.", "u:hunter2@x:9090", metric.ErrConfig, "no http"},
		"Userinfo":  {"Credentials in a URL end up in logs.", "http://u:hunter2@x", metric.ErrConfig, "secretKeyRef"},
		"Forbidden": {"An address is looked at before anything is asked.", "http://169.254.169.254/latest", metric.ErrForbiddenAddress, "169.254.169.254"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := connect.Server{Spec: metricsv1.KeptnMetricsProviderSpec{TargetServer: tc.url}}
			u, err := s.URL("")
			wantError(t, tc.reason, err, tc.want, tc.says)
			if u != nil {
				t.Errorf("%s: URL %v beside the error", tc.reason, u)
			}
		})
	}
}

func TestATargetServerGoesBeforeTheFallback(t *testing.T) {
	for target, want := range map[string]string{"": "https://api.example.com", "http://mine/prefix": "http://mine/prefix"} {
		s := connect.Server{Spec: metricsv1.KeptnMetricsProviderSpec{TargetServer: target}}
		if u, err := s.URL("https://api.example.com"); err != nil || u.String() != want {
			t.Errorf("targetServer %q: URL %v, %v, want %s", target, u, err, want)
		}
	}
}

func TestAValueOfTheSecretIsNeverEmpty(t *testing.T) {
	full := secret(connect.Server{}, "token", map[string]string{"token": "hunter2\n", "blank": " \n"})
	if got, err := full.Credential(); err != nil || got != "hunter2" {
		t.Errorf("Credential() = %q, %v, want it without the line break", got, err)
	}
	cases := map[string]struct {
		reason string
		err    func() (string, error)
		says   string
	}{
		"NoSecret": {"A provider that needs credentials says so.", func() (string, error) { return connect.Server{}.Value("a") }, "secretKeyRef"},
		"NoKey":    {"The key that is missing is named.", func() (string, error) { return full.Value("apiKey") }, `"apiKey"`},
		"Blank":    {"White space is no credential.", func() (string, error) { return full.Value("blank") }, `"blank"`},
		"NoRef":    {"A reference without a key leads nowhere.", func() (string, error) { return secret(full, "", nil).Credential() }, "names no key"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := tc.err()
			wantError(t, tc.reason, err, metric.ErrConfig, tc.says)
			if got != "" {
				t.Errorf("%s: value beside the error", tc.reason)
			}
		})
	}
}

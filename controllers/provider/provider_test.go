package provider_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/controllers/provider"
	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/fabric"
	metricprovider "github.com/keptn/gitops/policy/metric/provider"
)

// A cluster has providers and Secrets, and counts how often a Secret is read.
type cluster struct {
	client.Client

	clock *clocktesting.FakeClock
	reads atomic.Int32
}

func newCluster(t *testing.T, objects ...client.Object) *cluster {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(metricsv1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	c := &cluster{clock: clocktesting.NewFakeClock(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC))}
	c.Client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, inner client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			if _, ok := obj.(*corev1.Secret); ok {
				c.reads.Add(1)
			}
			return inner.Get(ctx, key, obj, opts...)
		},
	}).Build()
	return c
}

// providers ask those of the cluster, also at the loopback address.
func (c *cluster) providers(t *testing.T) *provider.Providers {
	t.Helper()
	p, err := provider.New(c, fabric.New(metricprovider.Open), c.clock, provider.Options{
		Addresses: outbound.Addresses{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// rotate changes the password in a Secret.
func (c *cluster) rotate(t *testing.T, password string) {
	t.Helper()
	s := login(password)
	if err := c.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func name(s string) types.NamespacedName { return types.NamespacedName{Namespace: "shop", Name: s} }

// login is a Secret with Keptn's keys for Prometheus.
func login(password string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "login"},
		Data:       map[string][]byte{"user": []byte("u"), "password": []byte(password)},
	}
}

// asking is a provider at an address that names the Secret.
func asking(address string, change ...func(*metricsv1.KeptnMetricsProviderSpec)) *metricsv1.KeptnMetricsProvider {
	p := &metricsv1.KeptnMetricsProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"},
		Spec:       metricsv1.KeptnMetricsProviderSpec{Type: metricsv1.Prometheus, TargetServer: address},
	}
	p.Spec.SecretKeyRef.Name = "login"
	for _, c := range change {
		c(&p.Spec)
	}
	return p
}

// A prometheus answers 4 to those who know the password, and counts its questions.
type prometheus struct {
	password atomic.Value
	asked    atomic.Int32
}

func newPrometheus(password string) *prometheus {
	p := &prometheus{}
	p.password.Store(password)
	return p
}

func (p *prometheus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.asked.Add(1)
	if _, password, _ := r.BasicAuth(); password != p.password.Load() {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[%s,"4"]}]}}`, r.FormValue("time"))
}

// question is the nth of several that are not the same.
func question(n int) metric.Query {
	return metric.Query{Expr: fmt.Sprintf("up + %d", n), At: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// expect asks and compares the value, or the error.
func expect(t *testing.T, reason string, p *provider.Providers, n int, want error) {
	t.Helper()
	result, err := p.Query(t.Context(), name("p"), question(n))
	if !errors.Is(err, want) {
		t.Fatalf("%s The error is %v, want %v", reason, err, want)
	}
	if err != nil {
		return
	}
	if value, err := result.Number(); err != nil || value != 4 {
		t.Errorf("%s The value is %g, error %v", reason, value, err)
	}
}

func TestASecretIsReadAgainAfterTenSeconds(t *testing.T) {
	prom := newPrometheus("first")
	c := newCluster(t, login("first"), asking(serve(t, prom)))
	p := c.providers(t)
	reads := func(reason string, want int32) {
		t.Helper()
		if got := c.reads.Load(); got != want {
			t.Errorf("%s It was read %d times, want %d", reason, got, want)
		}
	}
	expect(t, "The password is that of the Secret.", p, 0, nil)
	reads("The first question reads it.", 1)
	c.clock.Step(9 * time.Second)
	expect(t, "It still is.", p, 1, nil)
	reads("At 1,000 questions a second each would else ask the API server.", 1)
	c.clock.Step(time.Second)
	expect(t, "It still is.", p, 2, nil)
	reads("What is 10 s old is read again.", 2)
	if err := c.Delete(t.Context(), login("")); err != nil {
		t.Fatal(err)
	}
	c.clock.Step(10 * time.Second)
	expect(t, "A Secret that is gone is not remembered.", p, 3, metric.ErrConfig)
}

func TestAPasswordThatIsRotatedIsUsedAtOnce(t *testing.T) {
	prom := newPrometheus("first")
	c := newCluster(t, login("first"), asking(serve(t, prom)))
	p := c.providers(t)
	expect(t, "The password is right.", p, 0, nil)
	prom.password.Store("second")
	c.rotate(t, "second")
	c.clock.Step(time.Second)
	expect(t, "The one that is refused is read again, long before it would be.", p, 1, nil)
	asked := prom.asked.Load()
	expect(t, "And is kept.", p, 2, nil)
	if got := prom.asked.Load() - asked; got != 1 {
		t.Errorf("with the right password it was asked %d times", got)
	}
}

func TestAPasswordThatIsWrongIsAskedWithOnceAndReadOnceASecond(t *testing.T) {
	prom := newPrometheus("right")
	c := newCluster(t, login("wrong"), asking(serve(t, prom)))
	p := c.providers(t)
	for i := range 20 {
		expect(t, "It is refused.", p, i, metric.ErrUnauthorized)
	}
	if got := c.reads.Load(); got != 1 {
		t.Errorf("within a second the Secret was read %d times", got)
	}
	asked := prom.asked.Load()
	c.clock.Step(time.Second)
	expect(t, "It is refused still.", p, 20, metric.ErrUnauthorized)
	if got := c.reads.Load(); got != 2 {
		t.Errorf("after a second the Secret was read %d times", got)
	}
	if got := prom.asked.Load() - asked; got > 1 {
		t.Errorf("the same password was tried %d times", got)
	}
}

func TestASecretThatIsMissing(t *testing.T) {
	yes, no := true, false
	for _, tc := range []struct {
		reason   string
		optional *bool
		want     error
	}{
		{"What is named has to be there.", nil, metric.ErrConfig},
		{"Also where it is said.", &no, metric.ErrConfig},
		{"Unless it is optional: then nobody asks.", &yes, nil},
	} {
		prom := newPrometheus("")
		c := newCluster(t, asking(serve(t, prom), func(s *metricsv1.KeptnMetricsProviderSpec) { s.SecretKeyRef.Optional = tc.optional }))
		p := c.providers(t)
		expect(t, tc.reason, p, 0, tc.want)
		if asked := prom.asked.Load() > 0; asked != (tc.want == nil) {
			t.Errorf("%s The server was asked: %t", tc.reason, asked)
		}
		if tc.want == nil {
			continue
		}
		if err := c.Create(t.Context(), login("")); err != nil {
			t.Fatal(err)
		}
		prom.password.Store("")
		c.reads.Store(0)
		for i := range 100 {
			expect(t, "Those that ask within a second share that it is missing.", p, 10+i, tc.want)
		}
		if got := c.reads.Load(); got != 0 {
			t.Errorf("the Secret was read %d times within the second", got)
		}
		c.clock.Step(time.Second)
		expect(t, "A second later it is used.", p, 1, nil)
	}
}

func TestAProviderThatIsMissingIsNamed(t *testing.T) {
	c := newCluster(t, asking("http://127.0.0.1:1"))
	_, err := c.providers(t).Query(t.Context(), types.NamespacedName{Namespace: "cart", Name: "p"}, question(0))
	var missing *provider.NotFoundError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), `no KeptnMetricsProvider "p" in namespace "cart"`) {
		t.Errorf("a provider is its namespace's: %v", err)
	}
	if got := c.reads.Load(); got != 0 {
		t.Errorf("%d Secrets were read", got)
	}
}

func TestACertificateSecretIsReadAndHasToBeThere(t *testing.T) {
	server := httptest.NewTLSServer(newPrometheus("first"))
	t.Cleanup(server.Close)
	ca := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "ca"},
		Data:       map[string][]byte{"ca.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})},
	}
	trusting := func(s *metricsv1.KeptnMetricsProviderSpec) {
		s.CertSecretRef = &corev1.LocalObjectReference{Name: "ca"}
	}
	insecure := func(s *metricsv1.KeptnMetricsProviderSpec) { s.InsecureSkipTLSVerify = true }
	expect(t, "A certificate that nobody signed is refused.", newCluster(t, login("first"), asking(server.URL)).providers(t), 0, metric.ErrUnreachable)
	expect(t, "Unless the Secret says to trust it.", newCluster(t, login("first"), ca, asking(server.URL, trusting)).providers(t), 0, nil)
	expect(t, "A Secret that is missing trusts nobody.", newCluster(t, login("first"), asking(server.URL, trusting)).providers(t), 0, metric.ErrConfig)
	expect(t, "Prometheus too can go unverified (M21).", newCluster(t, login("first"), asking(server.URL, insecure)).providers(t), 0, nil)
}

func TestTwoProvidersOfOneTypeAreTwo(t *testing.T) {
	first, second := newPrometheus("first"), newPrometheus("second")
	other := asking(serve(t, second), func(s *metricsv1.KeptnMetricsProviderSpec) { s.SecretKeyRef.Name = "other" })
	other.Name = "q"
	secret := login("second")
	secret.Name = "other"
	p := newCluster(t, login("first"), secret, asking(serve(t, first)), other).providers(t)
	for _, of := range []string{"p", "q"} {
		if _, err := p.Query(t.Context(), name(of), question(0)); err != nil {
			t.Errorf("%s: %v", of, err)
		}
	}
	if first.asked.Load() != 1 || second.asked.Load() != 1 {
		t.Errorf("the same query was asked %d and %d times", first.asked.Load(), second.asked.Load())
	}
}

func TestAnErrorShowsNoSecret(t *testing.T) {
	c := newCluster(t, login("hunter2"), asking(serve(t, newPrometheus("right"))))
	_, err := c.providers(t).Query(t.Context(), name("p"), question(0))
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error is %v", err)
	}
}

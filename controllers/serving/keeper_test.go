package serving

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

const day = 24 * time.Hour

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var dnsNames = []string{"keptn-metrics.keptn-system.svc", "metrics-operator-service.keptn-system.svc"}

// issued is the data of a certificate made at a time, from what there was before.
func issued(t *testing.T, before map[string][]byte, at time.Time) map[string][]byte {
	t.Helper()
	c, _ := parseCertificate(before, dnsNames, at) // whatever is wrong is to be renewed
	data, err := c.renewed(dnsNames, at)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestACertificateIsServedAsLongAsClientsAcceptIt(t *testing.T) {
	good, other := issued(t, nil, begin), issued(t, nil, begin)
	with := func(key string, value []byte) map[string][]byte {
		changed := map[string][]byte{}
		for k, v := range good {
			changed[k] = v
		}
		changed[key] = value
		return changed
	}
	cases := map[string]struct {
		reason string
		data   map[string][]byte
		names  []string
		at     time.Time
		want   bool
	}{
		"New":            {"It is valid at once.", good, dnsNames, begin, true},
		"SlowClock":      {"A client's clock may be behind.", good, dnsNames, begin.Add(-skew / 2), true},
		"Old":            {"It lasts its time.", good, dnsNames, begin.Add(89 * day), true},
		"Expired":        {"It is over.", good, dnsNames, begin.Add(91 * day), false},
		"NotYet":         {"A Secret from the future is none.", good, dnsNames, begin.Add(-day), false},
		"OtherName":      {"The Service has another name now.", good, []string{dnsNames[0], "new.keptn-system.svc"}, begin, false},
		"Nothing":        {"There is none yet.", nil, dnsNames, begin, false},
		"Garbage":        {"Somebody wrote something else.", with(corev1.TLSCertKey, []byte("?")), dnsNames, begin, false},
		"OtherKey":       {"The key is another's.", with(corev1.TLSPrivateKeyKey, other[corev1.TLSPrivateKeyKey]), dnsNames, begin, false},
		"NoAuthority":    {"Without its authority nobody trusts it.", with(authorityCert, nil), dnsNames, begin, false},
		"OtherAuthority": {"The authority's key is another's.", with(authorityKey, other[authorityKey]), dnsNames, begin, false},
		"NotAnAuthority": {"What cannot sign is no authority.", map[string][]byte{
			authorityCert: good[corev1.TLSCertKey], authorityKey: good[corev1.TLSPrivateKeyKey],
			corev1.TLSCertKey: good[corev1.TLSCertKey], corev1.TLSPrivateKeyKey: good[corev1.TLSPrivateKeyKey],
		}, dnsNames, begin, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := parseCertificate(tc.data, tc.names, tc.at); (err == nil) != tc.want {
				t.Errorf("%s: %v", tc.reason, err)
			}
		})
	}
}

// accepted checks what is served against what clients trust, as they do.
func accepted(t *testing.T, served, trusted []byte, at time.Time) {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(trusted) {
		t.Fatal("clients trust nobody")
	}
	certs, err := certutil.ParseCertsPEM(served)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range dnsNames {
		if _, err := certs[0].Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: at}); err != nil {
			t.Errorf("at %s clients refuse it: %v", at.Format(time.DateOnly), err)
		}
	}
}

func TestACertificateIsRenewedUnderItsAuthority(t *testing.T) {
	first := issued(t, nil, begin)
	c, err := parseCertificate(first, dnsNames, begin)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.renew.Sub(begin).Round(day); got != 60*day {
		t.Errorf("it is renewed after %s, not after two thirds of %s", got, certificateLife)
	}
	second := issued(t, first, c.renew)
	if diff := cmp.Diff(first[authorityCert], second[authorityCert]); diff != "" {
		t.Error("a new authority would have to be made known first")
	}
	if cmp.Equal(first[corev1.TLSCertKey], second[corev1.TLSCertKey]) {
		t.Error("the certificate is the old one")
	}
	accepted(t, second[corev1.TLSCertKey], c.bundle, c.renew)
}

func TestARetiredAuthorityIsTrustedUntilAllReplicasHaveMovedOn(t *testing.T) {
	var old map[string][]byte
	data := issued(t, nil, begin)
	first := data[authorityCert]
	at := begin
	for cmp.Equal(data[authorityCert], first) {
		c, err := parseCertificate(data, dnsNames, at)
		if err != nil {
			t.Fatalf("at %s: %v", at, err)
		}
		at, old = c.renew, data
		data = issued(t, data, at)
	}
	if got := at.Sub(begin).Round(day); got != 1217*day {
		t.Errorf("the authority is renewed after %s", got)
	}
	c, err := parseCertificate(data, dnsNames, at)
	if err != nil {
		t.Fatal(err)
	}
	accepted(t, data[corev1.TLSCertKey], c.bundle, at)
	accepted(t, old[corev1.TLSCertKey], c.bundle, at)
}

// A cluster is what keepers find: a Secret, and the APIServices by their Services.
func cluster(t *testing.T, services map[string]string, funcs interceptor.Funcs) client.WithWatch {
	t.Helper()
	b := fake.NewClientBuilder().WithInterceptorFuncs(funcs)
	for name, service := range services {
		b = b.WithObjects(&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": map[string]any{"name": name},
			"spec": map[string]any{"insecureSkipTLSVerify": true, "service": map[string]any{"namespace": "keptn-system", "name": service}},
		}})
	}
	return b.Build()
}

// newTestKeeper returns a keeper that is told of changes through the channel.
func newTestKeeper(c client.Client, changes <-chan struct{}) (*keeper, *events.FakeRecorder) {
	recorder := events.NewFakeRecorder(10)
	k := &keeper{
		client: c, events: recorder, log: logr.Discard(), namespace: "keptn-system", now: time.Now, foreign: map[string]string{},
		watch: func(ctx context.Context, changed func()) {
			go func() {
				for {
					select {
					case <-ctx.Done():
						return
					case <-changes:
						changed()
					}
				}
			}()
		},
	}
	k.served.ready = make(chan struct{})
	return k, recorder
}

// trusts is what an APIService trusts, and whether it insists on it.
func trusts(t *testing.T, c client.Client, name string) (bundle []byte, checked bool) {
	t.Helper()
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"})
	if err := c.Get(t.Context(), client.ObjectKey{Name: name}, live); err != nil {
		t.Fatal(err)
	}
	encoded, _, _ := unstructured.NestedString(live.Object, "spec", "caBundle")
	bundle, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	unchecked, _, _ := unstructured.NestedBool(live.Object, "spec", "insecureSkipTLSVerify")
	return bundle, !unchecked
}

func TestReplicasServeOneCertificateAndRenewIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cluster(t, map[string]string{apiServices[0]: Service, apiServices[1]: KeptnService}, interceptor.Funcs{})
		var keepers []*keeper
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			k, _ := newTestKeeper(c, nil)
			keepers = append(keepers, k)
			go func() {
				if err := k.run(ctx); err != nil {
					t.Error(err)
				}
			}()
		}
		var before []byte
		for range 5 {
			time.Sleep(61 * day) // one of them renews it, and the others learn of it
			synctest.Wait()
			first, _ := keepers[0].served.CurrentCertKeyContent()
			if cmp.Equal(before, first) {
				t.Fatalf("on %s the certificate has not been renewed", time.Now().Format(time.DateOnly))
			}
			before = first
			for _, name := range apiServices {
				bundle, checked := trusts(t, c, name)
				if !checked {
					t.Errorf("%s does not check certificates", name)
				}
				accepted(t, first, bundle, time.Now())
			}
			for _, k := range keepers[1:] {
				if other, _ := k.served.CurrentCertKeyContent(); !cmp.Equal(first, other) {
					t.Errorf("on %s replicas serve two certificates", time.Now().Format(time.DateOnly))
				}
			}
		}
		cancel()
		synctest.Wait()
	})
}

func TestARestartKeepsTheCertificate(t *testing.T) {
	c := cluster(t, nil, interceptor.Funcs{})
	var served [][]byte
	for range 2 {
		k, _ := newTestKeeper(c, nil)
		if _, err := k.keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		cert, _ := k.served.CurrentCertKeyContent()
		served = append(served, cert)
	}
	if diff := cmp.Diff(served[0], served[1]); diff != "" {
		t.Error("it is another after the restart")
	}
}

func TestFailuresAreTriedAgainMoreAndMoreSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var attempts []int // in seconds
		c := cluster(t, nil, interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
				attempts = append(attempts, int(time.Since(start).Seconds()))
				if len(attempts) < 9 {
					return errors.New("the API server is down")
				}
				return c.Create(ctx, obj, opts...)
			},
		})
		k, _ := newTestKeeper(c, nil)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = k.run(ctx) }()
		<-k.served.ready
		want := []int{0, 1, 3, 7, 15, 31, 63, 123, 183}
		if diff := cmp.Diff(want, attempts); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		cancel()
		synctest.Wait()
	})
}

func TestAnAPIServiceThatIsNotOursIsLeftAloneAndTheClusterToldOnce(t *testing.T) {
	applied := 0
	c := cluster(t, map[string]string{apiServices[0]: "prometheus-adapter"}, interceptor.Funcs{
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			applied++
			return nil
		},
	})
	k, recorder := newTestKeeper(c, nil)
	for range 3 {
		if _, err := k.keep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if bundle, checked := trusts(t, c, apiServices[0]); len(bundle) > 0 || checked || applied > 0 {
		t.Error("another adapter's APIService was changed")
	}
	if got := len(recorder.Events); got != 1 {
		t.Errorf("%d events tell of it", got)
	}
	if cert, _ := k.served.CurrentCertKeyContent(); cert == nil {
		t.Error("nothing is served, though the other version may be ours")
	}
}

func TestAnAPIServiceThatComesLaterIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cluster(t, nil, interceptor.Funcs{})
		changes := make(chan struct{})
		k, _ := newTestKeeper(c, changes)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = k.run(ctx) }()
		synctest.Wait()
		late := &unstructured.Unstructured{Object: map[string]any{
			"spec": map[string]any{"service": map[string]any{"namespace": "keptn-system", "name": Service}},
		}}
		late.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"})
		late.SetName(apiServices[1])
		if err := c.Create(ctx, late); err != nil {
			t.Fatal(err)
		}
		changes <- struct{}{}
		synctest.Wait()
		cert, _ := k.served.CurrentCertKeyContent()
		bundle, _ := trusts(t, c, apiServices[1])
		accepted(t, cert, bundle, time.Now())
		cancel()
		synctest.Wait()
	})
}

func TestOfTwoReplicasThatMakeACertificateOneIsHeard(t *testing.T) {
	first, _ := newTestKeeper(cluster(t, nil, interceptor.Funcs{}), nil)
	raced := false
	second, _ := newTestKeeper(cluster(t, nil, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			if !raced { // the other was a little faster
				raced = true
				first.client = c
				if _, err := first.keep(ctx); err != nil {
					return err
				}
			}
			return c.Create(ctx, obj, opts...)
		},
	}), nil)
	if _, err := second.keep(t.Context()); !apierrors.IsAlreadyExists(err) {
		t.Fatalf("the slower one got %v", err)
	}
	if _, err := second.keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	one, _ := first.served.CurrentCertKeyContent()
	two, _ := second.served.CurrentCertKeyContent()
	if diff := cmp.Diff(one, two); diff != "" {
		t.Error("they serve two certificates")
	}
}

// A listener counts how often it was told of a new certificate.
type listener int

func (l *listener) Enqueue() { *l++ }

func TestTheServerLearnsOfANewCertificate(t *testing.T) {
	var told listener
	s := servingCertificate{ready: make(chan struct{})}
	s.AddListener(&told)
	s.set([]byte("a"), []byte("b"))
	s.set([]byte("a"), []byte("b"))
	s.set([]byte("c"), []byte("d"))
	if told != 2 {
		t.Errorf("it was told %d times of two certificates", told)
	}
}

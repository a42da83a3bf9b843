package serving

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Names that config/custom-metrics uses as well.
const (
	// Service is the Service that leads to the custom metrics API.
	Service = "keptn-metrics"
	// KeptnService is what Keptn called it; it leads here as well.
	KeptnService = "metrics-operator-service"
	// Secret keeps the certificate of the custom metrics API and its authority.
	Secret = "keptn-custom-metrics"

	fieldManager = "keptn-custom-metrics"
)

// How long to wait after a failure: at first, and at most.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// apiServices are the APIServices by which the API server of the cluster finds ours.
var apiServices = []string{"v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"}

// A keeper keeps the certificate of the custom metrics API: it makes and renews it,
// keeps it in a Secret that all replicas share, and has the API server of the
// cluster trust it. Of an APIService that leads to somebody else's Service it keeps
// its hands off.
type keeper struct {
	client    client.Client // reads what is, never a cache
	events    events.EventRecorder
	log       logr.Logger
	namespace string
	now       func() time.Time
	// watch calls a function whenever something may have changed that is kept.
	watch func(ctx context.Context, changed func())

	served servingCertificate
	// foreign are the APIServices of which was told that they are not ours.
	foreign map[string]string
}

func newKeeper(config *rest.Config, hc *http.Client, namespace string, recorder events.EventRecorder, log logr.Logger) (*keeper, error) {
	c, err := client.New(config, client.Options{HTTPClient: hc})
	if err != nil {
		return nil, fmt.Errorf("keep a certificate: %w", err)
	}
	dyn, err := dynamic.NewForConfigAndClient(config, hc)
	if err != nil {
		return nil, fmt.Errorf("keep a certificate: %w", err)
	}
	k := &keeper{
		client: c, events: recorder, log: log, namespace: namespace, now: time.Now,
		watch: func(ctx context.Context, changed func()) { watch(ctx, dyn, namespace, changed) },
	}
	k.served.ready = make(chan struct{})
	k.foreign = map[string]string{}
	return k, nil
}

// run keeps the certificate until ctx is done. Whatever fails is tried again.
func (k *keeper) run(ctx context.Context) error {
	changes := make(chan struct{}, 1)
	k.watch(ctx, func() {
		select {
		case changes <- struct{}{}:
		default: // one is waiting already
		}
	})
	var pause time.Duration
	for {
		wait, err := k.keep(ctx)
		if err == nil {
			pause = 0
		} else {
			pause = min(max(2*pause, firstRetry), lastRetry)
			wait = pause
			k.log.Error(err, "The certificate of the custom metrics API is not in order", "retryAfter", pause.String())
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-changes:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// keep looks once whether all is in order, and mends what is not. It returns how
// long that will last if nobody changes anything.
func (k *keeper) keep(ctx context.Context) (time.Duration, error) {
	cert, err := k.ensure(ctx)
	if err != nil {
		return 0, err
	}
	// Clients trust a new authority before they meet it.
	var errs []error
	for _, name := range apiServices {
		errs = append(errs, k.trust(ctx, name, cert.bundle))
	}
	k.served.set(cert.data[corev1.TLSCertKey], cert.data[corev1.TLSPrivateKeyKey])
	return cert.renew.Sub(k.now()), errors.Join(errs...)
}

// ensure returns the certificate that the Secret holds, after having made or renewed
// it if that is due. Of several replicas that try, one is heard, and the others are
// told of a conflict, whereupon they find its certificate.
func (k *keeper) ensure(ctx context.Context) (*certificate, error) {
	secret := &corev1.Secret{}
	err := k.client.Get(ctx, client.ObjectKey{Namespace: k.namespace, Name: Secret}, secret)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read secret %s: %w", Secret, err)
	}
	names := k.names()
	cert, parseErr := parseCertificate(secret.Data, names, k.now())
	if parseErr == nil && k.now().Before(cert.renew) {
		return cert, nil
	}
	data, renewErr := cert.renewed(names, k.now())
	if renewErr != nil {
		return nil, renewErr
	}
	why := "it is due"
	if parseErr != nil {
		why = parseErr.Error()
	}
	secret.Data = data
	if apierrors.IsNotFound(err) {
		why = "there was none"
		secret.ObjectMeta = metav1.ObjectMeta{Namespace: k.namespace, Name: Secret}
		secret.Type = corev1.SecretTypeTLS
		err = k.client.Create(ctx, secret, client.FieldOwner(fieldManager))
	} else {
		err = k.client.Update(ctx, secret, client.FieldOwner(fieldManager))
	}
	if err != nil {
		return nil, fmt.Errorf("write secret %s: %w", Secret, err)
	}
	k.log.Info("Made a certificate for the custom metrics API", "because", why)
	return parseCertificate(data, names, k.now())
}

// names are those under which the API server of the cluster may look for us.
func (k *keeper) names() []string {
	return []string{Service + "." + k.namespace + ".svc", KeptnService + "." + k.namespace + ".svc"}
}

// trust has an APIService trust what the bundle's authorities sign, if it is there
// and leads to us.
func (k *keeper) trust(ctx context.Context, name string, bundle []byte) error {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"})
	err := k.client.Get(ctx, client.ObjectKey{Name: name}, live)
	if apierrors.IsNotFound(err) {
		delete(k.foreign, name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read apiservice %s: %w", name, err)
	}
	if !k.ours(live) {
		return nil
	}
	encoded, _, _ := unstructured.NestedString(live.Object, "spec", "caBundle")
	unchecked, _, _ := unstructured.NestedBool(live.Object, "spec", "insecureSkipTLSVerify")
	if encoded == base64.StdEncoding.EncodeToString(bundle) && !unchecked {
		return nil
	}
	wanted := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"caBundle": base64.StdEncoding.EncodeToString(bundle), "insecureSkipTLSVerify": false},
	}}
	wanted.SetGroupVersionKind(live.GroupVersionKind())
	wanted.SetName(name)
	wanted.SetUID(live.GetUID()) // so that nothing comes into being that was deleted meanwhile
	err = k.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(wanted), client.FieldOwner(fieldManager), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("have apiservice %s trust our certificate: %w", name, err)
	}
	k.log.Info("The API server trusts our certificate", "apiservice", name)
	return nil
}

// ours tells whether an APIService leads to us. Once for each Service that it leads
// to instead, it says so.
func (k *keeper) ours(apiService *unstructured.Unstructured) bool {
	namespace, _, _ := unstructured.NestedString(apiService.Object, "spec", "service", "namespace")
	service, _, _ := unstructured.NestedString(apiService.Object, "spec", "service", "name")
	name := apiService.GetName()
	if namespace == k.namespace && slices.Contains([]string{Service, KeptnService}, service) {
		delete(k.foreign, name)
		return true
	}
	leadsTo := namespace + "/" + service
	if k.foreign[name] != leadsTo {
		k.foreign[name] = leadsTo
		k.log.Info("The custom metrics API of this cluster is another's, KeptnMetrics are not in it", "apiservice", name, "service", leadsTo)
		k.events.Eventf(apiService, nil, corev1.EventTypeWarning, "LeadsElsewhere", "Trust",
			"KeptnMetrics are not served: this APIService leads to service %s, not to %s/%s", leadsTo, k.namespace, Service)
	}
	return false
}

// watch calls changed for each change of the Secret and the APIServices until ctx is
// done. Only these objects are watched, so that only they have to be readable.
func watch(ctx context.Context, dyn dynamic.Interface, namespace string, changed func()) {
	start := func(resource schema.GroupVersionResource, namespace, name string) {
		informer := dynamicinformer.NewFilteredDynamicInformer(dyn, resource, namespace, 0, cache.Indexers{}, func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
		}).Informer()
		// A new informer refuses no handler.
		_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { changed() },
			UpdateFunc: func(any, any) { changed() },
			DeleteFunc: func(any) { changed() },
		})
		go informer.RunWithContext(ctx)
	}
	start(corev1.SchemeGroupVersion.WithResource("secrets"), namespace, Secret)
	for _, name := range apiServices {
		start(schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}, metav1.NamespaceNone, name)
	}
}

// A servingCertificate is the certificate that is served now. It implements
// dynamiccertificates.CertKeyContentProvider, by which the server learns of a new one.
type servingCertificate struct {
	// ready is closed when there is one.
	ready chan struct{}

	mu        sync.Mutex
	cert, key []byte
	listeners []dynamiccertificates.Listener
}

var _ dynamiccertificates.CertKeyContentProvider = &servingCertificate{}

// Name implements dynamiccertificates.CertKeyContentProvider.
func (*servingCertificate) Name() string { return Secret }

// AddListener implements dynamiccertificates.Notifier.
func (s *servingCertificate) AddListener(l dynamiccertificates.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, l)
}

// CurrentCertKeyContent implements dynamiccertificates.CertKeyContentProvider.
func (s *servingCertificate) CurrentCertKeyContent() (cert, key []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cert, s.key
}

// set serves another certificate from now on.
func (s *servingCertificate) set(cert, key []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Equal(s.cert, cert) && bytes.Equal(s.key, key) {
		return
	}
	if s.cert == nil {
		close(s.ready)
	}
	s.cert, s.key = cert, key
	for _, l := range s.listeners {
		l.Enqueue()
	}
}

package controllers_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
	custommetricsv1beta1 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta1"
	custommetricsv1beta2 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"
	custommetrics "k8s.io/metrics/pkg/client/custom_metrics"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/kustomize/api/krusty"
	kustomize "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/controllers/serving"
)

const systemNamespace = "keptn-system"

var _ = Describe("Custom metrics", Ordered, func() {
	var (
		admin    client.Client
		config   *rest.Config
		port     int
		source   = values{}
		asks     func(ctx context.Context, account string) *rest.RESTClient
		apiOfV1  = schema.GroupVersion{Group: "custom.metrics.k8s.io", Version: "v1beta1"}
		apiOfV2  = schema.GroupVersion{Group: "custom.metrics.k8s.io", Version: "v1beta2"}
		services = []string{"v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io"}
	)
	trusted := func(name string) func() string {
		return func() string {
			bundle, _, err := unstructured.NestedString(apiService(admin, name).Object, "spec", "caBundle")
			Expect(err).NotTo(HaveOccurred())
			return bundle
		}
	}

	// direct asks past the API server, with a connection of its own, and trusts only
	// the authority that the Secret has now.
	direct := func(ctx context.Context, account *rest.Config) error {
		GinkgoHelper()
		var secret corev1.Secret
		Expect(admin.Get(ctx, client.ObjectKey{Namespace: systemNamespace, Name: serving.Secret}, &secret)).To(Succeed())
		return get(ctx, rawClient(&rest.Config{
			Host: "https://" + net.JoinHostPort("localhost", strconv.Itoa(port)), BearerToken: account.BearerToken,
			TLSClientConfig: rest.TLSClientConfig{CAData: secret.Data["ca.crt"], ServerName: serving.Service + "." + systemNamespace + ".svc"},
		}), "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/keptnmetrics.metrics.sh/p95/p95", &custommetricsv1beta2.MetricValueList{})
	}

	BeforeAll(func(ctx SpecContext) {
		config = startAggregating()
		var err error
		admin, err = client.New(config, client.Options{})
		Expect(err).NotTo(HaveOccurred())
		port = freePort()
		installServing(ctx, admin, port)
		account := tokenOf(ctx, admin, config, systemNamespace, "keptn-controller")
		for _, name := range []string{"autoscaler", "stranger"} {
			Expect(admin.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: name}})).To(Succeed())
		}
		Expect(admin.Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "autoscaler"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:controller:horizontal-pod-autoscaler"},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: systemNamespace, Name: "autoscaler"}},
		})).To(Succeed())
		measured := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
		source["shop/p95"] = serving.Value{
			Namespace: "shop", Name: "p95", Labels: map[string]string{"app": "checkout"},
			HasValue: true, Value: 4, Text: "4.0", Time: measured,
		}
		source["other/p95"] = serving.Value{
			Namespace: "other", Name: "p95", Labels: map[string]string{"app": "checkout"},
			HasValue: true, Value: 9, Text: "9", Time: measured,
		}
		source["shop/new"] = serving.Value{Namespace: "shop", Name: "new", Labels: map[string]string{"app": "checkout"}}

		// The controller has no rights but those that config gives it.
		runServing(account, source, port)
		asks = func(ctx context.Context, account string) *rest.RESTClient {
			GinkgoHelper()
			return rawClient(tokenOf(ctx, admin, config, systemNamespace, account))
		}
	})

	It("has the API server trust the certificate that a Secret keeps", func(ctx SpecContext) {
		for _, name := range services {
			Eventually(trusted(name)).ShouldNot(BeEmpty())
		}
		var secret corev1.Secret
		Expect(admin.Get(ctx, client.ObjectKey{Namespace: systemNamespace, Name: serving.Secret}, &secret)).To(Succeed())
		Expect(secret.Type).To(Equal(corev1.SecretTypeTLS))
	})

	It("answers through the API server for an object", func(ctx SpecContext) {
		autoscaler := asks(ctx, "autoscaler")
		path := func(version string) string {
			return "/apis/custom.metrics.k8s.io/" + version + "/namespaces/shop/keptnmetrics.metrics.sh/p95/p95"
		}
		var v1 custommetricsv1beta1.MetricValueList
		Eventually(func() error { return get(ctx, autoscaler, path("v1beta1"), &v1) }).Should(Succeed())
		Expect(v1.GroupVersionKind().GroupVersion()).To(Equal(apiOfV1))
		Expect(v1.Items).To(HaveLen(1))
		Expect(v1.Items[0].Value.String()).To(Equal("4"))
		Expect(v1.Items[0].MetricName).To(Equal("p95"))
		var v2 custommetricsv1beta2.MetricValueList
		Eventually(func() error { return get(ctx, autoscaler, path("v1beta2"), &v2) }).Should(Succeed())
		Expect(v2.GroupVersionKind().GroupVersion()).To(Equal(apiOfV2))
		Expect(v2.Items).To(HaveLen(1))
		Expect(v2.Items[0].DescribedObject).To(Equal(corev1.ObjectReference{
			APIVersion: "metrics.keptn.sh/v1", Kind: "KeptnMetric", Namespace: "shop", Name: "p95",
		}))
		Expect(v2.Items[0].Timestamp.UTC()).To(Equal(source["shop/p95"].Time))
	})

	It("answers the client of HorizontalPodAutoscalers", func(ctx SpecContext) {
		account := tokenOf(ctx, admin, config, systemNamespace, "autoscaler")
		account.ContentType, account.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf+","+runtime.ContentTypeJSON
		version := schema.GroupVersion{Group: "metrics.keptn.sh", Version: "v1"}
		mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{version})
		mapper.Add(version.WithKind("KeptnMetric"), meta.RESTScopeNamespace)
		versions := availableVersions{apiOfV2}
		hpa := custommetrics.NewForConfig(account, mapper, versions).NamespacedMetrics("shop")
		kind := schema.GroupKind{Group: "metrics.keptn.sh", Kind: "KeptnMetric"}
		found, err := hpa.GetForObject(kind, "p95", "p95", labels.Everything())
		Expect(err).NotTo(HaveOccurred())
		Expect(found.Value.MilliValue()).To(Equal(int64(4000)))
		_, err = hpa.GetForObject(kind, "new", "new", labels.Everything())
		Expect(apierrors.IsNotFound(err)).To(BeTrue(), "a metric without a value is no zero: %v", err)
		Expect(err).To(MatchError(ContainSubstring("no value yet")))
	})

	It("answers for a selector with what the namespace has", func(ctx SpecContext) {
		autoscaler := asks(ctx, "autoscaler")
		for _, version := range []string{"v1beta1", "v1beta2"} {
			var list custommetricsv1beta2.MetricValueList // of both versions it reads what it looks at here
			in := func(namespaces string) []string {
				GinkgoHelper()
				Expect(get(ctx, autoscaler, "/apis/custom.metrics.k8s.io/"+version+namespaces+"/keptnmetrics.metrics.sh/*/*?labelSelector=app%3Dcheckout", &list)).To(Succeed())
				var found []string
				for _, item := range list.Items {
					found = append(found, item.DescribedObject.Namespace+"/"+item.DescribedObject.Name)
				}
				return found
			}
			Expect(in("/namespaces/shop")).To(ConsistOf("shop/p95"))
			Expect(in("/namespaces/*")).To(ConsistOf("shop/p95", "other/p95"))
			Expect(in("")).To(ConsistOf("shop/p95", "other/p95"))
		}
	})

	It("lists the metrics there are", func(ctx SpecContext) {
		var list metav1.APIResourceList
		Expect(get(ctx, asks(ctx, "autoscaler"), "/apis/custom.metrics.k8s.io/v1beta2", &list)).To(Succeed())
		var names []string
		for _, r := range list.APIResources {
			names = append(names, r.Name)
		}
		Expect(names).To(ConsistOf("keptnmetrics.metrics.sh/new", "keptnmetrics.metrics.keptn.sh/new",
			"keptnmetrics.metrics.sh/p95", "keptnmetrics.metrics.keptn.sh/p95"))
	})

	It("asks the API server who may see them, also when it is asked itself", func(ctx SpecContext) {
		Expect(direct(ctx, tokenOf(ctx, admin, config, systemNamespace, "autoscaler"))).To(Succeed())
		Expect(direct(ctx, tokenOf(ctx, admin, config, systemNamespace, "stranger"))).To(Satisfy(apierrors.IsForbidden))
		Expect(direct(ctx, &rest.Config{})).To(Satisfy(apierrors.IsUnauthorized))
		Expect(direct(ctx, &rest.Config{BearerToken: "made up"})).To(Satisfy(apierrors.IsUnauthorized))
		through := get(ctx, asks(ctx, "stranger"), "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/keptnmetrics.metrics.sh/p95/p95", &custommetricsv1beta2.MetricValueList{})
		Expect(through).To(Satisfy(apierrors.IsForbidden))
	})

	It("mends what somebody has changed, with an authority that stays", func(ctx SpecContext) {
		before := trusted(services[0])()
		Expect(admin.Patch(ctx, apiService(admin, services[0]), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"caBundle":null}}`)))).To(Succeed())
		Eventually(trusted(services[0])).Should(Equal(before))
		Expect(admin.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: serving.Secret}})).To(Succeed())
		Eventually(trusted(services[0])).ShouldNot(Equal(before), "a Secret that was deleted is made again")
		account := tokenOf(ctx, admin, config, systemNamespace, "autoscaler")
		Eventually(func() error { return direct(ctx, account) }).Should(Succeed(), "and its certificate is served at once")
	})

	It("leaves the APIService of another adapter alone", func(ctx SpecContext) {
		Expect(admin.Patch(ctx, apiService(admin, services[0]), client.RawPatch(types.MergePatchType,
			[]byte(`{"spec":{"caBundle":null,"service":{"namespace":"monitoring","name":"prometheus-adapter"}}}`)))).To(Succeed())
		Eventually(func() []string {
			var list eventsv1.EventList
			Expect(admin.List(ctx, &list)).To(Succeed())
			var about []string
			for _, e := range list.Items {
				if e.Reason == "LeadsElsewhere" {
					about = append(about, e.Regarding.Name)
				}
			}
			return about
		}).Should(ConsistOf(services[0]))
		Expect(trusted(services[0])()).To(BeEmpty())
	})
})

// values is a Source of what a test puts in.
type values map[string]serving.Value

func (s values) Get(_ context.Context, name types.NamespacedName) (serving.Value, error) {
	if v, ok := s[name.String()]; ok {
		return v, nil
	}
	return serving.Value{}, apierrors.NewNotFound(schema.GroupResource{Resource: "keptnmetrics"}, name.Name)
}

func (s values) List(_ context.Context, namespace string, selector labels.Selector) ([]serving.Value, error) {
	var found []serving.Value
	for _, v := range s {
		if (namespace == "" || v.Namespace == namespace) && selector.Matches(labels.Set(v.Labels)) {
			found = append(found, v)
		}
	}
	return found, nil
}

// availableVersions are versions of the custom metrics API.
type availableVersions []schema.GroupVersion

func (v availableVersions) PreferredVersion() (schema.GroupVersion, error) { return v[0], nil }

func (availableVersions) Invalidate() {}

// startAggregating starts an API server of its own that hands requests on to others.
func startAggregating() *rest.Config {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	authority, authorityKey := newCertificate("front-proxy-ca", nil, nil)
	cert, key := newCertificate("front-proxy", authority, authorityKey)
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		Expect(os.WriteFile(path, content, 0o600)).To(Succeed())
		return path
	}
	pem := func(c *x509.Certificate) []byte {
		content, err := certutil.EncodeCertificates(c)
		Expect(err).NotTo(HaveOccurred())
		return content
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	Expect(err).NotTo(HaveOccurred())
	environment := &envtest.Environment{ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute}
	environment.ControlPlane.GetAPIServer().Configure().
		Set("requestheader-client-ca-file", file("ca.crt", pem(authority))).
		Set("requestheader-allowed-names", "front-proxy").
		Set("requestheader-username-headers", "X-Remote-User").
		Set("requestheader-group-headers", "X-Remote-Group").
		Set("requestheader-extra-headers-prefix", "X-Remote-Extra-").
		Set("proxy-client-cert-file", file("proxy.crt", pem(cert))).
		Set("proxy-client-key-file", file("proxy.key", keyPEM))
	config, err := environment.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(environment.Stop)
	return config
}

// newCertificate makes a certificate that the parent signs, or itself without one.
func newCertificate(name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	GinkgoHelper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	Expect(err).NotTo(HaveOccurred())
	cert, err := x509.ParseCertificate(der)
	Expect(err).NotTo(HaveOccurred())
	return cert, key
}

// installServing installs what config has for custom metrics. The Service leads to a
// port of this machine.
func installServing(ctx context.Context, admin client.Client, port int) {
	GinkgoHelper()
	root, err := filepath.Abs("..")
	Expect(err).NotTo(HaveOccurred())
	overlay := GinkgoT().TempDir()
	relative, err := filepath.Rel(overlay, filepath.Join(root, "config"))
	Expect(err).NotTo(HaveOccurred())
	kustomization, err := yaml.Marshal(kustomize.Kustomization{
		Resources:  []string{relative + "/rbac", relative + "/manager"},
		Components: []string{relative + "/custom-metrics"},
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), kustomization, 0o600)).To(Succeed())
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), overlay)
	Expect(err).NotTo(HaveOccurred())

	Expect(admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: systemNamespace}})).To(Succeed())
	for _, resource := range rendered.Resources() {
		if slices.Contains([]string{"Deployment", "Service"}, resource.GetKind()) {
			continue
		}
		content, err := resource.Map()
		Expect(err).NotTo(HaveOccurred())
		object := &unstructured.Unstructured{Object: content}
		if object.GetKind() == "APIService" {
			Expect(unstructured.SetNestedField(object.Object, int64(port), "spec", "service", "port")).To(Succeed())
		}
		Expect(admin.Create(ctx, object)).To(Succeed(), "%s %s", object.GetKind(), object.GetName())
	}
	Expect(admin.Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: serving.Service},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"},
	})).To(Succeed())
}

// runServing serves custom metrics as an account, until the end of the test.
func runServing(account *rest.Config, source serving.Source, port int) {
	GinkgoHelper()
	ctx, cancel := context.WithCancel(context.Background())
	mgr, err := ctrl.NewManager(account, ctrl.Options{Metrics: server.Options{BindAddress: "0"}})
	Expect(err).NotTo(HaveOccurred())
	Expect(serving.Setup(mgr, source, serving.Options{
		CustomMetricsAddress: net.JoinHostPort("", strconv.Itoa(port)), Namespace: systemNamespace,
	})).To(Succeed())
	done := make(chan error, 1)
	go func() {
		defer GinkgoRecover()
		done <- mgr.Start(ctx)
	}()
	DeferCleanup(func() {
		cancel()
		Eventually(done).Should(Receive(Succeed()))
	})
}

// freePort is a port that nobody listens at.
func freePort() int {
	GinkgoHelper()
	listener, err := net.Listen("tcp", ":0")
	Expect(err).NotTo(HaveOccurred())
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// tokenOf is how a service account reaches the API server.
func tokenOf(ctx context.Context, admin client.Client, config *rest.Config, namespace, name string) *rest.Config {
	GinkgoHelper()
	request := &authenticationv1.TokenRequest{}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	Expect(admin.SubResource("token").Create(ctx, account, request)).To(Succeed())
	as := rest.AnonymousClientConfig(config)
	as.BearerToken = request.Status.Token
	return as
}

// apiService reads an APIService.
func apiService(c client.Client, name string) *unstructured.Unstructured {
	GinkgoHelper()
	found := &unstructured.Unstructured{}
	found.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"})
	Expect(c.Get(context.Background(), client.ObjectKey{Name: name}, found)).To(Succeed())
	return found
}

// rawClient asks for paths as they are written.
func rawClient(config *rest.Config) *rest.RESTClient {
	GinkgoHelper()
	config = rest.CopyConfig(config)
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	c, err := rest.UnversionedRESTClientFor(config)
	Expect(err).NotTo(HaveOccurred())
	return c
}

// get reads the JSON at a path.
func get(ctx context.Context, c *rest.RESTClient, path string, into any) error {
	content, err := c.Get().RequestURI(path).Do(ctx).Raw()
	if err != nil {
		return err
	}
	return yaml.Unmarshal(content, into)
}

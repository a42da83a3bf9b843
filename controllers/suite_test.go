package controllers_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/keptn/gitops/controllers"
	"github.com/keptn/gitops/controllers/shard"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/outbound"
)

// The API server of the suite, and a client that reads it directly.
var (
	cluster *rest.Config
	kube    client.Client
)

func TestControllers(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Controllers")
}

var _ = BeforeSuite(func() {
	ctrl.SetLogger(zap.New(zap.WriteTo(logged), zap.UseDevMode(true)))
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)

	environment := &envtest.Environment{
		CRDDirectoryPaths:        []string{filepath.Join("..", "config", "crd")},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: 2 * time.Minute,
		ControlPlaneStopTimeout:  time.Minute,
	}
	var err error
	cluster, err = environment.Start()
	Expect(err).NotTo(HaveOccurred(), "KUBEBUILDER_ASSETS has to name a folder with etcd and kube-apiserver: make sets it")
	DeferCleanup(environment.Stop)

	scheme, err := controllers.NewScheme()
	Expect(err).NotTo(HaveOccurred())
	kube, err = client.New(cluster, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
})

// runController runs all controllers, as the program does, until the returned
// function stops them; at the end of the test at the latest. What they keep of
// Git is in dir.
func runController(dir string) (stop func()) {
	GinkgoHelper()
	return runShard(dir, "")
}

// runShard is runController for the controller of a shard.
func runShard(dir string, of shard.Shard) (stop func()) {
	GinkgoHelper()
	ctx, cancel := context.WithCancel(context.Background())
	scheme, err := controllers.NewScheme()
	Expect(err).NotTo(HaveOccurred())
	options := controllers.ManagerOptions(scheme)
	options.Metrics = server.Options{BindAddress: "0"}
	skip := true
	options.Controller.SkipNameValidation = &skip
	counted := rest.CopyConfig(cluster)
	counted.Wrap(written.counted)
	mgr, err := ctrl.NewManager(counted, options)
	Expect(err).NotTo(HaveOccurred())
	store, err := gitsource.NewStore(dir, gitsource.AllowPlainHTTPCredentials())
	Expect(err).NotTo(HaveOccurred())
	Expect(controllers.Setup(ctx, mgr, controllers.Options{
		Namespace: "keptn-system", Store: store, Cluster: "test", Concurrent: 4, Shard: of,
		Addresses: outbound.Addresses{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	})).To(Succeed())

	done := make(chan error, 1)
	go func() {
		defer GinkgoRecover()
		done <- mgr.Start(ctx)
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		Eventually(done).Should(Receive(Succeed()))
	}
	DeferCleanup(stop)
	return stop
}

// serve serves HTTP on the loopback interface until the end of the test.
func serve(handler http.Handler) string {
	GinkgoHelper()
	s := httptest.NewServer(handler)
	DeferCleanup(s.Close)
	return s.URL
}

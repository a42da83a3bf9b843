package controllers_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// mute is a way to the server of a world at which another one seems to be, and falls
// silent when it is told.
type mute struct {
	url    string
	silent atomic.Bool
	asked  atomic.Int32 // while it is silent
}

func newMute(w *world) *mute {
	GinkgoHelper()
	target, err := url.Parse(w.git.URL)
	Expect(err).NotTo(HaveOccurred())
	proxy := httputil.NewSingleHostReverseProxy(target)
	m, over := &mute{}, make(chan struct{})
	m.url = serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m.silent.Load() {
			m.asked.Add(1)
			<-over
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	DeferCleanup(func() { close(over) })
	return m
}

var _ = Describe("A Git server that falls silent", func() {
	var (
		w *world
		m *mute
	)

	BeforeEach(func(ctx context.Context) {
		w = newWorld(ctx)
		w.metrics.set("requests", "1000")
		w.metrics.set("errors", "1")
		m = newMute(w)
	})

	at := func(repository string) func(*gitopsv1alpha1.GitSource) {
		return func(s *gitopsv1alpha1.GitSource) {
			s.Name, s.Spec.URL = "silent", m.url+"/"+repository+".git"
			s.Spec.Timeout = &metav1.Duration{Duration: time.Hour}
			s.Spec.Provider = gitopsv1alpha1.GiteaProvider // which has no token
		}
	}

	It("holds up no Lifecycle of another, though all of its own wait for it", func(ctx context.Context) {
		const apps = 30
		tree := map[string]string{}
		for i := range apps {
			name := fmt.Sprintf("app-%02d", i)
			for file, content := range files(deployment, plain) {
				tree[strings.Replace(file, "checkout", name, 1)] = strings.ReplaceAll(content, "name: checkout", "name: "+name)
			}
		}
		w.git.Create(GinkgoTB(), w.namespace+"-many").Commit("main", "Add many", tree)
		dir := GinkgoT().TempDir()
		stop := runController(dir)
		w.source(ctx, at(w.namespace+"-many"))
		Eventually(func(g Gomega) {
			var all gitopsv1alpha1.LifecycleList
			g.Expect(kube.List(ctx, &all, inNamespace(w))).To(Succeed())
			g.Expect(all.Items).To(HaveLen(apps))
			g.Expect(all.Items).To(HaveEach(HaveField("Status.ObservedRevision", Not(BeEmpty()))))
		}).Should(Succeed())
		stop()

		m.silent.Store(true)
		runController(dir)
		Eventually(m.asked.Load).ShouldNot(BeZero())
		commit := w.repo.Commit("main", "Add checkout", files(deployment, lifecycle))
		w.source(ctx)
		w.says(commit, "validate", "success: ")
		w.deploy(ctx, deployment)
		w.says(commit, "checkout/post-deployment", "success: ")
	})

	It("delays no rollout of what is known of it, and what is not is waited for as long as spec.timeout says", func(ctx context.Context) {
		commit := w.repo.Commit("main", "Add checkout", files(deployment, lifecycle))
		dir := GinkgoT().TempDir()
		stop := runController(dir)
		source := w.source(ctx, at(w.namespace))
		lc := &gitopsv1alpha1.Lifecycle{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "silent-checkout"}}
		ready := state(ctx, lc, meta.ReadyCondition)
		Eventually(ready).Should(ContainSubstring("waiting for the first rollout"))
		m.silent.Store(true)
		w.look(ctx, source)
		Eventually(m.asked.Load).ShouldNot(BeZero())
		w.deploy(ctx, deployment)
		Eventually(func() *lifecyclev1.KeptnAppVersion { return w.delivery(ctx, commit) }).Should(
			And(Not(BeNil()), HaveField("Status.Status", lifecyclev1.StateSucceeded)))
		Eventually(ready).Should(HavePrefix("True "))
		stop()

		patience := func(timeout string) {
			GinkgoHelper()
			patch := fmt.Appendf(nil, `{"spec":{"timeout":%q}}`, timeout)
			Expect(kube.Patch(ctx, source.DeepCopy(), client.RawPatch(types.MergePatchType, patch))).To(Succeed())
		}
		patience("100ms")
		runController(dir)
		Eventually(ready).Should(And(HavePrefix("Unknown "), ContainSubstring("the remote took more than 100ms")))
		m.silent.Store(false)
		patience("1m")
		Eventually(ready, "1m").Should(HavePrefix("True "))
	})
})

package controllers_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

// logged is all that the suite's controllers have logged.
var logged = &transcript{}

// transcript keeps what is written to it, and shows it with a failed test.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.Write(p)
	return GinkgoWriter.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// everything is all that people can read of a namespace, but its Secrets.
func everything(ctx context.Context, w *world) string {
	GinkgoHelper()
	var all strings.Builder
	for _, list := range []client.ObjectList{
		&gitopsv1alpha1.GitSourceList{}, &gitopsv1alpha1.LifecycleList{}, &gitopsv1alpha1.SLOPolicyList{},
		&lifecyclev1.KeptnAppVersionList{}, &lifecyclev1.KeptnEvaluationList{}, &metricsv1.KeptnMetricsProviderList{},
		&eventsv1.EventList{}, &corev1.EventList{},
	} {
		Expect(kube.List(ctx, list, inNamespace(w))).To(Succeed())
		content, err := yaml.Marshal(list)
		Expect(err).NotTo(HaveOccurred())
		all.Write(content)
	}
	return all.String()
}

var _ = Describe("A secret", func() {
	const (
		gitPassword    = "GIT-PASSWORD-c0ffee"
		forgeToken     = "FORGE-TOKEN-c0ffee"
		metricPassword = "METRIC-PASSWORD-c0ffee"
	)

	It("is shown nowhere, whether it is right or wrong, also by servers that repeat it", func(ctx context.Context) {
		w := newWorld(ctx)
		w.metrics.set("requests", "1000")
		w.metrics.set("errors", "1")
		for name, data := range map[string]map[string]string{
			"git":        {"username": "git", "password": gitPassword},
			"token":      {"token": forgeToken},
			"prometheus": {"user": "prom", "password": metricPassword},
		} {
			Expect(kube.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, StringData: data})).To(Succeed())
		}
		g, onGitea := w.onGitea(ctx)
		g.token = forgeToken
		w.git.RequirePassword("git", "another")
		w.metrics.protect("prom", "another")
		Expect(kube.Create(ctx, &metricsv1.KeptnMetricsProvider{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "protected"},
			Spec: metricsv1.KeptnMetricsProviderSpec{
				Type: "prometheus", TargetServer: serve(w.metrics),
				SecretKeyRef: corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "prometheus"}},
			},
		})).To(Succeed())
		g.answer(func(rw http.ResponseWriter, r *http.Request) {
			http.Error(rw, fmt.Sprintf(`{"message":"who is %s?"}`, r.Header.Get("Authorization")), http.StatusUnauthorized)
		})
		commit := w.repo.Commit("main", "1", files(deployment, strings.ReplaceAll(patient, "name: prometheus", "name: protected")))
		runController(GinkgoT().TempDir())
		source := w.source(ctx, onGitea, func(s *gitopsv1alpha1.GitSource) {
			s.Spec.SecretRef = &meta.LocalObjectReference{Name: "git"}
			s.Spec.Statuses.SecretRef.Name = "token"
		})
		Eventually(state(ctx, source, meta.ReadyCondition)).Should(HavePrefix("False AuthenticationFailed: "))
		w.git.RequirePassword("git", gitPassword)
		w.look(ctx, source)
		Eventually(state(ctx, source, gitopsv1alpha1.ReportedCondition)).Should(HavePrefix("False ForgeFailed: "))
		g.answer(nil)
		w.deploy(ctx, deployment)
		Eventually(state(ctx, w.lifecycle("checkout"), meta.ReadyCondition)).Should(ContainSubstring("401"))
		w.metrics.protect("prom", metricPassword)
		Eventually(func() []string { return g.posted(commit) }).Should(ContainElement(HavePrefix("checkout/post-deployment success: ")))
		shown := everything(ctx, w) + logged.String() + strings.Join(g.posted(commit), "\n")
		Expect(logged.String()).To(ContainSubstring(w.namespace), "the log is captured")
		for _, secret := range []string{gitPassword, forgeToken, metricPassword} {
			Expect(shown).NotTo(ContainSubstring(secret))
		}
	})
})

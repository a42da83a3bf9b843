package controllers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/gitsource/gittest"
)

// world is what one test works in: a namespace, a repository, and a Prometheus.
type world struct {
	namespace string
	git       *gittest.Server
	repo      *gittest.Repo
	metrics   *prometheus
}

// newWorld makes a world with a KeptnMetricsProvider named prometheus.
func newWorld(ctx context.Context) *world {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	Expect(kube.Create(ctx, ns)).To(Succeed())
	git := gittest.New(GinkgoTB())
	w := &world{namespace: ns.Name, git: git, repo: git.Create(GinkgoTB(), ns.Name), metrics: &prometheus{answers: map[string]string{}}}
	Expect(kube.Create(ctx, &metricsv1.KeptnMetricsProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "prometheus"},
		Spec:       metricsv1.KeptnMetricsProviderSpec{Type: "prometheus", TargetServer: serve(w.metrics)},
	})).To(Succeed())
	return w
}

// source creates a GitSource of the world's repository.
func (w *world) source(ctx context.Context, change ...func(*gitopsv1alpha1.GitSource)) *gitopsv1alpha1.GitSource {
	GinkgoHelper()
	s := &gitopsv1alpha1.GitSource{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop"},
		Spec:       gitopsv1alpha1.GitSourceSpec{URL: w.repo.URL, Environment: "production"},
	}
	for _, c := range change {
		c(s)
	}
	Expect(kube.Create(ctx, s)).To(Succeed())
	return s
}

// look asks for a look at the remote now.
func (w *world) look(ctx context.Context, s *gitopsv1alpha1.GitSource, token string) {
	GinkgoHelper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, token)
	Expect(kube.Patch(ctx, s.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
}

// deploy applies the manifests of a commit's Deployment, as a deployer would,
// and has it roll out, as a Deployment controller would.
func (w *world) deploy(ctx context.Context, manifest string) {
	GinkgoHelper()
	w.apply(ctx, manifest)
	w.rollOut(ctx, manifest)
}

// apply applies a Deployment and leaves its rollout to be.
func (w *world) apply(ctx context.Context, manifest string) *appsv1.Deployment {
	GinkgoHelper()
	d := &appsv1.Deployment{}
	Expect(yaml.UnmarshalStrict([]byte(manifest), d)).To(Succeed())
	d.Namespace = w.namespace
	err := kube.Create(ctx, d.DeepCopy())
	if err != nil {
		live := &appsv1.Deployment{}
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(d), live)).To(Succeed(), "%v", err)
		live.Spec = d.Spec
		live.Annotations = d.Annotations
		Expect(kube.Update(ctx, live)).To(Succeed())
	}
	return d
}

// rollOut reports the Deployment as rolled out.
func (w *world) rollOut(ctx context.Context, manifest string) {
	GinkgoHelper()
	d := &appsv1.Deployment{}
	Expect(yaml.UnmarshalStrict([]byte(manifest), d)).To(Succeed())
	live := &appsv1.Deployment{}
	Expect(kube.Get(ctx, types.NamespacedName{Namespace: w.namespace, Name: d.Name}, live)).To(Succeed())
	live.Status = appsv1.DeploymentStatus{
		ObservedGeneration: live.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1,
		Conditions: []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue},
			{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"},
		},
	}
	Expect(kube.Status().Update(ctx, live)).To(Succeed())
}

// said returns what the notes of a commit say: the newest status of each context.
func (w *world) said(commit string) map[string]string {
	said := map[string]string{}
	newest := map[string]forge.Note{}
	for _, n := range w.notes(commit) {
		if was, ok := newest[n.Context]; !ok || n.Time.After(was.Time) || n.Time.Equal(was.Time) && n.State.Final() {
			newest[n.Context] = n
			said[strings.TrimPrefix(n.Context, "keptn/production/")] = string(n.State) + ": " + n.Description
		}
	}
	return said
}

// notes returns all statuses that the notes of a commit hold.
func (w *world) notes(commit string) []forge.Note {
	var notes []forge.Note
	for line := range strings.Lines(w.noteText(commit)) {
		if n, err := forge.ParseNote(commit, strings.TrimSpace(line)); err == nil {
			notes = append(notes, n)
		}
	}
	return notes
}

// noteText is the note of a commit as Git shows it, empty where there is none.
func (w *world) noteText(commit string) string {
	listed := w.repo.Git("for-each-ref", forge.NotesRef)
	if listed == "" || !strings.Contains(w.repo.Git("notes", "--ref="+forge.NotesRef, "list"), commit) {
		return ""
	}
	return w.repo.Git("notes", "--ref="+forge.NotesRef, "show", commit)
}

// deliveries returns the records of deliveries.
func (w *world) deliveries(ctx context.Context) []lifecyclev1.KeptnAppVersion {
	GinkgoHelper()
	var list lifecyclev1.KeptnAppVersionList
	Expect(kube.List(ctx, &list, client.InNamespace(w.namespace))).To(Succeed())
	return list.Items
}

// prometheus answers instant queries with fixed values, in Prometheus' own
// format (https://prometheus.io/docs/prometheus/latest/querying/api/).
type prometheus struct {
	mu      sync.Mutex
	answers map[string]string
	status  int
	asked   int
}

// set has a query answered by a value; an empty one is an empty vector.
func (p *prometheus) set(query, value string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[query] = value
}

// fail has every query answered by an HTTP status; 0 heals it.
func (p *prometheus) fail(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
}

func (p *prometheus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.status != 0 {
		w.WriteHeader(p.status)
		return
	}
	at := r.FormValue("time")
	result := []any{}
	if value := p.answers[r.FormValue("query")]; value != "" {
		result = append(result, map[string]any{"metric": map[string]string{}, "value": []any{json.RawMessage(at), value}})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"status": "success", "data": map[string]any{"resultType": "vector", "result": result},
	})
}

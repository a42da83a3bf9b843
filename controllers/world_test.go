package controllers_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	optionsv1alpha1 "github.com/keptn/gitops/api/options/v1alpha1"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/gitsource/gittest"
)

// world is what one test works in: a namespace, a repository, and a Prometheus.
type world struct {
	namespace string
	git       *gittest.Server
	repo      *gittest.Repo
	metrics   *prometheus
	looks     int
}

// newWorld makes a world with a KeptnMetricsProvider named prometheus.
func newWorld(ctx context.Context) *world {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	Expect(kube.Create(ctx, ns)).To(Succeed())
	DeferCleanup(func(ctx context.Context) { clean(ctx, ns.Name) })
	git := gittest.New(GinkgoTB())
	w := &world{namespace: ns.Name, git: git, repo: git.Create(GinkgoTB(), ns.Name), metrics: &prometheus{answers: map[string][]answer{}}}
	Expect(kube.Create(ctx, &metricsv1.KeptnMetricsProvider{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "prometheus"},
		Spec:       metricsv1.KeptnMetricsProviderSpec{Type: "prometheus", TargetServer: serve(w.metrics)},
	})).To(Succeed())
	return w
}

// clean deletes what a test left in a namespace, so that the controllers of the
// next one have nothing to do with it. There is no garbage collector here.
func clean(ctx context.Context, namespace string) {
	for _, of := range []client.Object{
		&gitopsv1alpha1.GitSource{}, &gitopsv1alpha1.Lifecycle{}, &gitopsv1alpha1.SLOPolicy{},
		&lifecyclev1.KeptnApp{}, &lifecyclev1.KeptnAppContext{}, &lifecyclev1.KeptnWorkload{},
		&lifecyclev1.KeptnAppVersion{}, &lifecyclev1.KeptnWorkloadVersion{}, &lifecyclev1.KeptnEvaluation{}, &lifecyclev1.KeptnTask{},
		&lifecyclev1.KeptnTaskDefinition{}, &lifecyclev1.KeptnEvaluationDefinition{}, &optionsv1alpha1.KeptnConfig{},
		&metricsv1.KeptnMetric{}, &metricsv1.Analysis{},
		&appsv1.Deployment{}, &appsv1.StatefulSet{}, &appsv1.DaemonSet{}, &appsv1.ReplicaSet{}, &appsv1.ControllerRevision{},
		&batchv1.Job{}, &corev1.Pod{},
	} {
		Expect(kube.DeleteAllOf(ctx, of, client.InNamespace(namespace))).To(Succeed())
	}
}

// source creates a GitSource of the world's repository, which looks at the
// remote at once, and then only if it is asked to.
func (w *world) source(ctx context.Context, change ...func(*gitopsv1alpha1.GitSource)) *gitopsv1alpha1.GitSource {
	GinkgoHelper()
	s := &gitopsv1alpha1.GitSource{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop"},
		Spec: gitopsv1alpha1.GitSourceSpec{
			URL: w.repo.URL, Environment: "production", Interval: metav1.Duration{Duration: time.Hour},
		},
	}
	for _, c := range change {
		c(s)
	}
	Expect(kube.Create(ctx, s)).To(Succeed())
	return s
}

// look asks for a look at the remote now.
func (w *world) look(ctx context.Context, s *gitopsv1alpha1.GitSource) {
	GinkgoHelper()
	w.looks++
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"%d"}}}`, meta.ReconcileRequestAnnotation, w.looks)
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
func (w *world) said(commit string) map[string]string { return said(w.repo, commit) }

// said returns what the notes of a repository say of a commit: the newest status
// of each context, which is written without keptn/production/. Of those of one
// time it is a verdict, else the one that sorts last.
func said(repo *gittest.Repo, commit string) map[string]string {
	said := map[string]string{}
	newest := map[string]forge.Note{}
	for _, n := range notes(repo, commit) {
		if was, ok := newest[n.Context]; !ok || n.Time.After(was.Time) || n.Time.Equal(was.Time) && (n.State.Final() || !was.State.Final()) {
			newest[n.Context] = n
			said[strings.TrimPrefix(n.Context, "keptn/production/")] = string(n.State) + ": " + n.Description
		}
	}
	return said
}

// says waits until a context of a commit shows a status that begins so. Of what
// is pending several texts can be of one second, so any of them counts.
func (w *world) says(commit, name, text string) {
	GinkgoHelper()
	Eventually(func() []string {
		if !strings.HasPrefix(text, "pending: ") {
			return []string{w.said(commit)[name]}
		}
		var lines []string
		for _, n := range notes(w.repo, commit) {
			if n.Context == "keptn/production/"+name {
				lines = append(lines, string(n.State)+": "+n.Description)
			}
		}
		return lines
	}).Should(ContainElement(HavePrefix(text)), "%s on %.7s", name, commit)
}

// notes returns all statuses that the notes of a commit hold.
func notes(repo *gittest.Repo, commit string) []forge.Note {
	var notes []forge.Note
	for line := range strings.Lines(noteText(repo, commit)) {
		if n, err := forge.ParseNote(commit, strings.TrimSpace(line)); err == nil {
			notes = append(notes, n)
		}
	}
	return notes
}

// noteText is the note of a commit as Git shows it, empty where there is none.
func noteText(repo *gittest.Repo, commit string) string {
	listed := repo.Git("for-each-ref", forge.NotesRef)
	if listed == "" || !strings.Contains(repo.Git("notes", "--ref="+forge.NotesRef, "list"), commit) {
		return ""
	}
	return repo.Git("notes", "--ref="+forge.NotesRef, "show", commit)
}

// state returns a function that reads a condition of an object, written as
// <status> <reason>: <message>; it is empty where the object or the condition is
// not there.
func state[T interface {
	client.Object
	GetConditions() []metav1.Condition
}](ctx context.Context, obj T, conditionType string) func() string {
	return func() string {
		if err := kube.Get(ctx, client.ObjectKeyFromObject(obj), obj); err != nil {
			return ""
		}
		c := apimeta.FindStatusCondition(obj.GetConditions(), conditionType)
		if c == nil {
			return ""
		}
		return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
	}
}

// events returns a function that lists the events of an object by its name, each
// written as <type> <reason>: <note>.
func (w *world) events(ctx context.Context, name string) func() []string {
	return func() []string {
		var list eventsv1.EventList
		if err := kube.List(ctx, &list, client.InNamespace(w.namespace)); err != nil {
			return nil
		}
		var lines []string
		for _, e := range list.Items {
			if e.Regarding.Name == name {
				lines = append(lines, fmt.Sprintf("%s %s: %s", e.Type, e.Reason, e.Note))
			}
		}
		return lines
	}
}

// lifecycle names the copy of a Lifecycle that the source shop reads.
func (w *world) lifecycle(name string) *gitopsv1alpha1.Lifecycle {
	return &gitopsv1alpha1.Lifecycle{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "shop-" + name}}
}

// delivery returns the newest delivery of a commit, or nil.
func (w *world) delivery(ctx context.Context, commit string) *lifecyclev1.KeptnAppVersion {
	GinkgoHelper()
	var newest *lifecyclev1.KeptnAppVersion
	for _, kav := range w.deliveries(ctx) {
		if kav.Spec.Commit.SHA == commit && (newest == nil || kav.Spec.Revision > newest.Spec.Revision) {
			newest = &kav
		}
	}
	return newest
}

// deliveries returns the records of deliveries.
func (w *world) deliveries(ctx context.Context) []lifecyclev1.KeptnAppVersion {
	GinkgoHelper()
	var list lifecyclev1.KeptnAppVersionList
	Expect(kube.List(ctx, &list, client.InNamespace(w.namespace))).To(Succeed())
	return list.Items
}

// versions lists all objects of ours with their resource versions.
func (w *world) versions(ctx context.Context) string {
	GinkgoHelper()
	var lines []string
	for _, list := range []client.ObjectList{
		&gitopsv1alpha1.GitSourceList{}, &gitopsv1alpha1.LifecycleList{}, &gitopsv1alpha1.SLOPolicyList{},
		&lifecyclev1.KeptnAppVersionList{}, &lifecyclev1.KeptnEvaluationList{},
		&metricsv1.KeptnMetricList{}, &metricsv1.AnalysisList{},
	} {
		Expect(kube.List(ctx, list, client.InNamespace(w.namespace))).To(Succeed())
		Expect(apimeta.EachListItem(list, func(o runtime.Object) error {
			obj, err := apimeta.Accessor(o)
			if err == nil {
				lines = append(lines, fmt.Sprintf("%T %s %s", o, obj.GetName(), obj.GetResourceVersion()))
			}
			return err
		})).To(Succeed())
	}
	return strings.Join(lines, "\n")
}

func inNamespace(w *world) client.ListOption { return client.InNamespace(w.namespace) }

// afterwards waits until the clock of the API server shows another second: what
// is written then is newer than what was written before.
func afterwards() {
	GinkgoHelper()
	from := time.Now().Truncate(time.Second)
	Eventually(func() time.Time { return time.Now().Truncate(time.Second) }).WithPolling(20 * time.Millisecond).Should(BeTemporally(">", from))
}

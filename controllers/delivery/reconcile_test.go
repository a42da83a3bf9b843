package delivery

import (
	"context"
	"errors"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	optionsv1alpha1 "github.com/keptn/gitops/api/options/v1alpha1"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/workload"
)

// cluster is an API server with reconcilers at work, which refuses what it is told to.
type cluster struct {
	*testing.T
	client.Client

	clock  *clocktesting.FakePassiveClock
	events *events.FakeRecorder
	// traced: traces are exported.
	traced bool
	// refuse, where it is set, is the answer to a write of an object: create, delete
	// or patch.
	refuse func(verb string, obj client.Object) error
}

// indexed hands indexes to a client that is being built.
type indexed struct{ *fake.ClientBuilder }

func (i indexed) IndexField(_ context.Context, obj client.Object, field string, keys client.IndexerFunc) error {
	i.WithIndex(obj, field, keys)
	return nil
}

func newCluster(t *testing.T, objects ...client.Object) *cluster {
	t.Helper()
	s := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(s), lifecyclev1.AddToScheme(s), gitopsv1alpha1.AddToScheme(s), metricsv1.AddToScheme(s), optionsv1alpha1.AddToScheme(s)); err != nil {
		t.Fatal(err)
	}
	c := &cluster{T: t, clock: clocktesting.NewFakePassiveClock(noon), events: events.NewFakeRecorder(100)}
	asked := func(verb string, obj client.Object) error {
		if c.refuse == nil {
			return nil
		}
		return c.refuse(verb, obj)
	}
	builder := fake.NewClientBuilder().WithScheme(s).WithObjects(objects...).
		WithStatusSubresource(&lifecyclev1.KeptnAppVersion{}, &lifecyclev1.KeptnWorkloadVersion{}, &lifecyclev1.KeptnTask{}, &appsv1.Deployment{}).
		WithInterceptorFuncs(interceptor.Funcs{
			Create: func(ctx context.Context, w client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
				if err := asked("create", obj); err != nil {
					return err
				}
				return w.Create(ctx, obj, opts...)
			},
			Delete: func(ctx context.Context, w client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
				if err := asked("delete", obj); err != nil {
					return err
				}
				return w.Delete(ctx, obj, opts...)
			},
			SubResourcePatch: func(ctx context.Context, w client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
				if err := asked("patch", obj); err != nil {
					return err
				}
				return w.SubResource(sub).Patch(ctx, obj, patch, opts...)
			},
		})
	if err := errors.Join(AddIndexes(t.Context(), indexed{builder}), workload.AddIndexes(t.Context(), indexed{builder})); err != nil {
		t.Fatal(err)
	}
	c.Client = builder.Build()
	return c
}

// app reconciles a delivery of an app, as a controller that knows nothing does, and
// returns what it was made of it.
func (c *cluster) app(name string) (*lifecyclev1.KeptnAppVersion, error) {
	c.Helper()
	r := &AppVersionReconciler{Client: c.Client, Clock: c.clock, Events: c.events, OwnNamespace: "keptn-system", Traced: c.traced}
	_, err := r.Reconcile(c.Context(), read(c, name, &lifecyclev1.KeptnAppVersion{}))
	return read(c, name, &lifecyclev1.KeptnAppVersion{}), err
}

// workload reconciles a delivery of a workload.
func (c *cluster) workload(name string) *lifecyclev1.KeptnWorkloadVersion {
	c.Helper()
	r := &WorkloadVersionReconciler{Client: c.Client, Clock: c.clock, Events: c.events, OwnNamespace: "keptn-system", Traced: c.traced}
	if _, err := r.Reconcile(c.Context(), read(c, name, &lifecyclev1.KeptnWorkloadVersion{})); err != nil {
		c.Fatal(err)
	}
	return read(c, name, &lifecyclev1.KeptnWorkloadVersion{})
}

func read[T client.Object](c *cluster, name string, obj T) T {
	c.Helper()
	if err := c.Get(c.Context(), client.ObjectKey{Namespace: "shop", Name: name}, obj); err != nil {
		c.Fatal(err)
	}
	return obj
}

func (c *cluster) tasks() []lifecyclev1.KeptnTask {
	c.Helper()
	var list lifecyclev1.KeptnTaskList
	if err := c.List(c.Context(), &list); err != nil {
		c.Fatal(err)
	}
	return list.Items
}

func (c *cluster) evaluations() []lifecyclev1.KeptnEvaluation {
	c.Helper()
	var list lifecyclev1.KeptnEvaluationList
	if err := c.List(c.Context(), &list); err != nil {
		c.Fatal(err)
	}
	return list.Items
}

// end ends all tasks that run a definition.
func (c *cluster) end(definition string, state lifecyclev1.KeptnState) {
	c.Helper()
	for _, task := range c.tasks() {
		if task.Spec.TaskDefinition == definition {
			task.Status.Status = state
			if err := c.Status().Update(c.Context(), &task); err != nil {
				c.Fatal(err)
			}
		}
	}
}

func definition(name string) *lifecyclev1.KeptnTaskDefinition {
	return &lifecyclev1.KeptnTaskDefinition{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec:       lifecyclev1.KeptnTaskDefinitionSpec{Retries: ptr.To[int32](1)},
	}
}

// checking is a delivery of an app with tasks before the deployment, and nothing else.
func checking(names ...string) *lifecyclev1.KeptnAppVersion {
	kav := appVersion("shop-1", 1, "1")
	kav.Spec.PreDeploymentTasks, kav.Spec.Workloads = names, nil
	return kav
}

func TestNoTaskRunsTwiceWhereverTheControllerStops(t *testing.T) {
	down := errors.New("the controller is killed here")
	// Every write is the last one of its controller once; then another one goes on.
	for stopAt := 1; ; stopAt++ {
		c := newCluster(t, definition("a"), definition("b"), checking("a", "b"))
		writes, created := 0, map[string]int{}
		c.refuse = func(verb string, obj client.Object) error {
			writes++
			if writes == stopAt {
				return down
			}
			if verb == "create" {
				created[obj.GetName()]++
			}
			return nil
		}
		stopped := false
		step := func() *lifecyclev1.KeptnAppVersion {
			kav, err := c.app("shop-1")
			if errors.Is(err, down) {
				stopped = true
				kav, err = c.app("shop-1")
			}
			if err != nil {
				t.Fatal(err)
			}
			return kav
		}
		step()
		c.end("a", succeeded)
		step()
		c.end("b", succeeded)
		kav := step()
		if kav.Status.Status != succeeded {
			t.Errorf("stopped at write %d: it ended as %s", stopAt, kav.Status.Status)
		}
		if len(created) != 2 {
			t.Errorf("stopped at write %d: created %v", stopAt, created)
		}
		for name, times := range created {
			if times != 1 {
				t.Errorf("stopped at write %d: %s was created %d times", stopAt, name, times)
			}
		}
		if !stopped {
			if stopAt < 5 {
				t.Fatalf("it came to an end after %d writes: two tasks and three records are five", stopAt-1)
			}
			return
		}
	}
}

func TestATaskThatEndedDoesNotRunAgainWhereSomebodyDeletesIt(t *testing.T) {
	c := newCluster(t, definition("a"), definition("b"), checking("a", "b"))
	if _, err := c.app("shop-1"); err != nil {
		t.Fatal(err)
	}
	c.end("a", succeeded)
	if _, err := c.app("shop-1"); err != nil {
		t.Fatal(err)
	}
	for _, task := range c.tasks() {
		if task.Spec.TaskDefinition == "a" {
			if err := c.Delete(t.Context(), &task); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.end("b", succeeded)
	kav, err := c.app("shop-1")
	if err != nil {
		t.Fatal(err)
	}
	if kav.Status.Status != succeeded || len(c.tasks()) != 1 {
		t.Errorf("it is %s, and %d tasks are there", kav.Status.Status, len(c.tasks()))
	}
}

func TestWhatCannotBeStoppedIsTriedAgain(t *testing.T) {
	kav := checking("a")
	c := newCluster(t, definition("a"), kav)
	if _, err := c.app("shop-1"); err != nil {
		t.Fatal(err)
	}
	cancelled := read(c, "shop-1", &lifecyclev1.KeptnAppVersion{})
	cancelled.Annotations = map[string]string{lifecyclev1.CancelAnnotation: ""}
	if err := c.Update(t.Context(), cancelled); err != nil {
		t.Fatal(err)
	}
	c.refuse = func(verb string, _ client.Object) error {
		if verb == "delete" {
			return errors.New("etcd is slow")
		}
		return nil
	}
	if kav, err := c.app("shop-1"); err == nil || kav.Status.Status.Completed() {
		t.Errorf("it is %s while its task runs (error: %v)", kav.Status.Status, err)
	}
	c.refuse = nil
	kav, err := c.app("shop-1")
	if err != nil || kav.Status.Status != failed || len(c.tasks()) != 0 {
		t.Errorf("it is %s, and %d tasks are there (error: %v)", kav.Status.Status, len(c.tasks()), err)
	}
}

func TestADeliveryThatCannotBeJudgedIsFollowed(t *testing.T) {
	const problem = "lifecycle.yaml:3:1: unknown field"
	cases := map[string]struct {
		reason string
		tasks  []string
		ends   lifecyclev1.Phase
	}{
		"NothingKnown": {"Nothing is known that would keep it from rolling out.", nil, lifecyclev1.PhaseAppPostDeployEvaluations},
		"ChecksKnown":  {"A check that is known and cannot be run does.", []string{"a"}, lifecyclev1.PhaseAppPreDeployTasks},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			kav := checking(tc.tasks...)
			kav.Spec.Problem = problem
			c := newCluster(t, definition("a"), kav)
			kav, err := c.app("shop-1")
			if err != nil {
				t.Fatal(err)
			}
			got := phase.Decisive(&kav.Status.Delivery)
			if got.Name != tc.ends || got.State != unknown || got.Message != "cannot be judged: "+problem {
				t.Errorf("%s\nended at %s as %s: %s", tc.reason, got.Name, got.State, got.Message)
			}
		})
	}
}

func TestAReconcileThatChangesNothingWritesNothing(t *testing.T) {
	c := newCluster(t, definition("a"), checking("a", "missing"))
	if _, err := c.app("shop-1"); err != nil {
		t.Fatal(err)
	}
	c.refuse = func(verb string, obj client.Object) error {
		t.Errorf("%s %T", verb, obj)
		return nil
	}
	c.clock.SetTime(noon.Add(time.Hour))
	if _, err := c.app("shop-1"); err != nil {
		t.Fatal(err)
	}
}

// rolling is a Deployment with a ReplicaSet for each revision, the last of which is its
// newest, and none of which has rolled out.
func rolling(revisions ...string) []client.Object {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart", UID: "cart", Generation: 1}}
	d.Status.ObservedGeneration = 1
	objects := []client.Object{d}
	for _, revision := range revisions {
		rs := &appsv1.ReplicaSet{ObjectMeta: ownedBy("Deployment", d.UID)}
		rs.Name, rs.UID = "cart-"+revision, types.UID("cart-"+revision)
		rs.Annotations = map[string]string{"deployment.kubernetes.io/revision": revision}
		objects = append(objects, rs)
	}
	return objects
}

// ofRevision1 is a delivery of the first revision of cart.
func ofRevision1(name string, generation int64, version string) *lifecyclev1.KeptnWorkloadVersion {
	kwv := workloadVersion(name, generation, version)
	kwv.Spec.ResourceReference = lifecyclev1.ResourceReference{UID: "cart-1", Kind: "ReplicaSet", Name: "cart-1"}
	return kwv
}

// letGo is a delivery of the app whose deployment has begun.
func letGo(name string, generation int64, version string) *lifecyclev1.KeptnAppVersion {
	kav := appVersion(name, generation, version)
	kav.Status.Phases = []lifecyclev1.PhaseRecord{rec(lifecyclev1.PhaseAppDeploy, progressing, "")}
	return kav
}

func TestAWorkloadBeginsWithItsAppAndGoesOnWithoutIt(t *testing.T) {
	c := newCluster(t, append(rolling("1"), ofRevision1("kwv", 1, "1"), appVersion("old", 1, "1"))...)
	if kwv := c.workload("kwv"); kwv.Released() || kwv.Status.Status.Completed() {
		t.Fatalf("it begins before its app lets it go: %+v", kwv.Status)
	}
	old := letGo("old", 1, "1")
	old.ResourceVersion = read(c, "old", &lifecyclev1.KeptnAppVersion{}).ResourceVersion
	if err := c.Status().Update(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if kwv := c.workload("kwv"); !kwv.Released() {
		t.Fatalf("it does not begin: %+v", kwv.Status)
	}
	// The app's next delivery does not bring this version, and the one that does waits
	// for this workload.
	if err := c.Create(t.Context(), appVersion("next", 2, "2")); err != nil {
		t.Fatal(err)
	}
	c.clock.SetTime(noon.Add(time.Hour))
	if kwv := c.workload("kwv"); kwv.Status.DeploymentStatus != failed {
		t.Errorf("it stands still: %+v", kwv.Status)
	}
}

func TestADeliveryOfAWorkloadIsGivenUpForANewerOne(t *testing.T) {
	cases := map[string]struct {
		reason  string
		objects []client.Object
		want    lifecyclev1.KeptnState
	}{
		"Newest":        {"It is the newest.", rolling("1"), progressing},
		"NewRevision":   {"The workload has a newer revision.", rolling("1", "2"), deprecated},
		"NewDelivery":   {"The same revision has another version now.", append(rolling("1"), ofRevision1("newer", 2, "2")), deprecated},
		"Gone":          {"Its ReplicaSet is gone, with a history of none, and a newer delivery is there.", append(rolling(), workloadVersion("newer", 2, "2")), deprecated},
		"GoneForAWhile": {"It is gone, and nothing newer is known: it may come again.", rolling(), progressing},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, append(tc.objects, ofRevision1("kwv", 1, "1"), letGo("kav", 1, "1"))...)
			kwv := c.workload("kwv")
			if kwv.Status.Status != tc.want {
				t.Errorf("%s\nit is %s: %+v", tc.reason, kwv.Status.Status, kwv.Status.Phases)
			}
			if kwv.Released() != (tc.want == progressing) {
				t.Errorf("%s\nreleased: %t", tc.reason, kwv.Released())
			}
		})
	}
}

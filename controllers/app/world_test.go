package app_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	optionsv1alpha1 "github.com/keptn/gitops/api/options/v1alpha1"
	"github.com/keptn/gitops/controllers/app"
	"github.com/keptn/gitops/controllers/workload"
)

// world is a cluster with one namespace that is opted in, and all reconcilers.
type world struct {
	client.Client

	t      *testing.T
	clock  *clocktesting.FakePassiveClock
	events *events.FakeRecorder
	// writes are those of the reconcilers, as <verb> <kind> <name>.
	writes   []string
	governed bool
	// refuse answers a write in place of the API server.
	refuse func(verb string, obj client.Object) error
}

// indexes hands field indexes to a fake client.
type indexes struct{ *fake.ClientBuilder }

func (i indexes) IndexField(_ context.Context, obj client.Object, field string, keys client.IndexerFunc) error {
	i.WithIndex(obj, field, keys)
	return nil
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, lifecyclev1.AddToScheme, optionsv1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, clock: clocktesting.NewFakePassiveClock(noon), events: events.NewFakeRecorder(100)}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Annotations: keys{lifecyclev1.NamespaceEnabledAnnotation: "enabled"}}}
	b := fake.NewClientBuilder().WithTypeConverters(managedfields.NewDeducedTypeConverter()).WithScheme(scheme).WithObjects(append(objects, ns)...).
		WithStatusSubresource(&lifecyclev1.KeptnApp{}, &lifecyclev1.KeptnWorkload{}).
		WithInterceptorFuncs(interceptor.Funcs{
			Create: w.create, Patch: w.patch, Delete: w.delete, SubResourcePatch: w.patchStatus,
		})
	for _, add := range []func(context.Context, client.FieldIndexer) error{workload.AddIndexes, app.AddIndexes} {
		if err := add(t.Context(), indexes{b}); err != nil {
			t.Fatal(err)
		}
	}
	w.Client = b.Build()
	return w
}

func (w *world) write(verb string, obj client.Object) error {
	w.writes = append(w.writes, fmt.Sprintf("%s %s %s", verb, strings.TrimPrefix(fmt.Sprintf("%T", obj), "*v1."), obj.GetName()))
	if w.refuse != nil {
		return w.refuse(verb, obj)
	}
	return nil
}

// create does what an API server does, which a fake one does not.
func (w *world) create(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
	if err := w.write("create", obj); err != nil {
		return err
	}
	made := obj.DeepCopyObject().(client.Object) //nolint:forcetypeassert // a copy has the type of its original
	if made.GetUID() == "" {
		made.SetUID(types.UID(fmt.Sprintf("%s-%d", obj.GetName(), len(w.writes))))
	}
	made.SetGeneration(max(1, made.GetGeneration()))
	made.SetCreationTimestamp(metav1.NewTime(w.clock.Now()))
	return c.Create(ctx, made, opts...)
}

func (w *world) patch(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	if err := w.write("patch", obj); err != nil {
		return err
	}
	if err := c.Patch(ctx, obj, patch, opts...); err != nil {
		return err
	}
	obj.SetGeneration(obj.GetGeneration() + 1)
	return c.Update(ctx, obj)
}

func (w *world) delete(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
	if err := w.write("delete", obj); err != nil {
		return err
	}
	return c.Delete(ctx, obj, opts...)
}

func (w *world) patchStatus(ctx context.Context, c client.Client, sub string, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	if err := w.write("status", obj); err != nil {
		return err
	}
	return c.SubResource(sub).Patch(ctx, obj, patch, opts...)
}

// wrote returns what was written since the last time.
func (w *world) wrote() []string {
	wrote := w.writes
	w.writes = nil
	return wrote
}

// deployment is a Deployment with a template's annotations, that has come to a
// revision.
func deployment(name string, revision int, template keys) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID("uid-" + name), Generation: int64(revision),
			Annotations: keys{"deployment.kubernetes.io/revision": fmt.Sprint(revision)},
		},
		Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Annotations: template},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "c"}}},
		}},
		Status: appsv1.DeploymentStatus{ObservedGeneration: int64(revision)},
	}
}

// replicaSet is a revision of a Deployment.
func replicaSet(of *appsv1.Deployment, name string, revision int) *appsv1.ReplicaSet {
	return &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: name, UID: types.UID("uid-" + name),
		Annotations:     keys{"deployment.kubernetes.io/revision": fmt.Sprint(revision)},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: of.Name, UID: of.UID, Controller: ptr.To(true)}},
	}}
}

// deploy has a Deployment come to a revision with a ReplicaSet of the given name.
func (w *world) deploy(name string, revision int, set string, template keys) {
	w.t.Helper()
	d := deployment(name, revision, template)
	w.put(d)
	w.put(replicaSet(d, set, revision))
}

// put creates or replaces an object, without it being a write of the reconcilers.
func (w *world) put(obj client.Object) {
	w.t.Helper()
	there := obj.DeepCopyObject().(client.Object) //nolint:forcetypeassert // a copy has the type of its original
	if err := w.Get(w.t.Context(), client.ObjectKeyFromObject(obj), there); err == nil {
		obj.SetResourceVersion(there.GetResourceVersion())
		observed := obj.DeepCopyObject().(client.Object) //nolint:forcetypeassert // as above
		if err := w.Update(w.t.Context(), obj); err != nil {
			w.t.Fatal(err)
		}
		if _, ok := obj.(*appsv1.Deployment); ok {
			observed.SetResourceVersion(obj.GetResourceVersion())
			if err := w.Status().Update(w.t.Context(), observed); err != nil {
				w.t.Fatal(err)
			}
		}
		return
	}
	before, refuse := w.writes, w.refuse
	w.refuse = nil
	if err := w.Create(w.t.Context(), obj); err != nil {
		w.t.Fatal(err)
	}
	w.writes, w.refuse = before, refuse
}

// discover looks at Deployments.
func (w *world) discover(names ...string) reconcile.Result {
	w.t.Helper()
	r := &app.Workloads{Client: w, Events: w.events, Governed: func(context.Context, string, string, string) (bool, error) { return w.governed, nil }}
	var last reconcile.Result
	for _, name := range names {
		result, err := r.Reconcile(w.t.Context(), app.Key{Kind: "Deployment", Namespace: "shop", Name: name})
		if err != nil {
			w.t.Fatal(err)
		}
		last = result
	}
	return last
}

// record looks at all KeptnWorkloads.
func (w *world) record() {
	w.t.Helper()
	r := &app.Workload{Client: w, Events: w.events}
	for _, kw := range list(w, &lifecyclev1.KeptnWorkloadList{}, func(l *lifecyclev1.KeptnWorkloadList) []lifecyclev1.KeptnWorkload { return l.Items }) {
		if _, err := r.Reconcile(w.t.Context(), &kw); err != nil {
			w.t.Fatal(err)
		}
	}
}

// gather looks at an app, and says how long it waits.
func (w *world) gather(name string) time.Duration {
	w.t.Helper()
	r := &app.Discovery{Client: w, Clock: w.clock, Events: w.events}
	result, err := r.Reconcile(w.t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "shop", Name: name}})
	if err != nil {
		w.t.Fatal(err)
	}
	return result.RequeueAfter
}

// version looks at all KeptnApps.
func (w *world) version() {
	w.t.Helper()
	r := &app.App{Client: w, Events: w.events}
	for _, a := range list(w, &lifecyclev1.KeptnAppList{}, func(l *lifecyclev1.KeptnAppList) []lifecyclev1.KeptnApp { return l.Items }) {
		if _, err := r.Reconcile(w.t.Context(), &a); err != nil {
			w.t.Fatal(err)
		}
	}
}

func list[L client.ObjectList, T any](w *world, into L, items func(L) []T) []T {
	w.t.Helper()
	if err := w.List(w.t.Context(), into); err != nil {
		w.t.Fatal(err)
	}
	return items(into)
}

// get reads an object of the namespace by its name.
func get[T client.Object](w *world, name string, into T) T {
	w.t.Helper()
	if err := w.Get(w.t.Context(), types.NamespacedName{Namespace: "shop", Name: name}, into); err != nil {
		w.t.Fatal(err)
	}
	return into
}

// told returns the events since the last time.
func (w *world) told() []string {
	var told []string
	for {
		select {
		case e := <-w.events.Events:
			told = append(told, e)
		default:
			return slices.Clip(told)
		}
	}
}

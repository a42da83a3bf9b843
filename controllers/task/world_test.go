package task_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/task"
)

var kinds = map[string]func() client.Object{
	"KeptnTask":           func() client.Object { return &lifecyclev1.KeptnTask{} },
	"KeptnTaskDefinition": func() client.Object { return &lifecyclev1.KeptnTaskDefinition{} },
	"ConfigMap":           func() client.Object { return &corev1.ConfigMap{} },
}

// now is the time of all tests.
var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(s), lifecyclev1.AddToScheme(s)); err != nil {
		t.Fatal(err)
	}
	return s
}

// world is an API server with a reconciler at work on one KeptnTask.
type world struct {
	*testing.T
	client.Client

	reconciler *task.Reconciler
	events     *events.FakeRecorder
	// created are the kinds of the objects that were created.
	created []string
	// refuse, where it is set, is what the API server answers to a creation.
	refuse func(client.Object) error
	logs   string
}

// indexed hands indexes to a client that is being built.
type indexed struct{ *fake.ClientBuilder }

func (i indexed) IndexField(_ context.Context, obj client.Object, field string, keys client.IndexerFunc) error {
	i.WithIndex(obj, field, keys)
	return nil
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	w := &world{T: t, events: events.NewFakeRecorder(100)}
	builder := fake.NewClientBuilder().WithScheme(scheme(t)).
		WithStatusSubresource(&lifecyclev1.KeptnTask{}, &lifecyclev1.KeptnTaskDefinition{}, &batchv1.Job{}).
		WithObjects(objects...).
		WithInterceptorFuncs(interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
				if w.refuse != nil {
					if err := w.refuse(obj); err != nil {
						return err
					}
				}
				obj.SetUID(types.UID(fmt.Sprintf("%T %s", obj, obj.GetName())))
				obj.SetCreationTimestamp(metav1.NewTime(now))
				err := c.Create(ctx, obj, opts...)
				if err == nil {
					w.created = append(w.created, fmt.Sprintf("%T", obj))
				}
				return err
			},
		})
	if err := task.AddIndexes(t.Context(), indexed{builder}); err != nil {
		t.Fatal(err)
	}
	w.Client = builder.Build()
	w.reconciler = (&task.Reconciler{
		Client: w.Client, APIReader: w.Client, Clock: clocktesting.NewFakePassiveClock(now), Events: w.events,
		Logs: func(_ context.Context, _, pod, container string) (string, error) {
			if w.logs == "" {
				return "", errors.New("no log")
			}
			return pod + "/" + container + ": " + w.logs, nil
		},
		Options: task.Options{Namespace: "keptn-system"},
	}).Watching(w.Client)
	return w
}

// reconcile reconciles the task of the test once, and returns it as it is then.
func (w *world) reconcile() *lifecyclev1.KeptnTask {
	w.Helper()
	of, err := w.try()
	if err != nil {
		w.Fatal(err)
	}
	return of
}

func (w *world) try() (*lifecyclev1.KeptnTask, error) {
	w.Helper()
	_, err := reconcile.AsReconciler(w.Client, w.reconciler).Reconcile(w.Context(), reconcile.Request{NamespacedName: key("migrate")})
	return w.task(), err
}

func key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "shop", Name: name}
}

func (w *world) task() *lifecyclev1.KeptnTask {
	w.Helper()
	var of lifecyclev1.KeptnTask
	if err := w.Get(w.Context(), key("migrate"), &of); err != nil {
		w.Fatal(err)
	}
	return &of
}

// jobs are all Jobs.
func (w *world) jobs() []batchv1.Job {
	w.Helper()
	var list batchv1.JobList
	if err := w.List(w.Context(), &list); err != nil {
		w.Fatal(err)
	}
	return list.Items
}

// job is the only Job.
func (w *world) job() *batchv1.Job {
	w.Helper()
	all := w.jobs()
	if len(all) != 1 {
		w.Fatalf("%d Jobs, want 1", len(all))
	}
	return &all[0]
}

// finish has the Job end with a condition.
func (w *world) finish(c batchv1.JobCondition) {
	w.Helper()
	job := w.job()
	c.Status, c.LastTransitionTime = corev1.ConditionTrue, metav1.NewTime(now.Add(time.Minute))
	job.Status.Conditions = append(job.Status.Conditions, c)
	if err := w.Status().Update(w.Context(), job); err != nil {
		w.Fatal(err)
	}
}

// pod has the Job make a pod, whose only container is as given.
func (w *world) pod(name string, phase corev1.PodPhase, state corev1.ContainerState) {
	w.Helper()
	job := w.job()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, Labels: job.Spec.Template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))},
		},
		Spec:   corev1.PodSpec{Containers: job.Spec.Template.Spec.Containers},
		Status: corev1.PodStatus{Phase: phase, ContainerStatuses: []corev1.ContainerStatus{{Name: job.Spec.Template.Spec.Containers[0].Name, State: state}}},
	}
	if err := w.Create(w.Context(), pod); err != nil {
		w.Fatal(err)
	}
}

// told are the events since they were asked for last.
func (w *world) told() []string {
	var all []string
	for {
		select {
		case e := <-w.events.Events:
			all = append(all, e)
		default:
			return all
		}
	}
}

func (w *world) createdOf(kind string) int {
	n := 0
	for _, k := range w.created {
		if k == kind {
			n++
		}
	}
	return n
}

// aTask is the KeptnTask of the tests.
func aTask(change ...func(*lifecyclev1.KeptnTask)) *lifecyclev1.KeptnTask {
	t := &lifecyclev1.KeptnTask{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "migrate", UID: "1"},
		Spec:       lifecyclev1.KeptnTaskSpec{TaskDefinition: "migrate-database"},
	}
	for _, c := range change {
		c(t)
	}
	return t
}

// aDefinition is the KeptnTaskDefinition of the tests.
func aDefinition(change ...func(*lifecyclev1.KeptnTaskDefinition)) *lifecyclev1.KeptnTaskDefinition {
	d := &lifecyclev1.KeptnTaskDefinition{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "migrate-database", UID: "2"}}
	d.Spec.Container = &lifecyclev1.ContainerSpec{Container: corev1.Container{Image: "migrate:2"}}
	for _, c := range change {
		c(d)
	}
	return d
}

// Package task runs tasks: it makes a Job of a KeptnTask and the definition that it
// names, follows the Job to its end, and records how it ended (KeptnTask,
// KeptnTaskDefinition). A task runs once. When a task is due, and what follows from
// its end, is for others to say; the package never runs anything itself.
package task

import (
	"cmp"
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/telemetry"
)

// fieldOwner is in whose name a task's Job is written.
const fieldOwner = "keptntask"

// unwatched is how long a Job is left alone that is of a task and has lost the label
// by which it is watched.
const unwatched = 10 * time.Second

// Reconciler runs KeptnTasks, each of them once.
type Reconciler struct {
	client.Client

	// APIReader reads from the API server itself. No task is begun, and none is given
	// up, on the word of a cache.
	APIReader client.Reader
	Clock     clock.PassiveClock
	Events    events.EventRecorder
	// Logs returns the end of what a container wrote, as PodLogs does. Where it fails,
	// or is nil, a task's status goes without.
	Logs func(ctx context.Context, namespace, pod, container string) (string, error)
	Options
	// Teller is told of every change of a task once it is recorded.
	Teller *telemetry.Teller

	// watched holds the Jobs and the pods of tasks.
	watched client.Reader
}

// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptntasks;keptntaskdefinitions,verbs=get;list;watch
// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptntasks/status,verbs=patch
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch
// +kubebuilder:rbac:groups="",resources=pods/log,verbs=get

// SetupWithManager registers the reconciler, and the cache of its Jobs and pods. A
// definition or a ConfigMap that comes or changes wakes the tasks that wait for it.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	own, err := newCache(mgr)
	if err != nil {
		return err
	}
	if err := mgr.Add(own); err != nil {
		return fmt.Errorf("add the cache of the Jobs of tasks: %w", err)
	}
	r.watched = own
	ofTask := handler.TypedEnqueueRequestForOwner[*batchv1.Job](mgr.GetScheme(), mgr.GetRESTMapper(), &lifecyclev1.KeptnTask{}, handler.OnlyControllerOwner())
	return ctrl.NewControllerManagedBy(mgr).
		Named("keptntask").
		For(&lifecyclev1.KeptnTask{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&lifecyclev1.KeptnTaskDefinition{}, handler.EnqueueRequestsFromMapFunc(r.awaiting)).
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(r.awaitingScript), builder.OnlyMetadata).
		WatchesRawSource(source.Kind(own, &batchv1.Job{}, ofTask)).
		WatchesRawSource(source.Kind(own, &corev1.Pod{}, handler.TypedEnqueueRequestsFromMapFunc(taskOf))).
		WithOptions(opts).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// Reconcile begins a task that has no Job, and records how far its Job has come.
func (r *Reconciler) Reconcile(ctx context.Context, t *lifecyclev1.KeptnTask) (reconcile.Result, error) {
	job, err := r.job(ctx, r.watched, t)
	if err != nil {
		return reconcile.Result{}, err
	}
	if job == nil && !t.Status.Status.Completed() {
		if job, err = r.lookUp(ctx, t); err != nil {
			return reconcile.Result{}, client.IgnoreNotFound(err)
		}
	}
	if !t.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil
	}
	if t.Status.Status.Completed() {
		return reconcile.Result{}, r.release(ctx, t, job)
	}
	return r.advance(ctx, t, job)
}

// lookUp reads from the API server a task that seems to have no Job, and the Job
// where the task says that it has one: what is missing from a cache may be there.
func (r *Reconciler) lookUp(ctx context.Context, t *lifecyclev1.KeptnTask) (*batchv1.Job, error) {
	var live lifecyclev1.KeptnTask
	if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(t), &live); err != nil {
		return nil, fmt.Errorf("KeptnTask %s/%s: %w", t.Namespace, t.Name, err)
	}
	live.DeepCopyInto(t)
	if t.Status.JobName == "" {
		return nil, nil //nolint:nilnil // the task has not begun
	}
	return r.job(ctx, r.APIReader, t)
}

// job is the Job of a task, or nil where there is none.
func (r *Reconciler) job(ctx context.Context, from client.Reader, t *lifecyclev1.KeptnTask) (*batchv1.Job, error) {
	key := types.NamespacedName{Namespace: t.Namespace, Name: cmp.Or(t.Status.JobName, jobName(t))}
	var job batchv1.Job
	err := from.Get(ctx, key, &job)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // no Job is an answer: the task has not begun, or its Job is gone
	}
	if err != nil {
		return nil, fmt.Errorf("Job %s: %w", key, err)
	}
	return &job, nil
}

// advance brings a task as far as it comes, and writes that.
func (r *Reconciler) advance(ctx context.Context, t *lifecyclev1.KeptnTask, job *batchv1.Job) (reconcile.Result, error) {
	before := t.DeepCopy()
	t.Status.ObservedGeneration = t.Generation
	if job == nil && t.Status.JobName == "" {
		var err error
		if job, err = r.begin(ctx, t); err != nil {
			return r.unbegun(ctx, before, t, err)
		}
	}
	switch {
	case job == nil:
		r.end(t, reasonJobDeleted, fmt.Sprintf("the Job %q was deleted before the task ended", t.Status.JobName))
	case !metav1.IsControlledBy(job, t):
		r.end(t, reasonJobConflict, fmt.Sprintf("there is a Job %q already, and it is not of this task: delete it, and run the task anew", job.Name))
	default:
		if err := r.observe(ctx, t, job); err != nil {
			return reconcile.Result{}, err
		}
	}
	if ctx.Err() != nil {
		return reconcile.Result{}, ctx.Err()
	}
	if err := r.record(ctx, before, t); err != nil {
		return apply.Result(0, client.IgnoreNotFound(err))
	}
	switch {
	case t.Status.Status.Completed():
		return reconcile.Result{}, r.release(ctx, t, job)
	case job.Labels[lifecyclev1.TaskNameAnnotation] == "":
		return reconcile.Result{RequeueAfter: unwatched}, nil
	default:
		return reconcile.Result{}, nil
	}
}

// record writes the status, and tells of it.
func (r *Reconciler) record(ctx context.Context, before, t *lifecyclev1.KeptnTask) error {
	summarize(t)
	written, err := apply.Status(ctx, r.Client, before, t)
	if written {
		r.announce(before, t)
		r.Teller.Task(ctx, before, t)
	}
	return err
}

// observe records how far a Job has come.
func (r *Reconciler) observe(ctx context.Context, t *lifecyclev1.KeptnTask, job *batchv1.Job) error {
	s := &t.Status
	s.JobName = job.Name
	if s.StartTime.IsZero() {
		s.StartTime = cmp.Or(job.CreationTimestamp, r.now())
	}
	found, was := stateOf(job), *s
	s.Status = found.state
	if !found.state.Completed() {
		current, err := pods(ctx, r.watched, t, job)
		if err != nil {
			return err
		}
		s.Reason, s.Message = progress(*s, current)
		return nil
	}
	s.Reason, s.Message, s.EndTime = found.reason, bounded(found.explained(was)), found.at
	if s.EndTime.IsZero() {
		s.EndTime = r.now()
	}
	r.inquire(ctx, t, job)
	return nil
}

// end fails a task whose Job did not.
func (r *Reconciler) end(t *lifecyclev1.KeptnTask, reason, message string) {
	t.Status.Status, t.Status.Reason, t.Status.Message = lifecyclev1.StateFailed, reason, bounded(message)
	t.Status.EndTime = r.now()
}

func (r *Reconciler) now() metav1.Time { return metav1.NewTime(r.Clock.Now().Truncate(time.Second)) }

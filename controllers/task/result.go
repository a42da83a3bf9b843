package task

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/condition"
)

// maxMessage is how long the message of a status may get, in bytes.
const maxMessage = 4 << 10

// logTimeout is how long a log is waited for.
const logTimeout = 2 * time.Second

func bounded(message string) string { return condition.Bounded(message, maxMessage) }

// inquire records the exit code and the end of the log of the container that ended
// a task, as far as they can be had: a task has ended without them, too.
func (r *Reconciler) inquire(ctx context.Context, t *lifecyclev1.KeptnTask, job *batchv1.Job) {
	log := ctrl.LoggerFrom(ctx)
	var end *ending
	for _, from := range []client.Reader{r.watched, r.APIReader} { // the cache may not show yet how the pod ended
		of, err := pods(ctx, from, t, job)
		if err != nil {
			log.Error(err, "Read how a task ended")
			return
		}
		if end = endOf(of, t.Status.Status); end != nil && end.exitCode != nil {
			break
		}
	}
	if end == nil {
		return
	}
	t.Status.ExitCode = end.exitCode
	if r.Logs == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	text, err := r.Logs(ctx, t.Namespace, end.pod, end.container)
	if err != nil {
		log.Info("No log of a task", "pod", end.pod, "container", end.container, "reason", err.Error())
		return
	}
	t.Status.Log = text
}

// release has the Job of a task that has ended deleted in time. This is done once
// the result is recorded, and not when the Job is made, since a Job whose time is
// over would else be gone before a controller that was down could see how it ended.
func (r *Reconciler) release(ctx context.Context, t *lifecyclev1.KeptnTask, job *batchv1.Job) error {
	if job == nil || job.Spec.TTLSecondsAfterFinished != nil || !metav1.IsControlledBy(job, t) {
		return nil
	}
	ttl, err := strconv.ParseInt(job.Annotations[ttlAnnotation], 10, 32)
	if err != nil {
		ttl = defaultTTL
	}
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"ttlSecondsAfterFinished":%d}}`, max(ttl, 0)))
	of := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: job.Namespace, Name: job.Name}}
	if err := r.Patch(ctx, of, patch, client.FieldOwner(fieldOwner)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("set the time after which the Job %s/%s is deleted: %w", job.Namespace, job.Name, err)
	}
	return nil
}

// summarize writes the conditions that follow from the rest of the status.
func summarize(t *lifecyclev1.KeptnTask) {
	s := &t.Status
	s.Status = cmp.Or(s.Status, lifecyclev1.StatePending)
	reason := cmp.Or(s.Reason, string(s.Status))
	switch s.Status {
	case lifecyclev1.StateSucceeded:
		condition.Summarize(t, condition.Ready(reason, "the Job %q has succeeded", s.JobName))
	case lifecyclev1.StateFailed:
		said := ""
		if s.ExitCode != nil {
			said = fmt.Sprintf(" (exit code %d)", *s.ExitCode)
		}
		condition.Summarize(t, condition.Failed(reason, "%s%s", s.Message, said))
	default:
		condition.Summarize(t, condition.Waiting(reason, "%s", cmp.Or(s.Message, fmt.Sprintf("the Job %q runs", s.JobName))))
	}
}

// A subject is what an event is about, as Keptn's reasons and its messages call it.
type subject struct{ reason, message string }

var (
	createTask    = subject{"CreateTask", "Create Task"}
	reconcileTask = subject{"ReconcileTask", "Reconcile Task"}
)

// tell emits an event in Keptn's words. A state says what became of the subject.
func tell(recorder events.EventRecorder, obj client.Object, of subject, state, kind, message string) {
	note := fmt.Sprintf("%s: %s / Namespace: %s, Name: %s", of.message, message, obj.GetNamespace(), obj.GetName())
	recorder.Eventf(obj, nil, kind, of.reason+state, of.reason, "%s", condition.Note(note))
}

// announce tells of what changed.
func (r *Reconciler) announce(before, after *lifecyclev1.KeptnTask) {
	was, is := before.Status, after.Status
	if is.Reason != was.Reason || is.Status != was.Status {
		if state, message := unbegunBecause(after); state != "" {
			tell(r.Events, after, createTask, state, corev1.EventTypeWarning, message)
		}
	}
	if from := cmp.Or(was.Status, lifecyclev1.StatePending); is.Status != from {
		tell(r.Events, after, reconcileTask, "StatusChanged", corev1.EventTypeNormal, fmt.Sprintf("task status changed from %s to %s", from, is.Status))
	}
}

// unbegunBecause is what is told of a task that could not begin; it is empty where a
// task did.
func unbegunBecause(t *lifecyclev1.KeptnTask) (state, message string) {
	switch t.Status.Reason {
	case reasonDefinitionNotFound:
		return "NotFound", t.Status.Message
	case reasonInvalidDefinition:
		return "Failed", fmt.Sprintf("could not merge KeptnTaskDefinition: %s: %s", t.Spec.TaskDefinition, t.Status.Message)
	case reasonNotAllowed, reasonJobForbidden, reasonJobInvalid, reasonJobConflict:
		return "Failed", fmt.Sprintf("could not create Job: %s: %s", jobName(t), t.Status.Message)
	default:
		return "", ""
	}
}

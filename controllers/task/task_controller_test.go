package task_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/task"
)

const aJob = "*v1.Job"

func exited(code int32) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}
}

// ignoringConditions compares all of a status but its conditions.
var ignoringConditions = cmpopts.IgnoreFields(lifecyclev1.KeptnTaskStatus{}, "Conditions")

// ready is the condition Ready as <status> <reason>: <message>.
func ready(t *lifecyclev1.KeptnTask) string {
	c := apimeta.FindStatusCondition(t.Status.Conditions, meta.ReadyCondition)
	if c == nil {
		return ""
	}
	return string(c.Status) + " " + c.Reason + ": " + c.Message
}

func TestATaskRunsAndItsJobIsKeptUntilTheResultIsRecorded(t *testing.T) {
	w := newWorld(t, aTask(), aDefinition(func(d *lifecyclev1.KeptnTaskDefinition) { d.Spec.TTLSecondsAfterFinished = new(int32(60)) }))
	begun := w.reconcile()
	want := lifecyclev1.KeptnTaskStatus{JobName: "migrate-59663", Status: lifecyclev1.StateProgressing, StartTime: metav1.NewTime(now)}
	if diff := cmp.Diff(want, begun.Status, ignoringConditions); diff != "" {
		t.Errorf("status of a task that runs (-want +got):\n%s", diff)
	}
	job := w.job()
	if !metav1.IsControlledBy(job, begun) || job.Spec.TTLSecondsAfterFinished != nil {
		t.Errorf("the Job is not the task's, or would go before its result is recorded: %+v", job)
	}

	w.logs = "done"
	w.pod("p1", corev1.PodSucceeded, exited(0))
	w.finish(batchv1.JobCondition{Type: batchv1.JobComplete})
	want.Status, want.EndTime, want.ExitCode, want.Log = lifecyclev1.StateSucceeded, metav1.NewTime(now.Add(time.Minute)), new(int32(0)), "p1/migrate-database: done"
	ended := w.reconcile()
	if diff := cmp.Diff(want, ended.Status, ignoringConditions); diff != "" {
		t.Errorf("status of a task that succeeded (-want +got):\n%s", diff)
	}
	if got := ready(ended); got != `True Succeeded: the Job "migrate-59663" has succeeded` {
		t.Errorf("Ready is %s", got)
	}
	if ttl := w.job().Spec.TTLSecondsAfterFinished; ttl == nil || *ttl != 60 {
		t.Errorf("the Job is kept for %v seconds, want 60", ttl)
	}
	if diff := cmp.Diff([]string{
		"Normal ReconcileTaskStatusChanged Reconcile Task: task status changed from Pending to Progressing / Namespace: shop, Name: migrate",
		"Normal ReconcileTaskStatusChanged Reconcile Task: task status changed from Progressing to Succeeded / Namespace: shop, Name: migrate",
	}, w.told()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestAFailedTaskSaysWhyAndHowItEnded(t *testing.T) {
	w := newWorld(t, aTask(), aDefinition())
	w.reconcile()
	w.pod("p1", corev1.PodFailed, exited(2))
	w.finish(batchv1.JobCondition{Type: batchv1.JobFailed, Reason: "BackoffLimitExceeded", Message: "Job has reached the specified backoff limit"})
	got := w.reconcile() // and its log cannot be read
	want := lifecyclev1.KeptnTaskStatus{
		JobName: "migrate-59663", Status: lifecyclev1.StateFailed, ExitCode: new(int32(2)),
		Reason: "BackoffLimitExceeded", Message: "Job has reached the specified backoff limit",
		StartTime: metav1.NewTime(now), EndTime: metav1.NewTime(now.Add(time.Minute)),
	}
	if diff := cmp.Diff(want, got.Status, ignoringConditions); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if ready(got) != "False BackoffLimitExceeded: Job has reached the specified backoff limit (exit code 2)" {
		t.Errorf("Ready is %s", ready(got))
	}
	if events := w.told(); events[len(events)-1] != "Normal ReconcileTaskStatusChanged Reconcile Task: task status changed from Progressing to Failed / Namespace: shop, Name: migrate" {
		t.Errorf("events: %q", events)
	}
}

func TestNothingIsWrittenTwice(t *testing.T) {
	w := newWorld(t, aTask(), aDefinition())
	w.reconcile()
	was := w.task().ResourceVersion
	w.pod("p1", corev1.PodRunning, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})
	w.reconcile()
	w.reconcile()
	if is := w.task().ResourceVersion; is != was {
		t.Errorf("the task was written again: %s, %s before", is, was)
	}
	if n := len(w.told()); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

func TestAFinishedTaskNeverRunsAgain(t *testing.T) {
	w := newWorld(t, aTask(), aDefinition())
	w.reconcile()
	w.finish(batchv1.JobCondition{Type: batchv1.JobComplete})
	w.reconcile()
	was := w.job().ResourceVersion
	w.reconcile()
	if is := w.job().ResourceVersion; is != was {
		t.Error("its Job was written again")
	}
	if err := w.Delete(t.Context(), w.job()); err != nil {
		t.Fatal(err)
	}
	w.told()
	if got := w.reconcile(); got.Status.Status != lifecyclev1.StateSucceeded || w.createdOf(aJob) != 1 || len(w.told()) > 0 {
		t.Errorf("it is %s, and ran %d times", got.Status.Status, w.createdOf(aJob))
	}
}

// A controller may be killed between any two of its writes; whoever comes next goes
// on where it stopped.
func TestATaskRunsOnceWhereverTheControllerIsKilled(t *testing.T) {
	cases := map[string]struct {
		reason string
		before func(*world)
	}{
		"BeforeTheStatus": {"The Job is there, and the task does not know it.", func(w *world) {
			w.reconcile()
			forget(w)
		}},
		"BeforeTheStatusAndItEnded": {"Even where it has ended meanwhile.", func(w *world) {
			w.reconcile()
			w.finish(batchv1.JobCondition{Type: batchv1.JobComplete})
			forget(w)
		}},
		"BehindTheTimes": {"The caches do not show yet what was written.", func(w *world) {
			w.reconcile()
			w.reconciler.Watching(fake.NewClientBuilder().WithScheme(scheme(w.T)).Build())
		}},
		"BehindAllTimes": {"Nor that the task does.", func(w *world) {
			w.reconcile()
			w.reconciler.Watching(fake.NewClientBuilder().WithScheme(scheme(w.T)).Build())
			forget(w)
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, aTask(), aDefinition(func(d *lifecyclev1.KeptnTaskDefinition) {
				d.Namespace, d.Spec.Container, d.Spec.Python = "keptn-system", nil, new(inline())
				d.Status.Function.ConfigMap = task.ScriptsName(d.Name)
			}))
			c.before(w)
			w.reconcile()
			got := w.reconcile()
			if w.createdOf(aJob) != 1 || got.Status.JobName != "migrate-59663" || got.Status.Status == lifecyclev1.StateFailed {
				t.Errorf("%s: %d Jobs were made; %+v", c.reason, w.createdOf(aJob), got.Status)
			}
		})
	}
}

// forget takes away the status of the task, as if it had not been written.
func forget(w *world) {
	w.Helper()
	of := w.task()
	of.Status = lifecyclev1.KeptnTaskStatus{}
	if err := w.Status().Update(w.Context(), of); err != nil {
		w.Fatal(err)
	}
}

func TestATaskThatHasEndedIsNotBegunOnTheWordOfACache(t *testing.T) {
	ended := aTask(func(t *lifecyclev1.KeptnTask) {
		t.Status = lifecyclev1.KeptnTaskStatus{Status: lifecyclev1.StateSucceeded, JobName: "migrate-59663"}
	})
	w := newWorld(t, ended, aDefinition())
	if _, err := w.reconciler.Reconcile(t.Context(), aTask()); err != nil { // which seems to be new
		t.Fatal(err)
	}
	if w.createdOf(aJob) != 0 {
		t.Error("it ran again")
	}
}

func TestAJobThatIsDeletedFailsItsTask(t *testing.T) {
	w := newWorld(t, aTask(), aDefinition())
	w.reconcile()
	if err := w.Delete(t.Context(), w.job()); err != nil {
		t.Fatal(err)
	}
	got := w.reconcile()
	if got.Status.Status != lifecyclev1.StateFailed || got.Status.Reason != "JobDeleted" || got.Status.EndTime.IsZero() || w.createdOf(aJob) != 1 {
		t.Errorf("status: %+v", got.Status)
	}
}

func TestAJobOfSomebodyElsesIsLeftAlone(t *testing.T) {
	theirs := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "migrate-59663"}}
	w := newWorld(t, aTask(), aDefinition(), theirs)
	w.reconciler.Watching(fake.NewClientBuilder().WithScheme(scheme(t)).Build()) // it has no label of ours
	if got := w.reconcile(); got.Status.Status != lifecyclev1.StateFailed || got.Status.Reason != "JobConflict" {
		t.Errorf("status: %+v", got.Status)
	}
	w.reconcile()
	if ttl := w.job().Spec.TTLSecondsAfterFinished; ttl != nil {
		t.Error("it is going to be deleted")
	}
}

func TestScriptsOfSomebodyElsesAreNotRun(t *testing.T) {
	theirs := configMap("shop", "migrate-59663", "code")
	w := newWorld(t, aTask(frozen(func(s *lifecyclev1.KeptnTaskDefinitionSpec) { s.Python = new(inline()) })), theirs)
	if got := w.reconcile(); got.Status.Reason != "JobConflict" || w.createdOf(aJob) != 0 {
		t.Errorf("status: %+v", got.Status)
	}
}

func TestAMissingDefinitionIsWaitedFor(t *testing.T) {
	w := newWorld(t, aTask())
	got := w.reconcile()
	if got.Status.Status != lifecyclev1.StatePending || got.Status.Message != "could not find KeptnTaskDefinition: migrate-database" {
		t.Errorf("status: %+v", got.Status)
	}
	if want := "Unknown DefinitionNotFound: could not find KeptnTaskDefinition: migrate-database"; ready(got) != want {
		t.Errorf("Ready is %s", ready(got))
	}
	w.reconcile()
	if err := w.Create(t.Context(), aDefinition()); err != nil {
		t.Fatal(err)
	}
	if got := w.reconcile(); got.Status.Status != lifecyclev1.StateProgressing || got.Status.Reason != "" || got.Status.Message != "" {
		t.Errorf("status: %+v", got.Status)
	}
	if diff := cmp.Diff([]string{
		"Warning CreateTaskNotFound Create Task: could not find KeptnTaskDefinition: migrate-database / Namespace: shop, Name: migrate",
		"Normal ReconcileTaskStatusChanged Reconcile Task: task status changed from Pending to Progressing / Namespace: shop, Name: migrate",
	}, w.told()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestAJobThatIsNotTakenIsTriedAgainWhereThatCanHelp(t *testing.T) {
	group := schema.GroupResource{Group: "batch", Resource: "jobs"}
	terminating := apierrors.NewForbidden(group, "j", errors.New("namespace is being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	cases := map[string]struct {
		reason string
		err    error
		status lifecyclev1.KeptnState
		why    string
		again  bool
		events int
	}{
		"Invalid":     {"The author has to change something.", apierrors.NewInvalid(schema.GroupKind{Kind: "Job"}, "j", nil), lifecyclev1.StateFailed, "JobInvalid", false, 2},
		"Quota":       {"There may be room later.", apierrors.NewForbidden(group, "j", errors.New("exceeded quota")), lifecyclev1.StatePending, "JobForbidden", true, 1},
		"Unavailable": {"The API server has troubles of its own.", apierrors.NewServiceUnavailable("busy"), "", "", true, 0},
		"Terminating": {"The task goes with its namespace.", terminating, "", "", false, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, aTask(), aDefinition())
			w.refuse = func(client.Object) error { return c.err }
			got, err := w.try()
			if (err != nil) != c.again || got.Status.Status != c.status || got.Status.Reason != c.why {
				t.Errorf("%s: %v, %+v", c.reason, err, got.Status)
			}
			if events := w.told(); len(events) != c.events {
				t.Errorf("%s: events %q, want %d", c.reason, events, c.events)
			}
		})
	}
}

func TestWhatIsTriedAgainIsToldOnce(t *testing.T) {
	w := newWorld(t, aTask(), aDefinition())
	for _, used := range []string{"10", "11"} {
		w.refuse = func(client.Object) error {
			return apierrors.NewForbidden(schema.GroupResource{Group: "batch", Resource: "jobs"}, "j", errors.New("exceeded quota: used "+used))
		}
		if got, err := w.try(); err == nil || !strings.HasSuffix(got.Status.Message, "used "+used) {
			t.Errorf("%v, %+v", err, got.Status)
		}
	}
	if events := w.told(); len(events) != 1 {
		t.Errorf("events: %q", events)
	}
}

func TestARefusedTaskSaysWhatItMayNot(t *testing.T) {
	of := aTask(frozen(func(s *lifecyclev1.KeptnTaskDefinitionSpec) {
		s.Python = &lifecyclev1.RuntimeSpec{Inline: lifecyclev1.Inline{Code: "1"}, SecureParameters: lifecyclev1.SecureParameters{Secret: "theirs"}}
	}), func(t *lifecyclev1.KeptnTask) { t.Spec.Confinement = &lifecyclev1.Confinement{} })
	w := newWorld(t, of)
	got := w.reconcile()
	if got.Status.Status != lifecyclev1.StateFailed || got.Status.Reason != "NotAllowed" || !strings.Contains(got.Status.Message, `"theirs"`) || len(w.created) > 0 {
		t.Errorf("status: %+v, created: %q", got.Status, w.created)
	}
	if events := w.told(); len(events) != 2 || !strings.HasPrefix(events[0], "Warning CreateTaskFailed Create Task: could not create Job: migrate-59663: ") {
		t.Errorf("events: %q", events)
	}
}

func TestScriptsOfATaskAreThereBeforeItsJob(t *testing.T) {
	w := newWorld(t, aTask(frozen(func(s *lifecyclev1.KeptnTaskDefinitionSpec) { s.Python = new(inline()) })))
	got := w.reconcile()
	var kept corev1.ConfigMap
	if err := w.Get(t.Context(), key("migrate-59663"), &kept); err != nil {
		t.Fatal(err)
	}
	if !metav1.IsControlledBy(&kept, got) || kept.Data["code"] != "1" {
		t.Errorf("the ConfigMap: %+v", kept)
	}
	if diff := cmp.Diff([]string{"*v1.ConfigMap", aJob}, w.created); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
}

func TestATaskThatIsBeingDeletedIsNotBegun(t *testing.T) {
	w := newWorld(t, aTask(func(t *lifecyclev1.KeptnTask) { t.Finalizers = []string{"foregroundDeletion"} }), aDefinition())
	if err := w.Delete(t.Context(), w.task()); err != nil {
		t.Fatal(err)
	}
	w.reconcile()
	if len(w.created) > 0 {
		t.Errorf("created %q", w.created)
	}
}

func TestAnImageThatCannotBePulledIsSaidWhileTheJobRunsAndWhenItsTimeIsOver(t *testing.T) {
	w := newWorld(t, aTask(), aDefinition())
	w.reconcile()
	w.pod("p1", corev1.PodPending, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "not found"}})
	got := w.reconcile()
	const says = `cannot pull the image "migrate:2" of the container "migrate-database": not found`
	if got.Status.Status != lifecyclev1.StateProgressing || got.Status.Message != says || ready(got) != "Unknown ImagePullFailed: "+says {
		t.Errorf("status: %+v", got.Status)
	}

	w.finish(batchv1.JobCondition{Type: batchv1.JobFailureTarget, Reason: "DeadlineExceeded", Message: "Job was active longer than specified deadline"})
	got = w.reconcile()
	if want := "Job was active longer than specified deadline: " + says; got.Status.Reason != "DeadlineExceeded" || got.Status.Message != want {
		t.Errorf("when its time is over: %+v", got.Status)
	}
}

func TestATaskThatRanUntilItsTimeWasOverSaysNoMoreThanThat(t *testing.T) {
	w := newWorld(t, aTask(), aDefinition())
	w.reconcile()
	w.pod("p1", corev1.PodRunning, corev1.ContainerState{Running: &corev1.ContainerStateRunning{}})
	w.reconcile()
	w.finish(batchv1.JobCondition{Type: batchv1.JobFailureTarget, Reason: "DeadlineExceeded", Message: "Job was active longer than specified deadline"})
	if got := w.reconcile(); got.Status.Message != "Job was active longer than specified deadline" {
		t.Errorf("status: %+v", got.Status)
	}
}

func TestHowAPodEndedIsLookedUpWhereTheCacheDoesNotShowIt(t *testing.T) {
	w := newWorld(t, aTask(), aDefinition())
	w.reconcile()
	w.finish(batchv1.JobCondition{Type: batchv1.JobComplete})
	behind := fake.NewClientBuilder().WithScheme(scheme(t)).WithObjects(w.job()).Build()
	w.pod("p1", corev1.PodSucceeded, exited(0))
	w.reconciler.Watching(behind)
	if got := w.reconcile(); got.Status.ExitCode == nil || *got.Status.ExitCode != 0 {
		t.Errorf("status: %+v", got.Status)
	}
}

func TestOfPodsAndJobsNoMoreIsKeptThanIsRead(t *testing.T) {
	pod := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "a", Image: "b", Env: []corev1.EnvVar{{Name: "SECRET"}}}}}}
	if _, err := task.Slim(pod); err != nil {
		t.Fatal(err)
	}
	want := corev1.PodSpec{InitContainers: []corev1.Container{}, Containers: []corev1.Container{{Name: "a", Image: "b"}}}
	if diff := cmp.Diff(want, pod.Spec); diff != "" {
		t.Errorf("pod (-want +got):\n%s", diff)
	}
	of := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "a", Annotations: map[string]string{"all": "of it"}}}
	if _, err := task.NamesOnly(of); err != nil || of.Name != "a" || of.Annotations != nil {
		t.Errorf("metadata: %+v, %v", of, err)
	}
}

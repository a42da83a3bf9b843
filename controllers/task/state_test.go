package task_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/task"
)

func TestAJobSaysHowFarItsTaskHasCome(t *testing.T) {
	condition := func(of batchv1.JobConditionType, status corev1.ConditionStatus) batchv1.JobCondition {
		return batchv1.JobCondition{Type: of, Status: status, Reason: "R", Message: "M"}
	}
	cases := map[string]struct {
		reason     string
		conditions []batchv1.JobCondition
		want       []string
	}{
		"None":            {"It has just begun.", nil, []string{"Progressing", "", ""}},
		"Complete":        {"It succeeded.", []batchv1.JobCondition{condition(batchv1.JobComplete, corev1.ConditionTrue)}, []string{"Succeeded", "", ""}},
		"SuccessCriteria": {"Only the pods have to be cleared away.", []batchv1.JobCondition{condition(batchv1.JobSuccessCriteriaMet, corev1.ConditionTrue)}, []string{"Succeeded", "", ""}},
		"Failed":          {"Kubernetes says why.", []batchv1.JobCondition{condition(batchv1.JobFailed, corev1.ConditionTrue)}, []string{"Failed", "R", "M"}},
		"FailureTarget":   {"That is decided, though the pods may still end.", []batchv1.JobCondition{condition(batchv1.JobFailureTarget, corev1.ConditionTrue)}, []string{"Failed", "R", "M"}},
		"NotTrue":         {"A condition that is not true says nothing.", []batchv1.JobCondition{condition(batchv1.JobFailed, corev1.ConditionFalse)}, []string{"Progressing", "", ""}},
		"BehindSuspended": {"The condition that counts need not be the first.", []batchv1.JobCondition{condition(batchv1.JobSuspended, corev1.ConditionFalse), condition(batchv1.JobComplete, corev1.ConditionTrue)}, []string{"Succeeded", "", ""}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			state, reason, message := task.StateOf(&batchv1.Job{Status: batchv1.JobStatus{Conditions: c.conditions}})
			if diff := cmp.Diff(c.want, []string{string(state), reason, message}); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

// aPod is a pod that was made so many seconds after the others.
func aPod(seconds int, change func(*corev1.Pod)) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p" + string(rune('0'+seconds)), CreationTimestamp: metav1.NewTime(now.Add(time.Duration(seconds) * time.Second))}}
	p.Spec.InitContainers = []corev1.Container{{Name: "first", Image: "first:1"}}
	p.Spec.Containers = []corev1.Container{{Name: "main", Image: "main:1"}}
	change(&p)
	return p
}

func waits(reason, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}
	}
}

func TestATaskSaysWhyItDoesNotRun(t *testing.T) {
	unschedulable := func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes are available"}}
	}
	const said = `cannot pull the image "main:1" of the container "main": not found`
	cases := map[string]struct {
		reason string
		was    lifecyclev1.KeptnTaskStatus
		pods   []corev1.Pod
		want   []string
	}{
		"NoPod":         {"Its pod is still to come.", lifecyclev1.KeptnTaskStatus{}, nil, []string{"", ""}},
		"Starting":      {"Containers take their time.", lifecyclev1.KeptnTaskStatus{}, []corev1.Pod{aPod(1, waits("ContainerCreating", ""))}, []string{"", ""}},
		"Unschedulable": {"No node takes it.", lifecyclev1.KeptnTaskStatus{}, []corev1.Pod{aPod(1, unschedulable)}, []string{"Unschedulable", "no node can take the pod of the task: 0/3 nodes are available"}},
		"NoImage":       {"The image is named.", lifecyclev1.KeptnTaskStatus{}, []corev1.Pod{aPod(1, waits("ErrImagePull", "not found"))}, []string{"ImagePullFailed", said}},
		"NoImageStill":  {"Kubernetes' turns of words are not written each time.", lifecyclev1.KeptnTaskStatus{Reason: "ImagePullFailed", Message: said}, []corev1.Pod{aPod(1, waits("ImagePullBackOff", "Back-off pulling image"))}, []string{"ImagePullFailed", said}},
		"NoSecret":      {"What is missing is named.", lifecyclev1.KeptnTaskStatus{}, []corev1.Pod{aPod(1, waits("CreateContainerConfigError", `secret "a" not found`))}, []string{"CreateContainerFailed", `cannot create, with the image "main:1", the container "main": secret "a" not found`}},
		"Past":          {"It runs at last, and nothing is left to be said.", lifecyclev1.KeptnTaskStatus{Reason: "ImagePullFailed", Message: said}, []corev1.Pod{aPod(1, func(*corev1.Pod) {})}, []string{"", ""}},
		"NextTry":       {"Of several tries the newest counts.", lifecyclev1.KeptnTaskStatus{}, []corev1.Pod{aPod(2, waits("ContainerCreating", "")), aPod(1, unschedulable)}, []string{"", ""}},
		"NoWords":       {"Where Kubernetes says no more, that is enough.", lifecyclev1.KeptnTaskStatus{}, []corev1.Pod{aPod(1, waits("InvalidImageName", ""))}, []string{"ImagePullFailed", `cannot pull the image "main:1" of the container "main"`}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			reason, message := task.Progress(c.was, c.pods)
			if diff := cmp.Diff(c.want, []string{reason, message}); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}

func TestTheContainerThatEndedATaskIsFound(t *testing.T) {
	exit := func(code int32) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}
	}
	ended := func(phase corev1.PodPhase, first, main corev1.ContainerState) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Status.Phase = phase
			p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "first", State: first}}
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", State: main}}
		}
	}
	waiting := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	cases := map[string]struct {
		reason string
		state  lifecyclev1.KeptnState
		pods   []corev1.Pod
		want   string
	}{
		"NoPod":     {"The pods may be gone.", lifecyclev1.StateFailed, nil, ""},
		"Succeeded": {"The last step ends a task that succeeds.", lifecyclev1.StateSucceeded, []corev1.Pod{aPod(1, ended(corev1.PodSucceeded, exit(0), exit(0)))}, "p1/main 0"},
		"AtLast":    {"Tries that failed before do not count then.", lifecyclev1.StateSucceeded, []corev1.Pod{aPod(2, ended(corev1.PodSucceeded, exit(0), exit(0))), aPod(1, ended(corev1.PodFailed, exit(0), exit(1)))}, "p2/main 0"},
		"Failed":    {"The last try of several says why.", lifecyclev1.StateFailed, []corev1.Pod{aPod(1, ended(corev1.PodFailed, exit(0), exit(1))), aPod(2, ended(corev1.PodFailed, exit(0), exit(2)))}, "p2/main 2"},
		"FirstStep": {"The step that failed, and not the one that never ran.", lifecyclev1.StateFailed, []corev1.Pod{aPod(1, ended(corev1.PodFailed, exit(3), waiting))}, "p1/first 3"},
		"Running":   {"A task that is cut short has no exit code yet.", lifecyclev1.StateFailed, []corev1.Pod{aPod(1, ended(corev1.PodRunning, exit(0), running))}, "p1/main -"},
		"Never":     {"A container that never ran wrote nothing.", lifecyclev1.StateFailed, []corev1.Pod{aPod(1, ended(corev1.PodPending, waiting, waiting))}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := task.EndOf(c.pods, c.state).String(); got != c.want {
				t.Errorf("%s: got %q, want %q", c.reason, got, c.want)
			}
		})
	}
}

package task

import (
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// An outcome is how far a Job has come.
type outcome struct {
	state           lifecyclev1.KeptnState
	reason, message string
	// at is when the Job ended.
	at metav1.Time
}

// stateOf is how far a Job has come. A Job that is to fail, or to succeed, has
// ended as far as its task is concerned: what is left is to take its pods away.
func stateOf(job *batchv1.Job) outcome {
	for _, c := range job.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete, batchv1.JobSuccessCriteriaMet:
			at := c.LastTransitionTime
			if job.Status.CompletionTime != nil {
				at = *job.Status.CompletionTime
			}
			return outcome{state: lifecyclev1.StateSucceeded, at: at}
		case batchv1.JobFailed, batchv1.JobFailureTarget:
			return outcome{state: lifecyclev1.StateFailed, reason: c.Reason, message: c.Message, at: c.LastTransitionTime}
		}
	}
	return outcome{state: lifecyclev1.StateProgressing}
}

// explained is what is said of a Job that ended. One whose time is over says no more
// than that: why it did not come to run was said of the task before.
func (o outcome) explained(was lifecyclev1.KeptnTaskStatus) string {
	if o.reason != batchv1.JobReasonDeadlineExceeded || was.Status != lifecyclev1.StateProgressing || was.Message == "" {
		return o.message
	}
	return o.message + ": " + was.Message
}

// The reasons of a task whose pod does not come to run.
const (
	reasonUnschedulable   = "Unschedulable"
	reasonImage           = "ImagePullFailed"
	reasonCreateContainer = "CreateContainerFailed"
)

// stuck are the reasons for which Kubernetes lets a container wait that will not
// run unless somebody does something, and what is said of it: %s is the image and
// the container.
var stuck = map[string]struct{ reason, says string }{
	"ErrImagePull":               {reasonImage, "cannot pull the image %q of the container %q"},
	"ImagePullBackOff":           {reasonImage, "cannot pull the image %q of the container %q"},
	"ErrImageNeverPull":          {reasonImage, "cannot pull the image %q of the container %q"},
	"InvalidImageName":           {reasonImage, "cannot pull the image %q of the container %q"},
	"ImageInspectError":          {reasonImage, "cannot pull the image %q of the container %q"},
	"SignatureValidationFailed":  {reasonImage, "cannot pull the image %q of the container %q"},
	"RegistryUnavailable":        {reasonImage, "cannot pull the image %q of the container %q"},
	"CreateContainerConfigError": {reasonCreateContainer, "cannot create, with the image %q, the container %q"},
	"CreateContainerError":       {reasonCreateContainer, "cannot create, with the image %q, the container %q"},
	"RunContainerError":          {reasonCreateContainer, "cannot start, with the image %q, the container %q"},
}

// messageOf says why the newest of the pods of a Job does not run; it is empty
// where nothing is wrong. The message begins with a clause that stays the same
// while the cause does, and ends with what Kubernetes says, which may vary.
func messageOf(pods []corev1.Pod) (reason, clause, detail string) {
	pod := newest(pods, func(*corev1.Pod) bool { return true })
	if pod == nil {
		return "", "", ""
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return reasonUnschedulable, "no node can take the pod of the task", c.Message
		}
	}
	images := map[string]string{}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		images[c.Name] = c.Image
	}
	for _, s := range statuses(pod) {
		if s.State.Waiting == nil {
			continue
		}
		if known, ok := stuck[s.State.Waiting.Reason]; ok {
			return known.reason, fmt.Sprintf(known.says, images[s.Name], s.Name), s.State.Waiting.Message
		}
	}
	return "", "", ""
}

// progress is the message of a task whose Job is under way. What was said of the
// same cause before is kept, since Kubernetes words it in turns.
func progress(was lifecyclev1.KeptnTaskStatus, pods []corev1.Pod) (reason, message string) {
	reason, clause, detail := messageOf(pods)
	switch {
	case reason == "" || detail == "":
		return reason, clause
	case was.Reason == reason && strings.HasPrefix(was.Message, clause+": "):
		return was.Reason, was.Message
	default:
		return reason, bounded(clause + ": " + detail)
	}
}

// An ending is the container that ended a task.
type ending struct {
	pod, container string
	// exitCode is nil where the container was still running.
	exitCode *int32
}

// endOf finds the container that ended a task: of the newest pod that ended so,
// the first that failed; or the last one of all, where the task succeeded or was
// cut short. It is nil where no pod is left.
func endOf(pods []corev1.Pod, state lifecyclev1.KeptnState) *ending {
	phase := corev1.PodFailed
	if state == lifecyclev1.StateSucceeded {
		phase = corev1.PodSucceeded
	}
	pod := newest(pods, func(p *corev1.Pod) bool { return p.Status.Phase == phase })
	if pod == nil {
		pod = newest(pods, func(*corev1.Pod) bool { return true })
	}
	if pod == nil {
		return nil
	}
	var end *ending
	for _, s := range statuses(pod) {
		switch {
		case s.State.Terminated != nil:
			end = &ending{pod.Name, s.Name, &s.State.Terminated.ExitCode}
			if s.State.Terminated.ExitCode != 0 {
				return end
			}
		case s.State.Running != nil:
			end = &ending{pod: pod.Name, container: s.Name}
		}
	}
	return end
}

// statuses are those of a pod's containers, in the order in which they run.
func statuses(pod *corev1.Pod) []corev1.ContainerStatus {
	return slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
}

// newest is the pod that was made last of those that are asked for, or nil.
func newest(pods []corev1.Pod, asked func(*corev1.Pod) bool) *corev1.Pod {
	var found *corev1.Pod
	for i := range pods {
		p := &pods[i]
		if asked(p) && (found == nil || !p.CreationTimestamp.Before(&found.CreationTimestamp)) {
			found = p
		}
	}
	return found
}

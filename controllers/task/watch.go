package task

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// newCache is a cache of the Jobs and the pods of tasks and of no others, with no
// more of them than this package reads.
func newCache(mgr ctrl.Manager) (cache.Cache, error) {
	labelled, err := labels.NewRequirement(lifecyclev1.TaskNameAnnotation, selection.Exists, nil)
	if err != nil {
		return nil, fmt.Errorf("select the Jobs of tasks: %w", err)
	}
	tasks := labels.NewSelector().Add(*labelled)
	c, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		ByObject: map[client.Object]cache.ByObject{
			&batchv1.Job{}: {Label: tasks, Transform: slim},
			&corev1.Pod{}:  {Label: tasks, Transform: slim},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("cache the Jobs of tasks: %w", err)
	}
	return c, nil
}

// slim leaves of a Job and of a pod what this package reads.
func slim(obj any) (any, error) {
	switch o := obj.(type) {
	case *batchv1.Job:
		o.ManagedFields = nil
		o.Spec = batchv1.JobSpec{TTLSecondsAfterFinished: o.Spec.TTLSecondsAfterFinished}
	case *corev1.Pod:
		o.ManagedFields = nil
		o.Spec = corev1.PodSpec{InitContainers: images(o.Spec.InitContainers), Containers: images(o.Spec.Containers)}
	}
	return obj, nil
}

func images(containers []corev1.Container) []corev1.Container {
	slim := make([]corev1.Container, len(containers))
	for i, c := range containers {
		slim[i] = corev1.Container{Name: c.Name, Image: c.Image}
	}
	return slim
}

// NamesOnly is a transform for caches that leaves of an object's metadata what tells
// it apart, and no annotations, which may hold the whole of it once more. The
// reconcilers of this package need no more of ConfigMaps.
func NamesOnly(obj any) (any, error) {
	if o, err := meta.Accessor(obj); err == nil { // else it is the mark of a deleted object
		o.SetManagedFields(nil)
		o.SetAnnotations(nil)
		o.SetLabels(nil)
	}
	return obj, nil
}

// taskOf is the task of a pod. The annotation says it; the label may be cut.
func taskOf(_ context.Context, pod *corev1.Pod) []reconcile.Request {
	name := pod.Annotations[lifecyclev1.TaskNameAnnotation]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: pod.Namespace, Name: name}}}
}

// pods are those of a Job.
func pods(ctx context.Context, from client.Reader, t *lifecyclev1.KeptnTask, job *batchv1.Job) ([]corev1.Pod, error) {
	var list corev1.PodList
	of := client.MatchingLabels{lifecyclev1.TaskNameAnnotation: labelOf(t.Name)}
	if err := from.List(ctx, &list, client.InNamespace(t.Namespace), of, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("pods of Job %s/%s: %w", job.Namespace, job.Name, err)
	}
	var owned []corev1.Pod
	for i := range list.Items {
		if metav1.IsControlledBy(&list.Items[i], job) {
			owned = append(owned, list.Items[i])
		}
	}
	return owned, nil
}

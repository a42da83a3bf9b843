package workload

import (
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Changed says whether a workload, or one of its ReplicaSets or ControllerRevisions,
// differs in what it says of itself, or in what Current goes by. How many of its
// pods run does not count.
func Changed(before, after client.Object) bool {
	switch a := after.(type) {
	case *appsv1.ControllerRevision:
		b, ok := before.(*appsv1.ControllerRevision)
		return !ok || a.Revision != b.Revision
	case *appsv1.ReplicaSet:
		if !IsBare(a) {
			return a.Annotations[revisionAnnotation] != before.GetAnnotations()[revisionAnnotation] ||
				!maps.Equal(a.Labels, before.GetLabels())
		}
	}
	return before.GetGeneration() != after.GetGeneration() ||
		!maps.Equal(before.GetAnnotations(), after.GetAnnotations()) ||
		!maps.Equal(before.GetLabels(), after.GetLabels()) ||
		progressOf(before) != progressOf(after)
}

// A progress is how far the controller of a workload has come: whether it has seen
// the newest spec, and the revision that it made of it.
type progress struct {
	observed bool
	revision string
}

func progressOf(obj client.Object) progress {
	switch o := obj.(type) {
	case *appsv1.Deployment:
		return progress{observed: o.Status.ObservedGeneration >= o.Generation}
	case *appsv1.DaemonSet:
		return progress{observed: o.Status.ObservedGeneration >= o.Generation}
	case *appsv1.StatefulSet:
		return progress{observed: o.Status.ObservedGeneration >= o.Generation, revision: o.Status.UpdateRevision}
	case *unstructured.Unstructured:
		hash, _, _ := unstructured.NestedString(o.Object, "status", rolloutCurrentField)
		return progress{observed: rolloutObserved(o.Object), revision: hash}
	default:
		return progress{}
	}
}

// Subject is the kind and the name of the workload that an object is, or is a
// revision of. Of ControllerRevisions those of DaemonSets are: a StatefulSet says
// itself which one it has.
func Subject(obj client.Object) (kind, name string, ok bool) {
	switch o := obj.(type) {
	case *appsv1.Deployment:
		return Deployment, o.Name, true
	case *appsv1.StatefulSet:
		return StatefulSet, o.Name, true
	case *appsv1.DaemonSet:
		return DaemonSet, o.Name, true
	case *unstructured.Unstructured:
		return Rollout, o.GetName(), o.GroupVersionKind() == RolloutKind
	case *appsv1.ReplicaSet:
		if IsBare(o) {
			return ReplicaSet, o.Name, true
		}
		owner := metav1.GetControllerOf(o)
		return owner.Kind, owner.Name, true
	case *appsv1.ControllerRevision:
		owner := metav1.GetControllerOf(o)
		if owner == nil || owner.Kind != DaemonSet {
			return "", "", false
		}
		return owner.Kind, owner.Name, true
	default:
		return "", "", false
	}
}

package controllers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/recorder"
)

// discreet is a manager whose recorders tell of nothing in namespaces that are being
// deleted. Much ends there that was under way, and the API server would refuse each
// event of it.
type discreet struct {
	ctrl.Manager

	terminating func(namespace string) bool
}

func newDiscreet(ctx context.Context, mgr ctrl.Manager) discreet {
	return discreet{mgr, func(namespace string) bool {
		ns := &corev1.Namespace{}
		err := mgr.GetClient().Get(ctx, types.NamespacedName{Name: namespace}, ns, client.UnsafeDisableDeepCopy)
		return err == nil && !ns.DeletionTimestamp.IsZero()
	}}
}

// GetEventRecorder implements ctrl.Manager.
func (m discreet) GetEventRecorder(name string) recorder.EventRecorder {
	return discreetRecorder{m.Manager.GetEventRecorder(name), m.terminating}
}

type discreetRecorder struct {
	recorder.EventRecorder

	terminating func(namespace string) bool
}

// Eventf implements recorder.EventRecorder.
func (r discreetRecorder) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	if !r.hushed(regarding) {
		r.EventRecorder.Eventf(regarding, related, kind, reason, action, note, args...)
	}
}

// AnnotatedEventf implements recorder.EventRecorder.
func (r discreetRecorder) AnnotatedEventf(regarding, related runtime.Object, annotations map[string]string, kind, reason, action, note string, args ...any) {
	if !r.hushed(regarding) {
		r.EventRecorder.AnnotatedEventf(regarding, related, annotations, kind, reason, action, note, args...)
	}
}

// hushed says whether nothing is to be told of an object.
func (r discreetRecorder) hushed(regarding runtime.Object) bool {
	obj, err := meta.Accessor(regarding)
	return err == nil && obj.GetNamespace() != "" && r.terminating(obj.GetNamespace())
}

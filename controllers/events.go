package controllers

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/reference"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/recorder"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry"
	"github.com/keptn/gitops/telemetry/event"
)

// discreet is a manager whose recorders tell of nothing in namespaces that are being
// deleted. Much ends there that was under way, and the API server would refuse each
// event of it.
type discreet struct {
	ctrl.Manager

	terminating func(namespace string) bool
	// tell is told of each event as well.
	tell func(regarding runtime.Object, annotations map[string]string, kind, reason, action, note string)
}

func newDiscreet(ctx context.Context, mgr ctrl.Manager, teller *telemetry.Teller) discreet {
	tell := func(regarding runtime.Object, annotations map[string]string, kind, reason, action, note string) {
		about, err := reference.GetReference(mgr.GetScheme(), regarding)
		if err != nil || schema.FromAPIVersionAndKind(about.APIVersion, about.Kind).Group != lifecyclev1.GroupVersion.Group {
			return
		}
		if told, heard := event.Heard(*about, annotations, kind, reason, action, note, time.Now()); heard { //nolint:forbidigo // as the recorder itself
			teller.KubernetesEvent(ctx, told)
		}
	}
	return discreet{mgr, func(namespace string) bool {
		ns := &corev1.Namespace{}
		err := mgr.GetClient().Get(ctx, types.NamespacedName{Name: namespace}, ns, client.UnsafeDisableDeepCopy)
		return err == nil && !ns.DeletionTimestamp.IsZero()
	}, tell}
}

// GetEventRecorder implements ctrl.Manager.
func (m discreet) GetEventRecorder(name string) recorder.EventRecorder {
	return discreetRecorder{m.Manager.GetEventRecorder(name), m.terminating, m.tell}
}

type discreetRecorder struct {
	recorder.EventRecorder

	terminating func(namespace string) bool
	tell        func(regarding runtime.Object, annotations map[string]string, kind, reason, action, note string)
}

// Eventf implements recorder.EventRecorder.
func (r discreetRecorder) Eventf(regarding, related runtime.Object, kind, reason, action, note string, args ...any) {
	if !r.hushed(regarding) {
		r.EventRecorder.Eventf(regarding, related, kind, reason, action, note, args...)
		r.tell(regarding, nil, kind, reason, action, fmt.Sprintf(note, args...))
	}
}

// AnnotatedEventf implements recorder.EventRecorder.
func (r discreetRecorder) AnnotatedEventf(regarding, related runtime.Object, annotations map[string]string, kind, reason, action, note string, args ...any) {
	if !r.hushed(regarding) {
		r.EventRecorder.AnnotatedEventf(regarding, related, annotations, kind, reason, action, note, args...)
		r.tell(regarding, annotations, kind, reason, action, fmt.Sprintf(note, args...))
	}
}

// hushed says whether nothing is to be told of an object.
func (r discreetRecorder) hushed(regarding runtime.Object) bool {
	obj, err := meta.Accessor(regarding)
	return err == nil && obj.GetNamespace() != "" && r.terminating(obj.GetNamespace())
}

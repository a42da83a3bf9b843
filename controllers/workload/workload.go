// Package workload sees what runs: Deployments, StatefulSets, DaemonSets, bare
// ReplicaSets and Argo Rollouts, the revision of each that is newest, how far its
// rollout has come, and which of them a pod belongs to. It never changes any.
package workload

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keptn/gitops/gitsource/manifest"
)

// The kinds of workloads.
const (
	Deployment  = "Deployment"
	StatefulSet = "StatefulSet"
	DaemonSet   = "DaemonSet"
	ReplicaSet  = "ReplicaSet"
	// Rollout is Argo's, of argoproj.io/v1alpha1.
	Rollout = "Rollout"
)

// RolloutKind is the kind of an Argo Rollout.
var RolloutKind = schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: Rollout}

// CommitAnnotation on a workload names the commit it was deployed from, in full
// or by its first seven digits at least. It counts where the commit's content
// does not explain what runs, as with templates that are changed on their way.
const CommitAnnotation = "gitops.keptn.sh/commit"

// Workload is a workload as it was seen.
type Workload struct {
	Kind, Namespace, Name string

	Template     corev1.PodTemplateSpec
	TemplateHash string
	// WrittenAt is when a template was last written to the workload.
	WrittenAt time.Time
	// Commit is what the workload's annotation claims.
	Commit string

	Replicas int32
	// Status is kstatus' word on its rollout, and Message the reason.
	Status  status.Status
	Message string

	// Object is the workload itself.
	Object client.Object
}

func (w *Workload) String() string { return w.Kind + " " + w.Name }

// Committed makes an empty object of each kind of workload that is followed from
// Git.
var Committed = map[string]func() client.Object{
	Deployment:  func() client.Object { return &appsv1.Deployment{} },
	StatefulSet: func() client.Object { return &appsv1.StatefulSet{} },
	DaemonSet:   func() client.Object { return &appsv1.DaemonSet{} },
}

// New makes an empty object of a kind of workload, and says whether it is one.
func New(kind string) (client.Object, bool) {
	switch kind {
	case ReplicaSet:
		return &appsv1.ReplicaSet{}, true
	case Rollout:
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(RolloutKind)
		return u, true
	default:
		empty, known := Committed[kind]
		if !known {
			return nil, false
		}
		return empty(), true
	}
}

// NewRollouts makes an empty list of Argo Rollouts.
func NewRollouts() *unstructured.UnstructuredList {
	rollouts := &unstructured.UnstructuredList{}
	rollouts.SetGroupVersionKind(RolloutKind.GroupVersion().WithKind(Rollout + "List"))
	return rollouts
}

// See reads a workload. A workload that does not exist, or whose kind the API server
// does not have, is nil.
func See(ctx context.Context, r client.Reader, kind string, key types.NamespacedName) (*Workload, error) {
	obj, known := New(kind)
	if !known {
		return nil, fmt.Errorf("%s %s: not a kind of workload", kind, key)
	}
	err := r.Get(ctx, key, obj)
	if apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) {
		return nil, nil //nolint:nilnil // no workload is an answer, and the caller's to weigh
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", kind, key, err)
	}
	return Observe(kind, obj)
}

// Observe turns an object into what is said of it.
func Observe(kind string, obj client.Object) (*Workload, error) {
	w := &Workload{
		Kind:      kind,
		Namespace: obj.GetNamespace(),
		Name:      obj.GetName(),
		WrittenAt: templateWrittenAt(obj),
		Commit:    obj.GetAnnotations()[CommitAnnotation],
		Object:    obj,
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, fmt.Errorf("observe %s: %w", w, err)
	}
	if err := w.readPods(obj, content); err != nil {
		return nil, fmt.Errorf("observe %s: %w", w, err)
	}
	w.TemplateHash = manifest.TemplateHash(w.Template)
	if kind == Rollout {
		w.Status, w.Message = rolloutStatus(content)
		return w, nil
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind(kind))
	result, err := status.Compute(u)
	if err != nil {
		return nil, fmt.Errorf("observe %s: %w", w, err)
	}
	w.Status, w.Message = result.Status, result.Message
	if s, ok := obj.(*appsv1.StatefulSet); ok && standsStill(s) {
		w.Message += "; pods of an earlier revision are replaced once they are ready: delete those that do not get ready"
	}
	return w, nil
}

// standsStill says whether no pod of a StatefulSet is of its newest revision, and not
// all of those that it has are ready. If that stays so it goes on by no means of its
// own, as where one waits at the gate that nobody opens any more:
// https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback
func standsStill(s *appsv1.StatefulSet) bool {
	is := &s.Status
	return s.Spec.PodManagementPolicy != appsv1.ParallelPodManagement && is.ObservedGeneration >= s.Generation &&
		is.UpdateRevision != is.CurrentRevision && is.UpdatedReplicas == 0 && is.ReadyReplicas < is.Replicas
}

// readPods reads the pod template of a workload, and how many pods it has.
func (w *Workload) readPods(obj client.Object, content map[string]any) error {
	switch o := obj.(type) {
	case *appsv1.Deployment:
		w.Template, w.Replicas = o.Spec.Template, o.Status.Replicas
	case *appsv1.StatefulSet:
		w.Template, w.Replicas = o.Spec.Template, o.Status.Replicas
	case *appsv1.DaemonSet:
		w.Template, w.Replicas = o.Spec.Template, o.Status.DesiredNumberScheduled
	case *appsv1.ReplicaSet:
		w.Template, w.Replicas = o.Spec.Template, o.Status.Replicas
	default:
		template, _, _ := unstructured.NestedMap(content, "spec", "template")
		replicas, _, _ := unstructured.NestedInt64(content, "status", "replicas")
		w.Replicas = int32(min(replicas, 1<<30)) //nolint:gosec // bounded
		return runtime.DefaultUnstructuredConverter.FromUnstructured(template, &w.Template)
	}
	return nil
}

// rolloutStatus is kstatus for an Argo Rollout: it is done once it is healthy and
// all its pods are of the newest revision.
func rolloutStatus(content map[string]any) (status.Status, string) {
	number := func(field string) int64 {
		n, _, _ := unstructured.NestedInt64(content, "status", field)
		return n
	}
	phase, _, _ := unstructured.NestedString(content, "status", "phase")
	message, _, _ := unstructured.NestedString(content, "status", "message")
	switch {
	case !rolloutObserved(content):
		return status.InProgressStatus, "the Rollout has not been looked at yet"
	case phase == "Degraded":
		return status.FailedStatus, "Degraded: " + message
	case phase == "Healthy" && number("replicas") == number("updatedReplicas"):
		return status.CurrentStatus, "Rollout is healthy"
	default:
		return status.InProgressStatus, fmt.Sprintf("%s: updated: %d/%d", phase, number("updatedReplicas"), number("replicas"))
	}
}

// rolloutObserved says whether the status of a Rollout speaks of its spec: it
// writes the generation as text.
func rolloutObserved(content map[string]any) bool {
	observed, _, _ := unstructured.NestedString(content, "status", "observedGeneration")
	generation, _, _ := unstructured.NestedInt64(content, "metadata", "generation")
	return observed == fmt.Sprint(generation)
}

// templateWrittenAt is when the pod template was last written, by what the API
// server keeps of each manager's fields; the creation of the object at the
// least. It has a resolution of one second.
func templateWrittenAt(obj metav1.Object) time.Time {
	at := obj.GetCreationTimestamp().Time
	for _, entry := range obj.GetManagedFields() {
		if writesTemplate(entry) && entry.Time.After(at) {
			at = entry.Time.Time
		}
	}
	return at
}

// templateField is how managed fields name the pod template.
const templateField = `{"f:spec":{"f:template":{}}}`

func writesTemplate(entry metav1.ManagedFieldsEntry) bool {
	return entry.Subresource == "" && entry.Time != nil && entry.FieldsV1 != nil &&
		strings.Contains(entry.FieldsV1.GetRawString(), `"f:template"`)
}

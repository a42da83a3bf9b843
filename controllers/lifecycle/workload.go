package lifecycle

import (
	"context"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keptn/gitops/gitsource/manifest"
)

// CommitAnnotation on a workload names the commit it was deployed from, in full
// or by its first seven digits at least. It counts where the commit's content
// does not explain what runs, as with templates that are changed on their way.
const CommitAnnotation = "gitops.keptn.sh/commit"

// workload is a Deployment, StatefulSet or DaemonSet as it was seen.
type workload struct {
	Kind, Namespace, Name string

	Template     corev1.PodTemplateSpec
	TemplateHash string
	// WrittenAt is when a template was last written to the workload.
	WrittenAt time.Time
	// Commit is what the workload's annotation claims.
	Commit string

	Replicas int32
	// Rollout is kstatus' word on it, and Message the reason.
	Rollout status.Status
	Message string
}

func (w *workload) String() string { return w.Kind + " " + w.Name }

// workloadObjects makes an empty object of each kind of workload.
var workloadObjects = map[string]func() client.Object{
	"Deployment":  func() client.Object { return &appsv1.Deployment{} },
	"StatefulSet": func() client.Object { return &appsv1.StatefulSet{} },
	"DaemonSet":   func() client.Object { return &appsv1.DaemonSet{} },
}

// seeWorkload reads a workload. A workload that does not exist is nil.
func seeWorkload(ctx context.Context, r client.Reader, kind string, key types.NamespacedName) (*workload, error) {
	empty, known := workloadObjects[kind]
	if !known {
		return nil, fmt.Errorf("%s %s: not a kind of workload", kind, key)
	}
	obj := empty()
	err := r.Get(ctx, key, obj)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // no workload is an answer, and the caller's to weigh
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", kind, key, err)
	}
	return observe(kind, obj)
}

// observe turns an object into what is said of it.
func observe(kind string, obj client.Object) (*workload, error) {
	template, replicas := templateOf(obj)
	w := &workload{
		Kind:         kind,
		Namespace:    obj.GetNamespace(),
		Name:         obj.GetName(),
		Template:     template,
		TemplateHash: manifest.TemplateHash(template),
		WrittenAt:    templateWrittenAt(obj),
		Commit:       obj.GetAnnotations()[CommitAnnotation],
		Replicas:     replicas,
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, fmt.Errorf("observe %s: %w", w, err)
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind(kind))
	result, err := status.Compute(u)
	if err != nil {
		return nil, fmt.Errorf("observe %s: %w", w, err)
	}
	w.Rollout, w.Message = result.Status, result.Message
	return w, nil
}

// templateOf returns the pod template of a workload, and how many pods it has
// where that is said.
func templateOf(obj client.Object) (corev1.PodTemplateSpec, int32) {
	switch o := obj.(type) {
	case *appsv1.Deployment:
		return o.Spec.Template, o.Status.Replicas
	case *appsv1.StatefulSet:
		return o.Spec.Template, o.Status.Replicas
	case *appsv1.DaemonSet:
		return o.Spec.Template, o.Status.DesiredNumberScheduled
	default:
		return corev1.PodTemplateSpec{}, 0
	}
}

// templateWrittenAt is when the pod template was last written, by what the API
// server keeps of each manager's fields; the creation of the object at the
// least. It has a resolution of one second.
func templateWrittenAt(obj metav1.Object) time.Time {
	at := obj.GetCreationTimestamp().Time
	for _, entry := range obj.GetManagedFields() {
		if entry.Subresource != "" || entry.Time == nil || entry.FieldsV1 == nil {
			continue
		}
		if strings.Contains(entry.FieldsV1.GetRawString(), `"f:template"`) && entry.Time.After(at) {
			at = entry.Time.Time
		}
	}
	return at
}

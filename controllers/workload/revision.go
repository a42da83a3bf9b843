package workload

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// Strip drops what nobody here reads of workloads and of what they own, before they
// are cached. Of the managed fields of a workload it stays when its pod template was
// written, and of the template of a ControllerRevision a digest.
func Strip(obj any) (any, error) {
	switch o := obj.(type) {
	case *appsv1.Deployment:
		stripManaged(o)
	case *appsv1.StatefulSet:
		stripManaged(o)
	case *appsv1.DaemonSet:
		stripManaged(o)
	case *appsv1.ReplicaSet:
		o.ManagedFields = nil
		if !IsBare(o) {
			o.Spec.Template = corev1.PodTemplateSpec{}
		}
	case *appsv1.ControllerRevision:
		o.ManagedFields = nil
		digest := revisionDigest(o)
		o.Data.Raw = nil
		if digest != "" {
			o.Data.Raw = []byte(strconv.Quote(digest))
		}
	}
	return obj, nil
}

// IsBare says whether a ReplicaSet is a workload itself, and no revision of a
// Deployment or a Rollout.
func IsBare(rs *appsv1.ReplicaSet) bool {
	owner := metav1.GetControllerOf(rs)
	return owner == nil || owner.Kind != Deployment && owner.Kind != Rollout
}

// stripManaged leaves of the managed fields when a pod template was written.
func stripManaged(obj metav1.Object) {
	var kept []metav1.ManagedFieldsEntry
	for _, entry := range obj.GetManagedFields() {
		if writesTemplate(entry) {
			kept = append(kept, metav1.ManagedFieldsEntry{Time: entry.Time, FieldsV1: metav1.NewFieldsV1(templateField)})
		}
	}
	obj.SetManagedFields(kept)
}

// How other controllers mark revisions.
const (
	revisionAnnotation  = "deployment.kubernetes.io/revision"
	rolloutHashLabel    = "rollouts-pod-template-hash"
	revisionHashLabel   = appsv1.ControllerRevisionHashLabelKey
	rolloutCurrentField = "currentPodHash"
)

// Current is what owns the pods of a workload's newest revision. It is not known
// while the workload's own controller has not seen its newest spec; then its next
// status tells.
func Current(ctx context.Context, r client.Reader, obj client.Object) (ref lifecyclev1.ResourceReference, known bool, err error) {
	switch o := obj.(type) {
	case *appsv1.ReplicaSet:
		return reference(o, ReplicaSet, ""), true, nil
	case *appsv1.StatefulSet:
		known = o.Status.ObservedGeneration >= o.Generation && o.Status.UpdateRevision != ""
		return reference(o, StatefulSet, o.Status.UpdateRevision), known, nil
	case *appsv1.Deployment:
		if o.Status.ObservedGeneration < o.Generation {
			return ref, false, nil
		}
		return newestReplicaSet(ctx, r, o, deploymentRank(o))
	case *appsv1.DaemonSet:
		if o.Status.ObservedGeneration < o.Generation {
			return ref, false, nil
		}
		return newestRevision(ctx, r, o)
	case *unstructured.Unstructured:
		hash, _, _ := unstructured.NestedString(o.Object, "status", rolloutCurrentField)
		if !rolloutObserved(o.Object) || hash == "" {
			return ref, false, nil
		}
		return newestReplicaSet(ctx, r, o, func(rs *appsv1.ReplicaSet) int64 {
			if rs.Labels[rolloutHashLabel] == hash {
				return 1
			}
			return 0
		})
	default:
		return ref, false, fmt.Errorf("%T %s: not a kind of workload", obj, obj.GetName())
	}
}

func reference(obj client.Object, kind, revision string) lifecyclev1.ResourceReference {
	return lifecyclev1.ResourceReference{UID: obj.GetUID(), Kind: kind, Name: obj.GetName(), Revision: revision}
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// deploymentRank ranks the ReplicaSets of a Deployment by their revisions. Where the
// Deployment says which revision it has, that one alone has a rank: the newest that
// is known of need not be the one of the template that is known of.
func deploymentRank(d *appsv1.Deployment) func(*appsv1.ReplicaSet) int64 {
	current := number(d.Annotations[revisionAnnotation])
	return func(rs *appsv1.ReplicaSet) int64 {
		rank := number(rs.Annotations[revisionAnnotation])
		if current != 0 && rank != current {
			return 0
		}
		return rank
	}
}

// ReplicaSetsOf are the ReplicaSets of a Deployment or a Rollout.
func ReplicaSetsOf(ctx context.Context, r client.Reader, owner client.Object) ([]appsv1.ReplicaSet, error) {
	var owned appsv1.ReplicaSetList
	err := listOwned(ctx, r, owner, &owned)
	return owned.Items, err
}

// newestReplicaSet is the ReplicaSet of a workload with the highest rank above 0.
func newestReplicaSet(ctx context.Context, r client.Reader, owner client.Object, rank func(*appsv1.ReplicaSet) int64) (lifecyclev1.ResourceReference, bool, error) {
	owned, err := ReplicaSetsOf(ctx, r, owner)
	if err != nil {
		return lifecyclev1.ResourceReference{}, false, err
	}
	var newest *appsv1.ReplicaSet
	highest := int64(0)
	for i := range owned {
		if n := rank(&owned[i]); n > highest {
			newest, highest = &owned[i], n
		}
	}
	if newest == nil {
		return lifecyclev1.ResourceReference{}, false, nil
	}
	return reference(newest, ReplicaSet, ""), true, nil
}

// newestRevision is the revision of a DaemonSet with the highest number. It is not
// known while the newest that is known of has another template than the DaemonSet.
func newestRevision(ctx context.Context, r client.Reader, owner *appsv1.DaemonSet) (lifecyclev1.ResourceReference, bool, error) {
	var owned appsv1.ControllerRevisionList
	if err := listOwned(ctx, r, owner, &owned); err != nil {
		return lifecyclev1.ResourceReference{}, false, err
	}
	var newest *appsv1.ControllerRevision
	for i := range owned.Items {
		if rev := &owned.Items[i]; newest == nil || rev.Revision > newest.Revision {
			newest = rev
		}
	}
	if newest == nil || newest.Labels[revisionHashLabel] == "" {
		return lifecyclev1.ResourceReference{}, false, nil
	}
	digest := revisionDigest(newest)
	known := digest == "" || digest == templateDigest(owner.Spec.Template)
	return reference(owner, DaemonSet, newest.Labels[revisionHashLabel]), known, nil
}

// revisionDigest is the digest of the pod template that a revision holds, or that
// Strip left of it; empty where it holds none.
func revisionDigest(rev *appsv1.ControllerRevision) string {
	var digest string
	if json.Unmarshal(rev.Data.Raw, &digest) == nil {
		return digest
	}
	var patch struct {
		Spec struct {
			Template *corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if json.Unmarshal(rev.Data.Raw, &patch) != nil || patch.Spec.Template == nil {
		return ""
	}
	return templateDigest(*patch.Spec.Template)
}

func templateDigest(template corev1.PodTemplateSpec) string {
	text, err := json.Marshal(template)
	if err != nil {
		return "" // no type of a template can fail
	}
	return Digest(2*sha256.Size, string(text))
}

func listOwned(ctx context.Context, r client.Reader, owner client.Object, list client.ObjectList) error {
	err := r.List(ctx, list, client.InNamespace(owner.GetNamespace()), client.MatchingFields{ByController: string(owner.GetUID())})
	if err != nil {
		return fmt.Errorf("list what %s owns: %w", owner.GetName(), err)
	}
	return nil
}

// uidDigits of a UID tell owners within a namespace apart: they are 48 random bits.
const uidDigits = 13

// Key is a short text for what owns pods: the same for all pods of a revision, and
// another for all others of the namespace. The admission policy in config/admission
// computes the same.
func Key(ref lifecyclev1.ResourceReference) string {
	key := string(ref.UID)[:min(len(ref.UID), uidDigits)]
	if ref.Revision != "" {
		key += "/" + ref.Revision
	}
	return key
}

// Top is the workload that owns what owns pods: the Deployment or Rollout of a
// ReplicaSet, else the owner itself. It is nil where there is none any more.
func Top(ctx context.Context, r client.Reader, namespace string, ref lifecyclev1.ResourceReference) (*Workload, error) {
	key := types.NamespacedName{Namespace: namespace, Name: ref.Name}
	if ref.Kind != ReplicaSet {
		return See(ctx, r, ref.Kind, key)
	}
	rs := &appsv1.ReplicaSet{}
	if err := r.Get(ctx, key, rs); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if owner := metav1.GetControllerOf(rs); !IsBare(rs) {
		return See(ctx, r, owner.Kind, types.NamespacedName{Namespace: namespace, Name: owner.Name})
	}
	return Observe(ReplicaSet, rs)
}

// OwnerOf is what owns a pod, where it is of a kind that workloads have.
func OwnerOf(pod *corev1.Pod) (lifecyclev1.ResourceReference, bool) {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return lifecyclev1.ResourceReference{}, false
	}
	ref := lifecyclev1.ResourceReference{UID: owner.UID, Kind: owner.Kind, Name: owner.Name}
	switch owner.Kind {
	case ReplicaSet:
		return ref, true
	case StatefulSet, DaemonSet:
		ref.Revision = pod.Labels[revisionHashLabel]
		return ref, true
	default:
		return ref, false
	}
}

// Progress is how far the rollout of a revision has come.
type Progress struct {
	// Status is kstatus' word, NotFound where the workload is gone.
	Status  status.Status
	Message string
	// Replicas of the workload.
	Replicas int32
	// Superseded says that the workload has a newer revision.
	Superseded bool
}

// Follow says how far the rollout of a revision has come. It is complete once its
// workload's controller has seen the spec, all pods are of the revision, and all
// are available.
func Follow(ctx context.Context, r client.Reader, namespace string, ref lifecyclev1.ResourceReference) (Progress, error) {
	top, err := Top(ctx, r, namespace, ref)
	if err != nil {
		return Progress{}, err
	}
	if top == nil {
		return Progress{Status: status.NotFoundStatus, Message: ref.Kind + " " + ref.Name + " does not exist"}, nil
	}
	current, known, err := Current(ctx, r, top.Object)
	if err != nil {
		return Progress{}, err
	}
	if !known {
		return Progress{Status: status.InProgressStatus, Message: top.String() + ": its newest revision is not known yet"}, nil
	}
	return Progress{
		Status:     top.Status,
		Message:    top.String() + ": " + top.Message,
		Replicas:   top.Replicas,
		Superseded: current.UID != ref.UID || current.Revision != ref.Revision,
	}, nil
}

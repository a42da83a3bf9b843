package gate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/workload"
)

// top names what people deploy, and pods belong to in the end.
type top struct{ kind, name string }

func (t top) String() string { return t.kind + "/" + t.name }

// topOf names the workload that owns what owns pods. It is not found where the
// ReplicaSet does not exist.
func topOf(ctx context.Context, r client.Reader, namespace string, ref lifecyclev1.ResourceReference) (top, bool, error) {
	if ref.Kind != workload.ReplicaSet {
		return top{ref.Kind, ref.Name}, true, nil
	}
	var rs appsv1.ReplicaSet
	err := r.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, &rs, shared)
	if err != nil {
		return top{}, false, client.IgnoreNotFound(err)
	}
	return topOfReplicaSet(&rs), rs.UID == ref.UID, nil
}

func topOfReplicaSet(rs *appsv1.ReplicaSet) top {
	owner := metav1.GetControllerOf(rs)
	if owner != nil && (owner.Kind == workload.Deployment || owner.Kind == workload.Rollout) {
		return top{owner.Kind, owner.Name}
	}
	return top{workload.ReplicaSet, rs.Name}
}

// seeTop reads a workload, without what workload.See computes of its rollout. One
// that does not exist is nil.
func seeTop(ctx context.Context, r client.Reader, namespace string, t top) (*workload.Workload, error) {
	obj, known := workload.New(t.kind)
	if !known {
		return nil, fmt.Errorf("%s: not a kind of workload", t)
	}
	err := r.Get(ctx, types.NamespacedName{Namespace: namespace, Name: t.name}, obj, shared)
	if apimeta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // no workload is an answer, and the caller's to weigh
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", t, err)
	}
	return plain(t, obj)
}

// plain is a workload by its template alone.
func plain(t top, obj client.Object) (*workload.Workload, error) {
	w := &workload.Workload{Kind: t.kind, Namespace: obj.GetNamespace(), Name: t.name, Object: obj}
	switch o := obj.(type) {
	case *appsv1.Deployment:
		w.Template = o.Spec.Template
	case *appsv1.StatefulSet:
		w.Template = o.Spec.Template
	case *appsv1.DaemonSet:
		w.Template = o.Spec.Template
	case *appsv1.ReplicaSet:
		w.Template = o.Spec.Template
	default:
		return workload.Observe(t.kind, obj)
	}
	return w, nil
}

// gatedPods are the pods of a namespace that carry the gate. What is asked of one of
// them is asked once for all of its revision. An error beside pods is about others.
func (r *Reconciler) gatedPods(ctx context.Context, v *view, namespace string) ([]gatedPod, error) {
	var list corev1.PodList
	if err := r.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{byGate: lifecyclev1.SchedulingGate}, shared); err != nil {
		return nil, fmt.Errorf("list gated pods: %w", err)
	}
	var errs []error
	asked := map[string]gatedPod{}
	pods := make([]gatedPod, 0, len(list.Items))
	for i := range list.Items {
		pod := &list.Items[i]
		if _, gone := r.opened.Get(pod.UID); gone || !pod.DeletionTimestamp.IsZero() {
			continue
		}
		var g gatedPod
		if ref, supported := workload.OwnerOf(pod); supported {
			var err error
			if g, err = r.askOnce(ctx, v, namespace, ref, asked); err != nil {
				errs = append(errs, fmt.Errorf("pod %s: %w", pod.Name, err))
				continue
			}
		}
		g.namespace, g.name, g.uid = namespace, pod.Name, pod.UID
		pods = append(pods, g)
	}
	return pods, errors.Join(errs...)
}

// askOnce finds out what the pods of a revision belong to, unless that was asked, or
// a delivery of it says enough.
func (r *Reconciler) askOnce(ctx context.Context, v *view, namespace string, ref lifecyclev1.ResourceReference, asked map[string]gatedPod) (gatedPod, error) {
	key := workload.Key(ref)
	if g, known := asked[key]; known {
		return g, nil
	}
	if v.enabled && len(v.claims) == 0 && v.delivered[key] {
		return gatedPod{key: key}, nil
	}
	g, err := r.belonging(ctx, r, v, namespace, ref)
	if g.orphan && err == nil { // the cache may lag behind that of the pods
		g, err = r.belonging(ctx, r.APIReader, v, namespace, ref)
	}
	if err == nil {
		asked[key] = g
	}
	return g, err
}

// belonging finds out what the pods of a revision belong to.
func (r *Reconciler) belonging(ctx context.Context, reader client.Reader, v *view, namespace string, ref lifecyclev1.ResourceReference) (gatedPod, error) {
	g := gatedPod{key: workload.Key(ref)}
	t, found, err := topOf(ctx, reader, namespace, ref)
	if err != nil || !found {
		g.orphan = true
		return g, err
	}
	g.workload = t.String()
	if _, claimed := v.claims[g.workload]; claimed || !v.enabled {
		return g, nil
	}
	live, err := seeTop(ctx, reader, namespace, t)
	if err != nil || live == nil {
		g.orphan = true
		return g, err
	}
	g.unmanaged = !r.Managed(live)
	return g, nil
}

// lives says what is left of revisions. Those that are not found are gone.
func (r *Reconciler) lives(ctx context.Context, namespace string, doubtful map[string]doubt) (map[string]life, error) {
	lives := map[string]life{}
	if len(doubtful) == 0 {
		return lives, nil
	}
	for _, look := range []func(context.Context, string, map[string]doubt, map[string]life) error{
		r.replicaSets, r.statefulSets, r.daemonSets,
	} {
		if err := look(ctx, namespace, doubtful, lives); err != nil {
			return nil, err
		}
	}
	return lives, nil
}

func (r *Reconciler) replicaSets(ctx context.Context, namespace string, doubtful map[string]doubt, lives map[string]life) error {
	var list appsv1.ReplicaSetList
	if err := r.List(ctx, &list, client.InNamespace(namespace), shared); err != nil {
		return fmt.Errorf("list ReplicaSets: %w", err)
	}
	for i := range list.Items {
		rs := &list.Items[i]
		key := workload.Key(lifecyclev1.ResourceReference{UID: rs.UID})
		of, asked := doubtful[key]
		if !asked {
			continue
		}
		left := life{pods: rs.Spec.Replicas == nil || *rs.Spec.Replicas > 0}
		if !left.pods || of == unlisted {
			var err error
			if left.current, err = r.newest(ctx, namespace, topOfReplicaSet(rs), key); err != nil {
				return err
			}
		}
		lives[key] = left
	}
	return nil
}

func (r *Reconciler) statefulSets(ctx context.Context, namespace string, doubtful map[string]doubt, lives map[string]life) error {
	var list appsv1.StatefulSetList
	if err := r.List(ctx, &list, client.InNamespace(namespace), shared); err != nil {
		return fmt.Errorf("list StatefulSets: %w", err)
	}
	revisions := byOwner(doubtful)
	for i := range list.Items {
		s := &list.Items[i]
		for _, key := range revisions[workload.Key(lifecyclev1.ResourceReference{UID: s.UID})] {
			old := workload.Key(lifecyclev1.ResourceReference{UID: s.UID, Revision: s.Status.CurrentRevision})
			current, err := r.newest(ctx, namespace, top{workload.StatefulSet, s.Name}, key)
			if err != nil {
				return err
			}
			lives[key] = life{current: current, pods: key == old}
		}
	}
	return nil
}

func (r *Reconciler) daemonSets(ctx context.Context, namespace string, doubtful map[string]doubt, lives map[string]life) error {
	var list appsv1.DaemonSetList
	if err := r.List(ctx, &list, client.InNamespace(namespace), shared); err != nil {
		return fmt.Errorf("list DaemonSets: %w", err)
	}
	revisions := byOwner(doubtful)
	for i := range list.Items {
		d := &list.Items[i]
		for _, key := range revisions[workload.Key(lifecyclev1.ResourceReference{UID: d.UID})] {
			current, err := r.newest(ctx, namespace, top{workload.DaemonSet, d.Name}, key)
			if err != nil {
				return err
			}
			lives[key] = life{current: current, pods: d.Status.UpdatedNumberScheduled < d.Status.DesiredNumberScheduled}
		}
	}
	return nil
}

// byOwner are the keys of StatefulSets' and DaemonSets' revisions by what owns them.
func byOwner(keys map[string]doubt) map[string][]string {
	owners := map[string][]string{}
	for key := range keys {
		if owner, _, ok := strings.Cut(key, "/"); ok {
			owners[owner] = append(owners[owner], key)
		}
	}
	return owners
}

// newest says whether a key is that of its workload's newest revision, or it is not
// known which one is.
func (r *Reconciler) newest(ctx context.Context, namespace string, t top, key string) (bool, error) {
	live, err := seeTop(ctx, r, namespace, t)
	if live == nil || err != nil {
		return err == nil, err
	}
	ref, known, err := workload.Current(ctx, r, live.Object)
	return !known || workload.Key(ref) == key, err
}

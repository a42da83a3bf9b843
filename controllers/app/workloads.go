package app

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/workload"
)

// discoverer is who writes KeptnWorkloads.
const discoverer = "keptn-discovery"

// Workloads keeps a KeptnWorkload for each annotated workload of a namespace that is
// opted in: its newest revision, and what its annotations say. Of two workloads of
// one name in one app the second has a KeptnWorkload whose name ends in a digest of
// its own.
type Workloads struct {
	client.Client

	Events events.EventRecorder
	// Governed says whether a Lifecycle in Git governs a workload, which is then no
	// matter of its annotations. Where it is nil none does.
	Governed func(ctx context.Context, kind, namespace, name string) (bool, error)

	rollouts bool
}

// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;daemonsets;replicasets;controllerrevisions,verbs=get;list;watch
// +kubebuilder:rbac:groups=argoproj.io,resources=rollouts,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=gitops.keptn.sh,resources=lifecycles,verbs=get;list;watch
// +kubebuilder:rbac:groups=lifecycle.keptn.sh,resources=keptnworkloads,verbs=get;list;watch;create;patch;delete

// Reconcile brings the KeptnWorkload of one workload up to date.
func (r *Workloads) Reconcile(ctx context.Context, key Key) (reconcile.Result, error) {
	return result(r.follow(ctx, key))
}

func (r *Workloads) follow(ctx context.Context, key Key) error {
	w, err := r.see(ctx, key)
	if err != nil || w == nil {
		return err
	}
	var mine lifecyclev1.KeptnWorkloadList
	if err := find(ctx, r.Client, &mine, key.Namespace, byOwner, string(w.Object.GetUID())); err != nil {
		return err
	}
	says, unmanaged := read(w)
	governed, err := r.governed(ctx, w)
	if err != nil {
		return err
	}
	if governed {
		return r.drop(ctx, mine.Items, "")
	}
	if unmanaged != nil {
		r.explain(w, unmanaged)
		return r.drop(ctx, mine.Items, "")
	}
	ref, known, err := workload.Current(ctx, r.Client, w.Object)
	if err != nil || !known {
		return err
	}
	name, err := r.nameOf(ctx, w, says, mine.Items)
	if err != nil {
		return err
	}
	if err := r.write(ctx, w, says, ref, name); err != nil {
		return err
	}
	return r.drop(ctx, mine.Items, name)
}

// see reads a workload that is to be looked at: it exists, is not going, and is in a
// namespace that is opted in. A workload that is not is nil, and so is a revision of
// one.
func (r *Workloads) see(ctx context.Context, key Key) (*workload.Workload, error) {
	ns := &corev1.Namespace{}
	if err := r.Get(ctx, types.NamespacedName{Name: key.Namespace}, ns); err != nil || !enabled(ns) {
		return nil, client.IgnoreNotFound(err)
	}
	w, err := workload.See(ctx, r.Client, key.Kind, types.NamespacedName{Namespace: key.Namespace, Name: key.Name})
	if err != nil || w == nil || !w.Object.GetDeletionTimestamp().IsZero() {
		return nil, err
	}
	if rs, ok := w.Object.(*appsv1.ReplicaSet); ok && !workload.IsBare(rs) {
		return nil, nil //nolint:nilnil // a revision is no workload
	}
	return w, nil
}

// explain tells people why a workload is not managed that says that it should be.
func (r *Workloads) explain(w *workload.Workload, unmanaged error) {
	if missing := (*noContainer)(nil); errors.As(unmanaged, &missing) {
		createWorkloadFailed.tell(r.Events, w.Object, "", missing)
	}
}

// governed says whether a Lifecycle in Git governs a workload.
func (r *Workloads) governed(ctx context.Context, w *workload.Workload) (bool, error) {
	if r.Governed == nil {
		return false, nil
	}
	return r.Governed(ctx, w.Kind, w.Namespace, w.Name)
}

// nameOf is the name of a workload's KeptnWorkload: the one that it has, else Keptn's,
// else one of its own where another workload has that.
func (r *Workloads) nameOf(ctx context.Context, w *workload.Workload, says said, mine []lifecyclev1.KeptnWorkload) (string, error) {
	name, own := says.name(), says.name(workload.Digest(8, w.Kind, w.Name))
	for _, has := range []string{name, own} {
		for i := range mine {
			if mine[i].Name == has {
				return has, nil
			}
		}
	}
	there := &lifecyclev1.KeptnWorkload{}
	err := r.Get(ctx, types.NamespacedName{Namespace: w.Namespace, Name: name}, there)
	if apierrors.IsNotFound(err) {
		return name, nil
	}
	if err != nil {
		return "", err
	}
	held, err := r.held(ctx, there, w)
	if held {
		return own, err
	}
	return name, err
}

// held says whether another workload that exists has a KeptnWorkload by what its
// annotations say.
func (r *Workloads) held(ctx context.Context, record *lifecyclev1.KeptnWorkload, by *workload.Workload) (bool, error) {
	for _, owner := range record.OwnerReferences {
		if _, known := workload.New(owner.Kind); !known {
			continue
		}
		top, err := workload.Top(ctx, r.Client, record.Namespace, lifecyclev1.ResourceReference{Kind: owner.Kind, Name: owner.Name})
		if err != nil {
			return false, err
		}
		if top == nil || top.Kind == by.Kind && top.Name == by.Name || !top.Object.GetDeletionTimestamp().IsZero() {
			continue
		}
		if says, err := read(top); err == nil && says.name() == record.Name {
			return true, nil
		}
	}
	return false, nil
}

// write creates or changes a KeptnWorkload, where it is not as it should be.
func (r *Workloads) write(ctx context.Context, w *workload.Workload, says said, ref lifecyclev1.ResourceReference, name string) error {
	gvk, err := apiutil.GVKForObject(w.Object, r.Scheme())
	if err != nil {
		return fmt.Errorf("own the KeptnWorkload of %s: %w", w, err)
	}
	owner := metav1.OwnerReference{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Name: w.Name, UID: w.Object.GetUID()}
	record := &lifecyclev1.KeptnWorkload{}
	err = r.Get(ctx, types.NamespacedName{Namespace: w.Namespace, Name: name}, record)
	if apierrors.IsNotFound(err) {
		record = &lifecyclev1.KeptnWorkload{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}}
		says.fill(record, ref, owner)
		err = r.Create(ctx, record, client.FieldOwner(discoverer))
		createWorkloadFailed.tell(r.Events, record, says.Version, err)
		return err
	}
	if err != nil {
		return err
	}
	before := record.DeepCopy()
	says.fill(record, ref, owner)
	if equality.Semantic.DeepEqual(before, record) {
		return nil
	}
	err = patch(ctx, r.Client, before, record, discoverer)
	updateWorkloadFailed.tell(r.Events, record, says.Version, err)
	return err
}

// fill writes into a KeptnWorkload what is said.
func (s said) fill(record *lifecyclev1.KeptnWorkload, ref lifecyclev1.ResourceReference, owner metav1.OwnerReference) {
	kind := lifecyclev1.MultiService
	if s.Single {
		kind = lifecyclev1.SingleService
	}
	metav1.SetMetaDataLabel(&record.ObjectMeta, lifecyclev1.K8sRecommendedManagedByAnnotation, lifecyclev1.ManagedByKeptn)
	metav1.SetMetaDataAnnotation(&record.ObjectMeta, lifecyclev1.AppTypeAnnotation, kind)
	record.OwnerReferences = []metav1.OwnerReference{owner}
	record.Spec = lifecyclev1.KeptnWorkloadSpec{
		AppName: s.App, Version: s.Version, ResourceReference: ref, Checks: s.Checks, Metadata: s.Metadata,
	}
}

// drop deletes the KeptnWorkloads that were discovered, but for one.
func (r *Workloads) drop(ctx context.Context, records []lifecyclev1.KeptnWorkload, but string) error {
	for i := range records {
		record := &records[i]
		if record.Name == but || !discovered(record) || !record.DeletionTimestamp.IsZero() {
			continue
		}
		if err := r.Delete(ctx, record, client.Preconditions{UID: &record.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete KeptnWorkload %s: %w", client.ObjectKeyFromObject(record), err)
		}
	}
	return nil
}

// discovered says whether an object was made from annotations.
func discovered(obj client.Object) bool {
	return obj.GetLabels()[lifecyclev1.K8sRecommendedManagedByAnnotation] == lifecyclev1.ManagedByKeptn
}

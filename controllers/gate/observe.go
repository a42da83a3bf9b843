package gate

import (
	"cmp"
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/trust"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/gitsource/manifest"
)

// shared reads objects of the cache as they are there: they must not be changed.
const shared = client.UnsafeDisableDeepCopy

// see reads all that decides over the gates of a namespace. An error beside a view is
// about pods that are missing from it.
func (r *Reconciler) see(ctx context.Context, ns *corev1.Namespace) (*view, error) {
	v := &view{
		enabled: enabled(ns),
		listed:  read(ns.Annotations[ReleasedAnnotation]),
	}
	var err error
	if v.claims, err = r.claims(ctx, ns.Name); err != nil {
		return nil, err
	}
	if v.enabled {
		if v.deliveries, err = r.deliveries(ctx, ns.Name, v.claims); err != nil {
			return nil, err
		}
		v.delivered = make(map[string]bool, len(v.deliveries))
		for _, d := range v.deliveries {
			v.delivered[d.key] = true
		}
	}
	v.gated, err = r.gatedPods(ctx, v, ns.Name)
	return v, err
}

func enabled(ns *corev1.Namespace) bool {
	return ns.Annotations[lifecyclev1.NamespaceEnabledAnnotation] == "enabled"
}

// claims are those of all Lifecycles that name workloads of a namespace.
func (r *Reconciler) claims(ctx context.Context, namespace string) (map[string]claim, error) {
	var lifecycles gitopsv1alpha1.LifecycleList
	if err := r.List(ctx, &lifecycles, client.MatchingFields{byNamespace: namespace}, shared); err != nil {
		return nil, fmt.Errorf("list lifecycles with workloads in %s: %w", namespace, err)
	}
	claims := map[string]claim{}
	for i := range lifecycles.Items {
		lc := &lifecycles.Items[i]
		may, err := r.governs(ctx, lc, namespace)
		if err != nil {
			return nil, err
		}
		for j := range lc.Status.Workloads {
			w := &lc.Status.Workloads[j]
			if !may || w.Namespace != namespace {
				continue
			}
			c, err := r.claimed(ctx, lc, w)
			if err != nil {
				return nil, err
			}
			name := w.Kind + "/" + w.Name
			if other, twice := claims[name]; twice {
				c = c.join(other)
			}
			claims[name] = c
		}
	}
	return claims, nil
}

// governs says whether a Lifecycle has a say in a namespace: it was read from Git by
// a GitSource that may govern the namespace and is not suspended.
func (r *Reconciler) governs(ctx context.Context, lc *gitopsv1alpha1.Lifecycle, namespace string) (bool, error) {
	name := lc.Labels[gitopsv1alpha1.SourceLabel]
	owner := metav1.GetControllerOf(lc)
	if name == "" || owner == nil || owner.Kind != gitopsv1alpha1.GitSourceKind || owner.Name != name || !lc.DeletionTimestamp.IsZero() {
		return false, nil
	}
	var source gitopsv1alpha1.GitSource
	if err := r.Get(ctx, types.NamespacedName{Namespace: lc.Namespace, Name: name}, &source); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	if source.Spec.Suspend {
		return false, nil
	}
	return trust.MayGovern(ctx, r, &source, namespace)
}

// claimed is what one Lifecycle says of one of its workloads.
func (r *Reconciler) claimed(ctx context.Context, lc *gitopsv1alpha1.Lifecycle, w *gitopsv1alpha1.WorkloadStatus) (claim, error) {
	live, err := seeTop(ctx, r, w.Namespace, top{w.Kind, w.Name})
	if live == nil || err != nil {
		return claim{}, err
	}
	c := claim{}
	ref, known, err := workload.Current(ctx, r, live.Object)
	if err != nil {
		return claim{}, err
	}
	if known {
		c.current = workload.Key(ref)
	}
	c.released, c.since, err = r.lets(ctx, lc, w, r.templateHash(live))
	return c, err
}

// lets says whether a Lifecycle lets the pods go that a template makes: the newest
// delivery has released it, or no commit explains it and the time to find one is
// over. While the Lifecycle has not seen the template it does not.
func (r *Reconciler) lets(ctx context.Context, lc *gitopsv1alpha1.Lifecycle, w *gitopsv1alpha1.WorkloadStatus, template string) (bool, time.Time, error) {
	if w.TemplateHash != template {
		return false, time.Time{}, nil
	}
	if w.Commit == "" {
		return unmatched(lc), timeOf(lc.Status.UnmatchedSince), nil
	}
	newest := lc.Status.Delivery
	if newest == nil {
		return false, time.Time{}, nil
	}
	var kav lifecyclev1.KeptnAppVersion
	if err := r.Get(ctx, types.NamespacedName{Namespace: newest.Namespace, Name: newest.Name}, &kav, shared); err != nil {
		return false, time.Time{}, client.IgnoreNotFound(err)
	}
	for _, ref := range kav.Spec.Workloads {
		if ref.Kind == w.Kind && ref.Name == w.Name && cmp.Or(ref.Namespace, kav.Namespace) == w.Namespace {
			return kav.Released() && ref.TemplateHash == template, startOf(kav.Status.Phase(lifecyclev1.PhaseAppDeploy)), nil
		}
	}
	return false, time.Time{}, nil
}

func startOf(rec *lifecyclev1.PhaseRecord) time.Time {
	if rec == nil {
		return time.Time{}
	}
	return timeOf(rec.StartTime)
}

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// hashed is a pod template as the API server numbers it.
type hashed struct {
	uid        types.UID
	generation int64
}

// templateHash is manifest.TemplateHash, computed once for each template.
func (r *Reconciler) templateHash(w *workload.Workload) string {
	of := hashed{w.Object.GetUID(), w.Object.GetGeneration()}
	if known, ok := r.hashes.Get(of); ok {
		return known
	}
	hash := manifest.TemplateHash(w.Template)
	r.hashes.Add(of, hash)
	return hash
}

// deliveries are those of the annotated workloads of a namespace that no Lifecycle
// claims.
func (r *Reconciler) deliveries(ctx context.Context, namespace string, claims map[string]claim) ([]delivery, error) {
	var list lifecyclev1.KeptnWorkloadVersionList
	if err := r.List(ctx, &list, client.InNamespace(namespace), shared); err != nil {
		return nil, fmt.Errorf("list deliveries of workloads: %w", err)
	}
	deliveries := make([]delivery, 0, len(list.Items))
	for i := range list.Items {
		kwv := &list.Items[i]
		if len(claims) > 0 {
			top, found, err := topOf(ctx, r, namespace, kwv.Spec.ResourceReference)
			if err != nil {
				return nil, err
			}
			if _, claimed := claims[top.String()]; found && claimed {
				continue
			}
		}
		deliveries = append(deliveries, delivery{
			workload:   kwv.Spec.WorkloadName,
			generation: kwv.Spec.WorkloadGeneration,
			key:        workload.Key(kwv.Spec.ResourceReference),
			released:   kwv.Released(),
			since:      startOf(kwv.Status.Phase(lifecyclev1.PhaseWorkloadDeploy)),
		})
	}
	return deliveries, nil
}

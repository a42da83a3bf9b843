package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/evidence"
	"github.com/keptn/gitops/controllers/trust"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/gitsource/manifest"
)

// Bounds of what a Lifecycle keeps of HelmReleases.
const (
	maxReleases  = 1000
	maxInstalled = 500 // workloads of all of them
)

// releaseName is the HelmRelease of a release that is rendered. What is rendered without a
// namespace belongs to the given one.
func releaseName(release *manifest.Release, namespace string) types.NamespacedName {
	return types.NamespacedName{Namespace: cmp.Or(release.Namespace, namespace), Name: release.Name}
}

// installed names the live workloads of the releases that the app renders to. Of those
// outside the namespace that a release installs into only those count that may be
// governed: anyone may label a workload.
func (r *Reconciler) installed(ctx context.Context, s *scope) ([]gitopsv1alpha1.WorkloadStatus, error) {
	found := map[gitopsv1alpha1.WorkloadStatus]bool{}
	for i := range s.app.Rendered.Releases {
		release := &s.app.Rendered.Releases[i]
		of := releaseName(release, s.lc.Namespace)
		for kind := range workload.Committed {
			objects, err := r.appliedBy(ctx, kind, evidence.ReleaseKey(of))
			if err != nil {
				return nil, err
			}
			for _, o := range objects {
				allowed, err := trust.MayGovern(ctx, r, s.source, o.GetNamespace())
				if err != nil {
					return nil, err
				}
				if allowed || o.GetNamespace() == cmp.Or(release.Target, of.Namespace) {
					found[gitopsv1alpha1.WorkloadStatus{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}] = true
				}
			}
		}
	}
	all := slices.SortedFunc(maps.Keys(found), func(a, b gitopsv1alpha1.WorkloadStatus) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return all[:min(len(all), maxInstalled)], nil
}

// appliedBy are the workloads of one kind that name an applier, by its key.
func (r *Reconciler) appliedBy(ctx context.Context, kind, applier string) ([]client.Object, error) {
	empty, err := r.Scheme().New(appsv1.SchemeGroupVersion.WithKind(kind + "List"))
	if err != nil {
		return nil, fmt.Errorf("make a list: %w", err)
	}
	list, ok := empty.(client.ObjectList)
	if !ok {
		return nil, fmt.Errorf("%T is no list of objects", empty)
	}
	if err := r.List(ctx, list, client.MatchingFields{byApplier: applier}); err != nil {
		return nil, fmt.Errorf("list each %s of %s: %w", kind, applier, err)
	}
	var objects []client.Object
	err = apimeta.EachListItem(list, func(o runtime.Object) error {
		object, ok := o.(client.Object)
		if !ok {
			return fmt.Errorf("%T is no object", o)
		}
		objects = append(objects, object)
		return nil
	})
	return objects, err
}

// observeReleases notes the releases that the app renders to; while it does not render,
// those that it rendered to when it last did.
func (s *scope) observeReleases() {
	if s.app.Problem != "" {
		return
	}
	s.lc.Status.Releases = nil
	for i := range s.app.Rendered.Releases[:min(len(s.app.Rendered.Releases), maxReleases)] {
		of := releaseName(&s.app.Rendered.Releases[i], s.lc.Namespace)
		s.lc.Status.Releases = append(s.lc.Status.Releases, gitopsv1alpha1.ReleaseReference{Namespace: of.Namespace, Name: of.Name})
	}
}

// isInstalled says whether a workload is the app's because a release installed it: one
// that the app renders to itself is not.
func (s *scope) isInstalled(w *workload.Workload) bool {
	of, named := releaseOf(w)
	return named && renderedAs(s.app.Rendered.Workloads, w, s.lc.Namespace) == nil &&
		slices.Contains(s.lc.Status.Releases, gitopsv1alpha1.ReleaseReference{Namespace: of.Namespace, Name: of.Name})
}

// installedAmong are those of the workloads that releases have installed.
func (s *scope) installedAmong(workloads []*workload.Workload) []*workload.Workload {
	return slices.DeleteFunc(slices.Clone(workloads), func(w *workload.Workload) bool { return !s.isInstalled(w) })
}

// releaseOf is the HelmRelease that a live workload names.
func releaseOf(w *workload.Workload) (release types.NamespacedName, named bool) {
	if w.Object == nil {
		return release, false
	}
	return evidence.ReleaseOf(w.Object)
}

// installedBy is the rendered release that a live workload is of; nil where there is none,
// or the workload itself is rendered. What is rendered without a namespace belongs to the
// given one.
func installedBy(rendered *manifest.Rendered, w *workload.Workload, namespace string) *manifest.Release {
	of, named := releaseOf(w)
	if !named || renderedAs(rendered.Workloads, w, namespace) != nil {
		return nil
	}
	for i := range rendered.Releases {
		if release := &rendered.Releases[i]; releaseName(release, namespace) == of {
			return release
		}
	}
	return nil
}

// sameIn says whether two commits make the same of a live workload.
func sameIn(a, b *manifest.Rendered, w *workload.Workload, namespace string) bool {
	if was, is := renderedAs(a.Workloads, w, namespace), renderedAs(b.Workloads, w, namespace); was != nil && is != nil {
		return was.Digest() == is.Digest()
	}
	was, is := installedBy(a, w, namespace), installedBy(b, w, namespace)
	return was != nil && is != nil && was.Digest == is.Digest
}

// explains says whether a live workload carries what a commit makes of it: the template
// that the commit renders, or of an installed one that with which it was delivered
// before, as after a rollback of its release.
func (s *scope) explains(sha string, rendered *manifest.Rendered, w *workload.Workload) bool {
	if renders(rendered.Workloads, w, s.lc.Namespace) {
		return true
	}
	return s.isInstalled(w) && slices.ContainsFunc(s.deliveries, func(kav lifecyclev1.KeptnAppVersion) bool {
		if kav.Spec.Commit == nil || kav.Spec.Commit.SHA != sha {
			return false
		}
		ref := refOf(kav.Spec.Workloads, kav.Namespace, w)
		return ref != nil && ref.TemplateHash == w.TemplateHash
	})
}

// addInstalled lists workloads that releases have installed in a delivery, as far as it
// does not list them yet.
func addInstalled(kav *lifecyclev1.KeptnAppVersion, installed []*workload.Workload) {
	for _, w := range installed {
		if refOf(kav.Spec.Workloads, kav.Namespace, w) != nil {
			continue
		}
		ref := lifecyclev1.KeptnWorkloadRef{Kind: w.Kind, Name: w.Name, Version: kav.Spec.Version}
		if w.Namespace != kav.Namespace {
			ref.Namespace = w.Namespace
		}
		kav.Spec.Workloads = append(kav.Spec.Workloads, ref)
	}
}

// deliveredBy are the installed workloads that a delivery which begins is about: those
// that are tied to its commit, and the others of the releases that the commit renders to.
func (s *scope) deliveredBy(rendered *manifest.Rendered, tied []*workload.Workload) []*workload.Workload {
	return slices.DeleteFunc(s.installedAmong(s.live), func(w *workload.Workload) bool {
		return !slices.Contains(tied, w) && installedBy(rendered, w, s.lc.Namespace) == nil
	})
}

// carrying are those of the installed workloads that a delivery is about, of which it is
// known that they carry what its commit makes of them. Where who applied the commit tells
// that, it is yet to tell it of those that are not tied; else they are as they are.
func (s *scope) carrying(found *match, about, tied []*workload.Workload) []*workload.Workload {
	switch found.evidence {
	case lifecyclev1.EvidenceContent, lifecyclev1.EvidenceAnnotation:
		return about
	default:
		return s.installedAmong(tied)
	}
}

// late says whether a workload that a release has installed came when the delivery of its
// commit had ended without it.
func (s *scope) late(kav *lifecyclev1.KeptnAppVersion, tied []*workload.Workload) bool {
	return kav.Status.Status.Completed() && slices.ContainsFunc(s.installedAmong(tied), func(w *workload.Workload) bool {
		return refOf(kav.Spec.Workloads, kav.Namespace, w) == nil
	})
}

// removeGone takes those out of a delivery whose rollout has begun that a release had
// installed and has removed since.
func (s *scope) removeGone(kav *lifecyclev1.KeptnAppVersion, rendered *manifest.Rendered) {
	if kav.Spec.RolloutStartedAt == nil {
		return
	}
	kav.Spec.Workloads = slices.DeleteFunc(kav.Spec.Workloads, func(ref lifecyclev1.KeptnWorkloadRef) bool {
		is := &workload.Workload{Kind: ref.Kind, Namespace: cmp.Or(ref.Namespace, kav.Namespace), Name: ref.Name}
		return ref.TemplateHash == "" && renderedAs(rendered.Workloads, is, s.lc.Namespace) == nil &&
			statusOf(s.lc.Status.Workloads, is) == nil
	})
}

// settled are the installed workloads of a delivery that its commit leaves as they are, as
// who applied it says by now.
func (r *Reconciler) settled(ctx context.Context, s *scope, kav *lifecyclev1.KeptnAppVersion, rendered *manifest.Rendered) ([]*workload.Workload, error) {
	if by := kav.Spec.Commit.Evidence; by != "" && by != lifecyclev1.EvidenceApplier {
		return nil, nil
	}
	var waiting []*workload.Workload
	for _, w := range s.installedAmong(s.live) {
		ref := refOf(kav.Spec.Workloads, kav.Namespace, w)
		if ref == nil || ref.TemplateHash != "" || statusOf(s.lc.Status.Workloads, w).Commit == "" {
			continue
		}
		restated, err := r.restated(ctx, s, rendered, w)
		if err != nil {
			return nil, err
		}
		if restated || kav.Spec.RolloutStartedAt != nil {
			waiting = append(waiting, w)
		}
	}
	return r.saidToBeOf(ctx, s, kav.Spec.Commit.SHA, waiting)
}

// restated says whether a commit changes the HelmRelease of a workload itself, since the
// commit that the workload is tied to. Only then the cluster tells whether it was released
// again: of values beside it, or of a chart, helm-controller takes notice in its own time.
func (r *Reconciler) restated(ctx context.Context, s *scope, rendered *manifest.Rendered, w *workload.Workload) (bool, error) {
	before, err := r.renderedAt(ctx, s, statusOf(s.lc.Status.Workloads, w).Commit)
	if err != nil || before == nil {
		return false, ignoreRewritten(err)
	}
	was, is := installedBy(before, w, s.lc.Namespace), installedBy(rendered, w, s.lc.Namespace)
	return was != nil && is != nil && was.Object != is.Object, nil
}

// saidToBeOf are those of the workloads of which who applied them says that they are of a
// commit.
func (r *Reconciler) saidToBeOf(ctx context.Context, s *scope, sha string, workloads []*workload.Workload) ([]*workload.Workload, error) {
	if len(workloads) == 0 {
		return nil, nil
	}
	said, err := r.hear(ctx, s, workloads)
	if err != nil {
		return nil, err
	}
	var of []*workload.Workload
	for i := range said.of {
		if said.of[i].evidence != lifecyclev1.EvidenceApplier {
			continue
		}
		commit, err := r.delivered(ctx, s, &said.of[i])
		if err != nil {
			return nil, err
		}
		if commit != nil && commit.SHA == sha {
			of = append(of, said.of[i].workload)
		}
	}
	return of, nil
}

// releasedAgain says whether the newest commit changes the HelmReleases of live workloads,
// and these were released again since, and are as they were, as when it changes replicas.
func (r *Reconciler) releasedAgain(ctx context.Context, s *scope, workloads []*workload.Workload) (bool, error) {
	for _, w := range workloads {
		if !s.isInstalled(w) {
			return false, nil
		}
		restated, err := r.restated(ctx, s, s.app.Rendered, w)
		if !restated || err != nil {
			return false, err
		}
	}
	if len(workloads) == 0 {
		return true, nil
	}
	newest, err := r.narrowed(ctx, s, s.head)
	if newest == nil || err != nil {
		return false, err
	}
	said, err := r.saidToBeOf(ctx, s, newest.SHA, workloads)
	return len(said) == len(workloads), err
}

// waits says whether a Lifecycle with releases has a commit whose rollout may turn out to
// leave all as it is.
func waits(lc *gitopsv1alpha1.Lifecycle) bool {
	i := slices.IndexFunc(lc.Status.Commits, func(c gitopsv1alpha1.AppCommit) bool { return c.ChangesWorkloads })
	return len(lc.Status.Releases) > 0 && lc.Status.Delivery != nil && i >= 0 && lc.Status.Commits[i].SHA != lc.Status.Delivery.Commit
}

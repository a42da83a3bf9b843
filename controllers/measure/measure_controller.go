// Package measure keeps the record of an app's deployments, and what they come to: the
// five DORA metrics. It reads deliveries that have ended, incidents, and Git, and writes
// the deployments and the metrics into the status of the app's Lifecycle. Where a record
// is kept as Git notes it begins with what these have, so that history outlives the
// cluster.
//
// It decides nothing about a delivery, and delays none.
package measure

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/delivery"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/shard"
	"github.com/keptn/gitops/controllers/trust"
	"github.com/keptn/gitops/dora"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/history"
)

// Reconciler measures the deliveries of one app, which is a Lifecycle.
type Reconciler struct {
	client.Client

	Clock        clock.PassiveClock
	Repositories *repository.Repositories
	// Cluster names this cluster in the record.
	Cluster string
	// Shard is whose Lifecycles are measured here.
	Shard shard.Shard
}

// SetupWithManager registers the reconciler and what wakes it: its own object, with what
// others note of incidents and of new revisions, and deliveries that ended.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("dora").
		For(&gitopsv1alpha1.Lifecycle{}, builder.WithPredicates(measured())).
		Watches(&lifecyclev1.KeptnAppVersion{}, handler.EnqueueRequestsFromMapFunc(lifecycleOf), builder.WithPredicates(ended())).
		WithOptions(opts).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// measured lets through Lifecycles that are measured otherwise than before, or that had
// another incident.
func measured() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, shard.Moved(), predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*gitopsv1alpha1.Lifecycle)
			after, ok2 := e.ObjectNew.(*gitopsv1alpha1.Lifecycle)
			return ok && ok2 && (before.Status.ObservedRevision == "" && after.Status.ObservedRevision != "" ||
				!slices.EqualFunc(before.Status.Incidents, after.Status.Incidents, sameIncident))
		},
	})
}

func sameIncident(a, b gitopsv1alpha1.Incident) bool {
	return a.ID == b.ID && a.Commit == b.Commit && a.StartedAt.Equal(&b.StartedAt) && a.ResolvedAt.Equal(b.ResolvedAt)
}

// ended lets through deliveries that have ended.
func ended() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(obj client.Object) bool {
		kav, ok := obj.(*lifecyclev1.KeptnAppVersion)
		return ok && kav.Status.Status.Completed()
	})
}

func lifecycleOf(_ context.Context, obj client.Object) []reconcile.Request {
	kav, ok := obj.(*lifecyclev1.KeptnAppVersion)
	if !ok || kav.Spec.Lifecycle == nil {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{
		Namespace: kav.Spec.Lifecycle.Namespace, Name: kav.Spec.Lifecycle.Name,
	}}}
}

// reopen is when a repository is looked at again that could not be read.
const reopen = time.Minute

// Reconcile brings the record of deployments up to date, and the metrics with it.
func (r *Reconciler) Reconcile(ctx context.Context, lc *gitopsv1alpha1.Lifecycle) (reconcile.Result, error) {
	if !lc.DeletionTimestamp.IsZero() || lc.Status.ObservedRevision == "" || !r.Shard.Owns(lc) {
		return reconcile.Result{}, nil
	}
	s, err := r.open(ctx, lc)
	if err != nil {
		return reconcile.Result{}, err
	}
	if s == nil {
		return reconcile.Result{RequeueAfter: reopen}, nil
	}
	before := lc.DeepCopy()
	if err := r.collect(ctx, s); err != nil {
		return reconcile.Result{}, err
	}
	services, err := s.evaluate(ctx)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("measure deployments of %s: %w", lc.Spec.App, err)
	}
	built, err := r.evaluateCode(ctx, s)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("measure the code of %s: %w", lc.Spec.App, err)
	}
	lc.Status.Deployments = recorded(s.deployments, services, s.code)
	lc.Status.DORA = summary(services, &built, s.now)
	_, err = apply.Status(ctx, r.Client, before, lc)
	return apply.Result(nextChange(s.deployments, s.now), err)
}

// scope is what one reconcile works on.
type scope struct {
	lc     *gitopsv1alpha1.Lifecycle
	source *gitopsv1alpha1.GitSource
	origin repository.Origin
	app    *repository.App
	now    time.Time
	// deployments are those of the longest window, the one that finished last first.
	deployments []dora.Deployment
	// code is what they brought of other repositories.
	code code
}

// open opens the repository of the app; nil where it cannot be read now, of which the
// source tells.
func (r *Reconciler) open(ctx context.Context, lc *gitopsv1alpha1.Lifecycle) (*scope, error) {
	s := &scope{lc: lc, source: &gitopsv1alpha1.GitSource{}, now: r.Clock.Now(), code: code{}}
	name := types.NamespacedName{Namespace: lc.Namespace, Name: lc.Labels[gitopsv1alpha1.SourceLabel]}
	if err := r.Get(ctx, name, s.source); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	revision, err := gitsource.ParseRevision(s.source.Status.ObservedRevision)
	if err != nil {
		return nil, nil //nolint:nilnil,nilerr // the source has not been read yet
	}
	if s.origin, err = r.Repositories.Origin(ctx, s.source); err == nil {
		if s.origin.PublicURL() != s.source.Status.URL {
			return nil, nil //nolint:nilnil // the revision is of another repository
		}
		s.app, err = r.Repositories.App(ctx, r.Repositories.Open, s.origin, lc, revision.Commit)
	}
	if repository.Problem(err) != "" {
		return nil, nil //nolint:nilnil // the source tells of it
	}
	return s, err
}

// collect gathers the deployments that are known: those of the record, of the cluster,
// and at the first look those that Git notes keep.
func (r *Reconciler) collect(ctx context.Context, s *scope) error {
	known := s.known()
	if s.lc.Status.DORA == nil && s.origin.KeepsNotes() {
		noted, err := s.noted(ctx)
		if err != nil {
			return err
		}
		known = append(known, noted...)
	}
	var list lifecyclev1.KeptnAppVersionList
	if err := r.List(ctx, &list, client.MatchingFields{delivery.ByLifecycle: s.lc.Namespace + "/" + s.lc.Name}); err != nil {
		return fmt.Errorf("list deliveries of %s: %w", s.lc.Spec.App, err)
	}
	for i := range list.Items {
		kav := &list.Items[i]
		mine, err := trust.Belongs(ctx, r, kav, s.lc, s.source)
		if err != nil {
			return err
		}
		if d, deployed := Deployment(kav, r.Cluster); deployed && mine {
			d.App, d.Environment = s.lc.Spec.App, s.origin.Environment // one Lifecycle is one service, also renamed
			known = append(known, d)
			s.code.add(&d, kav.Status.Provenance)
		}
	}
	s.deployments = newest(known, s.now)
	return nil
}

// noted are the deployments of the app that Git notes keep.
func (s *scope) noted(ctx context.Context) ([]dora.Deployment, error) {
	all, err := history.Repository{Repository: s.app.Repository}.Deployments(ctx, forge.NotesRef)
	if err != nil {
		return nil, fmt.Errorf("read the record of deployments: %w", err)
	}
	return slices.DeleteFunc(all, func(d dora.Deployment) bool {
		return d.App != s.lc.Spec.App || d.Environment != s.origin.Environment || !sound(&d, s.now)
	}), nil
}

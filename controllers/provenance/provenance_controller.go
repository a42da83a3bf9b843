// Package provenance finds the commits of other repositories that a delivery brings:
// those that its images were built from, and those that its own commits refer to. Each is
// of a repository that a GitSource beside that of the delivery reads; others are not
// looked for. It writes what it found into the record of the delivery, and reports
// nothing itself. It delays no delivery: a registry that is down is waited for beside it.
package provenance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/evidence"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/shard"
	"github.com/keptn/gitops/controllers/trust"
	"github.com/keptn/gitops/gitname"
)

// How long is waited for registries, and for commits that are not known yet, and how
// often both are looked for meanwhile.
const (
	patience = 10 * time.Minute
	pause    = time.Minute
)

// Limits of what a record holds.
const (
	maxCommits = 20
	maxMessage = 1024
)

// Reconciler finds the provenance of deliveries.
type Reconciler struct {
	client.Client

	Clock        clock.PassiveClock
	Images       *evidence.Images
	Repositories *repository.Repositories
	// Fetch asks for a look at the remote of a GitSource, for a commit that is not
	// known yet.
	Fetch func(ctx context.Context, source types.NamespacedName)
	// Shard is the deliveries of whose Lifecycles are looked at here.
	Shard shard.Shard
}

// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=get

// SetupWithManager registers the reconciler and what wakes it: deliveries whose rollout
// has begun, and of which it is not known yet where they come from.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("provenance").
		For(&lifecyclev1.KeptnAppVersion{}, builder.WithPredicates(predicate.NewPredicateFuncs(func(obj client.Object) bool {
			kav, ok := obj.(*lifecyclev1.KeptnAppVersion)
			return ok && open(kav)
		}))).
		WithOptions(opts).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// open says whether the provenance of a delivery is still to be found: all that it
// delivers runs, or will not any more.
func open(kav *lifecyclev1.KeptnAppVersion) bool {
	s := &kav.Spec
	if s.Commit == nil || s.Lifecycle == nil || s.RolloutStartedAt == nil || kav.Status.Provenance != nil {
		return false
	}
	return kav.Status.Status.Completed() || !slices.ContainsFunc(s.Workloads, func(ref lifecyclev1.KeptnWorkloadRef) bool {
		return ref.TemplateHash == ""
	})
}

// owns says whether a delivery is looked at here: in this shard, and only if it is no
// stranger's, who asks no registry and learns of no commit.
func (r *Reconciler) owns(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) (bool, error) {
	lc := &gitopsv1alpha1.Lifecycle{}
	err := r.Get(ctx, types.NamespacedName{Namespace: kav.Spec.Lifecycle.Namespace, Name: kav.Spec.Lifecycle.Name}, lc)
	if err != nil || !r.Shard.Owns(lc) {
		return false, client.IgnoreNotFound(err)
	}
	of, err := trust.StandingOf(ctx, r, kav)
	return of == trust.Member, err
}

// Reconcile finds where a delivery comes from, and notes it.
func (r *Reconciler) Reconcile(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) (reconcile.Result, error) {
	if !open(kav) || !kav.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, nil
	}
	if mine, err := r.owns(ctx, kav); err != nil || !mine {
		return reconcile.Result{}, err
	}
	beside, err := r.sourcesBeside(ctx, kav)
	if err != nil || len(beside) == 0 {
		return reconcile.Result{}, err
	}
	said, err := r.hear(ctx, kav)
	if err != nil {
		return reconcile.Result{}, err
	}
	found, err := r.find(ctx, said, beside)
	if err != nil {
		return reconcile.Result{}, err
	}
	if len(found.missing) > 0 && r.Clock.Now().Before(kav.Spec.RolloutStartedAt.Add(patience)) {
		for _, name := range found.behind {
			r.Fetch(ctx, name)
		}
		return reconcile.Result{RequeueAfter: pause}, nil
	}
	before := kav.DeepCopy()
	kav.Status.Provenance = found.provenance()
	_, err = apply.Status(ctx, r.Client, before, kav)
	return apply.Result(0, err)
}

// sourcesBeside are the GitSources beside that of a delivery that read another
// repository, by name.
func (r *Reconciler) sourcesBeside(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) ([]gitopsv1alpha1.GitSource, error) {
	var list gitopsv1alpha1.GitSourceList
	if err := r.List(ctx, &list, client.InNamespace(kav.Spec.Lifecycle.Namespace)); err != nil {
		return nil, fmt.Errorf("list GitSources: %w", err)
	}
	beside := slices.DeleteFunc(list.Items, func(s gitopsv1alpha1.GitSource) bool {
		return s.Status.URL == "" || gitname.SameRepository(s.Status.URL, kav.Spec.Commit.Repository)
	})
	slices.SortFunc(beside, func(a, b gitopsv1alpha1.GitSource) int { return strings.Compare(a.Name, b.Name) })
	return beside, nil
}

// found is what was found so far.
type found struct {
	commits []lifecyclev1.SourceCommit
	// missing are what is not known, and may still turn up; behind are the sources that
	// may have to be fetched for it.
	missing []string
	behind  []types.NamespacedName
	// silent are what will never be known.
	silent []string
}

func (f *found) provenance() *lifecyclev1.Provenance {
	message := strings.Join(append(f.missing, f.silent...), "; ")
	return &lifecyclev1.Provenance{
		Commits: f.commits[:min(len(f.commits), maxCommits)],
		Message: strings.ToValidUTF8(message[:min(len(message), maxMessage)], ""),
	}
}

// Package gitops reads repositories: it looks at the remote of every GitSource,
// says on each new commit whether what it holds is valid, and keeps copies of
// its Lifecycles and SLOPolicies in the cluster. Nothing else of what a
// repository holds is ever applied.
package gitops

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/check"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/optional"
	"github.com/keptn/gitops/controllers/remote"
	"github.com/keptn/gitops/controllers/report"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/shard"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/manifest"
)

// fieldOwner is who applies the copies of what was read from Git.
const fieldOwner = "keptn-gitops"

// Reconciler reads the repository of a GitSource.
type Reconciler struct {
	client.Client

	Clock        clock.PassiveClock
	Events       events.EventRecorder
	Repositories *repository.Repositories
	Reporter     *report.Reporter
	// Kinds has the kinds watched that sources borrow from.
	Kinds *optional.Kinds
	// Shard is which sources are read here.
	Shard shard.Shard

	news  chan event.GenericEvent
	turns remote.Turns

	mu    sync.Mutex
	looks map[types.NamespacedName]look
	// wanted are sources of which Fetch wants a look.
	wanted  map[types.NamespacedName]bool
	settled map[types.NamespacedName]settled
}

// scope is what one reconcile of a GitSource works on; each step fills in what
// it is named for.
type scope struct {
	source *gitopsv1alpha1.GitSource
	origin repository.Origin
	repo   *gitsource.Repository
	// revision is the newest one of the remote.
	revision gitsource.Revision
	// found is what it holds.
	found *manifest.Found
	// taken says which of what was found has no copy, since somebody else has its name.
	taken string
	// done gives back the turn at the server, if one was taken; silent says that it did not
	// answer in time.
	done   func(answered bool)
	silent bool
	// recheck is when to look again.
	recheck time.Duration
	// scheduled says of an error that it is tried again after recheck, and not
	// at once.
	scheduled bool
}

// +kubebuilder:rbac:groups=gitops.keptn.sh,resources=gitsources,verbs=get;list;watch
// +kubebuilder:rbac:groups=gitops.keptn.sh,resources=gitsources/status,verbs=patch
// +kubebuilder:rbac:groups=gitops.keptn.sh,resources=slopolicies,verbs=get;list;watch;create;patch;delete

// SetupWithManager registers the reconciler and what wakes it: its own object, the
// object that it borrows from, a copy that somebody changed or deleted, or whose name is
// free again, a source with the same contexts, a rollout that no known commit explains, and
// news from the forge.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	r.news = make(chan event.GenericEvent)
	r.looks = map[types.NamespacedName]look{}
	r.wanted = map[types.NamespacedName]bool{}
	r.settled = map[types.NamespacedName]settled{}
	opts.MaxConcurrentReconciles = r.turns.Among(opts.MaxConcurrentReconciles)
	c, err := ctrl.NewControllerManagedBy(mgr).
		Named("gitsource").
		For(&gitopsv1alpha1.GitSource{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, remote.Requested(), shard.Moved()))).
		Owns(&gitopsv1alpha1.Lifecycle{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&gitopsv1alpha1.SLOPolicy{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&gitopsv1alpha1.Lifecycle{}, r.wakeNamed(), builder.WithPredicates(released())).
		Watches(&gitopsv1alpha1.SLOPolicy{}, r.wakeNamed(), builder.WithPredicates(released())).
		Watches(&gitopsv1alpha1.GitSource{}, handler.EnqueueRequestsFromMapFunc(report.WakeSame(r)), builder.WithPredicates(report.WritesOtherwise())).
		WatchesRawSource(source.Channel(r.news, &handler.EnqueueRequestForObject{})).
		WithOptions(opts).
		Build(r)
	if err != nil {
		return err
	}
	return errors.Join(
		r.Kinds.Watch(c, &sourcev1.GitRepository{}, r.wakeBorrowers(gitopsv1alpha1.GitRepositoryKind), lendsOtherwise()),
		r.Kinds.Watch(c, repository.NewApplication(), r.wakeBorrowers(gitopsv1alpha1.ApplicationKind), lendsOtherwise()),
	)
}

// Fetch has the remote of a source looked at now. It returns before that, once
// the controller is told, or when ctx is done.
func (r *Reconciler) Fetch(ctx context.Context, name types.NamespacedName) {
	r.mu.Lock()
	r.wanted[name] = true
	r.mu.Unlock()
	source := &gitopsv1alpha1.GitSource{}
	source.Namespace, source.Name = name.Namespace, name.Name
	select {
	case r.news <- event.GenericEvent{Object: source}:
	case <-ctx.Done():
	}
}

// steps are what is done with a GitSource, first to last. Each works on what the
// ones above it found.
func steps() []func(*Reconciler, context.Context, *scope) error {
	return []func(*Reconciler, context.Context, *scope) error{
		(*Reconciler).resolve,
		(*Reconciler).open,
		(*Reconciler).fetch,
		(*Reconciler).verify,
		(*Reconciler).read,
		(*Reconciler).reportStatus,
		(*Reconciler).applyCopies,
	}
}

// Reconcile looks at the remote if it is time to, and brings the copies and what
// the newest commit shows up to date.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	source := &gitopsv1alpha1.GitSource{}
	source.Namespace, source.Name = req.Namespace, req.Name
	err := r.Get(ctx, req.NamespacedName, source)
	if apierrors.IsNotFound(err) || err == nil && !r.Shard.Owns(source) {
		r.forget(source)
		return reconcile.Result{}, nil
	}
	if err != nil || !source.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, err
	}
	before := source.DeepCopy()
	recheck, err := r.watch(ctx, source)
	var busy *remote.BusyError
	switch {
	case errors.As(err, &busy):
		return reconcile.Result{RequeueAfter: busy.Wait}, nil
	case apply.Terminating(err):
		return reconcile.Result{}, nil // the source goes with its namespace
	}
	written, patchErr := apply.Status(ctx, r.Client, before, source)
	if patchErr != nil {
		return apply.Result(0, patchErr)
	}
	if written {
		r.announce(before, source)
	}
	return apply.Result(recheck, err)
}

// watch brings the status up to date, in memory. An error is one that trying
// again soon can mend; what only the author, or time, can mend is in the status.
func (r *Reconciler) watch(ctx context.Context, source *gitopsv1alpha1.GitSource) (time.Duration, error) {
	s := &scope{source: source, recheck: remote.Interval(source), done: func(bool) {}}
	defer func() { s.done(!s.silent) }()
	source.Status.ObservedGeneration = source.Generation
	for _, step := range steps() {
		err := step(r, ctx, s)
		if err == nil {
			continue
		}
		var busy *remote.BusyError
		if errors.As(err, &busy) {
			return 0, err
		}
		condition.Summarize(source, explained(err))
		if s.scheduled {
			return s.recheck, nil
		}
		return 0, err
	}
	condition.Summarize(source, s.outcome())
	return s.recheck, nil
}

// resolve finds out which repository it is. What was observed of another one does not
// stand any more.
func (r *Reconciler) resolve(ctx context.Context, s *scope) error {
	origin, err := r.Repositories.Origin(ctx, s.source)
	if err != nil {
		s.scheduled = repository.Problem(err) != ""
		return err
	}
	s.origin = origin
	status, url := &s.source.Status, origin.PublicURL()
	if status.URL != "" && status.URL != url {
		status.ObservedRevision, status.ObservedTag = "", ""
	}
	status.URL = url
	return nil
}

// open opens the repository with the credentials of its Secret.
func (r *Reconciler) open(ctx context.Context, s *scope) error {
	opened, err := r.Repositories.Open(ctx, s.origin)
	s.repo = opened
	s.scheduled = repository.Problem(err) != ""
	return err
}

// read finds out what the revision holds.
func (r *Reconciler) read(ctx context.Context, s *scope) error {
	found, err := r.Repositories.Head(ctx, s.repo, s.revision.Commit, s.origin)
	if err != nil {
		return r.failed(s, err)
	}
	s.found = found
	s.source.Status.Problems = firstProblems(found.Problems)
	return nil
}

// outcome says how the source stands.
func (s *scope) outcome() condition.Outcome {
	switch {
	case s.source.Spec.Suspend:
		return condition.Ready(meta.SuspendedReason, "suspended at %s", s.revision)
	case s.taken != "":
		return condition.Failed(gitopsv1alpha1.NameTakenReason, "%s", s.taken)
	case s.found.Problems.HasErrors():
		return condition.Failed(gitopsv1alpha1.InvalidManifestReason, "%s", check.Validity(s.found).Description)
	default:
		return condition.Ready(meta.SucceededReason, "read %s at %s", apps(len(s.found.Apps)), s.revision)
	}
}

// explained says how a source stands that could not be read.
func explained(err error) condition.Outcome {
	if reason := repository.Problem(err); reason != "" {
		return condition.Failed(reason, "%v", err)
	}
	for _, known := range []struct {
		err    error
		reason string
	}{
		{gitsource.ErrForbidden, gitopsv1alpha1.FetchFailedReason},
		{gitsource.ErrUnauthorized, gitopsv1alpha1.AuthenticationFailedReason},
		{gitsource.ErrNotFound, gitopsv1alpha1.FetchFailedReason},
		{gitsource.ErrRefNotFound, gitopsv1alpha1.FetchFailedReason},
		{gitsource.ErrCommitNotFound, gitopsv1alpha1.FetchFailedReason},
		{gitsource.ErrEmptyRepository, gitopsv1alpha1.FetchFailedReason},
		{gitsource.ErrTooLarge, gitopsv1alpha1.FetchFailedReason},
		{gitsource.ErrObjectFormat, gitopsv1alpha1.FetchFailedReason},
	} {
		if errors.Is(err, known.err) {
			return condition.Failed(known.reason, "%v", err)
		}
	}
	if errors.Is(err, errUnread) {
		return condition.Ready(meta.SuspendedReason, "%v", err)
	}
	return condition.Waiting(gitopsv1alpha1.FetchFailedReason, "%v; trying again", err)
}

// forget drops what is kept in memory for a source that is gone, or another's.
func (r *Reconciler) forget(source *gitopsv1alpha1.GitSource) {
	r.Reporter.Forget(source)
	r.Repositories.Forget(client.ObjectKeyFromObject(source))
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.looks, client.ObjectKeyFromObject(source))
	delete(r.wanted, client.ObjectKeyFromObject(source))
	delete(r.settled, client.ObjectKeyFromObject(source))
}

// announce emits an event for a new revision, and for every condition whose
// status or reason changed.
func (r *Reconciler) announce(before, after *gitopsv1alpha1.GitSource) {
	if before.Status.ObservedRevision != after.Status.ObservedRevision {
		r.Events.Eventf(after, nil, "Normal", "NewRevision", "Fetch", "%s", after.Status.ObservedRevision)
	}
	for _, change := range condition.Changes(before.Status.Conditions, after.Status.Conditions) {
		r.Events.Eventf(after, nil, change.EventType(), change.Reason, change.Type, "%s", condition.Note(change.Message))
	}
}

func apps(n int) string {
	if n == 1 {
		return "1 app"
	}
	return fmt.Sprintf("%d apps", n)
}

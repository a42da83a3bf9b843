// Package gitops reads repositories: it looks at the remote of every GitSource,
// says on each new commit whether what it holds is valid, and keeps copies of
// its Lifecycles and SLOPolicies in the cluster. Nothing else of what a
// repository holds is ever applied.
package gitops

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/report"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/manifest"
)

const (
	// defaultInterval and defaultTimeout apply where a source does not say them.
	defaultInterval = time.Minute
	defaultTimeout  = time.Minute
	// fieldOwner is who applies the copies of what was read from Git.
	fieldOwner = "keptn-gitops"
)

// Reconciler reads the repository of a GitSource.
type Reconciler struct {
	client.Client

	Clock        clock.PassiveClock
	Events       events.EventRecorder
	Repositories *repository.Repositories
	Reporter     *report.Reporter

	news chan event.GenericEvent

	mu    sync.Mutex
	looks map[types.NamespacedName]look
	// wanted are sources of which Fetch wants a look.
	wanted map[types.NamespacedName]bool
}

// scope is what one reconcile of a GitSource works on; each step fills in what
// it is named for.
type scope struct {
	source *gitopsv1alpha1.GitSource
	repo   *gitsource.Repository
	// revision is the newest one of the remote.
	revision gitsource.Revision
	// found is what it holds.
	found *manifest.Found
	// recheck is when to look again.
	recheck time.Duration
	// scheduled says of an error that it is tried again after recheck, and not
	// at once.
	scheduled bool
}

// +kubebuilder:rbac:groups=gitops.keptn.sh,resources=gitsources,verbs=get;list;watch
// +kubebuilder:rbac:groups=gitops.keptn.sh,resources=gitsources/status,verbs=patch
// +kubebuilder:rbac:groups=gitops.keptn.sh,resources=slopolicies,verbs=get;list;watch;create;patch;delete

// SetupWithManager registers the reconciler and what wakes it: its own object, a
// copy that somebody changed or deleted, a rollout that no known commit
// explains, and news from the forge.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	r.news = make(chan event.GenericEvent)
	r.looks = map[types.NamespacedName]look{}
	r.wanted = map[types.NamespacedName]bool{}
	return ctrl.NewControllerManagedBy(mgr).
		Named("gitsource").
		For(&gitopsv1alpha1.GitSource{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, requested()))).
		Owns(&gitopsv1alpha1.Lifecycle{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&gitopsv1alpha1.SLOPolicy{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Channel(r.news, &handler.EnqueueRequestForObject{})).
		WithOptions(opts).
		Complete(r)
}

// requested lets through sources of which a look at the remote is asked.
func requested() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, _ := meta.ReconcileAnnotationValue(e.ObjectOld.GetAnnotations())
		after, ok := meta.ReconcileAnnotationValue(e.ObjectNew.GetAnnotations())
		return ok && before != after
	}}
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
		(*Reconciler).open,
		(*Reconciler).fetch,
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
	if apierrors.IsNotFound(err) {
		r.forget(source)
		return reconcile.Result{}, nil
	}
	if err != nil || !source.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, err
	}
	before := source.DeepCopy()
	recheck, err := r.watch(ctx, source)
	if apply.Terminating(err) {
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
	s := &scope{source: source, recheck: intervalOf(source)}
	source.Status.ObservedGeneration = source.Generation
	for _, step := range steps() {
		err := step(r, ctx, s)
		if err == nil {
			continue
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

// open opens the repository with the credentials of its Secret.
func (r *Reconciler) open(ctx context.Context, s *scope) error {
	opened, err := r.Repositories.Open(ctx, s.source)
	s.repo = opened
	s.scheduled = err != nil && explained(err).Status == metav1.ConditionFalse
	return err
}

// read finds out what the revision holds.
func (r *Reconciler) read(ctx context.Context, s *scope) error {
	found, err := r.Repositories.Head(ctx, s.repo, s.revision.Commit, s.source)
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
	case s.found.Problems.HasErrors():
		return condition.Failed(gitopsv1alpha1.InvalidManifestReason, "%s", validity(s.found).Description)
	default:
		return condition.Ready(meta.SucceededReason, "read %s at %s", apps(len(s.found.Apps)), s.revision)
	}
}

// explained says how a source stands that could not be read.
func explained(err error) condition.Outcome {
	for _, known := range []struct {
		err    error
		reason string
	}{
		{repository.ErrSecret, gitopsv1alpha1.AuthenticationFailedReason},
		{repository.ErrAddress, meta.InvalidURLReason},
		{gitsource.ErrUnauthorized, gitopsv1alpha1.AuthenticationFailedReason},
		{gitsource.ErrNotFound, gitopsv1alpha1.FetchFailedReason},
		{gitsource.ErrRefNotFound, gitopsv1alpha1.FetchFailedReason},
		{gitsource.ErrCommitNotFound, gitopsv1alpha1.FetchFailedReason},
		{gitsource.ErrEmptyRepository, gitopsv1alpha1.FetchFailedReason},
		{gitsource.ErrTooLarge, gitopsv1alpha1.FetchFailedReason},
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

// forget drops what is kept in memory for a source that is gone.
func (r *Reconciler) forget(source *gitopsv1alpha1.GitSource) {
	r.Reporter.Forget(source)
	r.Repositories.Forget(client.ObjectKeyFromObject(source))
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.looks, client.ObjectKeyFromObject(source))
	delete(r.wanted, client.ObjectKeyFromObject(source))
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

func intervalOf(source *gitopsv1alpha1.GitSource) time.Duration {
	if d := source.Spec.Interval.Duration; d > 0 {
		return d
	}
	return defaultInterval
}

func timeoutOf(source *gitopsv1alpha1.GitSource) time.Duration {
	if t := source.Spec.Timeout; t != nil && t.Duration > 0 {
		return t.Duration
	}
	return defaultTimeout
}

func refOf(ref *gitopsv1alpha1.GitRef) gitsource.Ref {
	if ref == nil {
		return gitsource.Ref{}
	}
	return gitsource.Ref{Branch: ref.Branch, Tag: ref.Tag, SemVer: ref.SemVer, Name: ref.Name, Commit: ref.Commit}
}

func apps(n int) string {
	if n == 1 {
		return "1 app"
	}
	return fmt.Sprintf("%d apps", n)
}

// oneLine makes a description of a message that may have several lines.
func oneLine(message string) string { return strings.Join(strings.Fields(message), " ") }

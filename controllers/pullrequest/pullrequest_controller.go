// Package pullrequest looks at pull requests into the branch that a GitSource watches: it
// says on the newest commit of each whether what it holds is valid, and where that is
// asked for what its policies would say now, and keeps one comment with all of it. A pull
// request from a fork is never evaluated. Nothing of a pull request is ever applied, none
// of its tasks is run, no delivery begins, and what its author wrote is shown as text.
package pullrequest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	"sigs.k8s.io/controller-runtime/pkg/source"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/remote"
	"github.com/keptn/gitops/controllers/report"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/shard"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/policy"
)

// tellingReason is the reason of a condition that not all were told yet.
const tellingReason = "Telling"

const (
	// atOnce is how many heads are read in one reconcile.
	atOnce = 4
	// reading is how long one may take to be read.
	reading = time.Minute
	// retry is the pause after a forge that fails, and refusedRetry after one that refuses,
	// or that there is no way to.
	retry        = 10 * time.Second
	refusedRetry = time.Minute
)

// Reconciler looks at the pull requests of a GitSource.
type Reconciler struct {
	client.Client

	Clock        clock.PassiveClock
	Repositories *repository.Repositories
	Reporter     *report.Reporter
	// Evaluate measures once what the policy of an evaluation reads, judges it, and
	// records nothing.
	Evaluate func(ctx context.Context, e *lifecyclev1.KeptnEvaluation, now time.Time) (policy.Verdict, error)
	// Shard is which sources are looked at here.
	Shard shard.Shard

	news  chan event.GenericEvent
	turns remote.Turns

	mu    sync.Mutex
	known map[types.NamespacedName]*memory
}

// memory is what is known of a source's pull requests and is not in its status. What is
// lost of it with the process is found out again: forges are told nothing twice.
type memory struct {
	// next is when the forge is asked again, asked for what it was asked, of which of is
	// where, and what is to be found out there.
	next      time.Time
	asked, of string
	heads     []forge.Head
	err       error
	// refused is why the forge is left alone until quiet.
	refused error
	quiet   time.Time
	// judged are heads that were not told all yet, and unread why others could not be
	// read since the forge was asked, by their numbers.
	judged map[int64]*judgement
	unread map[int64]error
	// reported is what commits of judged were told.
	reported []gitopsv1alpha1.ReportedStatus
	// told is what the status says, or is to say where it could not be written yet.
	told []gitopsv1alpha1.ToldPullRequest
}

// owned makes statuses of pull requests belong to another object than those that are said
// of the watched branch.
type owned struct{ *gitopsv1alpha1.GitSource }

// scope is what one reconcile works on; each step fills in what it is named for.
type scope struct {
	source *gitopsv1alpha1.GitSource
	asked  gitopsv1alpha1.PullRequests
	memory *memory
	origin repository.Origin
	// base is the watched branch.
	base string
	repo *gitsource.Repository
	// taken is set where another source says whether they are valid.
	taken *condition.Outcome
	// recheck is when to go on if no event tells.
	recheck time.Duration
	// problems are what could not be done.
	problems []error
	// done gives the turn at the server back; silent says that it did not answer in time.
	done   func(answered bool)
	silent bool
}

// SetupWithManager registers the reconciler and what wakes it: a GitSource that changes or
// of which a look is asked, as hooks do, one that was read for the first time, one with the
// same contexts, and news from the forge.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, opts controller.Options) error {
	r.news = make(chan event.GenericEvent)
	r.known = map[types.NamespacedName]*memory{}
	opts.MaxConcurrentReconciles = r.turns.Among(opts.MaxConcurrentReconciles)
	return ctrl.NewControllerManagedBy(mgr).
		Named("pullrequest").
		For(&gitopsv1alpha1.GitSource{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, remote.Requested(), shard.Moved(), firstRead()))).
		Watches(&gitopsv1alpha1.GitSource{}, handler.EnqueueRequestsFromMapFunc(report.WakeSame(r)), builder.WithPredicates(report.WritesOtherwise())).
		WatchesRawSource(source.Channel(r.news, &handler.EnqueueRequestForObject{})).
		WithOptions(opts).
		Complete(r)
}

// firstRead lets through sources that were read for the first time.
func firstRead() predicate.Predicate {
	revision := func(obj client.Object) string {
		if source, ok := obj.(*gitopsv1alpha1.GitSource); ok {
			return source.Status.ObservedRevision
		}
		return ""
	}
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return revision(e.ObjectOld) == "" && revision(e.ObjectNew) != ""
	}}
}

// Reconcile lists the pull requests if it is time to, and tells those that are news what
// was found.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	source := &gitopsv1alpha1.GitSource{}
	source.Namespace, source.Name = req.Namespace, req.Name
	err := r.Get(ctx, req.NamespacedName, source)
	gone := apierrors.IsNotFound(err)
	switch {
	case gone || err == nil && (!r.Shard.Owns(source) || !source.DeletionTimestamp.IsZero()):
		r.forget(source)
		return reconcile.Result{}, nil
	case err != nil || source.Spec.Suspend && source.Spec.PullRequests != nil:
		return reconcile.Result{}, err
	}
	before := source.DeepCopy()
	var recheck time.Duration
	if source.Spec.PullRequests == nil {
		r.forget(source)
		source.Status.PullRequests = nil
		condition.Remove(source, gitopsv1alpha1.PullRequestsCondition)
	} else {
		recheck = r.follow(ctx, source)
	}
	if err := ctx.Err(); err != nil {
		return reconcile.Result{}, err
	}
	_, err = apply.Status(ctx, r.Client, before, source)
	return apply.Result(recheck, err)
}

// steps are what is done with a source, first to last. Each works on what the ones above
// it found.
func steps() []func(*Reconciler, context.Context, *scope) error {
	return []func(*Reconciler, context.Context, *scope) error{
		(*Reconciler).resolve,
		(*Reconciler).yield,
		(*Reconciler).list,
		(*Reconciler).judgeAll,
		(*Reconciler).report,
		(*Reconciler).comment,
	}
}

// follow brings the status up to date, in memory, and returns when to go on.
func (r *Reconciler) follow(ctx context.Context, source *gitopsv1alpha1.GitSource) time.Duration {
	s := &scope{source: source, asked: *source.Spec.PullRequests, memory: r.remembered(source), recheck: remote.Interval(source), done: func(bool) {}}
	defer func() { s.done(!s.silent) }()
	source.Status.PullRequests = slices.Clone(s.memory.told)
	defer func() { s.memory.told = slices.Clone(source.Status.PullRequests) }()
	for _, step := range steps() {
		err := step(r, ctx, s)
		var busy *remote.BusyError
		if errors.As(err, &busy) {
			return busy.Wait
		}
		if err != nil {
			condition.Set(source, gitopsv1alpha1.PullRequestsCondition, explained(err))
			return s.recheck
		}
	}
	s.conclude()
	return s.recheck
}

var (
	// errNone says why a source has no pull requests to look at.
	errNone = errors.New("no pull requests are looked at")
	// errUnread: which branch is watched is known once it was read.
	errUnread = errors.New("the repository was not read yet")
)

// resolve finds out which branch of which repository pull requests go into.
func (r *Reconciler) resolve(ctx context.Context, s *scope) error {
	origin, err := r.Repositories.Origin(ctx, s.source)
	if err != nil {
		return err
	}
	s.origin = origin
	if origin.Provider == gitopsv1alpha1.GenericProvider {
		return fmt.Errorf("%w: the provider generic has none: name the forge in spec.provider", errNone)
	}
	if origin.Observed.Commit == "" {
		return errUnread
	}
	if s.base = baseOf(origin); s.base == "" {
		return fmt.Errorf("%w: they go into a branch, and none is watched", errNone)
	}
	if s.repo, err = r.Repositories.Open(ctx, origin); err != nil {
		return err
	}
	done, err := r.turns.Take(origin.Server())
	if err != nil {
		return err
	}
	s.done = done
	return nil
}

// baseOf is the short name of the branch that a source watches; empty if it watches none,
// or was not read yet.
func baseOf(o repository.Origin) string {
	branch := slices.ContainsFunc(o.Refs, func(ref gitsource.Ref) bool {
		switch {
		case ref.Commit != "":
			return false
		case ref.Name != "":
			return strings.HasPrefix(ref.Name, "refs/heads/")
		}
		return ref.SemVer == "" && ref.Tag == ""
	})
	if !branch || o.Observed.Tag != "" {
		return ""
	}
	return strings.TrimPrefix(o.Observed.Name, "refs/heads/")
}

// list asks the forge for the open pull requests if it is time to; else what it answered
// last stands. What was told to those that are open no more, or to those of another
// repository, is forgotten.
func (r *Reconciler) list(ctx context.Context, s *scope) error {
	m, now := s.memory, r.Clock.Now()
	request, _ := meta.ReconcileAnnotationValue(s.source.Annotations)
	of := fmt.Sprintf("%s %s %q %d", s.origin.ForgeName(), s.origin.Looks(), s.base, s.source.Generation)
	if m.of != of {
		m.of, m.judged = of, map[int64]*judgement{}
	}
	asked := of + " " + request
	if m.asked != asked || !now.Before(m.next) {
		if m.limited(now) {
			s.recheck = m.quiet.Sub(now)
			return m.refused
		}
		m.asked, m.next, m.unread, m.quiet = asked, now.Add(remote.Interval(s.source)), map[int64]error{}, time.Time{}
		if m.heads, m.err = r.heads(ctx, s); m.err != nil {
			m.leave(m.err, now)
			m.next = m.quiet
		}
		r.reconsider(ctx, s)
	}
	s.recheck = max(m.next.Sub(now), time.Millisecond)
	if m.err != nil {
		return m.err
	}
	open := func(number int64) bool {
		return slices.ContainsFunc(m.heads, func(h forge.Head) bool { return h.Number == number })
	}
	s.source.Status.PullRequests = slices.DeleteFunc(s.source.Status.PullRequests, func(t gitopsv1alpha1.ToldPullRequest) bool {
		return !open(t.Number) || t.Destination != s.origin.ForgeName()
	})
	for number := range m.judged {
		if !open(number) {
			delete(m.judged, number)
		}
	}
	return nil
}

func (r *Reconciler) heads(ctx context.Context, s *scope) ([]forge.Head, error) {
	to, err := r.Repositories.Forge(ctx, s.origin)
	if err != nil {
		return nil, err
	}
	if to.Reviews == nil {
		return nil, fmt.Errorf("%w: the provider %s has none", errNone, s.origin.Provider)
	}
	ctx, cancel := context.WithTimeout(ctx, remote.Timeout(s.source))
	defer cancel()
	return to.Reviews.Heads(ctx, s.base)
}

// leave leaves the forge alone for a while after an error.
func (m *memory) leave(err error, now time.Time) {
	m.refused, m.quiet = err, now.Add(pauseAfter(err))
}

// limited says whether the forge has asked for a pause that is not over, and that nobody's
// request ends.
func (m *memory) limited(now time.Time) bool {
	var limited *forge.RateLimitedError
	return now.Before(m.quiet) && errors.As(m.refused, &limited)
}

// pauseAfter is how long a forge is left alone after an error.
func pauseAfter(err error) time.Duration {
	var limited *forge.RateLimitedError
	switch {
	case errors.As(err, &limited):
		return max(limited.RetryAfter, time.Second)
	case errors.Is(err, forge.ErrTemporary):
		return retry
	}
	return refusedRetry
}

// explained says how it stands with pull requests that could not be looked at.
func explained(err error) condition.Outcome {
	reason := gitopsv1alpha1.ForgeFailedReason
	switch {
	case errors.Is(err, errUnread):
		return condition.Waiting(tellingReason, "%v", err)
	case errors.Is(err, errNone):
		reason = gitopsv1alpha1.NoPullRequestsReason
	case errors.Is(err, repository.ErrNoCredentials):
		reason = gitopsv1alpha1.NoCredentialsReason
	case repository.Problem(err) != "":
		reason = repository.Problem(err)
	}
	return condition.Failed(reason, "%v", err)
}

// remembered is the memory of a source.
func (r *Reconciler) remembered(source *gitopsv1alpha1.GitSource) *memory {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := client.ObjectKeyFromObject(source)
	if r.known[name] == nil {
		r.known[name] = &memory{judged: map[int64]*judgement{}, told: slices.Clone(source.Status.PullRequests)}
	}
	return r.known[name]
}

// forget drops what is kept for a source whose pull requests are not looked at here.
func (r *Reconciler) forget(source *gitopsv1alpha1.GitSource) {
	r.Reporter.Forget(owned{source})
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, client.ObjectKeyFromObject(source))
}

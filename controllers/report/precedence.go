package report

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/shard"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource"
)

// byContext is the field index of GitSources by their repository, and what the contexts of
// their statuses begin with.
const byContext = "context"

// AddIndexes registers the field index by which GitSources with the same contexts are found.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	err := indexer.IndexField(ctx, &gitopsv1alpha1.GitSource{}, byContext, func(obj client.Object) []string {
		source, ok := obj.(*gitopsv1alpha1.GitSource)
		if !ok {
			return nil
		}
		return []string{contextsOf(source)}
	})
	if err != nil {
		return fmt.Errorf("index GitSources by %s: %w", byContext, err)
	}
	return nil
}

func contextsOf(source *gitopsv1alpha1.GitSource) string {
	url := cmp.Or(source.Spec.URL, source.Status.URL)
	return cmp.Or(gitname.Identity(url), gitname.PublicURL(url)) + " " + repository.ContextPrefix(source)
}

// Writer is the GitSource of the same namespace that writes a source's contexts in its
// place, since it came first: the oldest that reports what they both watch to the same
// place, and for which does holds. It is nil where the source writes them itself.
func Writer(ctx context.Context, c client.Reader, source *gitopsv1alpha1.GitSource, does func(*gitopsv1alpha1.GitSource) bool) (*gitopsv1alpha1.GitSource, error) {
	same, err := sameContexts(ctx, c, source)
	if err != nil {
		return nil, err
	}
	var first *gitopsv1alpha1.GitSource
	for i := range same {
		other := &same[i]
		if older(other, source) && reports(other, source) && covers(other, source) && does(other) && (first == nil || older(other, first)) {
			first = other
		}
	}
	return first, nil
}

// Taken is the outcome that a context of a source is written by another.
func Taken(source, by *gitopsv1alpha1.GitSource, statusContext string) condition.Outcome {
	return condition.Failed(gitopsv1alpha1.ContextTakenReason,
		"%s is not shown: GitSource %q, which came first, writes it for the same repository; give GitSource %q another spec.environment or spec.statuses.contextPrefix",
		statusContext, by.Name, source.Name)
}

// TellsPullRequests says whether a source tells pull requests what it is asked to, as far
// as is known.
func TellsPullRequests(source *gitopsv1alpha1.GitSource) bool {
	told := condition.Of(source, gitopsv1alpha1.PullRequestsCondition)
	return told == nil || told.Status != metav1.ConditionFalse || told.Reason == gitopsv1alpha1.ContextTakenReason
}

// WakeSame wakes the GitSources with the contexts of one that has changed.
func WakeSame(c client.Reader) handler.MapFunc {
	return func(ctx context.Context, obj client.Object) []ctrl.Request {
		source, ok := obj.(*gitopsv1alpha1.GitSource)
		if !ok {
			return nil
		}
		same, err := sameContexts(ctx, c, source)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Find the sources with the same contexts")
			return nil
		}
		requests := make([]ctrl.Request, len(same))
		for i := range same {
			requests[i].NamespacedName = client.ObjectKeyFromObject(&same[i])
		}
		return requests
	}
}

// WritesOtherwise lets GitSources through that come, that go, or by which others write what
// they did not, or write it no more.
func WritesOtherwise() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, shard.Moved(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*gitopsv1alpha1.GitSource)
		after, ok2 := e.ObjectNew.(*gitopsv1alpha1.GitSource)
		return ok && ok2 && (before.Status.URL != after.Status.URL || before.Status.ObservedRevision != after.Status.ObservedRevision ||
			fresh(before) != fresh(after) || silent(before) != silent(after) || reads(before) != reads(after) ||
			TellsPullRequests(before) != TellsPullRequests(after) ||
			!slices.Equal(before.Status.Lifecycles, after.Status.Lifecycles))
	}})
}

// sameContexts are the other sources of the namespace with the contexts of one. They are the
// cache's own, and must not be changed.
func sameContexts(ctx context.Context, c client.Reader, source *gitopsv1alpha1.GitSource) ([]gitopsv1alpha1.GitSource, error) {
	var found gitopsv1alpha1.GitSourceList
	if err := c.List(ctx, &found, client.InNamespace(source.Namespace), client.MatchingFields{byContext: contextsOf(source)}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list GitSources with the contexts of %s: %w", source.Name, err)
	}
	return slices.DeleteFunc(found.Items, func(other gitopsv1alpha1.GitSource) bool {
		return client.ObjectKeyFromObject(&other) == client.ObjectKeyFromObject(source)
	}), nil
}

// older says whether a source came before another.
func older(a, b *gitopsv1alpha1.GitSource) bool {
	return cmp.Or(
		a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
		cmp.Compare(a.Name, b.Name),
	) < 0
}

// reports says whether a source can say something of what another watches: it was read at
// the same commit, or is read at the same branch or tag, and has what to report with; or is
// about to be read by the same controller.
func reports(a, b *gitopsv1alpha1.GitSource) bool {
	if !a.DeletionTimestamp.IsZero() {
		return false
	}
	if fresh(a) {
		return a.Labels[shard.Label] == b.Labels[shard.Label]
	}
	at, err := gitsource.ParseRevision(a.Status.ObservedRevision)
	with, err2 := gitsource.ParseRevision(b.Status.ObservedRevision)
	return err == nil && err2 == nil && !silent(a) && (at.Commit == with.Commit || reads(a) && at.Name != "" && at.Name == with.Name)
}

// fresh says whether a source has not been worked on yet.
func fresh(source *gitopsv1alpha1.GitSource) bool {
	return condition.Of(source, meta.ReadyCondition) == nil
}

// silent says whether a source has nothing to report with. What a forge refuses is tried
// again: if another source wrote it meanwhile, each would write over the other.
func silent(source *gitopsv1alpha1.GitSource) bool {
	reported := condition.Of(source, gitopsv1alpha1.ReportedCondition)
	return reported == nil || reported.Status == metav1.ConditionFalse && reported.Reason == gitopsv1alpha1.NoCredentialsReason
}

// unread are the reasons for which a source is not read until a person has mended it.
var unread = []string{
	gitopsv1alpha1.AuthenticationFailedReason, gitopsv1alpha1.FetchFailedReason, meta.InvalidURLReason,
	gitopsv1alpha1.SourceNotFoundReason, gitopsv1alpha1.AccessDeniedReason, gitopsv1alpha1.InvalidSourceReason,
}

// reads says whether a source will see the next commit.
func reads(source *gitopsv1alpha1.GitSource) bool {
	ready := condition.Of(source, meta.ReadyCondition)
	return !source.Spec.Suspend && (ready == nil || ready.Status != metav1.ConditionFalse || !slices.Contains(unread, ready.Reason))
}

// covers says whether a source reports wherever another one of its repository does: to its
// forge, in Git notes, or both.
func covers(a, b *gitopsv1alpha1.GitSource) bool {
	provider := func(s *gitopsv1alpha1.GitSource) gitopsv1alpha1.Provider {
		return cmp.Or(s.Spec.Provider, gitopsv1alpha1.GenericProvider)
	}
	statuses := func(s *gitopsv1alpha1.GitSource) gitopsv1alpha1.Statuses {
		return *cmp.Or(s.Spec.Statuses, &gitopsv1alpha1.Statuses{})
	}
	notes := func(s *gitopsv1alpha1.GitSource) bool {
		return provider(s) == gitopsv1alpha1.GenericProvider || statuses(s).Notes
	}
	sameForge := provider(a) == provider(b) && statuses(a).APIURL == statuses(b).APIURL
	return (provider(b) == gitopsv1alpha1.GenericProvider || sameForge) && (!notes(b) || notes(a))
}

package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource"
)

// DeliverAnnotation on a Lifecycle asks for the delivery of a commit, by its full or
// abbreviated SHA, before anything is rolled out, so that what is checked before a
// deployment can be waited for. The annotation is taken away once it was handled. On
// a KeptnAppVersion it is the newest such request that the delivery serves.
const DeliverAnnotation = "gitops.keptn.sh/deliver"

// RequestedCondition of a Lifecycle says what became of the newest request for a
// delivery: True where there is one, Unknown while its commit is looked for, and False
// where there can be none.
const RequestedCondition = "Requested"

// Reasons of RequestedCondition.
const (
	// DeliveringReason: the delivery is recorded.
	DeliveringReason = "Delivering"
	// SearchingReason: the commit is not known yet.
	SearchingReason = "Searching"
	// CommitUnknownReason: no commit of the GitSource's history is meant.
	CommitUnknownReason = "CommitUnknown"
)

// deliverRequested sees to it that a commit that is asked for has a delivery.
func (r *Reconciler) deliverRequested(ctx context.Context, s *scope) error {
	asked := s.lc.Annotations[DeliverAnnotation]
	if asked == "" {
		return nil
	}
	commit, err := r.requestedCommit(ctx, s, asked)
	if err != nil {
		return err
	}
	if commit == nil {
		r.search(ctx, s, asked)
		return nil
	}
	kav := s.deliveryUnderWay(commit.SHA)
	if kav == nil {
		refused, err := r.beginRequested(ctx, s, commit, asked)
		if err != nil {
			return err
		}
		if refused.Reason != "" {
			s.handled = asked
			condition.Set(s.lc, RequestedCondition, refused)
			return nil
		}
		kav = s.newest()
	}
	if err := r.mark(ctx, kav, asked); err != nil {
		return err
	}
	s.handled = asked
	condition.Set(s.lc, RequestedCondition, condition.Ready(DeliveringReason, "%s is delivered as %s/%s", asked, kav.Namespace, kav.Name))
	return nil
}

// requestedCommit is the commit of the app that a request means: of those in the
// history of the source the newest, at or before the one that is named, that changes
// the app. It is nil where there is none.
func (r *Reconciler) requestedCommit(ctx context.Context, s *scope, asked string) (*gitsource.Commit, error) {
	named := strings.ToLower(strings.TrimSpace(asked))
	switch {
	case gitname.IsCommit(named):
		reached, err := s.app.IsAncestor(ctx, named, s.head)
		if err != nil && !errors.Is(err, gitsource.ErrCommitNotFound) {
			return nil, fmt.Errorf("look for the requested commit: %w", err)
		}
		if !reached {
			return nil, nil //nolint:nilnil // no commit is an answer
		}
	case gitname.IsCommitish(named):
		found, err := s.inFull(ctx, named)
		if err != nil {
			return nil, err
		}
		named = found
	}
	if !gitname.IsCommit(named) {
		return nil, nil //nolint:nilnil // no commit is an answer
	}
	for c, err := range s.appCommits(ctx, named, "") {
		return c, err
	}
	return nil, nil //nolint:nilnil // no commit is an answer
}

// search has the remote looked at for a commit that is not known, once for each
// request, and gives the request up when matchTimeout is over.
func (r *Reconciler) search(ctx context.Context, s *scope, asked string) {
	looking := condition.Waiting(SearchingReason, "looking for commit %s", asked)
	was := condition.Of(s.lc, RequestedCondition)
	if was == nil || was.Reason != looking.Reason || was.Message != looking.Message {
		condition.Remove(s.lc, RequestedCondition) // the time of the search begins anew
		condition.Set(s.lc, RequestedCondition, looking)
		r.Fetch(ctx, client.ObjectKeyFromObject(s.source))
		s.lookAgain(matchTimeout(s.lc))
		return
	}
	if left := was.LastTransitionTime.Add(matchTimeout(s.lc)).Sub(s.now); left > 0 {
		s.lookAgain(left)
		return
	}
	s.handled = asked
	condition.Set(s.lc, RequestedCondition, condition.Failed(CommitUnknownReason,
		"no commit up to %s is, or follows, a commit %s that changes the app: push it to what the GitSource watches, and ask again", gitname.Short(s.head), asked))
}

// deliveryUnderWay is the newest delivery, or one that has not ended, where it is of
// the commit; else nil.
func (s *scope) deliveryUnderWay(sha string) *lifecyclev1.KeptnAppVersion {
	for i := range s.deliveries {
		kav := &s.deliveries[i]
		if c := kav.Spec.Commit; c != nil && c.SHA == sha && (i == 0 || !kav.Status.Status.Completed()) {
			return kav
		}
	}
	return nil
}

// beginRequested records a delivery of which nothing is rolled out yet, or says why
// there can be none.
func (r *Reconciler) beginRequested(ctx context.Context, s *scope, commit *gitsource.Commit, asked string) (refused condition.Outcome, err error) {
	if len(s.lc.Status.Workloads) == 0 && len(s.lc.Status.Releases) > 0 {
		return condition.Failed(gitopsv1alpha1.NoWorkloadsReason, "its HelmReleases have installed nothing yet: which workloads they have is known then"), nil
	}
	if s.recordNamespace() == "" {
		return condition.Failed(gitopsv1alpha1.AccessDeniedReason, "no namespace of its workloads agrees to be governed from %q", s.lc.Namespace), nil
	}
	kav, err := r.newDelivery(ctx, s, &match{commit: commit}, nil)
	if err != nil {
		return refused, err
	}
	if len(kav.Spec.Workloads) == 0 {
		return condition.Failed(gitopsv1alpha1.NoWorkloadsReason, "commit %s renders to no workload that may be governed", gitname.Short(commit.SHA)), nil
	}
	kav.Annotations = map[string]string{DeliverAnnotation: asked}
	s.lc.Status.Commits = remember(s.lc.Status.Commits, commit.SHA, commit.Committer.When, s.now)
	return refused, r.begin(ctx, s, kav)
}

// mark notes on a delivery which request it serves.
func (r *Reconciler) mark(ctx context.Context, kav *lifecyclev1.KeptnAppVersion, asked string) error {
	if kav.Annotations[DeliverAnnotation] == asked {
		return nil
	}
	record := recordOnly(kav)
	record.Annotations = map[string]string{DeliverAnnotation: asked}
	return apply.Object(ctx, r.Client, record, fieldOwner)
}

// consume takes a request away that was handled, unless there is another by now.
func (r *Reconciler) consume(ctx context.Context, lc *gitopsv1alpha1.Lifecycle, asked string) error {
	path := "/metadata/annotations/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(DeliverAnnotation)
	patch, err := json.Marshal([]map[string]string{{"op": "test", "path": path, "value": asked}, {"op": "remove", "path": path}})
	if err != nil {
		return fmt.Errorf("write patch: %w", err)
	}
	named := &gitopsv1alpha1.Lifecycle{}
	named.Namespace, named.Name = lc.Namespace, lc.Name
	err = r.Patch(ctx, named, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(fieldOwner))
	if err != nil && !apierrors.IsInvalid(err) && !apierrors.IsNotFound(err) { // invalid: it is another, or gone
		return fmt.Errorf("take the request for %s away: %w", asked, err)
	}
	return nil
}

// awaited is the commit of a delivery that was asked for and not rolled out yet, where
// it renders what newly runs; else nil. Nobody has to guess then which commit is meant.
func (r *Reconciler) awaited(ctx context.Context, s *scope, untied []*workload.Workload) (*match, error) {
	newest := s.newest()
	if newest == nil || newest.Spec.Commit == nil || wasApplied(&newest.Spec) || newest.Status.Status.Completed() {
		return nil, nil //nolint:nilnil // there is none, and the history is searched
	}
	rendered, err := r.renderedAt(ctx, s, newest.Spec.Commit.SHA)
	if err != nil || !rendersAll(rendered.Workloads, untied, s.lc.Namespace) {
		return nil, ignoreRewritten(err)
	}
	commit, err := s.app.Commit(ctx, newest.Spec.Commit.SHA)
	if err != nil {
		return nil, ignoreRewritten(err)
	}
	return &match{commit, lifecyclev1.EvidenceContent}, nil
}

// ignoreRewritten passes over the error that a commit is gone, as its history was
// rewritten.
func ignoreRewritten(err error) error {
	if errors.Is(err, gitsource.ErrCommitNotFound) {
		return nil
	}
	return err
}

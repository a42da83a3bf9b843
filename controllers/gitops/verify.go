package gitops

import (
	"context"
	"errors"
	"fmt"

	"github.com/fluxcd/pkg/apis/meta"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource/forge"
)

// verify sees to it that nothing is read of a commit that is not signed by whom it should
// be: it says so on the commit, and all copies stay as they are. The keys are read again
// with every reconcile.
func (r *Reconciler) verify(ctx context.Context, s *scope) error {
	s.origin.Observed = s.revision
	by, err := r.Repositories.Verify(ctx, s.repo, s.origin, s.revision.Commit)
	var refused *repository.Unverified
	switch {
	case errors.As(err, &refused):
		err = fmt.Errorf("nothing of %s is honoured: %w", s.revision, refused)
		condition.Set(s.source, gitopsv1alpha1.SourceVerifiedCondition, condition.Failed(refused.Reason, "%v", err))
		s.source.Status.Problems = nil
		if unshown := r.show(ctx, s, forge.Status{State: forge.Failure, Description: refused.Error()}); unshown != nil {
			return unshown
		}
		s.scheduled = true
		return err
	case err != nil:
		return r.failed(s, err)
	case by == "":
		condition.Remove(s.source, gitopsv1alpha1.SourceVerifiedCondition)
	default:
		condition.Set(s.source, gitopsv1alpha1.SourceVerifiedCondition, condition.Ready(meta.SucceededReason, "%s", by))
	}
	return nil
}

package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/remote"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/workload"
)

// signatureCheck is what is asked for before the deployment of a commit of which nothing
// is honoured, in the place of all that the commit itself asks for. No SLOPolicy can have
// this name.
const signatureCheck = gitopsv1alpha1.SourceVerifiedCondition

// verifyCommits notes why nothing is honoured of those of the listed commits that are not
// signed as the source asks.
func (r *Reconciler) verifyCommits(ctx context.Context, s *scope) error {
	for i := range s.lc.Status.Commits {
		c := &s.lc.Status.Commits[i]
		why, err := r.refusal(ctx, s, c.SHA)
		if err := ignoreRewritten(err); err != nil {
			return fmt.Errorf("verify %.7s: %w", c.SHA, err)
		}
		if (why != "") != (c.Unverified != "") {
			c.VerifiedAt = phase.Time(latestOf(s.now, judgedAt(c).Add(time.Second)))
		}
		c.Unverified = why
	}
	return nil
}

// judgedAt is when it was last found whether a commit is honoured.
func judgedAt(c *gitopsv1alpha1.AppCommit) time.Time {
	if c.VerifiedAt != nil {
		return latestOf(c.SeenAt.Time, c.VerifiedAt.Time)
	}
	return c.SeenAt.Time
}

// refusal says in one line why nothing of a commit is honoured; it is empty where it is.
func (r *Reconciler) refusal(ctx context.Context, s *scope, sha string) (why string, err error) {
	_, err = r.Repositories.Verify(ctx, s.app.Repository, s.origin, sha)
	var refused *repository.Unverified
	if errors.As(err, &refused) {
		return refused.Error(), nil
	}
	return "", err
}

// refuse has a delivery stand before its deployment with the reason why nothing of its
// commit is honoured. Whether that holds pods back is said by the Lifecycle as it was last
// honoured, and what the delivery is about are its workloads that are known, whatever
// else the commit renders to.
func (s *scope) refuse(kav *lifecyclev1.KeptnAppVersion, refused *repository.Unverified) {
	kav.Spec.Problem = refused.Error()
	kav.Spec.PreDeploymentEvaluations = []string{signatureCheck}
	kav.Spec.BlockDeployment = s.lc.Spec.BlockDeployment
	kav.Spec.Workloads = slices.DeleteFunc(kav.Spec.Workloads, func(ref lifecyclev1.KeptnWorkloadRef) bool {
		of := &workload.Workload{Kind: ref.Kind, Namespace: cmp.Or(ref.Namespace, kav.Namespace), Name: ref.Name}
		return statusOf(s.lc.Status.Workloads, of) == nil
	})
}

// wasRefused says whether nothing was honoured of the commit of a delivery.
func wasRefused(spec *lifecyclev1.KeptnAppVersionSpec) bool {
	return spec.Commit != nil && slices.Contains(spec.PreDeploymentEvaluations, signatureCheck)
}

// deliverVerified delivers a commit again of which nothing was honoured, once it is signed
// by a key that is known by now. As nobody tells of a Secret that has changed, that is
// looked for as often as the source is looked at.
func (r *Reconciler) deliverVerified(ctx context.Context, s *scope) error {
	kav := s.newest()
	if kav == nil || !wasRefused(&kav.Spec) {
		return nil
	}
	sha := kav.Spec.Commit.SHA
	why, err := r.refusal(ctx, s, sha)
	if err != nil {
		return ignoreRewritten(err)
	}
	if why != "" {
		s.lookAgain(remote.Interval(s.source))
		return nil
	}
	commit, err := s.app.Commit(ctx, sha)
	if err != nil {
		return ignoreRewritten(err)
	}
	var tied []*workload.Workload
	for _, w := range s.live {
		if statusOf(s.lc.Status.Workloads, w).Commit == sha {
			tied = append(tied, w)
		}
	}
	again, err := r.newDelivery(ctx, s, &match{commit, kav.Spec.Commit.Evidence}, tied)
	if err != nil {
		return err
	}
	again.Annotations = recordOnly(kav).Annotations
	return r.begin(ctx, s, again)
}

package lifecycle

import (
	"context"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/report"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource/forge"
)

// reportStatuses has commits show how far they have come. A forge that cannot
// be reached is no error: it delays no rollout.
func (r *Reconciler) reportStatuses(ctx context.Context, s *scope) error {
	p := projection{prefix: repository.ContextPrefix(s.source) + "/" + s.lc.Spec.App, detailsURL: r.DetailsURL}
	wanted := p.of(s.lc.Status.Commits, s.deliveries, s.running())
	if len(wanted) == 0 {
		return nil
	}
	to := report.Destination{
		Name: repository.DestinationName(s.source),
		Open: func() (forge.Destination, error) { return r.Repositories.Destination(ctx, s.source) },
	}
	reported, outcome := r.Reporter.Sync(s.lc, r.news, to, wanted, s.lc.Status.Reported)
	s.lc.Status.Reported = reported
	condition.Set(s.lc, gitopsv1alpha1.ReportedCondition, outcome)
	s.lookAgain(outcome.Recheck)
	return nil
}

// running says whether all that the newest commit renders to runs as it renders
// it, and was there before.
func (s *scope) running() bool {
	return s.problem == "" && len(s.denied) == 0 && len(s.live) > 0 &&
		len(s.live) == len(s.rendered.Workloads) && len(s.untied()) == 0 &&
		rendersAll(s.rendered.Workloads, s.live, s.lc.Namespace)
}

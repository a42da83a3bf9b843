package gitops

import (
	"context"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/check"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/report"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/gitsource/manifest"
)

// maxProblems is how many problems a GitSource keeps in its status.
const maxProblems = 20

// reportStatus says on the newest commit whether what it holds is valid. A forge
// that cannot be reached is no error.
func (r *Reconciler) reportStatus(ctx context.Context, s *scope) error {
	return r.show(ctx, s, check.Validity(s.found))
}

// show has the newest commit show a status, unless another source that is looked at does.
func (r *Reconciler) show(ctx context.Context, s *scope, status forge.Status) error {
	by, err := report.Writer(ctx, r, s.source, func(other *gitopsv1alpha1.GitSource) bool { return !other.Spec.Suspend })
	if err != nil {
		return err
	}
	var wanted []forge.Status
	if by == nil {
		status.Commit, status.Context = s.revision.Commit, s.context()
		wanted = append(wanted, status)
	}
	to := report.To(r.Repositories.Destinations(s.origin), wanted)
	reported, outcome := r.Reporter.Sync(ctx, s.source, r.news, to, s.source.Status.Reported)
	if by != nil {
		outcome = report.Taken(s.source, by, s.context())
	}
	s.source.Status.Reported = reported
	condition.Set(s.source, gitopsv1alpha1.ReportedCondition, outcome)
	if outcome.Recheck > 0 {
		s.recheck = min(s.recheck, outcome.Recheck)
	}
	return nil
}

// expect has the forge asked what a new commit shows, while that is read and judged.
func (r *Reconciler) expect(ctx context.Context, s *scope) {
	r.Reporter.Expect(ctx, r.Repositories.Destinations(s.origin), s.revision.Commit, s.context())
}

// context of the status that says whether a commit is valid.
func (s *scope) context() string { return s.origin.ContextPrefix + "/" + check.ValidateContext }

func firstProblems(problems manifest.Problems) []string {
	kept := make([]string, 0, min(len(problems), maxProblems))
	for _, p := range problems[:min(len(problems), maxProblems)] {
		kept = append(kept, p.String())
	}
	return kept
}

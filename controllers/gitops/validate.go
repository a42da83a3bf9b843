package gitops

import (
	"context"
	"fmt"
	"strings"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/report"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/gitsource/manifest"
)

// maxProblems is how many problems a GitSource keeps in its status.
const maxProblems = 20

// validateContext is the context of the status that says whether a commit is
// valid, below <prefix>/<environment>/. It is public API: branch protection
// refers to it.
const validateContext = "validate"

// reportStatus says on the newest commit whether what it holds is valid. A forge
// that cannot be reached is no error.
func (r *Reconciler) reportStatus(ctx context.Context, s *scope) error {
	status := validity(s.found)
	status.Commit = s.revision.Commit
	status.Context = repository.ContextPrefix(s.source) + "/" + validateContext
	to := report.Destination{
		Name: repository.DestinationName(s.source),
		Open: func() (forge.Destination, error) { return r.Repositories.Destination(ctx, s.source) },
	}
	reported, outcome := r.Reporter.Sync(s.source, r.news, to, []forge.Status{status}, s.source.Status.Reported)
	s.source.Status.Reported = reported
	condition.Set(s.source, gitopsv1alpha1.ReportedCondition, outcome)
	if outcome.Recheck > 0 {
		s.recheck = min(s.recheck, outcome.Recheck)
	}
	return nil
}

// validity is what a commit should show of what it holds.
func validity(found *manifest.Found) forge.Status {
	var wrong []string
	for _, p := range found.Problems {
		if p.Severity == manifest.Error {
			wrong = append(wrong, oneLine(p.String()))
		}
	}
	switch {
	case len(wrong) == 1:
		return forge.Status{State: forge.Failure, Description: wrong[0]}
	case len(wrong) > 1:
		return forge.Status{State: forge.Failure, Description: fmt.Sprintf("%d problems: %s", len(wrong), wrong[0])}
	case len(found.Apps) == 0:
		return forge.Status{State: forge.Success, Description: "no " + manifest.FileName + " found"}
	default:
		return forge.Status{State: forge.Success, Description: fmt.Sprintf("valid: %s", names(found.Apps))}
	}
}

func names(found []manifest.App) string {
	list := make([]string, len(found))
	for i := range found {
		list[i] = appName(&found[i].Lifecycle)
	}
	return strings.Join(list, ", ")
}

func firstProblems(problems manifest.Problems) []string {
	kept := make([]string, 0, min(len(problems), maxProblems))
	for _, p := range problems[:min(len(problems), maxProblems)] {
		kept = append(kept, p.String())
	}
	return kept
}

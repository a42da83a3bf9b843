package measure

import (
	"context"
	"time"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/dora"
)

// What tests reach by itself.
var (
	Newest     = newest
	Summary    = summary
	NextChange = nextChange
	Measured   = measured
	Ended      = ended
)

// Between is the part of history that matters for deployments, and how many commits it
// has.
func Between(ctx context.Context, app *repository.App, deployments []dora.Deployment) (dora.History, int, error) {
	h, err := between(ctx, app.Repository, app.ChangedBy, deployments)
	if err != nil {
		return nil, 0, err
	}
	return h, len(h.commits), nil
}

// Deployed is the commit of the deployment that brought what an incident names.
func Deployed(deployments []dora.Deployment, built map[int]string, named string) string {
	s := &scope{deployments: deployments, code: code{}}
	for i, sha := range built {
		s.code[keyOf(&deployments[i])] = []gitopsv1alpha1.CodeCommit{{Source: "app", Commit: sha}}
	}
	return s.deployed(named)
}

// Window writes what a window comes to.
func Window(m *dora.Metrics) gitopsv1alpha1.DORAWindow { return window(7, m) }

// Limits of the record.
const (
	MaxDeployments = maxDeployments
	KeptFor        = keptFor
	Reopen         = reopen
	Day            = 24 * time.Hour
)

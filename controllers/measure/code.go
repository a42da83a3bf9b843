package measure

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/dora"
)

// deploymentKey tells deployments of an app to an environment apart.
type deploymentKey struct {
	commit  string
	started time.Time
}

func keyOf(d *dora.Deployment) deploymentKey {
	return deploymentKey{d.Commit, d.StartedAt.UTC().Truncate(time.Second)}
}

// code are the commits of other repositories that deployments brought.
type code map[deploymentKey][]gitopsv1alpha1.CodeCommit

// add notes what a delivery brought, once it is known.
func (c code) add(d *dora.Deployment, p *lifecyclev1.Provenance) {
	if p == nil {
		return
	}
	var commits []gitopsv1alpha1.CodeCommit
	for _, from := range p.Commits {
		commits = append(commits, gitopsv1alpha1.CodeCommit{Source: from.Source, Commit: from.SHA})
	}
	c[keyOf(d)] = commits
}

// sources are those whose commits were brought, by name.
func (c code) sources() []string {
	found := map[string]bool{}
	for _, commits := range c {
		for _, of := range commits {
			found[of.Source] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// of are the deployments of the commits of one source, in the given order.
func (c code) of(source string, deployments []dora.Deployment) []dora.Deployment {
	var all []dora.Deployment
	for i := range deployments {
		for _, from := range c[keyOf(&deployments[i])] {
			if from.Source == source {
				d := deployments[i]
				d.Commit = from.Commit
				all = append(all, d)
			}
		}
	}
	return all
}

// evaluateCode works out which commits of other repositories were delivered. A source
// that is gone, or cannot be read, tells of none: it says why itself.
func (r *Reconciler) evaluateCode(ctx context.Context, s *scope) (dora.Service, error) {
	var all dora.Service
	for _, name := range s.code.sources() {
		source := &gitopsv1alpha1.GitSource{}
		err := r.Get(ctx, types.NamespacedName{Namespace: s.lc.Namespace, Name: name}, source)
		if client.IgnoreNotFound(err) != nil {
			return dora.Service{}, fmt.Errorf("read GitSource %s: %w", name, err)
		}
		if err != nil {
			continue
		}
		services, err := r.evaluateSource(ctx, s, source)
		if err != nil && repository.Problem(err) == "" {
			return dora.Service{}, err
		}
		for i := range services {
			all.Outcomes = append(all.Outcomes, services[i].Outcomes...)
		}
	}
	slices.SortStableFunc(all.Outcomes, func(a, b dora.Outcome) int { return a.FinishedAt.Compare(b.FinishedAt) })
	return all, nil
}

// evaluateSource works out which commits of one source were delivered. All of its
// commits count: which of them change the app is not known.
func (r *Reconciler) evaluateSource(ctx context.Context, s *scope, source *gitopsv1alpha1.GitSource) ([]dora.Service, error) {
	origin, err := r.Repositories.Origin(ctx, source)
	if err != nil {
		return nil, err
	}
	repo, err := r.Repositories.Open(ctx, origin)
	if err != nil {
		return nil, err
	}
	deployments := s.code.of(source.Name, s.deployments)
	every := func(context.Context, string) (bool, error) { return true, nil }
	h, err := between(ctx, repo, every, deployments)
	if err != nil {
		return nil, err
	}
	return dora.Evaluate(ctx, h, deployments, dora.Options{LeadTimeFrom: s.leadTimeFrom()})
}

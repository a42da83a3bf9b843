package pullrequest

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/trust"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/gitsource/manifest"
	"github.com/keptn/gitops/policy"
)

// dryContext is the context of the status of a dry evaluation, below
// <prefix>/<environment>/<app>/. It is public API.
const dryContext = "dry-run"

const (
	// maxPolicies is how many policies of a pull request are evaluated, and maxCommits how
	// many of its commits are read.
	maxPolicies = 10
	maxCommits  = 50
	// measuring is how long all evaluations of one head may take.
	measuring = time.Minute
)

// A verdict is what a policy of an app would say now.
type verdict struct {
	app, policy string
	found       policy.Verdict
	// failed says why there is no verdict.
	failed string
}

// dryRun evaluates the policies of the apps that a pull request changes, at its head: what
// its commits are, and what is measured now. What is told of a rollout is told of none, for
// there is none.
func (r *Reconciler) dryRun(ctx context.Context, s *scope, j *judgement, found *manifest.Found) {
	ctx, cancel := context.WithTimeout(ctx, measuring)
	defer cancel()
	brought, err := r.bring(ctx, s, j.commit)
	if err != nil {
		j.undone = fmt.Sprintf("its commits cannot be read: %v", err)
		return
	}
	all := 0
	for i := range found.Apps {
		app := &found.Apps[i]
		if !brought.changes(app) {
			continue
		}
		for _, p := range app.Policies {
			if all++; all <= maxPolicies {
				j.dry = append(j.dry, r.judgeDry(ctx, s, app, &p, brought))
			}
		}
	}
	if all > maxPolicies {
		j.undone = fmt.Sprintf("only %d of %d policies are evaluated", maxPolicies, all)
	}
}

func (r *Reconciler) judgeDry(ctx context.Context, s *scope, app *manifest.App, p *gitopsv1alpha1.SLOPolicy, brought *commits) verdict {
	v := verdict{app: app.Lifecycle.AppName(), policy: p.Name}
	e, err := r.evaluation(ctx, s, app, p, brought)
	if err == nil {
		v.found, err = r.Evaluate(ctx, e, r.Clock.Now())
	}
	if err != nil {
		v.failed = err.Error()
	}
	return v
}

// commits are what a pull request brings.
type commits struct {
	head lifecyclev1.Commit
	all  []lifecyclev1.Commit // newest first
	// more says that there are others, which may change anything.
	more bool
}

// changes says whether the commits change an app: its folder, its lifecycle.yaml, or one
// of its policies.
func (c *commits) changes(app *manifest.App) bool {
	files := []string{app.File}
	for _, p := range app.Policies {
		if file := app.PolicyFile(p.Name); file != nil {
			files = append(files, file.Path)
		}
	}
	return c.more || slices.ContainsFunc(c.all, func(commit lifecyclev1.Commit) bool {
		return commit.FilesTruncated || slices.ContainsFunc(commit.Files, func(changed string) bool {
			return slices.Contains(files, path.Clean(changed)) || app.Rendered.DependsOn(changed)
		})
	})
}

// bring reads the commits that a head has and the watched branch has not.
func (r *Reconciler) bring(ctx context.Context, s *scope, head string) (*commits, error) {
	var b commits
	own, err := s.repo.Commit(ctx, head)
	if err != nil {
		return nil, err
	}
	if b.head, err = record(ctx, s.repo, own); err != nil {
		return nil, err
	}
	for c, err := range s.repo.Log(ctx, gitsource.LogOptions{From: head, Until: s.origin.Observed.Commit, Limit: maxCommits + 1}) {
		if err != nil {
			return nil, err
		}
		if len(b.all) == maxCommits {
			b.more = true
			break
		}
		commit, err := record(ctx, s.repo, c)
		if err != nil {
			return nil, err
		}
		b.all = append(b.all, commit)
	}
	return &b, nil
}

// maxFiles is how many files of a commit are noted.
const maxFiles = 1000

// record is a commit as policies read it.
func record(ctx context.Context, repo *gitsource.Repository, c *gitsource.Commit) (lifecyclev1.Commit, error) {
	files, err := repo.ChangedPaths(ctx, c.SHA)
	if err != nil {
		return lifecyclev1.Commit{}, fmt.Errorf("read what %s changes: %w", gitname.Short(c.SHA), err)
	}
	commit := lifecyclev1.Commit{
		SHA: c.SHA, Author: c.Author.Name, Email: c.Author.Email, Message: c.Message,
		AuthoredAt: metav1.NewTime(c.Author.When), Trailers: map[string][]string{},
		Files: files[:min(len(files), maxFiles)], FilesTruncated: len(files) > maxFiles,
	}
	for _, t := range c.Trailers() {
		key := strings.ToLower(t.Key)
		commit.Trailers[key] = append(commit.Trailers[key], t.Value)
	}
	return commit, nil
}

// evaluation is what is evaluated, as a delivery of the app would have it, without a
// rollout and without one before it. It is not an object of the cluster.
func (r *Reconciler) evaluation(ctx context.Context, s *scope, app *manifest.App, p *gitopsv1alpha1.SLOPolicy, brought *commits) (*lifecyclev1.KeptnEvaluation, error) {
	e := &lifecyclev1.KeptnEvaluation{}
	e.Namespace = s.source.Namespace
	lc := &gitopsv1alpha1.Lifecycle{}
	name := types.NamespacedName{Namespace: s.source.Namespace, Name: repository.CopyName(s.source, app.Lifecycle.Name)}
	if err := client.IgnoreNotFound(r.Get(ctx, name, lc)); err != nil {
		return nil, fmt.Errorf("read Lifecycle %s: %w", name, err)
	}
	if running := lc.Status.Delivery; running != nil {
		allowed, err := trust.MayGovern(ctx, r, s.source, running.Namespace)
		if err != nil {
			return nil, err
		}
		if allowed {
			e.Namespace, e.Spec.AppVersion = running.Namespace, gitname.Short(running.Commit)
		}
	}
	e.Spec.EvaluationDefinition, e.Spec.Policy = p.Name, p.Spec.DeepCopy()
	e.Spec.AppName, e.Spec.Params = app.Lifecycle.AppName(), app.Lifecycle.Spec.Params
	e.Spec.Rollout = &lifecyclev1.Rollout{Environment: s.origin.Environment}
	e.Spec.Commit, e.Spec.Commits, e.Spec.CommitsTruncated = &brought.head, brought.all, brought.more
	return e, nil
}

// result is how a verdict counts: one that could not be had is inconclusive.
func (v *verdict) result() policy.Result {
	if v.failed != "" {
		return policy.Inconclusive
	}
	return v.found.Result
}

// because is why a verdict is what it is, in one line.
func (v *verdict) because() string {
	if v.failed != "" {
		return v.failed
	}
	return v.found.Summary(maxText)
}

// dryStatuses are what a commit is to show of its dry evaluation: for each app the worst
// verdict of its policies, and what they all say.
func dryStatuses(prefix string, all []verdict) []forge.Status {
	order := []policy.Result{policy.Pass, policy.Warning, policy.Inconclusive, policy.Fail}
	states := []forge.State{forge.Success, forge.Warning, forge.Error, forge.Failure}
	var statuses []forge.Status
	worst := map[string]int{}
	at := map[string]int{}
	for i := range all {
		v := &all[i]
		if _, known := at[v.app]; !known {
			at[v.app] = len(statuses)
			statuses = append(statuses, forge.Status{Context: prefix + "/" + v.app + "/" + dryContext})
		}
		status := &statuses[at[v.app]]
		worst[v.app] = max(worst[v.app], slices.Index(order, v.result()))
		status.State = states[worst[v.app]]
		status.Description = strings.TrimPrefix(status.Description+"; "+v.policy+": "+oneLine(v.because(), maxText), "; ")
	}
	return statuses
}

package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
)

// maxDeploymentText is the length of the description of a deployment's status, in runes.
const maxDeploymentText = 140

// githubDeployments shows statuses that speak of a deployment as a deployment, too, by
// https://docs.github.com/rest/deployments. There is one of each commit, environment and
// app.
//
// Pending is "in_progress", Success and Warning are "success", Failure is "failure" and
// Error "error". Whether the environment is a production is left to GitHub, and so is
// what becomes of earlier deployments to it.
type githubDeployments struct {
	Reporter
	site
	environment string
}

var _ Reporter = githubDeployments{}

// deploymentRequest asks for a deployment of just this commit: nothing is merged into it,
// and no status is waited for, since it takes place already.
type deploymentRequest struct {
	Ref              string   `json:"ref"`
	Task             string   `json:"task"`
	Environment      string   `json:"environment"`
	Description      string   `json:"description,omitempty"`
	AutoMerge        bool     `json:"auto_merge"`
	RequiredContexts []string `json:"required_contexts"`
	Transient        bool     `json:"transient_environment"`
}

// deploymentStatus is a status of a deployment, as it is sent and answered with.
type deploymentStatus struct {
	State       string `json:"state"`
	Description string `json:"description,omitempty"`
	LogURL      string `json:"log_url,omitempty"`
}

// Set implements Reporter. The deployment goes first: a commit that shows the status has
// its deployment. One that is refused does not keep the status from being shown.
func (g githubDeployments) Set(ctx context.Context, status Status) error {
	if !status.Deploys || status.checkShown() != nil {
		return g.Reporter.Set(ctx, status)
	}
	err := g.deploy(ctx, status)
	if err == nil {
		return g.Reporter.Set(ctx, status)
	}
	err = fmt.Errorf("deployment of commit %.7s to %q in %s: %w", status.Commit, g.environment, g.where(), takes("it", `the permission "Deployments: write"`, unknownCommit(err)))
	var limited *RateLimitedError
	if errors.Is(err, ErrTemporary) || errors.As(err, &limited) {
		return err
	}
	if shown := g.show(ctx, status); shown != nil {
		return shown
	}
	if errors.Is(err, ErrUnauthorized) { // the token may do all else
		err = fmt.Errorf("%w: %w", ErrRejected, err)
	}
	return err
}

// show sets a status, unless it is there: it was, if only the deployment is tried again.
func (g githubDeployments) show(ctx context.Context, status Status) error {
	held, found, err := g.Latest(ctx, status.Commit, status.Context)
	if err != nil || found && held.Same(g.Fit(status)) {
		return err
	}
	return g.Reporter.Set(ctx, status)
}

// deploy makes the deployment show the status.
func (g githubDeployments) deploy(ctx context.Context, status Status) error {
	id, err := g.find(ctx, status)
	if err == nil && id == 0 {
		id, err = g.create(ctx, status)
	}
	if err != nil {
		return err
	}
	statuses := g.path() + "/" + decimal(id) + "/statuses"
	var newest []deploymentStatus
	if err := g.api.call(ctx, http.MethodGet, statuses, pageOf("per_page", 1), nil, &newest); err != nil {
		return err
	}
	wanted := deployed(status)
	if len(newest) > 0 && newest[0] == wanted {
		return nil
	}
	return g.api.call(ctx, http.MethodPost, statuses, nil, wanted, nil)
}

func (g githubDeployments) path() string { return g.githubPath() + "/deployments" }

// find returns the deployment of the commit; 0 if there is none.
func (g githubDeployments) find(ctx context.Context, status Status) (int64, error) {
	var found []struct {
		ID int64 `json:"id"`
	}
	query := url.Values{"sha": {status.Commit}, "task": {taskOf(status)}, "environment": {g.environment}, "per_page": {"1"}}
	if err := g.api.call(ctx, http.MethodGet, g.path(), query, nil, &found); err != nil || len(found) == 0 {
		return 0, err
	}
	return found[0].ID, nil
}

// create makes the deployment.
func (g githubDeployments) create(ctx context.Context, status Status) (int64, error) {
	var made struct {
		ID int64 `json:"id"`
	}
	err := g.api.call(ctx, http.MethodPost, g.path(), nil, deploymentRequest{
		Ref: status.Commit, Task: taskOf(status), Environment: g.environment,
		Description: cut(oneLine(status.Context), maxDeploymentText), RequiredContexts: []string{},
	}, &made)
	if err == nil && made.ID == 0 {
		err = fmt.Errorf("%w: the answer names no deployment: check the API URL", ErrRejected)
	}
	return made.ID, err
}

// taskOf tells the deployments of several apps to one environment apart.
func taskOf(status Status) string {
	return "deploy:" + shortName(oneLine(path.Base(path.Dir(status.Context))), maxDeploymentText/2)
}

// deployed is a status in the words of deployments.
func deployed(s Status) deploymentStatus {
	said, description := vocabulary{
		{Pending, "in_progress", ""}, {Warning, "success", warningText}, {Success, "success", ""}, {Failure, "failure", ""}, {Error, "error", ""},
	}.say(s)
	return deploymentStatus{State: said, Description: cut(oneLine(description), maxDeploymentText), LogURL: oneLine(s.TargetURL)}
}

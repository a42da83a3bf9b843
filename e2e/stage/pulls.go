package stage

import (
	"context"
	"fmt"
	"net/http"
)

// PullRequest is a pull request as Gitea's API has it.
type PullRequest struct {
	Number             int
	Title, Body, State string
	// URL is where people see it.
	URL        string `json:"html_url"`
	Head, Base Branch
}

// Branch is one side of a pull request.
type Branch struct{ Ref string }

// PullRequests reads all that are open in a repository of the account's.
func (g Gitea) PullRequests(ctx context.Context, name string) ([]PullRequest, error) {
	var open []PullRequest
	err := g.call(ctx, http.MethodGet, fmt.Sprintf("/api/v1/repos/%s/%s/pulls?state=open", g.User, name), nil, &open)
	return open, err
}

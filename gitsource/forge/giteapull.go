package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

const (
	// giteaTitle is the length of a title, in runes: below the 255 that Gitea cuts at,
	// where it counts some runes twice.
	giteaTitle = 250
	// giteaBody is below the smallest limit of the databases that Gitea runs on, in
	// runes.
	giteaBody = 60_000
)

// giteaPulls opens pull requests on Gitea and Forgejo by their API,
// https://docs.gitea.com/api, operations repoListPullRequests, repoCreatePullRequest
// and repoEditPullRequest. The token needs the scope write:repository.
type giteaPulls struct {
	api  api
	repo string // owner/name, escaped
}

var _ PullRequests = giteaPulls{}

// giteaPull is PullRequest of the API.
type giteaPull struct {
	Number int64       `json:"number"`
	Title  string      `json:"title"`
	Body   string      `json:"body"`
	URL    string      `json:"html_url"`
	Head   giteaBranch `json:"head"`
	Base   giteaBranch `json:"base"`
}

// giteaBranch is PRBranchInfo of the API.
type giteaBranch struct {
	Ref        string `json:"ref"`
	Repository int64  `json:"repo_id"`
}

// giteaPullOption is CreatePullRequestOption, and EditPullRequestOption, of the API.
type giteaPullOption struct {
	Head  string `json:"head,omitempty"`
	Base  string `json:"base,omitempty"`
	Title string `json:"title"`
	Body  string `json:"body"`
}

// Open implements PullRequests.
func (g giteaPulls) Open(ctx context.Context, pull PullRequest) (OpenPullRequest, error) {
	pull.Title, pull.Body = cut(oneLine(pull.Title), giteaTitle), strings.TrimSpace(cut(pull.Body, giteaBody))
	held, err := g.find(ctx, pull)
	if err == nil && held == nil {
		held, err = g.create(ctx, pull)
	}
	if err == nil && !held.says(pull) {
		path := g.path() + "/" + strconv.FormatInt(held.Number, 10)
		err = g.api.call(ctx, http.MethodPatch, path, nil, giteaPullOption{Title: pull.Title, Body: pull.Body}, held)
	}
	if errors.Is(err, ErrUnauthorized) {
		err = fmt.Errorf("%w; a pull request takes the scope write:repository", err)
	}
	if err != nil {
		return OpenPullRequest{}, fmt.Errorf("opening a pull request from %q to %q in %s/%s: %w", pull.Head, pull.Base, g.api.base.String(), g.repo, err)
	}
	return OpenPullRequest{Number: held.Number, URL: g.page(held)}, nil
}

func (g giteaPulls) path() string { return "/api/v1/repos/" + g.repo + "/pulls" }

// find returns the open pull request between the branches; nil if there is none.
func (g giteaPulls) find(ctx context.Context, pull PullRequest) (*giteaPull, error) {
	for page := 1; page <= giteaPages; page++ {
		var pulls []giteaPull
		query := url.Values{"state": {"open"}, "sort": {"recentupdate"}, "page": {strconv.Itoa(page)}, "limit": {strconv.Itoa(giteaPage)}}
		if err := g.api.call(ctx, http.MethodGet, g.path(), query, nil, &pulls); err != nil {
			return nil, err
		}
		if len(pulls) == 0 {
			return nil, nil //nolint:nilnil // none is open, and that is no error
		}
		for i := range pulls {
			if p := &pulls[i]; p.Head.Ref == pull.Head && p.Base.Ref == pull.Base && p.Head.Repository == p.Base.Repository {
				return p, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: more than %d pages of open pull requests", ErrRejected, giteaPages)
}

// create makes a pull request, unless somebody else has made it meanwhile.
func (g giteaPulls) create(ctx context.Context, pull PullRequest) (*giteaPull, error) {
	var made giteaPull
	err := g.api.call(ctx, http.MethodPost, g.path(), nil, giteaPullOption(pull), &made)
	var answer *answerError
	switch {
	case err == nil && made.Number == 0:
		return nil, fmt.Errorf("%w: the answer names no pull request: check the API URL", ErrRejected)
	case errors.As(err, &answer) && answer.code == http.StatusConflict:
		if held, findErr := g.find(ctx, pull); held != nil || findErr != nil {
			return held, findErr
		}
	case errors.As(err, &answer) && answer.code == http.StatusNotFound:
		// The repository is there: its pull requests were just read.
		return nil, fmt.Errorf("%w: it does not have one of the branches yet: %q", ErrTemporary, answer.said)
	}
	return &made, err
}

// says tells whether a pull request has the title and the body already.
func (p *giteaPull) says(pull PullRequest) bool {
	body := strings.ReplaceAll(p.Body, "\r\n", "\n")
	return p.Title == pull.Title && strings.TrimSpace(body) == pull.Body
}

// page is the address of a pull request as the forge says it, or where that is no
// address to show, as its API is reached.
func (g giteaPulls) page(p *giteaPull) string {
	if u, err := url.Parse(p.URL); err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil {
		return p.URL
	}
	return g.api.base.String() + "/" + g.repo + "/pulls/" + strconv.FormatInt(p.Number, 10)
}

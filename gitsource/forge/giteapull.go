package forge

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"net/http"
	"strings"
)

// giteaPull is PullRequest of the API, of the operations repoListPullRequests,
// repoCreatePullRequest and repoEditPullRequest.
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
	SHA        string `json:"sha"`
	Repository int64  `json:"repo_id"`
}

// forked says whether it comes from no branch of the repository: from a fork, or by a push
// to refs/for, which whoever may read the repository may do, and of which Gitea names the
// repository itself as the one that it comes from
// (https://docs.gitea.com/usage/pull-requests/agit).
func (p giteaPull) forked() bool {
	return p.Head.Repository != p.Base.Repository || p.Head.Repository == 0 || p.Head.Ref == "" || strings.HasPrefix(p.Head.Ref, "refs/")
}

func (g gitea) pulls() string { return g.giteaPath() + "/pulls" }

// open lists the open pull requests into a branch, the one that was changed last first. Not
// every version takes a branch to list by.
func (g gitea) open(ctx context.Context, base string) iter.Seq2[giteaPull, error] {
	query := pageOf("limit", giteaPage)
	query.Set("state", "open")
	query.Set("sort", "recentupdate")
	query.Set("base_branch", base)
	return giteaList(ctx, g, g.pulls(), query, func(page []giteaPull) []giteaPull { return page })
}

// held is a pull request in our words.
func (g gitea) held(p giteaPull) *heldPull {
	to := cmp.Or(pageURL(p.URL, maxPage), g.where()+"/pulls/"+decimal(p.Number))
	return &heldPull{OpenPullRequest{Number: p.Number, URL: to}, p.Title, p.Body}
}

// find implements pullForge.
func (g gitea) find(ctx context.Context, pull PullRequest) (*heldPull, error) {
	found, err := first(g.open(ctx, pull.Base), func(p giteaPull) bool {
		return p.Head.Ref == pull.Head && p.Base.Ref == pull.Base && !p.forked()
	})
	if found == nil {
		return nil, err
	}
	return g.held(*found), nil
}

// create implements pullForge.
func (g gitea) create(ctx context.Context, pull PullRequest) (*heldPull, error) {
	var made giteaPull
	err := g.api.call(ctx, http.MethodPost, g.pulls(), nil, plainPull(pull), &made)
	var answer *answerError
	switch {
	case refusal(err, http.StatusConflict, "") != nil:
		return nil, errPullExists
	case errors.Is(err, ErrNotFound) && errors.As(err, &answer):
		// The repository is there: its pull requests were just read.
		return nil, lacksBranch(answer.said)
	}
	return g.held(made), err
}

// edit implements pullForge.
func (g gitea) edit(ctx context.Context, number int64, pull PullRequest) error {
	return g.api.call(ctx, http.MethodPatch, g.pulls()+"/"+decimal(number), nil, plainPull{Title: pull.Title, Body: pull.Body}, nil)
}

// heads implements reviewForge.
func (g gitea) heads(ctx context.Context, base string) ([]Head, error) {
	return gather(g.open(ctx, base), maxHeads, maxPages*giteaPage, func(p giteaPull) (Head, bool) {
		return Head{Number: p.Number, Commit: p.Head.SHA, Fork: p.forked(), Ref: pullRef("pull", p.Number, "head")}, p.Base.Ref == base
	})
}

// giteaComments are by the operations issueGetComments, issueCreateComment and
// issueEditComment. They need the scope write:issue, and that earlier ones are found
// read:user as well. Gitea answers with all comments at once.
func giteaComments(s site) plainComments {
	issues := s.giteaPath() + "/issues"
	return plainComments{
		site: s, account: "/api/v1/user", method: http.MethodPatch,
		of: func(number int64) string { return issues + "/" + decimal(number) + "/comments" },
		at: func(_ int64, id string) string { return issues + "/comments/" + id },
		list: func(ctx context.Context, path string) iter.Seq2[plainComment, error] {
			return each(linked[[]plainComment](ctx, s.api, path, nil), bare[plainComment](0))
		},
	}
}

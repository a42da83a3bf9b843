package forge

import (
	"context"
	"iter"
	"net/http"
	"net/url"
)

// githubPull is a pull request of the API, https://docs.github.com/rest/pulls/pulls.
type githubPull struct {
	Number int64  `json:"number"`
	Title  string `json:"title"`
	Body   string `json:"body"`
	URL    string `json:"html_url"`
	Head   struct {
		SHA  string   `json:"sha"`
		Repo *plainID `json:"repo"` // null if it is gone
	} `json:"head"`
	Base struct {
		Repo *plainID `json:"repo"`
	} `json:"base"`
}

// forked says whether it comes from another repository, or from one that is gone.
func (p githubPull) forked() bool {
	from, to := p.Head.Repo, p.Base.Repo
	return from == nil || to == nil || from.ID != to.ID
}

// plainPull is what a pull request is made of, or changed to, at GitHub and Gitea.
type plainPull struct {
	Head  string `json:"head,omitempty"`
	Base  string `json:"base,omitempty"`
	Title string `json:"title"`
	Body  string `json:"body"`
}

func (g github) pulls() string { return g.githubPath() + "/pulls" }

func (p githubPull) held() *heldPull {
	return &heldPull{OpenPullRequest{Number: p.Number, URL: p.URL}, p.Title, p.Body}
}

// find implements pullForge. What is asked for there is one of at most, but for forks of
// the same owner's.
func (g github) find(ctx context.Context, pull PullRequest) (*heldPull, error) {
	query := url.Values{"state": {"open"}, "head": {g.owner + ":" + pull.Head}, "base": {pull.Base}}
	held, err := first(githubList[githubPull](ctx, g.api, g.pulls(), query), func(p githubPull) bool { return p.Base.Repo == nil || !p.forked() })
	if held == nil {
		return nil, err
	}
	return held.held(), nil
}

// create implements pullForge.
func (g github) create(ctx context.Context, pull PullRequest) (*heldPull, error) {
	var made githubPull
	err := g.api.call(ctx, http.MethodPost, g.pulls(), nil, plainPull(pull), &made)
	if refusal(err, http.StatusUnprocessableEntity, "already exists") != nil {
		return nil, errPullExists
	}
	if invalid := refusal(err, http.StatusUnprocessableEntity, `"invalid"`); invalid != nil {
		return nil, lacksBranch(invalid.said)
	}
	return made.held(), err
}

// edit implements pullForge.
func (g github) edit(ctx context.Context, number int64, pull PullRequest) error {
	return g.api.call(ctx, http.MethodPatch, g.pulls()+"/"+decimal(number), nil, plainPull{Title: pull.Title, Body: pull.Body}, nil)
}

// heads implements reviewForge.
func (g github) heads(ctx context.Context, base string) ([]Head, error) {
	query := pageOf("per_page", maxHeads)
	query.Set("state", "open")
	query.Set("base", base)
	query.Set("sort", "updated")
	query.Set("direction", "desc")
	return gather(githubList[githubPull](ctx, g.api, g.pulls(), query), maxHeads, maxHeads, func(p githubPull) (Head, bool) {
		return Head{Number: p.Number, Commit: p.Head.SHA, Fork: p.forked(), Ref: pullRef("pull", p.Number, "head")}, true
	})
}

// githubComments are by https://docs.github.com/rest/issues/comments.
func githubComments(s site) plainComments {
	issues := s.githubPath() + "/issues"
	return plainComments{
		site: s, account: "/user", method: http.MethodPatch,
		of: func(number int64) string { return issues + "/" + decimal(number) + "/comments" },
		at: func(_ int64, id string) string { return issues + "/comments/" + id },
		list: func(ctx context.Context, path string) iter.Seq2[plainComment, error] {
			return githubList[plainComment](ctx, s.api, path, pageOf("per_page", githubPage))
		},
	}
}

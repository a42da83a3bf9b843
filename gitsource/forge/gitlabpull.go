package forge

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
)

// gitlabPull is MergeRequest of the API, https://docs.gitlab.com/api/merge_requests/.
type gitlabPull struct {
	Number int64  `json:"iid,omitempty"`
	Title  string `json:"title"`
	Body   string `json:"description"`
	URL    string `json:"web_url,omitempty"`
	Head   string `json:"source_branch,omitempty"`
	Base   string `json:"target_branch,omitempty"`
	From   int64  `json:"source_project_id,omitempty"`
	To     int64  `json:"target_project_id,omitempty"`
	SHA    string `json:"sha,omitempty"`
}

// forked says whether it comes from another project, or from one that is gone.
func (p gitlabPull) forked() bool { return p.From != p.To || p.From == 0 }

func (s site) gitlabPulls() string { return s.gitlabPath() + "/merge_requests" }

// held is a merge request in our words.
func (g gitlab) held(p gitlabPull) *heldPull {
	to := cmp.Or(pageURL(p.URL, maxPage), g.where()+"/-/merge_requests/"+decimal(p.Number))
	return &heldPull{OpenPullRequest{Number: p.Number, URL: to}, p.Title, p.Body}
}

// find implements pullForge.
func (g gitlab) find(ctx context.Context, pull PullRequest) (*heldPull, error) {
	query := url.Values{"state": {"opened"}, "source_branch": {pull.Head}, "target_branch": {pull.Base}}
	found, err := first(gitlabList[gitlabPull](ctx, g.api, g.gitlabPulls(), query, gitlabPage), func(p gitlabPull) bool {
		return p.Head == pull.Head && p.Base == pull.Base && !p.forked()
	})
	if found == nil {
		return nil, err
	}
	return g.held(*found), nil
}

// create implements pullForge. It asks for the branches first: not every version of
// GitLab says of a refusal that it is for want of one.
func (g gitlab) create(ctx context.Context, pull PullRequest) (*heldPull, error) {
	for _, branch := range []string{pull.Head, pull.Base} {
		path := g.gitlabPath() + "/repository/branches/" + url.PathEscape(branch)
		err := g.api.call(ctx, http.MethodGet, path, nil, nil, new(any))
		if errors.Is(err, ErrNotFound) {
			return nil, lacksBranch(branch)
		}
		if err != nil {
			return nil, err
		}
	}
	var made gitlabPull
	err := g.api.call(ctx, http.MethodPost, g.gitlabPulls(), nil, gitlabPull{Title: pull.Title, Body: pull.Body, Head: pull.Head, Base: pull.Base}, &made)
	if refusal(err, http.StatusConflict, "already exists") != nil {
		return nil, errPullExists
	}
	return g.held(made), err
}

// edit implements pullForge.
func (g gitlab) edit(ctx context.Context, number int64, pull PullRequest) error {
	return g.api.call(ctx, http.MethodPut, g.gitlabPulls()+"/"+decimal(number), nil, gitlabPull{Title: pull.Title, Body: pull.Body}, new(any))
}

// heads implements reviewForge.
func (g gitlab) heads(ctx context.Context, base string) ([]Head, error) {
	query := url.Values{"state": {"opened"}, "target_branch": {base}, "order_by": {"updated_at"}, "sort": {"desc"}}
	return gather(gitlabList[gitlabPull](ctx, g.api, g.gitlabPulls(), query, maxHeads), maxHeads, maxHeads, func(p gitlabPull) (Head, bool) {
		return Head{Number: p.Number, Commit: p.SHA, Fork: p.forked(), Ref: pullRef("merge-requests", p.Number, "head")}, true
	})
}

// gitlabComments are notes, by https://docs.gitlab.com/api/notes/. A note, other than a
// discussion, never has to be resolved.
func gitlabComments(s site) plainComments {
	notes := func(number int64) string { return s.gitlabPulls() + "/" + decimal(number) + "/notes" }
	return plainComments{
		site: s, account: "/api/v4/user", method: http.MethodPut, of: notes,
		at: func(number int64, id string) string { return notes(number) + "/" + id },
		list: func(ctx context.Context, path string) iter.Seq2[plainComment, error] {
			query := url.Values{"sort": {"asc"}, "order_by": {"created_at"}}
			return gitlabList[plainComment](ctx, s.api, path, query, gitlabPage)
		},
	}
}

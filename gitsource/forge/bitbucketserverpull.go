package forge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// bitbucketServerPull is RestPullRequest of the API,
// https://developer.atlassian.com/server/bitbucket/rest/v1000/api-group-pull-requests/.
type bitbucketServerPull struct {
	Number    int64                  `json:"id,omitempty"`
	Version   int                    `json:"version"`
	Title     string                 `json:"title"`
	Body      string                 `json:"description"`
	Head      *bitbucketRef          `json:"fromRef,omitempty"`
	Base      *bitbucketRef          `json:"toRef,omitempty"`
	Reviewers []bitbucketParticipant `json:"reviewers,omitempty"`
	Links     *bitbucketServerLinks  `json:"links,omitempty"`
}

// bitbucketRef is RestPullRequestRef of the API.
type bitbucketRef struct {
	ID         string              `json:"id"`
	Commit     string              `json:"latestCommit,omitempty"`
	Repository bitbucketRepository `json:"repository"`
}

// bitbucketRepository is RestRepository of the API.
type bitbucketRepository struct {
	Slug    string `json:"slug"`
	Project struct {
		Key string `json:"key"`
	} `json:"project"`
}

// bitbucketParticipant is RestPullRequestParticipant of the API.
type bitbucketParticipant struct {
	User struct {
		Name string `json:"name"`
	} `json:"user"`
}

type bitbucketServerLinks struct {
	Self []struct {
		Href string `json:"href"`
	} `json:"self"`
}

// is says whether two are one. Servers know projects and repositories without regard to
// case.
func (r bitbucketRepository) is(other bitbucketRepository) bool {
	return strings.EqualFold(r.Slug, other.Slug) && strings.EqualFold(r.Project.Key, other.Project.Key)
}

// ref is a branch of the repository.
func (b bitbucketServer) ref(branch string) *bitbucketRef {
	ref := bitbucketRef{ID: "refs/heads/" + branch, Repository: bitbucketRepository{Slug: b.name}}
	ref.Repository.Project.Key = b.owner
	return &ref
}

// is says whether a reference is the branch.
func (r *bitbucketRef) is(other *bitbucketRef) bool {
	return r != nil && r.ID == other.ID && r.Repository.is(other.Repository)
}

func (b bitbucketServer) pulls() string { return b.path() + "/pull-requests" }

func (b bitbucketServer) pull(number int64) string { return b.pulls() + "/" + decimal(number) }

// held is a pull request in our words.
func (b bitbucketServer) held(p bitbucketServerPull) *heldPull {
	to := ""
	if p.Links != nil && len(p.Links.Self) > 0 {
		to = pageURL(p.Links.Self[0].Href, maxPage)
	}
	to = cmp.Or(to, b.home()+"/pull-requests/"+decimal(p.Number))
	return &heldPull{OpenPullRequest{Number: p.Number, URL: to}, p.Title, p.Body}
}

// find implements pullForge.
func (b bitbucketServer) find(ctx context.Context, pull PullRequest) (*heldPull, error) {
	head, base := b.ref(pull.Head), b.ref(pull.Base)
	query := url.Values{"state": {"OPEN"}, "direction": {"OUTGOING"}, "at": {head.ID}}
	found, err := first(bitbucketServerList[bitbucketServerPull](ctx, b.api, b.pulls(), query, nil), func(p bitbucketServerPull) bool {
		return p.Head.is(head) && p.Base.is(base)
	})
	if found == nil {
		return nil, err
	}
	return b.held(*found), nil
}

// create implements pullForge.
func (b bitbucketServer) create(ctx context.Context, pull PullRequest) (*heldPull, error) {
	var made bitbucketServerPull
	in := bitbucketServerPull{Title: pull.Title, Body: pull.Body, Head: b.ref(pull.Head), Base: b.ref(pull.Base)}
	err := b.api.call(ctx, http.MethodPost, b.pulls(), nil, in, &made)
	var answer *answerError
	switch {
	case refusal(err, http.StatusConflict, "DuplicatePullRequestException") != nil:
		return nil, errPullExists
	case errors.Is(err, ErrNotFound) && errors.As(err, &answer):
		// The repository is there: its pull requests were just read.
		return nil, lacksBranch(answer.said)
	}
	return b.held(made), err
}

// edit implements pullForge. Who reviews it is read and written with it: what a change
// leaves out is taken away.
func (b bitbucketServer) edit(ctx context.Context, number int64, pull PullRequest) error {
	return changeVersion(ctx, b.api, b.pull(number), func(now bitbucketServerPull) any {
		return bitbucketServerPull{Number: number, Version: now.Version, Title: pull.Title, Body: pull.Body, Reviewers: now.Reviewers}
	})
}

// changeVersion changes what is at a path to what is made of it as it is now: a change
// names the version that it is of.
func changeVersion[T any](ctx context.Context, a api, path string, to func(now T) any) error {
	var now T
	if err := a.call(ctx, http.MethodGet, path, nil, nil, &now); err != nil {
		return fmt.Errorf("reading its version: %w", err)
	}
	err := a.call(ctx, http.MethodPut, path, nil, to(now), new(any))
	if outdated := refusal(err, http.StatusConflict, ""); outdated != nil {
		return fmt.Errorf("%w: somebody else changed it meanwhile: %q", ErrTemporary, outdated.said)
	}
	return err
}

// heads implements reviewForge.
func (b bitbucketServer) heads(ctx context.Context, base string) ([]Head, error) {
	query := url.Values{"state": {"OPEN"}, "direction": {"INCOMING"}, "order": {"NEWEST"}, "at": {"refs/heads/" + base}}
	return gather(bitbucketServerList[bitbucketServerPull](ctx, b.api, b.pulls(), query, nil), maxHeads, maxHeads, func(p bitbucketServerPull) (Head, bool) {
		if p.Head == nil || p.Base == nil {
			return Head{}, false
		}
		return Head{
			Number: p.Number, Commit: p.Head.Commit, Fork: !p.Head.Repository.is(p.Base.Repository),
			Ref: pullRef("pull-requests", p.Number, "from"),
		}, true
	})
}

// bitbucketServerComment is RestComment of the API.
type bitbucketServerComment struct {
	ID      int64  `json:"id,omitempty"`
	Version int    `json:"version"`
	Text    string `json:"text"`
	Author  *struct {
		Name string `json:"name"`
	} `json:"author,omitempty"`
}

func (b bitbucketServer) comments(number int64) string { return b.pull(number) + "/comments" }

// own implements commentForge. The API lists the comments of a pull request among its
// activities only.
func (b bitbucketServer) own(ctx context.Context, number int64) ([]heldComment, error) {
	type activity struct {
		Action  string                 `json:"action"`
		Comment bitbucketServerComment `json:"comment"`
	}
	me := ""
	all := bitbucketServerList[activity](ctx, b.api, b.pull(number)+"/activities", url.Values{}, &me)
	return gather(all, maxCommented, maxCommented, func(a activity) (heldComment, bool) {
		c := a.Comment
		return heldComment{decimal(c.ID), c.Text}, a.Action == "COMMENTED" && c.Author != nil && c.Author.Name == me && me != ""
	})
}

// write implements commentForge.
func (b bitbucketServer) write(ctx context.Context, number int64, text string) (string, error) {
	var made bitbucketServerComment
	in := struct {
		Text string `json:"text"`
	}{text}
	err := b.api.call(ctx, http.MethodPost, b.comments(number), nil, in, &made)
	return commentID(made.ID), err
}

// rewrite implements commentForge.
func (b bitbucketServer) rewrite(ctx context.Context, number int64, id, text string) error {
	return changeVersion(ctx, b.api, b.comments(number)+"/"+url.PathEscape(id), func(now bitbucketServerComment) any {
		return bitbucketServerComment{Version: now.Version, Text: text}
	})
}

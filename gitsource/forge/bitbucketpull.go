package forge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// bitbucketPull is pullrequest of the API,
// https://developer.atlassian.com/cloud/bitbucket/rest/api-group-pullrequests/.
type bitbucketPull struct {
	Number    int64             `json:"id,omitempty"`
	Title     string            `json:"title"`
	Body      string            `json:"description"`
	Head      *bitbucketEnd     `json:"source,omitempty"`
	Base      *bitbucketEnd     `json:"destination,omitempty"`
	Reviewers []bitbucketPerson `json:"reviewers,omitempty"`
	Links     *bitbucketLinks   `json:"links,omitempty"`
}

// bitbucketEnd is where a pull request comes from, or goes to.
type bitbucketEnd struct {
	Branch struct {
		Name string `json:"name"`
	} `json:"branch"`
	Commit *struct {
		Hash string `json:"hash"`
	} `json:"commit,omitempty"`
	Repository *struct {
		Name string `json:"full_name"`
	} `json:"repository,omitempty"`
}

// bitbucketPerson is account of the API.
type bitbucketPerson struct {
	UUID string `json:"uuid"`
}

type bitbucketLinks struct {
	HTML struct {
		Href string `json:"href"`
	} `json:"html"`
}

func bitbucketBranch(name string) *bitbucketEnd {
	var end bitbucketEnd
	end.Branch.Name = name
	return &end
}

func (b bitbucket) pulls() string { return b.path() + "/pullrequests" }

func (b bitbucket) pull(number int64) string { return b.pulls() + "/" + decimal(number) }

// open lists the open pull requests from a branch of the repository itself, or if none is
// named from any, into another one.
func (b bitbucket) open(ctx context.Context, head, base string) iter.Seq2[bitbucketPull, error] {
	conditions := []string{`state = "OPEN"`, "source.repository.full_name = " + quoted(b.repository()), "destination.branch.name = " + quoted(base)}
	if head != "" {
		conditions = slices.Insert(conditions, 1, "source.branch.name = "+quoted(head))
	}
	query := url.Values{"q": {strings.Join(conditions, " AND ")}, "sort": {"-updated_on"}}
	return bitbucketList[bitbucketPull](ctx, b.api, b.pulls(), query)
}

// held is a pull request in our words.
func (b bitbucket) held(p bitbucketPull) *heldPull {
	to := ""
	if p.Links != nil {
		to = pageURL(p.Links.HTML.Href, maxPage)
	}
	to = cmp.Or(to, bitbucketWeb+"/"+b.escaped()+"/pull-requests/"+decimal(p.Number))
	return &heldPull{OpenPullRequest{Number: p.Number, URL: to}, p.Title, p.Body}
}

// find implements pullForge.
func (b bitbucket) find(ctx context.Context, pull PullRequest) (*heldPull, error) {
	found, err := first(b.open(ctx, pull.Head, pull.Base), func(p bitbucketPull) bool {
		return p.Head != nil && p.Base != nil && p.Head.Branch.Name == pull.Head && p.Base.Branch.Name == pull.Base
	})
	if found == nil {
		return nil, err
	}
	return b.held(*found), nil
}

// quoted is a text in Bitbucket's language of queries.
func quoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// create implements pullForge.
func (b bitbucket) create(ctx context.Context, pull PullRequest) (*heldPull, error) {
	var made bitbucketPull
	in := bitbucketPull{Title: pull.Title, Body: pull.Body, Head: bitbucketBranch(pull.Head), Base: bitbucketBranch(pull.Base)}
	err := b.api.call(ctx, http.MethodPost, b.pulls(), nil, in, &made)
	var answer *answerError
	if errors.As(err, &answer) {
		said := strings.ToLower(answer.said)
		switch {
		case strings.Contains(said, "branch not found"):
			return nil, lacksBranch(answer.said)
		case answer.code == http.StatusConflict, strings.Contains(said, "already exists"):
			return nil, errPullExists
		}
	}
	return b.held(made), err
}

// edit implements pullForge. Who reviews it is read and written with it: what a change
// leaves out could be taken away.
func (b bitbucket) edit(ctx context.Context, number int64, pull PullRequest) error {
	var now bitbucketPull
	if err := b.api.call(ctx, http.MethodGet, b.pull(number), nil, nil, &now); err != nil {
		return fmt.Errorf("reading its reviewers: %w", err)
	}
	in := bitbucketPull{Title: pull.Title, Body: pull.Body, Reviewers: now.Reviewers}
	return b.api.call(ctx, http.MethodPut, b.pull(number), nil, in, new(any))
}

// heads implements reviewForge. Bitbucket keeps no ref for a pull request, and a fork's
// commits are in the fork alone, so that those from forks are not listed: nobody could read
// them, or say anything on them.
func (b bitbucket) heads(ctx context.Context, base string) ([]Head, error) {
	return gather(b.open(ctx, "", base), maxHeads, maxHeads, func(p bitbucketPull) (Head, bool) {
		from := p.Head
		if from == nil || from.Commit == nil || from.Branch.Name == "" || from.Repository == nil || !strings.EqualFold(from.Repository.Name, b.repository()) {
			return Head{}, false
		}
		return Head{Number: p.Number, Commit: from.Commit.Hash, Ref: "refs/heads/" + from.Branch.Name}, true
	})
}

// bitbucketComment is pullrequest_comment of the API.
type bitbucketComment struct {
	ID      int64            `json:"id,omitempty"`
	Content bitbucketText    `json:"content"`
	User    *bitbucketPerson `json:"user,omitempty"`
	Deleted bool             `json:"deleted,omitempty"`
}

type bitbucketText struct {
	Raw string `json:"raw"`
}

// by says whether somebody wrote the comment, and it is still there.
func (c bitbucketComment) by(person bitbucketPerson) bool {
	return c.User != nil && c.User.UUID == person.UUID && !c.Deleted
}

func (b bitbucket) comments(number int64) string { return b.pull(number) + "/comments" }

// own implements commentForge.
func (b bitbucket) own(ctx context.Context, number int64) ([]heldComment, error) {
	var me bitbucketPerson
	if known, err := b.api.account(ctx, "/2.0/user", &me); !known || me.UUID == "" {
		return nil, err
	}
	all := bitbucketList[bitbucketComment](ctx, b.api, b.comments(number), url.Values{})
	return gather(all, maxCommented, maxCommented, func(c bitbucketComment) (heldComment, bool) {
		return heldComment{decimal(c.ID), c.Content.Raw}, c.by(me)
	})
}

// write implements commentForge.
func (b bitbucket) write(ctx context.Context, number int64, text string) (string, error) {
	var made bitbucketComment
	err := b.api.call(ctx, http.MethodPost, b.comments(number), nil, bitbucketComment{Content: bitbucketText{text}}, &made)
	return commentID(made.ID), err
}

// rewrite implements commentForge. One that was deleted is still there, and says so.
func (b bitbucket) rewrite(ctx context.Context, number int64, id, text string) error {
	var now bitbucketComment
	err := b.api.call(ctx, http.MethodPut, b.comments(number)+"/"+url.PathEscape(id), nil, bitbucketComment{Content: bitbucketText{text}}, &now)
	if err == nil && now.Deleted {
		return errDeleted
	}
	return err
}

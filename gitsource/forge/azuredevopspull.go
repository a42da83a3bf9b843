package forge

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
)

const (
	// azurePulls is how many pull requests are asked for at once.
	azurePulls = 100
	// azureShown is how much of a description a list shows.
	azureShown = 400
)

// azurePull is GitPullRequest of the API,
// https://learn.microsoft.com/rest/api/azure/devops/git/pull-requests.
type azurePull struct {
	Number int64  `json:"pullRequestId,omitempty"`
	Title  string `json:"title"`
	Body   string `json:"description"`
	Head   string `json:"sourceRefName,omitempty"`
	Base   string `json:"targetRefName,omitempty"`
	// Fork is where it comes from, if that is another repository.
	Fork *struct{} `json:"forkSource,omitempty"`
	// Commit is the newest one of the source that it was tried to merge.
	Commit *struct {
		ID string `json:"commitId"`
	} `json:"lastMergeSourceCommit,omitempty"`
}

func (a azureDevOps) pulls() string { return a.path() + "/pullrequests" }

func (a azureDevOps) pull(number int64) string { return a.pulls() + "/" + decimal(number) }

// held is a pull request in our words. The API knows no address of its page.
func (a azureDevOps) held(p azurePull) *heldPull {
	page := a.api.base.String() + "/" + url.PathEscape(a.owner) + "/_git/" + url.PathEscape(a.name) + "/pullrequest/" + decimal(p.Number)
	return &heldPull{OpenPullRequest{Number: p.Number, URL: page}, p.Title, p.Body}
}

// open lists the open pull requests into a branch, the one that was made last first.
func (a azureDevOps) open(ctx context.Context, base string, query url.Values) iter.Seq2[azurePull, error] {
	query.Set("searchCriteria.status", "active")
	query.Set("searchCriteria.targetRefName", "refs/heads/"+base)
	return azureList[azurePull](ctx, a, a.pulls(), query, "$skip", "$top", azurePulls)
}

// find implements pullForge.
func (a azureDevOps) find(ctx context.Context, pull PullRequest) (*heldPull, error) {
	head, base := "refs/heads/"+pull.Head, "refs/heads/"+pull.Base
	found, err := first(a.open(ctx, pull.Base, url.Values{"searchCriteria.sourceRefName": {head}}), func(p azurePull) bool {
		return p.Head == head && p.Base == base && p.Fork == nil
	})
	if found == nil {
		return nil, err
	}
	return a.whole(ctx, *found)
}

// whole is a pull request of a list with all of its description.
func (a azureDevOps) whole(ctx context.Context, p azurePull) (*heldPull, error) {
	if len(p.Body) < azureShown {
		return a.held(p), nil
	}
	if err := a.call(ctx, http.MethodGet, a.pull(p.Number), nil, &p); err != nil {
		return nil, fmt.Errorf("reading its description: %w", err)
	}
	return a.held(p), nil
}

// create implements pullForge.
func (a azureDevOps) create(ctx context.Context, pull PullRequest) (*heldPull, error) {
	var made azurePull
	in := azurePull{Title: pull.Title, Body: pull.Body, Head: "refs/heads/" + pull.Head, Base: "refs/heads/" + pull.Base}
	err := a.call(ctx, http.MethodPost, a.pulls(), in, &made)
	var answer *answerError
	if errors.As(err, &answer) {
		switch {
		case strings.Contains(answer.said, "TF401179"), answer.code == http.StatusConflict:
			return nil, errPullExists
		case strings.Contains(answer.said, "TF401398"):
			return nil, lacksBranch(answer.said)
		}
	}
	return a.held(made), err
}

// edit implements pullForge.
func (a azureDevOps) edit(ctx context.Context, number int64, pull PullRequest) error {
	return a.call(ctx, http.MethodPatch, a.pull(number), azurePull{Title: pull.Title, Body: pull.Body}, new(any))
}

// heads implements reviewForge. Azure DevOps keeps no ref for the head of a pull request:
// those from forks are read by their commits, as far as it sends them.
func (a azureDevOps) heads(ctx context.Context, base string) ([]Head, error) {
	return gather(a.open(ctx, base, url.Values{}), maxHeads, maxHeads, func(p azurePull) (Head, bool) {
		head := Head{Number: p.Number, Ref: p.Head, Fork: p.Fork != nil}
		if p.Commit != nil {
			head.Commit = p.Commit.ID
		}
		if head.Fork {
			head.Ref = ""
		}
		return head, true
	})
}

// azureThread is GitPullRequestCommentThread of the API,
// https://learn.microsoft.com/rest/api/azure/devops/git/pull-request-threads. A comment is
// the first of a thread of its own, which is closed: a policy may keep a pull request from
// being completed as long as a thread is active. Its ID is that of the thread and its own,
// as 12/1.
type azureThread struct {
	ID       int64          `json:"id,omitempty"`
	Status   string         `json:"status,omitempty"`
	Deleted  bool           `json:"isDeleted,omitempty"`
	Comments []azureComment `json:"comments"`
}

// azureComment is Comment of the API.
type azureComment struct {
	ID      int64  `json:"id,omitempty"`
	Parent  int64  `json:"parentCommentId"`
	Content string `json:"content"`
	Type    string `json:"commentType,omitempty"`
	Deleted bool   `json:"isDeleted,omitempty"`
	Author  *struct {
		ID string `json:"id"`
	} `json:"author,omitempty"`
}

func (a azureDevOps) threads(number int64) string { return a.pull(number) + "/threads" }

func (t azureThread) first() string { return decimal(t.ID) + "/" + decimal(t.Comments[0].ID) }

// own implements commentForge. Azure DevOps answers with all threads at once.
func (a azureDevOps) own(ctx context.Context, number int64) ([]heldComment, error) {
	var me struct {
		User struct {
			ID string `json:"id"`
		} `json:"authenticatedUser"`
	}
	if known, err := a.api.account(ctx, "/_apis/connectionData", &me); !known || me.User.ID == "" {
		return nil, err
	}
	var found struct {
		Value []azureThread `json:"value"`
	}
	if err := a.call(ctx, http.MethodGet, a.threads(number), nil, &found); err != nil {
		return nil, err
	}
	var held []heldComment
	for _, t := range found.Value {
		if t.Deleted || len(t.Comments) == 0 {
			continue
		}
		if c := t.Comments[0]; c.Author != nil && c.Author.ID == me.User.ID && !c.Deleted {
			held = append(held, heldComment{t.first(), c.Content})
		}
	}
	return held, nil
}

// write implements commentForge.
func (a azureDevOps) write(ctx context.Context, number int64, text string) (string, error) {
	in := azureThread{Status: "closed", Comments: []azureComment{{Content: text, Type: "text"}}}
	var made azureThread
	err := a.call(ctx, http.MethodPost, a.threads(number), in, &made)
	if err != nil || made.ID == 0 || len(made.Comments) == 0 {
		return "", err
	}
	return made.first(), nil
}

// rewrite implements commentForge. One that was deleted is still there, and says so.
func (a azureDevOps) rewrite(ctx context.Context, number int64, id, text string) error {
	thread, comment, ok := strings.Cut(id, "/")
	if !ok {
		return fmt.Errorf("the ID of a comment is <thread>/<comment>, not %q: %w", id, ErrNotFound)
	}
	in := struct {
		Content string `json:"content"`
	}{text}
	var now azureComment
	err := a.call(ctx, http.MethodPatch, a.threads(number)+"/"+url.PathEscape(thread)+"/comments/"+url.PathEscape(comment), in, &now)
	if err == nil && now.Deleted {
		return errDeleted
	}
	return err
}

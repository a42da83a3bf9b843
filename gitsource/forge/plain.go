package forge

import (
	"cmp"
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// A plainStatus is a status as GitHub and Gitea have it alike.
type plainStatus struct {
	State string `json:"state,omitempty"`
	// Answered is the state that Gitea answers with.
	Answered    string    `json:"status,omitempty"`
	Context     string    `json:"context"`
	Description string    `json:"description,omitempty"`
	TargetURL   string    `json:"target_url,omitempty"`
	Created     time.Time `json:"created_at,omitzero"`
}

// plainWords are the states of a plainStatus. Both lack a use for a Warning: GitHub has no
// such state, and Gitea counts it as failed, so that a branch that requires the context
// could not be merged into. A Warning passes, so it is a success. An Error blocks a merge
// where the context is required, as a Failure does.
func plainWords() vocabulary {
	return vocabulary{
		{Pending, "pending", ""},
		{Warning, "success", warningText}, {Success, "success", ""}, {Warning, "warning", ""},
		{Failure, "failure", ""},
		{Error, "error", ""},
	}
}

// plain is a status as it is sent.
func (s site) plain(status Status) plainStatus {
	said, status := s.say(plainWords(), status)
	return plainStatus{State: said, Context: status.Context, Description: status.Description, TargetURL: status.TargetURL}
}

// decode is a status that was answered with.
func (p plainStatus) decode(commit string) Status {
	state, description := plainWords().hear(cmp.Or(p.Answered, p.State), p.Description)
	return Status{Commit: commit, Context: p.Context, State: state, Description: description, TargetURL: p.TargetURL, Time: p.Created}
}

// plainComments are the comments of pull requests as Gitea, GitHub and GitLab have them
// alike. Those of an App are its own by the App, all others by the account.
type plainComments struct {
	site site
	// account tells whose the token is; of is where the comments of a pull request are, and
	// at where one of them is, which the method changes.
	account string
	of      func(number int64) string
	at      func(number int64, id string) string
	method  string
	// list yields the comments that are at a path.
	list func(ctx context.Context, path string) iter.Seq2[plainComment, error]
}

// A plainComment is one of them. Its author is in another field at each forge.
type plainComment struct {
	ID     int64     `json:"id,omitempty"`
	Text   string    `json:"body"`
	User   plainID   `json:"user,omitzero"`
	Author plainID   `json:"author,omitzero"`
	App    *plainApp `json:"performed_via_github_app,omitempty"`
}

// plainID tells an account, or a repository.
type plainID struct {
	ID int64 `json:"id"`
}

// plainApp tells a GitHub App.
type plainApp struct {
	plainID
	ClientID string `json:"client_id"`
}

// is says whether the App has the ID, or the client ID.
func (a *plainApp) is(id string) bool {
	return a != nil && (decimal(a.ID) == id || a.ClientID == id)
}

// own implements commentForge.
func (p plainComments) own(ctx context.Context, number int64) ([]heldComment, error) {
	mine := func(c plainComment) bool { return c.App.is(p.site.app) }
	if p.site.app == "" {
		var me plainID
		if known, err := p.site.api.account(ctx, p.account, &me); !known || me.ID == 0 {
			return nil, err
		}
		mine = func(c plainComment) bool { return me.ID == cmp.Or(c.User.ID, c.Author.ID) }
	}
	return gather(p.list(ctx, p.of(number)), maxCommented, maxCommented, func(c plainComment) (heldComment, bool) {
		return heldComment{decimal(c.ID), c.Text}, mine(c)
	})
}

// write implements commentForge.
func (p plainComments) write(ctx context.Context, number int64, text string) (string, error) {
	var made plainComment
	err := p.site.api.call(ctx, http.MethodPost, p.of(number), nil, plainComment{Text: text}, &made)
	return commentID(made.ID), err
}

// rewrite implements commentForge.
func (p plainComments) rewrite(ctx context.Context, number int64, id, text string) error {
	return p.site.api.call(ctx, p.method, p.at(number, url.PathEscape(id)), nil, plainComment{Text: text}, nil)
}

// commentID is the ID of a comment; empty for one that has none.
func commentID(id int64) string {
	if id == 0 {
		return ""
	}
	return decimal(id)
}

// pageOf asks for so many items of a list at once, in the parameter that a forge has for
// it.
func pageOf(parameter string, size int) url.Values {
	return url.Values{parameter: {strconv.Itoa(size)}}
}

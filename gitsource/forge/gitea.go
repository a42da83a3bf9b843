package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// giteaPage is how many statuses are asked for at once; Gitea's own
	// default for the most it answers with (MAX_RESPONSE_ITEMS).
	giteaPage = 50
	// giteaPages bounds the pages read for one commit.
	giteaPages = 100
	// giteaWarning begins the description of a Warning.
	giteaWarning = "Warning: "
)

// gitea writes commit statuses to Gitea and Forgejo by their API,
// https://docs.gitea.com/api, operations repoCreateStatus and
// repoGetCombinedStatusByRef.
//
// Gitea has a state "warning", but counts it as failed: a branch that requires
// the context could not be merged into. A Warning passes, so it is written as
// "success" with a description that begins with "Warning: ", and read back.
type gitea struct {
	api  api
	row  row
	repo string // owner/name, escaped
}

var _ Reporter = gitea{}

// giteaStatus is CommitStatus of the API; sent, it is CreateStatusOption,
// whose state has another key than the one it is answered with.
type giteaStatus struct {
	State       State     `json:"state,omitempty"`
	Answered    State     `json:"status,omitempty"`
	Context     string    `json:"context"`
	Description string    `json:"description"`
	TargetURL   string    `json:"target_url"`
	Created     time.Time `json:"created_at,omitzero"`
}

// openGitea opens the repository of a Gitea or Forgejo server.
func openGitea(r row, target Target) (Destination, error) {
	place, err := locate(target.Repository)
	if err != nil {
		return Destination{}, err
	}
	base, owner, name, err := place.ownerAndName()
	if err != nil {
		return Destination{}, err
	}
	if target.API != "" {
		if base, err = parseBase(strings.TrimSuffix(strings.TrimRight(target.API, "/"), "/api/v1")); err != nil {
			return Destination{}, err
		}
	}
	if target.Token == "" {
		return Destination{}, fmt.Errorf("repository %s/%s: %w", owner, name, ErrUnauthorized)
	}
	access := newAPI(target.Client, base, "token", target.Token)
	repo := url.PathEscape(owner) + "/" + url.PathEscape(name)
	return Destination{
		Host:         base.Host,
		Repository:   owner + "/" + name,
		Reporter:     gitea{api: access, row: r, repo: repo},
		PullRequests: giteaPulls{api: access, repo: repo},
	}, nil
}

// Set implements Reporter.
func (g gitea) Set(ctx context.Context, status Status) error {
	if err := status.check(); err != nil {
		return err
	}
	var taken giteaStatus
	path := "/api/v1/repos/" + g.repo + "/statuses/" + status.Commit
	err := g.api.call(ctx, http.MethodPost, path, nil, g.encode(status), &taken)
	if err == nil {
		return nil
	}
	// Gitea answers 500 to a commit it does not have, so ask again by reading.
	var answer *answerError
	if errors.As(err, &answer) && answer.code == http.StatusInternalServerError {
		if _, _, asked := g.Latest(ctx, status.Commit, status.Context); errors.Is(asked, ErrNotFound) {
			return asked
		}
	}
	return g.describe("setting", status.Commit, status.Context, err)
}

// Latest implements Reporter. It reads the combined status, in which Gitea
// itself has picked the newest of each context: the times of the single ones
// are whole seconds, and their order within a second is not defined.
func (g gitea) Latest(ctx context.Context, commit, context string) (Status, bool, error) {
	name := g.row.fit(Status{Context: context}).Context
	path := "/api/v1/repos/" + g.repo + "/commits/" + url.PathEscape(commit) + "/status"
	for page := 1; page <= giteaPages; page++ {
		var combined struct {
			Statuses []giteaStatus `json:"statuses"`
		}
		query := url.Values{"page": {strconv.Itoa(page)}, "limit": {strconv.Itoa(giteaPage)}}
		if err := g.api.call(ctx, http.MethodGet, path, query, nil, &combined); err != nil {
			return Status{}, false, g.describe("reading", commit, context, err)
		}
		// Neither a short page nor the count in the header is a sure sign of
		// the end: the server may have a lower limit, and counts wrong when it
		// groups.
		if len(combined.Statuses) == 0 {
			return Status{}, false, nil
		}
		for _, s := range combined.Statuses {
			if s.Context == name {
				return s.decode(commit), true, nil
			}
		}
	}
	err := fmt.Errorf("%w: more than %d pages of statuses", ErrRejected, giteaPages)
	return Status{}, false, g.describe("reading", commit, context, err)
}

// Fit implements Reporter.
func (g gitea) Fit(status Status) Status {
	sent := g.encode(status)
	sent.Answered, sent.Created = sent.State, status.Time
	return sent.decode(status.Commit)
}

// encode returns the status as it is sent.
func (g gitea) encode(s Status) giteaStatus {
	if s.State == Warning {
		s.State, s.Description = Success, giteaWarning+s.Description
	}
	s = g.row.fit(s)
	return giteaStatus{State: s.State, Context: s.Context, Description: s.Description, TargetURL: s.TargetURL}
}

// decode returns the status that Gitea answered with.
func (s giteaStatus) decode(commit string) Status {
	state, description := s.Answered, s.Description
	if rest, found := strings.CutPrefix(description+" ", giteaWarning); found && state == Success {
		state, description = Warning, strings.TrimSuffix(rest, " ")
	}
	return Status{
		Commit:      commit,
		Context:     s.Context,
		State:       state,
		Description: description,
		TargetURL:   s.TargetURL,
		Time:        s.Created,
	}
}

// describe says which status of which repository an error is about.
func (g gitea) describe(doing, commit, context string, err error) error {
	return fmt.Errorf("%s status %q of commit %.7s in %s/%s: %w", doing, context, commit, g.api.base.String(), g.repo, err)
}

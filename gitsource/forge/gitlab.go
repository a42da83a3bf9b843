package forge

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// gitlabPage is the most that GitLab answers with at once.
	gitlabPage = 100
	// gitlabURL is the length of a target URL, in characters.
	gitlabURL = 255
)

// gitlab speaks with GitLab, gitlab.com and self-managed. It writes commit statuses by
// https://docs.gitlab.com/api/commits/#commit-status; what is not written there is in
// GitLab's own app/services/ci/create_commit_status_service.rb.
//
// A status is a job in a pipeline. GitLab makes a new job for it, in the commit's newest
// pipeline or a new one, unless it finds the context's job pending or running: that one
// then changes. So a verdict names the pipeline in which the wait for it is, or that
// would wait for ever; and a wait that follows a verdict is a new job. A pending job
// refuses to become pending, and a running one to run: while it waits, its description
// can change once, when it becomes running, and then stays.
//
// States: Pending is "pending", and "running" where its description changes; Success is
// "success", Failure "failed". A Warning is "success" with a description that begins with
// "Warning: ", an Error "failed" with "Inconclusive: ". Jobs that others have canceled or
// skipped are read as an Error.
type gitlab struct{ site }

func speakGitLab(s site) client {
	return struct {
		gitlab
		plainComments
	}{gitlab{s}, gitlabComments(s)}
}

// gitlab is a project, in as many groups as it is.
func (l location) gitlab() (base url.URL, group, project string, err error) {
	full := l.below(l.web)
	i := strings.LastIndexByte(full, '/')
	if l.host == "" || i < 0 {
		return url.URL{}, "", "", fmt.Errorf("repository %q on host %q is not a group and a project", full, l.host)
	}
	return l.web, full[:i], full[i+1:], nil
}

// gitlabStatus is CommitStatus of the API; sent, its state has another key than the one
// it is answered with.
type gitlabStatus struct {
	ID          int64     `json:"id,omitempty"`
	State       string    `json:"state,omitempty"`
	Answered    string    `json:"status,omitempty"`
	Ref         string    `json:"ref,omitempty"`
	Pipeline    int64     `json:"pipeline_id,omitempty"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	TargetURL   string    `json:"target_url,omitempty"`
	Created     time.Time `json:"created_at,omitzero"`
	Started     time.Time `json:"started_at,omitzero"`
	Finished    time.Time `json:"finished_at,omitzero"`
}

// gitlabWords is what GitLab calls the states of a job.
func gitlabWords() vocabulary {
	words := judged("pending", "success", "failed")
	for _, waiting := range []string{"created", "waiting_for_resource", "preparing", "running", "scheduled", "manual"} {
		words = append(words, word{Pending, waiting, ""})
	}
	return words
}

// gitlabPath is that of the project in the API, which is one segment there.
func (s site) gitlabPath() string { return "/api/v4/projects/" + url.PathEscape(s.repository()) }

// gitlabList is a list of so many items a page.
func gitlabList[T any](ctx context.Context, a api, path string, query url.Values, size int) iter.Seq2[T, error] {
	query.Set("per_page", strconv.Itoa(size))
	return each(numbered[[]T](ctx, a, path, query), bare[T](size))
}

// set implements statusForge.
func (g gitlab) set(ctx context.Context, status Status) error {
	sent := g.encode(status)
	held, err := g.newest(ctx, status.Commit, sent.Name)
	if err != nil {
		return err
	}
	if status.State == Pending && held.waits() {
		if held.Answered != sent.State || held.Description == sent.Description {
			return nil
		}
		sent.State = "running"
	}
	return g.post(ctx, status.Commit, sent, held)
}

// post sends a status to where the wait for it is, if there is one.
func (g gitlab) post(ctx context.Context, commit string, sent gitlabStatus, held *gitlabStatus) error {
	path := g.gitlabPath() + "/statuses/" + commit
	alone := sent
	if held.waits() {
		sent.Ref, sent.Pipeline = held.Ref, held.Pipeline
	}
	var taken gitlabStatus
	err := g.api.call(ctx, http.MethodPost, path, nil, sent, &taken)
	if errors.Is(err, ErrNotFound) && sent.Pipeline != 0 {
		// That pipeline is archived, and takes nothing any more.
		err = g.api.call(ctx, http.MethodPost, path, nil, alone, &taken)
	}
	if locked := refusal(err, http.StatusConflict, ""); locked != nil {
		return fmt.Errorf("%w: another update of this commit's statuses is in progress: %q", ErrTemporary, locked.said)
	}
	if refused := refusal(err, http.StatusBadRequest, "cannot transition status"); refused != nil {
		return g.settled(ctx, commit, sent, refused)
	}
	return err
}

// settled decides about a refused transition: it is done if what is held says the same,
// and else somebody else has written meanwhile.
func (g gitlab) settled(ctx context.Context, commit string, sent gitlabStatus, refused *answerError) error {
	held, err := g.newest(ctx, commit, sent.Name)
	if err != nil {
		return err
	}
	wanted, _ := gitlabWords().hear(sent.State, sent.Description)
	if held != nil && held.decode(commit).State == wanted {
		return nil
	}
	return fmt.Errorf("%w: the status changed meanwhile: %q", ErrTemporary, refused.said)
}

// latest implements statusForge.
func (g gitlab) latest(ctx context.Context, commit, context string) (*Status, error) {
	held, err := g.newest(ctx, commit, context)
	return decoded(held, commit, err)
}

// newest returns the newest status of the name; nil if there is none. Each pipeline of
// the commit can have one. Older servers do not know the order.
func (g gitlab) newest(ctx context.Context, commit, name string) (*gitlabStatus, error) {
	path := g.gitlabPath() + "/repository/commits/" + url.PathEscape(commit) + "/statuses"
	query := url.Values{"name": {name}, "order_by": {"id"}, "sort": {"desc"}}
	all := gitlabList[*gitlabStatus](ctx, g.api, path, query, gitlabPage)
	return newest(all, func(s *gitlabStatus) (int64, bool) { return s.ID, s.Name == name })
}

// fit implements statusForge.
func (g gitlab) fit(status Status) Status {
	sent := g.encode(status)
	sent.Answered = sent.State
	return sent.decode(status.Commit)
}

// encode returns the status as it is sent.
func (g gitlab) encode(s Status) gitlabStatus {
	said, s := g.say(gitlabWords(), s)
	return gitlabStatus{State: said, Ref: s.Ref, Name: s.Context, Description: s.Description, TargetURL: pageURL(s.TargetURL, gitlabURL)}
}

// waits says whether the job has no verdict yet.
func (s *gitlabStatus) waits() bool {
	if s == nil {
		return false
	}
	state, _ := gitlabWords().hear(s.Answered, s.Description)
	return state == Pending
}

// decode returns the status that GitLab answered with.
func (s gitlabStatus) decode(commit string) Status {
	state, description := gitlabWords().hear(s.Answered, s.Description)
	at := s.Created
	for _, later := range []time.Time{s.Started, s.Finished} {
		if later.After(at) {
			at = later
		}
	}
	return Status{Commit: commit, Context: s.Name, State: state, Description: description, TargetURL: s.TargetURL, Time: at}
}

package stage

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/keptn/gitops/dora"
	"github.com/keptn/gitops/gitsource/forge"
)

// Status is what a commit shows in one context.
type Status struct {
	Context, State, Description string
}

// History reads all that a commit was ever told, oldest first.
type History func(ctx context.Context, commit string) ([]Status, error)

// FromNotes reads statuses from Git notes, by Git's own means, and leaves out the
// deployments that are there as well.
func FromNotes(r *Repo) History {
	return func(ctx context.Context, commit string) ([]Status, error) {
		listed, err := r.Git(ctx, "ls-remote", "origin", forge.NotesRef)
		if err != nil || listed == "" {
			return nil, err
		}
		if _, err := r.Git(ctx, "fetch", "--quiet", "origin", "+"+forge.NotesRef+":"+forge.NotesRef); err != nil {
			return nil, err
		}
		text, err := r.Git(ctx, "notes", "--ref=keptn", "show", commit)
		if err != nil {
			return nil, nil
		}
		var history []Status
		for line := range strings.Lines(text) {
			if _, deployment := dora.DeploymentOfNote(strings.TrimSpace(line)); deployment {
				continue
			}
			note, err := forge.ParseNote(commit, strings.TrimSpace(line))
			if err != nil {
				return nil, err
			}
			history = append(history, Status{note.Context, string(note.State), note.Description})
		}
		return history, nil
	}
}

// newest returns the newest status of each context. Notes tell the time to the
// second: of one second, a verdict is later than pending.
func newest(history []Status) map[string]Status {
	statuses := map[string]Status{}
	for _, s := range history {
		if was := statuses[s.Context]; was.State == "" || was.State == string(forge.Pending) || s.State != string(forge.Pending) {
			statuses[s.Context] = s
		}
	}
	return statuses
}

// Gitea is a Gitea server, and an account on it.
type Gitea struct {
	URL, User, Password, Token string
}

// giteaStatus is a commit status in Gitea's API; ids ascend as statuses come in.
type giteaStatus struct {
	ID                           int64
	Context, Description, Status string
}

// FromGitea reads statuses from Gitea's API, of a repository of the account's.
func (g Gitea) FromGitea(name string) History {
	return func(ctx context.Context, commit string) ([]Status, error) {
		var told []giteaStatus
		path := fmt.Sprintf("/api/v1/repos/%s/%s/commits/%s/statuses?limit=50", g.User, name, commit)
		if err := g.call(ctx, http.MethodGet, path, nil, &told); err != nil {
			return nil, err
		}
		slices.SortFunc(told, func(a, b giteaStatus) int { return cmp.Compare(a.ID, b.ID) })
		history := make([]Status, len(told))
		for i, s := range told {
			history[i] = Status{s.Context, s.Status, s.Description}
		}
		return history, nil
	}
}

// CreateRepository makes an empty repository and returns its URL.
func (g Gitea) CreateRepository(ctx context.Context, name string) (string, error) {
	body := map[string]any{"name": name, "default_branch": "main", "private": true}
	if err := g.call(ctx, http.MethodPost, "/api/v1/user/repos", body, nil); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s/%s/%s.git", g.URL, g.User, name), nil
}

// call calls Gitea's API (https://docs.gitea.com/api).
func (g Gitea) call(ctx context.Context, method, path string, body, answer any) error {
	content, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("gitea: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, g.URL+path, strings.NewReader(string(content)))
	if err != nil {
		return fmt.Errorf("gitea: %w", err)
	}
	req.Header.Set("Authorization", "token "+g.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("gitea: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("gitea: %s %s: %s", method, path, resp.Status)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

// GiteaFromEnvironment is the Gitea that TESTBED_GITEA_* describe.
func GiteaFromEnvironment() Gitea {
	return Gitea{
		URL:      os.Getenv("TESTBED_GITEA_URL"),
		User:     os.Getenv("TESTBED_GITEA_USER"),
		Password: os.Getenv("TESTBED_GITEA_PASSWORD"),
		Token:    os.Getenv("TESTBED_GITEA_TOKEN"),
	}
}

// WithCredentials is a URL of this Gitea for a developer's working copy.
func (g Gitea) WithCredentials(url string) string {
	return strings.Replace(url, "://", "://"+g.User+":"+g.Token+"@", 1)
}

package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/keptn/gitops/gitsource/forge"
)

// Status is what a commit shows in one context.
type Status struct {
	Context, State, Description string
}

// Statuses reads what a commit shows, by context.
type Statuses func(ctx context.Context, commit string) (map[string]Status, error)

// FromNotes reads statuses from Git notes, by Git's own means.
func FromNotes(r *Repo) Statuses {
	return func(ctx context.Context, commit string) (map[string]Status, error) {
		listed, err := r.Git(ctx, "ls-remote", "origin", forge.NotesRef)
		if err != nil || listed == "" {
			return nil, err
		}
		if _, err := r.Git(ctx, "fetch", "--quiet", "origin", "+"+forge.NotesRef+":"+forge.NotesRef); err != nil {
			return nil, err
		}
		text, err := r.Git(ctx, "notes", "--ref=keptn", "show", commit)
		if err != nil {
			return nil, nil //nolint:nilerr // Git fails where there is no note
		}
		return newest(commit, text)
	}
}

// newest returns the newest status of each context in a note.
func newest(commit, text string) (map[string]Status, error) {
	statuses := map[string]Status{}
	for line := range strings.Lines(text) {
		note, err := forge.ParseNote(commit, strings.TrimSpace(line))
		if err != nil {
			return nil, err
		}
		// Lines are sorted by time; of one second, a verdict is later than pending.
		if was := statuses[note.Context]; was.State == "" || note.State.Final() || was.State == string(forge.Pending) {
			statuses[note.Context] = Status{note.Context, string(note.State), note.Description}
		}
	}
	return statuses, nil
}

// Gitea is a Gitea server, and an account on it.
type Gitea struct {
	URL, User, Password, Token string
}

// FromGitea reads statuses from Gitea's API, of the repository owner/name.
func (g Gitea) FromGitea(name string) Statuses {
	return func(ctx context.Context, commit string) (map[string]Status, error) {
		var combined struct {
			Statuses []struct {
				Context, Description string
				Status               string
			}
		}
		path := fmt.Sprintf("/api/v1/repos/%s/%s/commits/%s/status?limit=100", g.User, name, commit)
		if err := g.call(ctx, http.MethodGet, path, nil, &combined); err != nil {
			return nil, err
		}
		statuses := map[string]Status{}
		for _, s := range combined.Statuses {
			statuses[s.Context] = Status{s.Context, s.Status, s.Description}
		}
		return statuses, nil
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

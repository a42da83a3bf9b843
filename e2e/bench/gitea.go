package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// gitea is the testbed's Gitea, as its administrator sees it.
type gitea struct{ url, owner, token string }

func (b *bench) gitea() gitea {
	return gitea{url: b.bed.giteaURL, owner: b.bed.giteaUser, token: b.bed.giteaToken}
}

// version asks which version it is.
func (g gitea) version(ctx context.Context) (string, error) {
	var answer struct{ Version string }
	err := g.call(ctx, http.MethodGet, "/version", "", &answer)
	return answer.Version, err
}

// create makes an empty private repository.
func (g gitea) create(ctx context.Context, name string) error {
	body := fmt.Sprintf(`{"name":%q,"private":true,"default_branch":"main"}`, name)
	return g.call(ctx, http.MethodPost, "/user/repos", body, nil)
}

// hook has Gitea send pushes to an address, signed with the key.
func (g gitea) hook(ctx context.Context, repository, to, key string) error {
	body := fmt.Sprintf(`{"type":"gitea","active":true,"events":["push"],"config":{"url":%q,"content_type":"json","secret":%q}}`, to, key)
	return g.call(ctx, http.MethodPost, "/repos/"+g.owner+"/"+repository+"/hooks", body, nil)
}

// askAgain is the pause between an answer of Gitea's and the next question: short
// enough to see a status when it comes, and long enough to leave Gitea its time.
const askAgain = 10 * time.Millisecond

// await asks until the commit has a status of that context, and returns when the
// answer came that had it.
func (g gitea) await(ctx context.Context, repository, commit, statusContext string) (time.Time, error) {
	const most = time.Minute
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("commit %.7s has no status %s after %s", commit, statusContext, most))
	defer cancel()
	for {
		var statuses []struct{ Context, Status, Description string }
		err := g.call(ctx, http.MethodGet, "/repos/"+g.owner+"/"+repository+"/statuses/"+commit, "", &statuses)
		if err != nil {
			return time.Time{}, err
		}
		for _, s := range statuses {
			switch {
			case s.Context != statusContext:
			case s.Status != "success":
				return time.Time{}, fmt.Errorf("commit %.7s is %s: %s", commit, s.Status, s.Description)
			default:
				return time.Now(), nil
			}
		}
		if err := pause(ctx, askAgain); err != nil {
			return time.Time{}, err
		}
	}
}

// call asks the API, https://docs.gitea.com/api.
func (g gitea) call(ctx context.Context, method, path, body string, out any) error {
	request, err := http.NewRequestWithContext(ctx, method, g.url+"/api/v1"+path, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask Gitea: %w", err)
	}
	request.Header.Set("Authorization", "token "+g.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask Gitea: %w", errors.Join(err, context.Cause(ctx)))
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("ask Gitea: %w", err)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("ask Gitea: %s %s: %s: %s", method, path, response.Status, text)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("ask Gitea: %s %s: %w", method, path, err)
	}
	return nil
}

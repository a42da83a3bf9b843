package promotion_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry"
)

// giteaServer is the testbed's real one, or the test is skipped.
type giteaServer struct {
	t          *testing.T
	url, token string
}

func realGitea(t *testing.T) giteaServer {
	g := giteaServer{t, os.Getenv("TESTBED_GITEA_URL"), os.Getenv("TESTBED_GITEA_TOKEN")}
	if g.url == "" || g.token == "" {
		t.Skip("TESTBED_GITEA_URL and TESTBED_GITEA_TOKEN name no server")
	}
	return g
}

// call uses the API; out may be nil.
func (g giteaServer) call(method, path string, in, out any) {
	g.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		g.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(g.t.Context(), method, g.url+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	request.Header.Set("Authorization", "token "+g.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 {
		g.t.Fatalf("%s %s: %s %s %v", method, path, response.Status, answer, err)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(answer, out); err != nil {
		g.t.Fatal(err)
	}
}

func TestGiteaServerTakesAPromotion(t *testing.T) {
	g := realGitea(t)
	var user struct{ Login string }
	g.call(http.MethodGet, "/user", nil, &user)
	name := fmt.Sprintf("promotion-%d", time.Now().UnixNano())
	g.call(http.MethodPost, "/user/repos", map[string]any{"name": name, "default_branch": "main"}, nil)
	repo := "/repos/" + user.Login + "/" + name
	var files []map[string]string
	for path, content := range map[string]string{
		"apps/base/deployment.yaml": deployment, "apps/base/kustomization.yaml": "resources: [deployment.yaml]\n",
		"apps/staging/checkout/kustomization.yaml": staging, file: production,
	} {
		files = append(files, map[string]string{"operation": "create", "path": path, "content": base64.StdEncoding.EncodeToString([]byte(content))})
	}
	var made struct{ Commit struct{ SHA string } }
	g.call(http.MethodPost, repo+"/contents", map[string]any{"branch": "main", "files": files}, &made)

	w := newWorld(t)
	w.source.Spec.URL = g.url + "/" + user.Login + "/" + name + ".git"
	w.source.Spec.Statuses.APIURL = ""
	w.others = nil
	w.secret("git", map[string]string{"username": user.Login, "password": g.token})
	w.secret("forge", map[string]string{"token": g.token})
	w.kav.Spec.Commit.SHA = made.Commit.SHA
	first := w.promote(t)
	if again := w.promote(t); again != first || !strings.HasSuffix(first.URL, "/"+name+"/pulls/1") {
		t.Errorf("promoted twice it is %+v, and %+v", first, again)
	}
	var pull struct {
		Body  string
		Files int `json:"changed_files"`
	}
	g.call(http.MethodGet, repo+"/pulls/1", nil, &pull)
	if trace := telemetry.PhaseTraceparent(w.kav.UID, lifecyclev1.PhasePromotion); pull.Files != 1 || !strings.Contains(pull.Body, trace) {
		t.Errorf("the pull request changes %d files, and says\n%s", pull.Files, pull.Body)
	}
	g.call(http.MethodPost, repo+"/pulls/1/merge", map[string]string{"Do": "merge"}, nil)
	if merged := w.promote(t); merged.URL != "" || !strings.Contains(merged.Message, "has it all") {
		t.Errorf("once it is merged: %+v", merged)
	}
	var content struct{ Content string }
	g.call(http.MethodGet, repo+"/contents/"+file, nil, &content)
	if got, err := base64.StdEncoding.DecodeString(content.Content); err != nil || !strings.Contains(string(got), "newTag: v2 # by keptn") {
		t.Errorf("the next stage has\n%s", got)
	}
}

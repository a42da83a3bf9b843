package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// A workingCopy is a clone that commits are pushed from.
type workingCopy struct {
	dir string
	// env holds the credentials, so that they are in no file and no argument.
	env []string
}

// gitEnv keeps the user's own settings out, so that all machines do the same.
func gitEnv() []string {
	return append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Bench", "GIT_AUTHOR_EMAIL=bench@keptn.invalid",
		"GIT_COMMITTER_NAME=Bench", "GIT_COMMITTER_EMAIL=bench@keptn.invalid")
}

// newWorkingCopy makes an empty repository that pushes to url.
func newWorkingCopy(ctx context.Context, dir, url, user, password string) (*workingCopy, error) {
	basic := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	w := &workingCopy{dir: dir, env: append(gitEnv(),
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Basic "+basic)}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a working copy: %w", err)
	}
	if _, err := w.git(ctx, "init", "-q", "-b", "main"); err != nil {
		return nil, err
	}
	_, err := w.git(ctx, "remote", "add", "origin", url)
	return w, err
}

// git runs a command in the working copy and returns what it printed.
func (w *workingCopy) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w\n%s", args[0], err, out)
	}
	return string(out), nil
}

// commit writes files, by path, and commits them.
func (w *workingCopy) commit(ctx context.Context, files map[string]string) (sha string, err error) {
	for name, text := range files {
		full := filepath.Join(w.dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return "", fmt.Errorf("write the working copy: %w", err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			return "", fmt.Errorf("write the working copy: %w", err)
		}
	}
	if _, err := w.git(ctx, "add", "-A"); err != nil {
		return "", err
	}
	if _, err := w.git(ctx, "commit", "-q", "-m", "Change "+time.Now().Format(time.RFC3339Nano)); err != nil {
		return "", err
	}
	out, err := w.git(ctx, "rev-parse", "HEAD")
	if err != nil {
		return "", err
	}
	return out[:len(out)-1], nil
}

// push pushes, and returns when it began and ended.
func (w *workingCopy) push(ctx context.Context) (began, ended time.Time, err error) {
	began = time.Now()
	_, err = w.git(ctx, "push", "-q", "origin", "main")
	return began, time.Now(), err
}

// app is the smallest app that has all there is to read: an app of its own folder
// with a lifecycle, a policy, a kustomization and a Deployment. Soak makes one
// content differ from another.
func app(name string, soak time.Duration) map[string]string {
	folder := "apps/" + name + "/"
	return map[string]string{
		folder + "lifecycle.yaml":     fmt.Sprintf(lifecycleText, name, soak),
		folder + "kustomization.yaml": "resources: [deployment.yaml]\n",
		folder + "deployment.yaml":    fmt.Sprintf(deploymentText, name),
		"README.md":                   "# Shop\n",
	}
}

const lifecycleText = `apiVersion: gitops.keptn.sh/v1alpha1
kind: Lifecycle
metadata:
  name: %[1]s
spec:
  postDeployment:
    soak: %[2]s
    policies: [%[1]s-slo]
---
apiVersion: gitops.keptn.sh/v1alpha1
kind: SLOPolicy
metadata:
  name: %[1]s-slo
spec:
  metrics:
    - name: errors
      provider: {name: prometheus}
      query: sum(rate(http_requests_total{code=~"5.."}[5m]))
    - name: requests
      provider: {name: prometheus}
      query: sum(rate(http_requests_total[5m]))
  rules:
    - name: error-ratio
      expression: metrics.errors / metrics.requests < 0.01
`

const deploymentText = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[1]s
spec:
  selector:
    matchLabels: {app: %[1]s}
  template:
    metadata:
      labels: {app: %[1]s}
    spec:
      containers:
        - name: %[1]s
          image: example.com/%[1]s:1
`

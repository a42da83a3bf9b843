package stage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// UpAudited brings it up as Up does, and has the API server log its requests as the
// audit policy in a file says. It returns the log's file.
func (t *Testbed) UpAudited(ctx context.Context, policy string, parts ...string) (string, error) {
	access, err := t.run(ctx, "up", "--only", strings.Join(parts, ","), "--audit-policy", policy)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(access) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if !ok {
			continue
		}
		if err := os.Setenv(name, strings.Trim(value, `"'`)); err != nil {
			return "", fmt.Errorf("testbed: %w", err)
		}
	}
	assets, err := t.run(ctx, "assets")
	if err != nil {
		return "", err
	}
	path := strings.TrimSpace(assets) + string(filepath.ListSeparator) + os.Getenv("PATH")
	return os.Getenv("TESTBED_AUDIT_LOG"), os.Setenv("PATH", path)
}

// A Component is a program of the testbed, as its supervisor sees it.
type Component struct {
	Name string `json:"name"`
	// State is running, or what else the supervisor calls it.
	State string `json:"state"`
	// Pid is its process on this machine; 0 if it has none.
	Pid int `json:"pid"`
	// Healthy says whether it serves.
	Healthy bool `json:"healthy"`
	// Error is why it does not.
	Error string `json:"error"`
}

// Components asks after all programs of the testbed, by their names, whether they are
// well or not.
func (t *Testbed) Components(ctx context.Context) (map[string]Component, error) {
	cmd := exec.CommandContext(ctx, "go", "-C", filepath.Join(t.root, "e2e", "testbed"), "run", ".", "--name", t.name, "status", "--output", "json")
	var said bytes.Buffer
	cmd.Stderr = &said
	out, failed := cmd.Output() // also where one of them is not well
	var components []Component
	if err := json.Unmarshal(out, &components); err != nil {
		return nil, fmt.Errorf("testbed status: %w, %w: %s", failed, err, said.String())
	}
	byName := make(map[string]Component, len(components))
	for _, c := range components {
		byName[c.Name] = c
	}
	return byName, nil
}

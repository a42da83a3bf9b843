package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/e2e/stage"
	"github.com/keptn/gitops/gitsource/forge"
)

// makeLog makes lines for keptn dora of what a Lifecycle records.
const makeLog = `kubectl -n shop get lifecycle shop-checkout -o go-template='{{range .status.deployments}}
{"app":"checkout","environment":"production","commit":"{{.commit}}","startedAt":"{{.startedAt}}","finishedAt":"{{.finishedAt}}","result":"{{.result}}"}{{end}}' > log.jsonl`

// buildKeptn builds what users run.
func buildKeptn(ctx context.Context, root string) error {
	cmd := exec.CommandContext(ctx, "make", "--no-print-directory", "-C", root, "build")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build keptn: %w", err)
	}
	return nil
}

// dora shows how well the app was delivered, as anybody with the repository can, or on
// Gitea, where there are no notes, who may read the cluster.
func (s *story) dora(ctx context.Context, n *narrator) error {
	n.chapter("How well checkout is delivered")
	commands, noted := []string{
		"git clone --quiet --mirror " + s.Repo.URL,
		"keptn dora --source shop.git --notes --path " + stage.Folder,
	}, s.inNotes
	if onGitea() {
		commands, noted = []string{makeLog, "keptn dora --source shop --deployments log.jsonl --path " + stage.Folder}, s.inCluster
	}
	for _, told := range s.outcomes {
		if !told.deployed {
			continue
		}
		if err := recorded(ctx, told.sha, noted); err != nil {
			return err
		}
	}
	return s.shell(ctx, n, commands...)
}

// shell runs commands in one shell, above the working copy, and shows them with what
// they print.
func (s *story) shell(ctx context.Context, n *narrator, commands ...string) error {
	for _, command := range commands {
		fmt.Fprintln(n.out, "$", command)
	}
	cmd := exec.CommandContext(ctx, "sh", "-e", "-c", strings.Join(commands, "\n"))
	cmd.Dir = filepath.Dir(s.Repo.Dir)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null",
		"PATH="+filepath.Join(s.root, "bin")+string(filepath.ListSeparator)+os.Getenv("PATH"))
	cmd.Stdout, cmd.Stderr = n.out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(commands, "; "), err)
	}
	return nil
}

// recorded waits until the deployment of a commit is recorded, as noted says.
func recorded(ctx context.Context, sha string, noted func(context.Context, string) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		if ok, err := noted(ctx, sha); err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the deployment of %.7s is not recorded: %w", sha, ctx.Err())
		case <-tick.C:
		}
	}
}

// inNotes says whether the note of a commit tells of its deployment.
func (s *story) inNotes(ctx context.Context, sha string) (bool, error) {
	if _, err := s.Repo.Git(ctx, "fetch", "--quiet", "origin", "+"+forge.NotesRef+":"+forge.NotesRef); err != nil {
		return false, err
	}
	note, err := s.Repo.Git(ctx, "notes", "--ref=keptn", "show", sha)
	return strings.Contains(note, `"finishedAt"`), err
}

// inCluster says whether the Lifecycle records the deployment of a commit.
func (s *story) inCluster(ctx context.Context, sha string) (bool, error) {
	var lifecycle gitopsv1alpha1.Lifecycle
	if err := s.Cluster.Get(ctx, client.ObjectKey{Namespace: s.Source.Namespace, Name: "checkout"}, &lifecycle); err != nil {
		return false, fmt.Errorf("read what is recorded: %w", err)
	}
	return slices.ContainsFunc(lifecycle.Status.Deployments, func(d gitopsv1alpha1.Deployment) bool { return d.Commit == sha }), nil
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/keptn/gitops/dora"
	"github.com/keptn/gitops/gitsource/forge"
)

// A deployedHistory is a history of which every commit was deployed, as Git notes tell.
type deployedHistory struct{ history }

const (
	// failedIn and rolledBackIn are how many deployments one that failed, or was a
	// rollback, comes in, and rolledBackBy by how many commits.
	failedIn, rolledBackIn, rolledBackBy = 10, 50, 20
	// deployedAfter is how long after its commit a deployment begins, and deployedFor
	// how long it takes.
	deployedAfter, deployedFor = 2 * time.Minute, 3 * time.Minute
	benchCluster               = "b1c03312"
)

// repository is where the repository is below root, and log where the deployments are.
func (h deployedHistory) repository(root string) string { return filepath.Join(root, "deployed.git") }

func (h deployedHistory) log(root string) string { return filepath.Join(root, "deployments.jsonl") }

// make makes the repository with its notes, and the log.
func (h deployedHistory) make(ctx context.Context, root string) error {
	dir := h.repository(root)
	if err := h.history.make(ctx, dir); err != nil {
		return err
	}
	repo := &workingCopy{dir: dir, env: gitEnv()}
	listed, err := repo.git(ctx, "rev-list", "--reverse", "main")
	if err != nil {
		return err
	}
	deployments := h.deployments(strings.Fields(listed))
	if err := repo.fastImport(ctx, func(to io.Writer) error { return writeNotes(to, deployments) }); err != nil {
		return err
	}
	var log strings.Builder
	for i := range deployments {
		log.WriteString(deployments[i].Line() + "\n")
	}
	if err := os.WriteFile(h.log(root), []byte(log.String()), 0o600); err != nil {
		return fmt.Errorf("write the log of deployments: %w", err)
	}
	return nil
}

// deployments are those of commits, oldest first.
func (h deployedHistory) deployments(commits []string) []dora.Deployment {
	all := make([]dora.Deployment, len(commits))
	for i, commit := range commits {
		started := time.Unix(historyBegan, 0).Add(time.Duration(i)*historyEvery + deployedAfter)
		all[i] = dora.Deployment{
			App: "a", Environment: "production", Commit: commit, Cluster: benchCluster,
			StartedAt: started, FinishedAt: started.Add(deployedFor), Result: dora.Success,
		}
		switch {
		case i%rolledBackIn == rolledBackIn-1:
			all[i].Commit = commits[i-rolledBackBy]
		case i%failedIn == failedIn-1:
			all[i].Result, all[i].FailedBy = dora.Failure, dora.CauseVerdict
		}
	}
	return all
}

// writeNotes writes the notes for git fast-import, as the controller adds to them: a
// commit for each deployment.
func writeNotes(to io.Writer, deployments []dora.Deployment) error {
	w := bufio.NewWriterSize(to, 1<<20)
	notes := map[string][]string{}
	for i := range deployments {
		d := &deployments[i]
		notes[d.Commit] = append(append(notes[d.Commit], statuses(d)...), d.Line())
		slices.Sort(notes[d.Commit])
		text := strings.Join(notes[d.Commit], "\n") + "\n"
		const message = "Notes added by keptn\n"
		fmt.Fprintf(w, "commit %s\ncommitter Keptn <keptn@keptn.invalid> %d +0000\ndata %d\n%s\nN inline %s\ndata %d\n%s\n",
			forge.NotesRef, d.FinishedAt.Unix(), len(message), message, d.Commit, len(text), text)
	}
	return w.Flush()
}

// statuses are what a commit shows of a deployment, from its begin to its end.
func statuses(d *dora.Deployment) []string {
	verdict, description := forge.Success, "2 rules hold: error-ratio 0.2% < 1%"
	if d.Result == dora.Failure {
		verdict, description = forge.Failure, "error-ratio 28.02% ≥ 1%"
	}
	var lines []string
	for i, s := range []forge.Status{
		{Context: "keptn/production/validate", State: forge.Success, Description: "valid: a"},
		{Context: "keptn/production/a/deployment", State: forge.Pending, Description: "rolling out"},
		{Context: "keptn/production/a/post-deployment", State: forge.Pending, Description: "waiting for the rollout"},
		{Context: "keptn/production/a/deployment", State: forge.Success, Description: fmt.Sprintf("2 pods run %.7s", d.Commit)},
		{Context: "keptn/production/a/post-deployment", State: forge.Pending, Description: "soaking until 12:30:34Z"},
		{Context: "keptn/production/a/post-deployment", State: verdict, Description: description},
	} {
		s.Time = d.StartedAt.Add(time.Duration(i) * deployedFor / 5)
		lines = append(lines, forge.Note{Status: s, Cluster: benchCluster}.Line())
	}
	return lines
}

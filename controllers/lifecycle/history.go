package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/manifest"
)

const (
	// maxCommits is how many commits of an app a Lifecycle keeps in its status.
	maxCommits = 20
	// maxSearched is how far back the commit of a rollout is looked for, in
	// commits that change the app.
	maxSearched = 200
)

// readHistory brings the list of the app's commits up to the source's revision.
func (r *Reconciler) readHistory(ctx context.Context, s *scope) error {
	if s.observedHead() == s.head {
		return nil
	}
	fresh, err := r.freshCommits(ctx, s, s.observedHead())
	if errors.Is(err, gitsource.ErrCommitNotFound) {
		// History was rewritten, or it is another repository: what is gone is not told.
		s.lc.Status.Commits, s.lc.Status.Reported = nil, nil
		fresh, err = r.freshCommits(ctx, s, "")
	}
	if err != nil {
		return err
	}
	s.lc.Status.Commits = merged(fresh, s.lc.Status.Commits)
	s.lc.Status.ObservedRevision = s.source.Status.ObservedRevision
	return nil
}

// freshCommits returns the commits that change the app and came since the last
// look, newest first; at the first look it is the newest such commit alone.
func (r *Reconciler) freshCommits(ctx context.Context, s *scope, since string) ([]gitopsv1alpha1.AppCommit, error) {
	limit := maxCommits
	if since == "" {
		limit = 1
	}
	var fresh []gitopsv1alpha1.AppCommit
	for c, err := range s.appCommits(ctx, s.head, since) {
		if err != nil {
			return nil, fmt.Errorf("read history: %w", err)
		}
		changes, err := r.changesWorkloads(ctx, s, c)
		if err != nil {
			return nil, err
		}
		fresh = append(fresh, gitopsv1alpha1.AppCommit{
			SHA:              c.SHA,
			CommittedAt:      metav1.NewTime(c.Committer.When.UTC()),
			SeenAt:           *phase.Time(s.now),
			ChangesWorkloads: changes,
		})
		if len(fresh) == limit {
			break
		}
	}
	return fresh, nil
}

// appCommits yields the commits up to one, and not up to since, that change the
// app, newest first.
func (s *scope) appCommits(ctx context.Context, from, since string) iter.Seq2[*gitsource.Commit, error] {
	return func(yield func(*gitsource.Commit, error) bool) {
		for c, err := range s.app.Log(ctx, gitsource.LogOptions{From: from, Until: since, Paths: s.app.Inputs()}) {
			mine := true
			if err == nil {
				mine, err = s.app.ChangedBy(ctx, c.SHA)
			}
			if (mine || err != nil) && !yield(c, err) {
				return
			}
		}
	}
}

// changesWorkloads says whether a commit renders other workloads, or other releases, than
// its first parent does.
func (r *Reconciler) changesWorkloads(ctx context.Context, s *scope, c *gitsource.Commit) (bool, error) {
	now, err := r.digests(ctx, s, c.SHA)
	if err != nil || len(c.Parents) == 0 {
		return len(now) > 0, err
	}
	before, err := r.digests(ctx, s, c.Parents[0])
	return !slices.Equal(now, before), err
}

// digests identify the workloads and releases that a commit renders to.
func (r *Reconciler) digests(ctx context.Context, s *scope, sha string) ([]string, error) {
	rendered, err := r.renderedAt(ctx, s, sha)
	if err != nil {
		return nil, err
	}
	digests := make([]string, 0, len(rendered.Workloads)+len(rendered.Releases))
	for _, w := range rendered.Workloads {
		digests = append(digests, w.Digest())
	}
	for _, release := range rendered.Releases {
		digests = append(digests, release.Digest)
	}
	return digests, nil
}

// renderedAt returns what a commit renders to, be it verified or not: nothing where it
// does not render.
func (r *Reconciler) renderedAt(ctx context.Context, s *scope, sha string) (*manifest.Rendered, error) {
	rendered, err := r.Repositories.Recognized(ctx, s.app.Repository, s.origin, sha, s.app.Folder)
	var problems manifest.Problems
	if errors.As(err, &problems) {
		return &manifest.Rendered{}, nil
	}
	return rendered, err
}

// merged puts fresh commits before known ones, each once, and keeps the newest.
func merged(fresh, known []gitopsv1alpha1.AppCommit) []gitopsv1alpha1.AppCommit {
	all := slices.Clone(fresh)
	for _, c := range known {
		if !slices.ContainsFunc(all, func(f gitopsv1alpha1.AppCommit) bool { return f.SHA == c.SHA }) {
			all = append(all, c)
		}
	}
	return all[:min(len(all), maxCommits)]
}

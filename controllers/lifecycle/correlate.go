package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/manifest"
)

// match is the commit that explains a rollout, and by what evidence.
type match struct {
	commit   *gitsource.Commit
	evidence lifecyclev1.Evidence
}

// named are those workloads that were tied to the commit whatever they carry: because
// they name it, or because it was applied.
func (m *match) named(tied []*workload.Workload) []*workload.Workload {
	if m.evidence == lifecyclev1.EvidenceContent {
		return nil
	}
	return tied
}

// correlate finds the commit that explains the workloads that changed: of those
// that explain their pod templates the newest one at or before the start of the
// rollout, or the oldest one after it; else the one that their annotations name.
// It returns nil where there is none.
func (r *Reconciler) correlate(ctx context.Context, s *scope, changed []*workload.Workload) (*match, error) {
	best := choice{start: latest(changed)}
	searched := 0
	for c, err := range s.appCommits(ctx, s.head, "") {
		if err != nil {
			return nil, fmt.Errorf("search history: %w", err)
		}
		if searched++; searched > maxSearched {
			break
		}
		rendered, err := r.renderedAt(ctx, s, c.SHA)
		if err != nil {
			return nil, err
		}
		explained := !slices.ContainsFunc(changed, func(w *workload.Workload) bool { return !s.explains(c.SHA, rendered, w) })
		if best.weigh(c, s.existedBy(c, best.start), explained, annotated(changed, c.SHA)) {
			break
		}
	}
	return best.match(), nil
}

// choice is what a search has found so far for a rollout that began at start.
type choice struct {
	start                time.Time
	before, after, named *gitsource.Commit
}

// existedBy says whether a commit was there at a time: by its committer's clock,
// or because it had been seen.
func (s *scope) existedBy(c *gitsource.Commit, at time.Time) bool {
	return !c.Committer.When.After(at) || slices.ContainsFunc(s.lc.Status.Commits, func(known gitopsv1alpha1.AppCommit) bool {
		return known.SHA == c.SHA && !known.SeenAt.After(at)
	})
}

// weigh takes the next older commit into account, which may have existed when the
// rollout began, may render what runs, and may be named by it, and says whether
// the search is over.
func (ch *choice) weigh(c *gitsource.Commit, existed, renders, isNamed bool) bool {
	switch {
	case renders && existed:
		ch.before = c
	case renders:
		ch.after = c
	case isNamed && ch.named == nil:
		ch.named = c
	}
	return ch.before != nil
}

// match is the commit that was found, or nil.
func (ch *choice) match() *match {
	switch {
	case ch.before != nil:
		return &match{ch.before, lifecyclev1.EvidenceContent}
	case ch.after != nil:
		return &match{ch.after, lifecyclev1.EvidenceContent}
	case ch.named != nil:
		return &match{ch.named, lifecyclev1.EvidenceAnnotation}
	default:
		return nil
	}
}

// rendersAll says whether each of the live workloads carries a template of the
// rendered ones.
func rendersAll(rendered []manifest.Workload, live []*workload.Workload, namespace string) bool {
	for _, w := range live {
		if !renders(rendered, w, namespace) {
			return false
		}
	}
	return true
}

// renders says whether the live workload carries a template of the rendered ones.
func renders(all []manifest.Workload, live *workload.Workload, namespace string) bool {
	w := renderedAs(all, live, namespace)
	return w != nil && manifest.Matches(w.Template, live.Template)
}

// renderedAs is what a live workload is rendered as; nil where it is not. What is rendered
// without a namespace belongs to the given one.
func renderedAs(all []manifest.Workload, live *workload.Workload, namespace string) *manifest.Workload {
	for i := range all {
		if w := &all[i]; w.Kind == live.Kind && w.Name == live.Name && cmp.Or(w.Namespace, namespace) == live.Namespace {
			return w
		}
	}
	return nil
}

// annotated says whether all workloads claim to come from the commit.
func annotated(live []*workload.Workload, sha string) bool {
	for _, w := range live {
		if !gitname.IsCommitish(w.Commit) || !strings.HasPrefix(sha, w.Commit) {
			return false
		}
	}
	return true
}

// latest is when the last of the templates was written.
func latest(live []*workload.Workload) time.Time {
	var at time.Time
	for _, w := range live {
		if w.WrittenAt.After(at) {
			at = w.WrittenAt
		}
	}
	return at
}

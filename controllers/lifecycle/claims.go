package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/evidence"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/manifest"
)

// claims are what is said of newly written workloads by those who applied them, as far
// as it is about the repository of the source.
type claims struct {
	// of are the newest claims, one for each workload that has one.
	of []claim
	// pending are what is still to be said, or to be fetched.
	pending []string
}

type claim struct {
	workload *workload.Workload
	evidence lifecyclev1.Evidence
	commit   string
}

// hear collects the claims for workloads, as far as nobody doubts them: what was changed
// by hand after it was applied is of no commit.
func (r *Reconciler) hear(ctx context.Context, s *scope, workloads []*workload.Workload) (claims, error) {
	heard, err := evidence.Explain(ctx, r.APIReader, workloads...)
	if err != nil {
		return claims{}, err
	}
	var all claims
	for i, w := range workloads {
		all.pending = append(all.pending, heard[i].Pending...)
		said, err := r.referred(ctx, s, heard[i].Claims)
		if err != nil {
			return claims{}, err
		}
		certain := slices.DeleteFunc(said, func(c evidence.Claim) bool { return !c.Certain() })
		if err := all.add(ctx, s, w, certain); err != nil {
			return claims{}, err
		}
	}
	return all, nil
}

// referred adds to what is claimed of this repository the commits that it was hydrated from,
// and to what is claimed of others the commits of this one that those refer to, where a
// source beside this one reads them.
func (r *Reconciler) referred(ctx context.Context, s *scope, said []evidence.Claim) ([]evidence.Claim, error) {
	all := slices.Clone(said)
	for _, c := range said {
		if c.Commit == "" || c.Repository == "" {
			continue
		}
		if s.about(c) {
			dry, hydrated, err := s.dry(ctx, c)
			if err != nil {
				return nil, err
			}
			if hydrated {
				all = slices.Insert(all, 0, dry)
			}
			continue
		}
		applied, err := r.commitBeside(ctx, s, c)
		if err != nil {
			return nil, err
		}
		if applied == nil {
			continue
		}
		if reference, ok := evidence.ReferenceIn(applied.Trailers()); ok && reference.Repository != "" {
			all = append(all, reference.Claim(c))
		}
	}
	return all, nil
}

// dry is the claim of the commit that a claimed one was hydrated from, as the file that Argo
// CD's hydrator leaves in it says.
func (s *scope) dry(ctx context.Context, c evidence.Claim) (evidence.Claim, bool, error) {
	commit, err := s.inFull(ctx, c.Commit)
	if commit == "" || err != nil {
		return c, false, err
	}
	metadata, err := fs.ReadFile(s.app.Tree(ctx, commit), evidence.HydratorMetadata)
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("read %s of %s: %w", evidence.HydratorMetadata, gitname.Short(commit), err)
	}
	from, _, err := evidence.Hydrated(metadata)
	if err != nil {
		return c, false, nil //nolint:nilerr // anybody may have a file of that name
	}
	c.Repository, c.Commit, c.Revision = cmp.Or(from.Repository, c.Repository), from.SHA, from.SHA
	return c, true, nil
}

// commitBeside is the commit of a claim, if a source beside this one has it; else nil.
func (r *Reconciler) commitBeside(ctx context.Context, s *scope, c evidence.Claim) (*gitsource.Commit, error) {
	var beside gitopsv1alpha1.GitSourceList
	if err := r.List(ctx, &beside, client.InNamespace(s.lc.Namespace)); err != nil {
		return nil, fmt.Errorf("list GitSources: %w", err)
	}
	for i := range beside.Items {
		if source := &beside.Items[i]; gitname.SameRepository(source.Status.URL, c.Repository) {
			found, err := r.Repositories.CommitOf(ctx, r.opener(s), source, c.Commit)
			if err == nil || !errors.Is(err, gitsource.ErrCommitNotFound) && repository.Problem(err) == "" {
				return found, err
			}
		}
	}
	return nil, nil //nolint:nilnil // no commit is an answer
}

// mayBeAbout says whether a claim names a commit that may be of the source's repository.
func (s *scope) mayBeAbout(c evidence.Claim) bool {
	return c.Commit != "" && (c.Repository == "" || s.about(c))
}

// about says whether a claim is about the repository of the source.
func (s *scope) about(c evidence.Claim) bool {
	return gitname.SameRepository(c.Repository, s.origin.URL)
}

// add takes the strongest claim about the source's repository; of several that are as
// strong, as those of a release and of its chart, the one whose commit has the others in its
// history. What is not known here is yet to be fetched.
func (all *claims) add(ctx context.Context, s *scope, w *workload.Workload, said []evidence.Claim) error {
	var strongest *claim
	for _, c := range said {
		if !s.mayBeAbout(c) || strongest != nil && strongest.evidence != c.Evidence {
			continue
		}
		commit, err := s.inFull(ctx, c.Commit)
		if err != nil {
			return err
		}
		if commit == "" && c.Repository != "" {
			all.pending = append(all.pending, fmt.Sprintf("%s names %.7s, which is not known here yet", c.By, c.Commit))
			return nil
		}
		later, err := s.follows(ctx, commit, strongest)
		if err != nil {
			return err
		}
		if later {
			strongest = &claim{w, c.Evidence, commit}
		}
	}
	if strongest != nil {
		all.of = append(all.of, *strongest)
	}
	return nil
}

// follows says whether a commit comes after the one of a claim, if there is one.
func (s *scope) follows(ctx context.Context, commit string, of *claim) (bool, error) {
	if commit == "" || of == nil {
		return commit != "", nil
	}
	after, err := s.app.IsAncestor(ctx, of.commit, commit)
	if err != nil {
		return false, fmt.Errorf("look for %s in the history of %s: %w", gitname.Short(of.commit), gitname.Short(commit), err)
	}
	return after && commit != of.commit, nil
}

// inFull is the full name of a commit that the repository has; empty where it has none.
func (s *scope) inFull(ctx context.Context, sha string) (string, error) {
	full, err := s.app.Lookup(ctx, s.head, sha)
	if errors.Is(err, gitsource.ErrCommitNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for commit %s: %w", sha, err)
	}
	return full, nil
}

// claimed finds the commit that the newest of the claims leads to, and the workloads of
// which the same is claimed.
func (r *Reconciler) claimed(ctx context.Context, s *scope, all claims) (*match, []*workload.Workload, error) {
	var newest *claim
	for i := range all.of {
		if c := &all.of[i]; newest == nil || c.workload.WrittenAt.After(newest.workload.WrittenAt) {
			newest = c
		}
	}
	if newest == nil {
		return nil, nil, nil
	}
	commit, err := r.delivered(ctx, s, newest)
	if commit == nil || err != nil {
		return nil, nil, err
	}
	if err := r.fetchAhead(ctx, s, newest.commit); err != nil {
		return nil, nil, err
	}
	var tied []*workload.Workload
	for _, c := range all.of {
		if c.commit == newest.commit && c.evidence == newest.evidence {
			tied = append(tied, c.workload)
		}
	}
	return &match{commit, newest.evidence}, tied, nil
}

// delivered is the commit that a claim leads to: of the commits at or before the one that
// was applied the newest that changes what the app renders to. Where none does, as the
// template is made elsewhere, it is the newest that changes the app. What an image was
// built from, or was referred to, is the commit itself, whatever it changes.
func (r *Reconciler) delivered(ctx context.Context, s *scope, c *claim) (*gitsource.Commit, error) {
	if c.evidence == lifecyclev1.EvidenceApplier {
		return r.narrowed(ctx, s, c.commit)
	}
	found, err := s.app.Commit(ctx, c.commit)
	if err != nil {
		return nil, fmt.Errorf("read the commit that is claimed: %w", err)
	}
	return found, nil
}

// byImage finds the commit that the newest of the workloads was built from, of those that
// carry what the newest commit renders but for their images.
func (r *Reconciler) byImage(ctx context.Context, s *scope, untied []*workload.Workload) (*match, []*workload.Workload, error) {
	var all claims
	for _, w := range untied {
		rendered := renderedAs(s.app.Rendered.Workloads, w, s.lc.Namespace)
		if rendered == nil || !manifest.MatchesButImages(rendered.Template, w.Template) {
			continue
		}
		said, err := r.Images.Explain(ctx, w.Namespace, &w.Template.Spec)
		if err != nil {
			return nil, nil, err
		}
		if err := all.add(ctx, s, w, said.Claims); err != nil {
			return nil, nil, err
		}
		if len(said.Pending) > 0 {
			s.unasked = append(s.unasked, said.Pending...)
			s.lookAgain(evidence.AskAgain)
		}
	}
	return r.claimed(ctx, s, all)
}

// fetchAhead asks for a look at the remote where an applier was faster than that: what
// the source itself has to say of the commit comes only then.
func (r *Reconciler) fetchAhead(ctx context.Context, s *scope, applied string) error {
	reached, err := s.app.IsAncestor(ctx, applied, s.head)
	if err != nil {
		return fmt.Errorf("look for %s in the history of the source: %w", gitname.Short(applied), err)
	}
	if !reached {
		r.Fetch(ctx, client.ObjectKeyFromObject(s.source))
	}
	return nil
}

// narrowed is the newest commit at or before another that changes what the app renders
// to; else the newest that changes the app; nil where none does.
func (r *Reconciler) narrowed(ctx context.Context, s *scope, applied string) (*gitsource.Commit, error) {
	var touching *gitsource.Commit
	searched := 0
	for c, err := range s.appCommits(ctx, applied, "") {
		if err != nil {
			return nil, fmt.Errorf("search history of %s: %w", gitname.Short(applied), err)
		}
		if touching == nil {
			touching = c
		}
		changes, err := r.changesWorkloads(ctx, s, c)
		if err != nil {
			return nil, err
		}
		if changes {
			return c, nil
		}
		if searched++; searched > maxSearched {
			break
		}
	}
	return touching, nil
}

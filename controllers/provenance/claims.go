package provenance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/evidence"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource"
)

// hear collects what is said of where a delivery comes from: by its commits that refer to
// others, of each repository the newest, and by its images.
func (r *Reconciler) hear(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) (evidence.Explanation, error) {
	var said evidence.Explanation
	for _, c := range slices.Concat([]lifecyclev1.Commit{*kav.Spec.Commit}, kav.Spec.Commits) {
		reference, ok := evidence.ReferenceIn(trailersOf(c))
		known := slices.ContainsFunc(said.Claims, func(of evidence.Claim) bool { return of.Repository == reference.Repository })
		if ok && !known {
			said.Claims = append(said.Claims, reference.Claim(evidence.Claim{Commit: c.SHA, Repository: kav.Spec.Commit.Repository}))
		}
	}
	for i := range kav.Spec.Workloads {
		ref := &kav.Spec.Workloads[i]
		name := types.NamespacedName{Namespace: cmp.Or(ref.Namespace, kav.Namespace), Name: ref.Name}
		live, err := workload.See(ctx, r, ref.Kind, name)
		if err != nil {
			return evidence.Explanation{}, err
		}
		if live == nil || live.TemplateHash != ref.TemplateHash {
			continue // something else runs there meanwhile
		}
		built, err := r.Images.Explain(ctx, name.Namespace, &live.Template.Spec)
		if err != nil {
			return evidence.Explanation{}, err
		}
		said.Claims = append(said.Claims, built.Claims...)
		said.Pending = append(said.Pending, built.Pending...)
	}
	return said, nil
}

// trailersOf are the trailers of a commit as its record has them.
func trailersOf(c lifecyclev1.Commit) []gitsource.Trailer {
	var all []gitsource.Trailer
	for key, values := range c.Trailers {
		for _, value := range values {
			all = append(all, gitsource.Trailer{Key: key, Value: value})
		}
	}
	return all
}

// find looks for the commits that are claimed in the repositories of sources.
func (r *Reconciler) find(ctx context.Context, said evidence.Explanation, beside []gitopsv1alpha1.GitSource) (*found, error) {
	f := &found{missing: slices.Clone(said.Pending)}
	for _, claim := range said.Claims {
		if claim.Commit == "" {
			f.silent = append(f.silent, cmp.Or(claim.Doubt, claim.By+" names no commit"))
			continue
		}
		if err := r.locate(ctx, f, claim, beside); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// locate looks for one commit: in the source that reads its repository, or where that is
// not said in all of them.
func (r *Reconciler) locate(ctx context.Context, f *found, claim evidence.Claim, beside []gitopsv1alpha1.GitSource) error {
	var looked []types.NamespacedName
	for i := range beside {
		source := &beside[i]
		if claim.Repository != "" && !gitname.SameRepository(claim.Repository, source.Status.URL) {
			continue
		}
		sha, err := r.has(ctx, source, claim.Commit)
		if err != nil {
			return err
		}
		if sha != "" {
			f.add(sha, source, claim)
			return nil
		}
		looked = append(looked, client.ObjectKeyFromObject(source))
	}
	switch {
	case len(looked) > 0 && claim.Repository != "":
		f.missing = append(f.missing, fmt.Sprintf("%s names commit %.7s, which GitSource %s does not have", claim.By, claim.Commit, looked[0].Name))
		f.behind = append(f.behind, looked[0])
	case claim.Repository != "":
		f.silent = append(f.silent, fmt.Sprintf("%s names commit %.7s of %s, which no GitSource of the namespace reads", claim.By, claim.Commit, claim.Repository))
	default:
		f.silent = append(f.silent, fmt.Sprintf("%s names commit %.7s, which no GitSource of the namespace has", claim.By, claim.Commit))
	}
	return nil
}

// has is the full name of a commit, if a source has it; else empty. A source that cannot
// be read has none, and tells of it itself.
func (r *Reconciler) has(ctx context.Context, source *gitopsv1alpha1.GitSource, sha string) (string, error) {
	c, err := r.Repositories.CommitOf(ctx, r.Repositories.Open, source, sha)
	switch {
	case errors.Is(err, gitsource.ErrCommitNotFound), repository.Problem(err) != "":
		return "", nil
	case err != nil:
		return "", err
	default:
		return c.SHA, nil
	}
}

// add notes a commit, each once.
func (f *found) add(sha string, source *gitopsv1alpha1.GitSource, claim evidence.Claim) {
	if slices.ContainsFunc(f.commits, func(c lifecyclev1.SourceCommit) bool { return c.SHA == sha && c.Source == source.Name }) {
		return
	}
	f.commits = append(f.commits, lifecyclev1.SourceCommit{
		SHA: sha, Repository: source.Status.URL, Source: source.Name, Evidence: claim.Evidence, By: claim.By,
	})
}

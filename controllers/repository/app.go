package repository

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/manifest"
)

// An App is what of a repository deploys one app.
type App struct {
	*gitsource.Repository
	// Folder is the folder that is rendered, and File the lifecycle.yaml.
	Folder, File string
	// At is the newest commit of which anything is honoured; empty where there is none.
	At string
	// Rendered is what the folder renders to at that commit, and on what that depends;
	// Problem says why it renders to nothing, and Reason is that of a condition that tells
	// of it.
	Rendered        *manifest.Rendered
	Problem, Reason string
}

// An Opener opens the repository of an origin, as [Repositories.Open] does.
type Opener func(ctx context.Context, o Origin) (*gitsource.Repository, error)

// App opens the app of a Lifecycle, as the newest commit of its source has it of which
// anything is honoured. Where there is none, that is its Problem, and what it depends on
// is what it is at the newest commit.
func (r *Repositories) App(ctx context.Context, open Opener, o Origin, lc *gitopsv1alpha1.Lifecycle, newest string) (*App, error) {
	repo, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	a := &App{
		Repository: repo,
		Folder:     lc.Annotations[gitopsv1alpha1.PathAnnotation],
		File:       lc.Annotations[gitopsv1alpha1.FileAnnotation],
	}
	var refused *Unverified
	if a.At, refused, err = r.honoured(ctx, repo, o, newest); err != nil {
		return nil, err
	}
	a.Rendered, err = r.Recognized(ctx, repo, o, cmp.Or(a.At, newest), a.Folder)
	var problems manifest.Problems
	switch {
	case errors.As(err, &problems):
		a.Problem, a.Reason, err = problems[0].String(), gitopsv1alpha1.InvalidManifestReason, nil
	case a.At == "" && err == nil:
		a.Rendered = &manifest.Rendered{Inputs: a.Rendered.Inputs}
	}
	if a.At == "" {
		a.Problem, a.Reason = refused.Error(), refused.Reason
	}
	return a, err
}

// Inputs are the files and folders of which a commit has to change one to change the
// app.
func (a *App) Inputs() []string {
	inputs := []string{a.File}
	for _, input := range a.Rendered.Inputs {
		inputs = append(inputs, path.Clean(input))
	}
	return inputs
}

// ChangedBy says whether a commit changes the app's lifecycle.yaml, or a file that what
// it renders to depends on.
func (a *App) ChangedBy(ctx context.Context, sha string) (bool, error) {
	paths, err := a.ChangedPaths(ctx, sha)
	if err != nil {
		return false, fmt.Errorf("read what %.7s changes: %w", sha, err)
	}
	return slices.ContainsFunc(paths, func(path string) bool {
		return path == a.File || a.Rendered.DependsOn(path)
	}), nil
}

// CommitOf is a commit that a source has: of any that its repository has where the name
// is in full, else of the newest ones of its history. It returns
// [gitsource.ErrCommitNotFound] where it has none, or has not been read yet; [Problem]
// tells which other errors are for a person to mend.
func (r *Repositories) CommitOf(ctx context.Context, open Opener, source *gitopsv1alpha1.GitSource, name string) (*gitsource.Commit, error) {
	revision, err := gitsource.ParseRevision(source.Status.ObservedRevision)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: GitSource %s has not been read yet", gitsource.ErrCommitNotFound, name, source.Name)
	}
	o, err := r.Origin(ctx, source)
	if err != nil {
		return nil, err
	}
	repo, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	full, err := repo.Lookup(ctx, revision.Commit, name)
	if err != nil {
		return nil, err
	}
	return repo.Commit(ctx, full)
}

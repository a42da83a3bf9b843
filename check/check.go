// Package check finds everything that is wrong with what a tree says about
// delivery: its files, its folders and its CEL. It joins the manifest package,
// which knows where things are written, with the policy package, which knows
// what they mean. It decides nothing about a rollout.
package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/gitsource/manifest"
	"github.com/keptn/gitops/policy"
)

// Tree finds the apps below the paths of a tree, as manifest.Discover does, and
// adds to the problems what is wrong with the policies' expressions. An error
// means that the tree could not be read.
func Tree(ctx context.Context, fsys fs.FS, paths []string) (*manifest.Found, error) {
	found, err := manifest.Discover(ctx, fsys, paths, manifest.Limits{})
	if err != nil {
		return nil, fmt.Errorf("find lifecycles: %w", err)
	}
	wrong := map[string]manifest.Problems{}
	for _, file := range found.Files {
		for i := range file.Policies {
			problems := Policy(file, &file.Policies[i])
			wrong[file.Policies[i].Name] = append(wrong[file.Policies[i].Name], problems...)
			found.Problems = append(found.Problems, problems...)
		}
	}
	for i := range found.Apps {
		app := &found.Apps[i]
		for _, p := range app.Policies {
			app.Problems = append(app.Problems, wrong[p.Name]...)
		}
		slices.SortFunc(app.Problems, byPlace)
	}
	slices.SortFunc(found.Problems, byPlace)
	return found, nil
}

// Policy compiles one policy of a file, and places what is wrong with it.
func Policy(file *manifest.File, p *v1alpha1.SLOPolicy) manifest.Problems {
	_, err := policy.Compile(p.Name, p.Spec)
	var wrong policy.Problems
	if !errors.As(err, &wrong) {
		return nil
	}
	placed := make(manifest.Problems, len(wrong))
	for i, w := range wrong {
		at, _ := file.Position(v1alpha1.SLOPolicyKind, p.Name, w.Path, max(w.Line, 1), max(w.Column, 1))
		placed[i] = manifest.Problem{
			File: file.Path, Line: at.Line, Column: at.Column, Severity: manifest.Error,
			Message: fmt.Sprintf("policy %q: %s: %s", p.Name, w.Path, w.Message),
		}
	}
	return placed
}

func byPlace(a, b manifest.Problem) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
}

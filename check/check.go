// Package check finds everything that is wrong with what a tree says about
// delivery: its files, its folders and its CEL. It joins the manifest package,
// which knows where things are written, with the policy and openslo packages, which
// know what they mean. It decides nothing about a rollout.
package check

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"slices"

	"github.com/keptn/gitops/gitsource/manifest"
)

// Tree finds the apps below the paths of a tree, as manifest.Discover does, and
// adds to the problems what is wrong with the policies' expressions. In the policies,
// OpenSLO documents stand in the place of the references to them, and where things are
// written is forgotten. An error means that the tree could not be read.
func Tree(ctx context.Context, fsys fs.FS, paths []string) (*manifest.Found, error) {
	found, err := manifest.Discover(ctx, fsys, paths, manifest.Limits{})
	if err != nil {
		return nil, fmt.Errorf("find lifecycles: %w", err)
	}
	joined := join(found)
	wrong := map[*manifest.File]map[string]manifest.Problems{}
	for _, file := range found.Files {
		wrong[file] = map[string]manifest.Problems{}
		for i := range file.Policies {
			problems := joined.of(file).problems(&file.Policies[i])
			wrong[file][file.Policies[i].Name] = append(wrong[file][file.Policies[i].Name], problems...)
			found.Problems = append(found.Problems, problems...)
		}
	}
	for i := range found.Apps {
		app := &found.Apps[i]
		for _, p := range app.Policies {
			app.Problems = append(app.Problems, wrong[app.PolicyFile(p.Name)][p.Name]...)
		}
		app.Problems = sorted(app.Problems)
	}
	found.Problems = sorted(found.Problems)
	found.Settle()
	return found, nil
}

// sorted are the problems by place, each once.
func sorted(problems manifest.Problems) manifest.Problems {
	slices.SortFunc(problems, func(a, b manifest.Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(problems)
}

package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keptn/gitops/check"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/manifest"
)

func newCheck() *cobra.Command {
	var ref, format string
	cmd := &cobra.Command{
		Use:   "check [DIR|URL]",
		Short: "Check every lifecycle.yaml and policy below a folder, or in a repository",
		Long: `check reads every lifecycle.yaml below DIR (default: the current folder), or in
the repository at URL: strictly, with all CEL expressions type-checked and all
folders rendered. It is what the controller says on a commit as
keptn/<environment>/validate.

Without --ref a folder is checked as it is on disk, committed or not.

Exit code: 0 fine, 1 problems were found, 2 could not look.`,
		Example: `  keptn check
  keptn check apps/checkout -o json
  keptn check . --ref v1.4.0
  keptn check https://github.com/acme/shop --ref main`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(format); err != nil {
				return err
			}
			where := "."
			if len(args) > 0 {
				where = args[0]
			}
			found, err := look(cmd.Context(), where, ref)
			if err != nil {
				return err
			}
			// Who checks a repository does not say which environment is meant.
			found.Problems = slices.DeleteFunc(found.Problems, func(p manifest.Problem) bool { return p.Overlays })
			return printFound(cmd.OutOrStdout(), found, format)
		},
	}
	cmd.Flags().StringVar(&ref, "ref", "", "branch, tag or commit to check instead of the files on disk")
	addOutput(cmd, &format)
	return cmd
}

// look finds and checks what a folder or a repository holds.
func look(ctx context.Context, where, ref string) (*manifest.Found, error) {
	if isURL(where) {
		return lookAtCommit(ctx, where, ref, nil)
	}
	root, below, err := rootOf(where)
	if err != nil {
		return nil, err
	}
	if ref != "" {
		return lookAtCommit(ctx, root, ref, below)
	}
	opened, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("open folder: %w", err)
	}
	defer opened.Close()
	return check.Tree(ctx, opened.FS(), below)
}

var scpLike = regexp.MustCompile(`^[^@/]+@[^:/]+:`)

func isURL(where string) bool {
	return strings.Contains(where, "://") || scpLike.MatchString(where)
}

// rootOf returns the repository that a folder is in, and the folder's path in
// it: kustomizations may lead out of the folder, but not out of the repository.
// A folder in no repository is its own root.
func rootOf(dir string) (root string, below []string, err error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", nil, fmt.Errorf("find folder: %w", err)
	}
	if info, err := os.Stat(abs); err != nil {
		return "", nil, fmt.Errorf("find folder: %w", err)
	} else if !info.IsDir() {
		return "", nil, fmt.Errorf("%s is not a folder: name the folder it is in", dir)
	}
	if isBare(abs) {
		return abs, nil, nil
	}
	for root = abs; ; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, ".git")); err == nil {
			break
		}
		if root == filepath.Dir(root) {
			return abs, nil, nil
		}
	}
	rel, err := filepath.Rel(root, abs)
	if err != nil || rel == "." {
		return root, nil, err
	}
	return root, []string{filepath.ToSlash(rel)}, nil
}

// isBare says whether a folder is a repository without a work tree.
func isBare(dir string) bool {
	for _, name := range []string{"HEAD", "objects", "refs"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// lookAtCommit checks a commit of a repository, local or remote.
func lookAtCommit(ctx context.Context, url, ref string, below []string) (*manifest.Found, error) {
	dir, err := os.MkdirTemp("", "keptn-check-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for Git's objects: %w", err)
	}
	defer os.RemoveAll(dir)
	store, err := gitsource.NewStore(dir, gitsource.AllowLocalRepositories())
	if err != nil {
		return nil, err
	}
	repo, err := store.Repository(gitsource.Remote{URL: url})
	if err != nil {
		return nil, err
	}
	revision, err := fetch(ctx, repo, ref)
	if err != nil {
		return nil, err
	}
	var tree fs.FS = repo.Tree(ctx, revision.Commit)
	return check.Tree(ctx, tree, below)
}

// fetch finds what ref stands for: a commit, a full ref name, a branch or a tag.
func fetch(ctx context.Context, repo *gitsource.Repository, ref string) (gitsource.Revision, error) {
	switch {
	case ref == "":
		return repo.Fetch(ctx, gitsource.Ref{})
	case gitname.IsCommit(ref):
		return repo.Fetch(ctx, gitsource.Ref{Commit: ref})
	case strings.HasPrefix(ref, "refs/"):
		return repo.Fetch(ctx, gitsource.Ref{Name: ref})
	}
	revision, err := repo.Fetch(ctx, gitsource.Ref{Branch: ref})
	if err == nil {
		return revision, nil
	}
	if tagged, tagErr := repo.Fetch(ctx, gitsource.Ref{Tag: ref}); tagErr == nil {
		return tagged, nil
	}
	return gitsource.Revision{}, err
}

// checkedApp is one app as check prints it.
type checkedApp struct {
	Name string `json:"name"`
	Path string `json:"path"`
	File string `json:"file"`
}

// printFound prints what was found, and returns exitBad where it has errors.
func printFound(w io.Writer, found *manifest.Found, format string) error {
	apps := make([]checkedApp, len(found.Apps))
	for i := range found.Apps {
		apps[i] = checkedApp{found.Apps[i].Lifecycle.Name, found.Apps[i].Path, found.Apps[i].File}
	}
	var err error
	if format == formatJSON {
		problems := found.Problems
		if problems == nil {
			problems = manifest.Problems{}
		}
		err = printJSON(w, map[string]any{"apps": apps, "problems": problems})
	} else {
		err = printProblems(w, apps, found.Problems)
	}
	if err == nil && found.Problems.HasErrors() {
		err = exitCode(exitBad)
	}
	return err
}

func printProblems(w io.Writer, apps []checkedApp, problems manifest.Problems) error {
	for _, p := range problems {
		if _, err := fmt.Fprintln(w, painted(w, string(p.Severity), p.String())); err != nil {
			return err
		}
	}
	if len(apps) == 0 && len(problems) == 0 {
		_, err := fmt.Fprintf(w, "no %s found\n", manifest.FileName)
		return err
	}
	if problems.HasErrors() {
		return nil
	}
	for _, app := range apps {
		if _, err := fmt.Fprintf(w, "%s %s (%s)\n", painted(w, "pass", "ok"), app.Name, manifest.Plain(app.Path)); err != nil {
			return err
		}
	}
	return nil
}

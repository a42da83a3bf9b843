package manifest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/yaml"
)

// Rendered is what a folder deploys.
type Rendered struct {
	// Workloads are sorted by namespace, kind and name.
	Workloads []Workload
	// Releases are the HelmReleases, sorted by namespace and name, but for those that are
	// released to another cluster.
	Releases []Release
	// Inputs are the paths that the result depends on, sorted: files that were
	// read, paths that were looked for and are not there, and, with a slash at
	// the end ("./" for the root), folders whose list of files matters. As long
	// as none of them changes, neither does the result. "." alone stands for
	// the whole tree, where it is not known what a render that took too long
	// would have read.
	Inputs []string
}

// DependsOn says whether a change of a path, such as one that a Git diff
// lists, can change the result.
func (r *Rendered) DependsOn(changed string) bool {
	if _, listed := slices.BinarySearch(r.Inputs, path.Dir(changed)+"/"); listed {
		return true
	}
	return slices.ContainsFunc(r.Inputs, func(input string) bool {
		return input == changed || input == "." || strings.HasPrefix(input, changed+"/") ||
			!strings.HasSuffix(input, "/") && strings.HasPrefix(changed, input+"/")
	})
}

// Render says which workloads a folder deploys: through kustomize if it has a
// kustomization, else by the manifests (*.yaml, *.yml, *.json) right in it. Dir
// is a path in fsys, with slashes.
//
// An error that is [Problems] is the author's: the folder cannot be rendered
// as it is. Rendered is then without workloads, but with its inputs. Any other
// error is of ctx or fsys, and trying again can help.
//
// Files are taken from fsys alone. Remote files and bases, Helm charts, plugins
// and functions that are no part of kustomize, symbolic links and paths out of
// the repository are problems, and so is whatever goes beyond the limits.
func Render(ctx context.Context, fsys fs.FS, dir string, limits Limits) (*Rendered, error) {
	return newTree(ctx, fsys, limits.withDefaults()).rendered(path.Clean(dir))
}

// rendered is Render with what is left of the tree's context. The tree must not
// be used again: a kustomize that was given up may still be at it.
func (t *tree) rendered(dir string) (*Rendered, error) {
	found, err := t.render(dir)
	var releases []Release
	if err == nil {
		releases, err = t.released(found)
	}
	switch {
	case t.ctx.Err() != nil:
		return nil, fmt.Errorf("rendering %s: %w", dir, t.ctx.Err())
	case errors.Is(err, errLate):
		late := refuse(dir, "rendering takes longer than %s, which is the limit", t.limits.Time)
		return &Rendered{Inputs: []string{"."}}, asProblems(late)
	case t.failed != nil:
		return nil, fmt.Errorf("rendering %s: %w", dir, t.failed)
	}
	r := &Rendered{Inputs: t.inputs()}
	if err != nil {
		return r, asProblems(err)
	}
	r.Workloads, r.Releases = found.workloads, releases
	return r, nil
}

// asProblems turns a refusal into the problem that it is.
func asProblems(err error) error {
	var (
		r        *refusal
		problems Problems
	)
	if errors.As(err, &r) {
		problems.add(startOf(r.path), "%s", r.reason)
		return problems
	}
	return err
}

func (t *tree) render(dir string) (*objects, error) {
	if !fs.ValidPath(dir) {
		return nil, refuse(dir, "leads out of the repository")
	}
	isDir, err := t.isDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !isDir:
		return nil, refuse(dir, "there is no such folder")
	case err != nil:
		return nil, err
	}
	k, err := t.readKustomization(dir)
	if err != nil {
		return nil, err
	}
	var found *objects
	if k != nil {
		found, err = t.kustomized(dir, k)
	} else {
		found, err = t.plain(dir)
	}
	if err != nil {
		return nil, err
	}
	sortWorkloads(found.workloads)
	return found, nil
}

// kustomized is what a folder with a kustomization renders to.
func (t *tree) kustomized(dir string, k *kustomization) (*objects, error) {
	view := &kustomizeFS{tree: t}
	built, err := kustomize(t.ctx, t.limits.Time, view, dir)
	var problems Problems
	switch {
	case t.ctx.Err() != nil:
		return nil, t.ctx.Err()
	case errors.Is(err, errLate):
		return nil, err
	case len(view.problems) > 0:
		return nil, view.problems.sorted()
	case err != nil:
		problems.add(startOf(k.file), "kustomize: %s", explain(err))
		return nil, problems
	}
	found := &objects{}
	for _, o := range built.Resources() {
		data, err := o.MarshalJSON()
		if err == nil {
			err = found.collect(data)
		}
		if err != nil {
			problems.add(startOf(k.file), "%s %q: %s", o.GetKind(), o.GetName(), decodeError(err))
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return found, nil
}

// plain is what a folder without a kustomization holds.
func (t *tree) plain(dir string) (*objects, error) {
	names, err := t.manifests(dir)
	if err != nil {
		return nil, err
	}
	var (
		found    objects
		problems Problems
	)
	for _, name := range names {
		var more objects
		err := t.manifest(name, &more)
		var own Problems
		if err = asProblems(err); err != nil && !errors.As(err, &own) {
			return nil, err
		}
		if problems = append(problems, own...); len(own) > 0 {
			continue
		}
		for _, w := range more.workloads {
			if slices.ContainsFunc(found.workloads, w.same) {
				problems.add(startOf(name), "%s %q is in this folder twice: keep one", w.Kind, w.Name)
			}
			found.workloads = append(found.workloads, w)
		}
		found.releases = append(found.releases, more.releases...)
		found.values = append(found.values, more.values...)
	}
	if len(problems) > 0 {
		return nil, problems.sorted()
	}
	return &found, nil
}

// manifests are the files of a folder that can hold objects.
func (t *tree) manifests(dir string) ([]string, error) {
	files, err := t.list(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, file := range files {
		if file != FileName && slices.Contains([]string{".yaml", ".yml", ".json"}, path.Ext(file)) {
			names = append(names, path.Join(dir, file))
		}
	}
	return names, t.prefetch(names...)
}

// manifest adds the objects in one file.
func (t *tree) manifest(name string, found *objects) error {
	data, err := t.read(name)
	if err != nil || !isManifest(data) {
		return err
	}
	if err := t.count(name, data); err != nil {
		return err
	}
	if err := found.documents(data); err != nil {
		return unreadable(name, data, err)
	}
	return nil
}

// unreadable are the problems of a manifest that cannot be decoded.
func unreadable(name string, data []byte, err error) Problems {
	var problems Problems
	for _, c := range split(data) {
		_, syntax := c.parse(name)
		problems = append(problems, syntax...)
	}
	if len(problems) == 0 {
		problems.add(startOf(name), "%s", decodeError(err))
	}
	return problems
}

// decodeError says in an author's words why an object is not what it claims.
func decodeError(err error) string {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Sprintf("%s must not be a %s", wrong.Field, wrong.Value)
	}
	return explain(err)
}

// documents adds the objects of a text.
func (found *objects) documents(data []byte) error {
	for dec := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096); ; {
		var doc json.RawMessage
		switch err := dec.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := found.collect(doc); err != nil {
			return err
		}
	}
}

package manifest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// Found is what a tree holds.
type Found struct {
	// Apps are sorted by path, file and name.
	Apps []App
	// Files are all lifecycle.yaml files below the paths and those that an
	// overlay there reaches, sorted by path.
	Files []*File
	// Problems are all there are, of apps too, sorted by place.
	Problems Problems
}

// Settle forgets the text of the files and the OpenSLO documents in them, which take most
// of the memory, once all problems are found: [File.Position] finds nothing from then on.
func (f *Found) Settle() {
	for _, file := range f.Files {
		file.objects, file.lines, file.OpenSLO = nil, nil, nil
	}
}

// App is one Lifecycle, and the folder that deploys it.
type App struct {
	// Path is the folder that is rendered: that of the lifecycle.yaml, or the
	// overlay that inherits it.
	Path string
	// File is the path of the lifecycle.yaml.
	File string
	// Lifecycle as it is written, without defaults.
	Lifecycle v1alpha1.Lifecycle
	// Policies are those that the Lifecycle names and the repository has,
	// sorted by name.
	Policies []v1alpha1.SLOPolicy
	// Definitions are what its tasks run, sorted by name: those that are written in
	// place, and those that the Lifecycle names and the repository has. In the place
	// of a functionRef stands the script that it leads to, as far as the repository
	// has it. A task that is not among them is one that the cluster may have.
	Definitions []lifecyclev1.KeptnTaskDefinition
	// OpenSLO are the names that the Lifecycle has in the place of a policy's, and
	// that are those of SLOs among File's OpenSLO documents, in its order.
	OpenSLO []NamedSLO
	// Rendered is what Path deploys. With an error among the problems it can be
	// without workloads; it is never nil.
	Rendered *Rendered
	// Problems are those that concern this app: of its file, its render, its
	// name and the names it uses. With an error among them the app should not
	// be acted on.
	Problems Problems

	policyFiles map[string]*File // by the policy's name
}

// PolicyFile is the file that one of the app's policies is in; nil if it has none of
// that name.
func (a *App) PolicyFile(name string) *File { return a.policyFiles[name] }

// Discover finds the apps of a tree: every lifecycle.yaml at or below the paths,
// which are folders or globs of folders (** for any depth; default the whole
// tree), rendered from its own folder. Where the kustomization of a folder
// below the paths reaches a folder with a lifecycle.yaml, be that below the
// paths or not, it inherits it: the app is then rendered through this overlay.
//
//   - Of overlays that build on each other, the last one counts.
//   - A kustomization that reaches several lifecycle.yaml only gathers them:
//     each app is rendered from the last folder that is its own.
//   - An overlay with a lifecycle.yaml of its own replaces the inherited
//     Lifecycles of the same name.
//   - Several overlays of one lifecycle.yaml are several apps of one name, which
//     is a problem, as are two Lifecycles of one name in different files.
//
// Policies are looked up in the same file, then in the files found, then among the
// OpenSLO documents of the same folder, then in the rest of the repository;
// KeptnTaskDefinitions likewise, but for OpenSLO. A problem in one file hides no app
// of another.
//
// Only lifecycle.yaml files, kustomizations and what a render needs are read, and
// the YAML files beside a lifecycle.yaml that has to do with OpenSLO: it holds such a
// document, an SLO of a policy names one, or a policy's name is no SLOPolicy.
// An error is of ctx, fsys or a malformed path; what authors have to mend are
// the Problems.
func Discover(ctx context.Context, fsys fs.FS, paths []string, limits Limits) (*Found, error) {
	sel, err := newSelection(paths)
	if err != nil {
		return nil, err
	}
	d := &discovery{
		tree:  newTree(ctx, fsys, limits.withDefaults()),
		graph: graph{nodes: map[string]*node{}, below: map[string][]string{}},
		files: map[string]*File{}, of: map[string]Problems{}, renders: map[string]render{},
		beside: map[string]Problems{},
	}
	found, err := d.run(sel)
	if err != nil {
		return nil, fmt.Errorf("looking for %s: %w", FileName, err)
	}
	return found, nil
}

// discovery is the state of one Discover.
type discovery struct {
	*tree
	graph
	files    map[string]*File    // by folder
	of       map[string]Problems // of a file, by folder
	renders  map[string]render   // by folder
	beside   map[string]Problems // of OpenSLO files, by folder, once they were read
	problems Problems            // those of no one file or app

	rest     []*File // the other files of the repository,
	searched bool    // once they have been looked for
}

// render is what Render returned: a result, or problems and the inputs.
type render struct {
	*Rendered
	problems Problems
}

func (d *discovery) run(sel selection) (*Found, error) {
	seen, err := d.walk(sel)
	if err != nil {
		return nil, err
	}
	if len(seen.lifecycles)+len(seen.kustomizations) > d.limits.Reads {
		d.problems.add(startOf("."), "there are more than %d lifecycle and kustomization files below the paths: narrow spec.paths", d.limits.Reads)
		return &Found{Problems: d.problems.sorted()}, nil
	}
	if err := d.load(seen.kustomizations); err != nil {
		return nil, err
	}
	pairs := d.pair(seen)
	dirs := seen.lifecycles
	for _, p := range pairs {
		dirs = append(dirs, p.lifecycle)
	}
	if err := d.prefetch(lifecyclesIn(dirs)...); err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		if err := d.parse(dir); err != nil {
			return nil, err
		}
	}
	return d.assemble(d.replaced(pairs))
}

// seen are the folders below the paths that hold what is looked for.
type seen struct {
	lifecycles     []string
	kustomizations []string
}

// lifecyclesIn are the lifecycle.yaml files of folders.
func lifecyclesIn(dirs []string) []string {
	files := make([]string, len(dirs))
	for i, dir := range dirs {
		files[i] = path.Join(dir, FileName)
	}
	return files
}

// walk goes over the selected folders.
func (d *discovery) walk(sel selection) (seen, error) {
	var s seen
	todo, err := d.starts(sel)
	if err != nil {
		return s, err
	}
	visited := map[string]bool{}
	for entries := 0; len(todo) > 0; {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if visited[next] {
			continue
		}
		visited[next] = true
		below, count, err := d.visit(next, sel, &s)
		if err != nil {
			return s, err
		}
		if entries += count; entries > d.limits.Entries {
			d.problems.add(startOf(next), "more than %d files and folders are below the paths, and the rest is not looked at: narrow spec.paths", d.limits.Entries)
			break
		}
		todo = append(todo, below...)
	}
	slices.Sort(s.lifecycles)
	slices.Sort(s.kustomizations)
	return s, nil
}

// starts are the folders from which to walk that are there.
func (d *discovery) starts(sel selection) ([]string, error) {
	var there []string
	for _, start := range sel.starts() {
		dir, err := d.isDir(start)
		var r *refusal
		switch {
		case errors.As(err, &r):
			d.problems.add(startOf(r.path), "%s", r.reason)
		case errors.Is(err, fs.ErrNotExist), err == nil && !dir:
			d.problems.warn(startOf(start), "there is no such folder, so nothing is found there: correct spec.paths")
		case err != nil:
			return nil, err
		default:
			there = append(there, start)
		}
	}
	return there, nil
}

// visit looks into one folder, and returns those in it.
func (d *discovery) visit(dir string, sel selection, s *seen) (below []string, count int, err error) {
	if err := d.ctx.Err(); err != nil {
		return nil, 0, err
	}
	entries, err := d.folders.in(d.fsys, dir)
	if err != nil {
		return nil, 0, err
	}
	for name, e := range entries {
		switch full := path.Join(dir, name); {
		case e.IsDir() && name != ".git" && strings.Count(full, "/") < d.limits.Depth:
			below = append(below, full)
		case e.Type()&fs.ModeIrregular != 0 && !sel.all() && sel.has(full):
			d.problems.warn(startOf(full), "%s", submodule)
		}
	}
	if sel.has(dir) {
		d.take(dir, entries, s)
	}
	return below, len(entries), nil
}

// take notes what a selected folder holds of what is looked for.
func (d *discovery) take(dir string, entries map[string]fs.DirEntry, s *seen) {
	switch e, ok := entries[FileName]; {
	case !ok || e.IsDir():
	case e.Type().IsRegular():
		s.lifecycles = append(s.lifecycles, dir)
	case e.Type()&fs.ModeIrregular != 0:
		d.problems.add(startOf(path.Join(dir, FileName)), "%s", submodule)
	default:
		d.problems.add(startOf(path.Join(dir, FileName)), "is not a regular file: symbolic links are not followed, put the file itself here")
	}
	for _, name := range kustomizationsIn(".") {
		if e, ok := entries[name]; ok && !e.IsDir() {
			s.kustomizations = append(s.kustomizations, dir)
			return
		}
	}
}

// parse reads the lifecycle.yaml of a folder, once.
func (d *discovery) parse(dir string) error {
	if d.files[dir] != nil {
		return nil
	}
	name := path.Join(dir, FileName)
	data, err := d.lifecycle(name)
	var r *refusal
	switch {
	case errors.As(err, &r):
		var problems Problems
		problems.add(startOf(r.path), "%s", r.reason)
		d.files[dir], d.of[dir] = &File{Path: name}, problems
	case err != nil:
		return err
	default:
		d.files[dir], d.of[dir] = Parse(name, data)
	}
	return nil
}

// assemble renders the apps, and resolves the names in them.
func (d *discovery) assemble(pairs []pair) (*Found, error) {
	if err := d.prefetchFor(pairs); err != nil {
		return nil, err
	}
	found := &Found{}
	for _, p := range pairs {
		apps, err := d.apps(p)
		if err != nil {
			return nil, err
		}
		found.Apps = append(found.Apps, apps...)
	}
	slices.SortFunc(found.Apps, func(a, b App) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.File, b.File), cmp.Compare(a.Lifecycle.Name, b.Lifecycle.Name))
	})
	for _, dir := range slices.Sorted(maps.Keys(d.files)) {
		found.Files = append(found.Files, d.files[dir])
		d.problems = append(d.problems, d.of[dir]...)
	}
	if err := d.addSLOs(slices.Clone(found.Files)...); err != nil {
		return nil, err
	}
	d.clashes(found.Apps)
	for i := range found.Apps {
		app := &found.Apps[i]
		if err := errors.Join(d.policies(app), d.definitions(app)); err != nil {
			return nil, err
		}
		app.Problems = app.Problems.sorted()
		d.problems = append(d.problems, app.Problems...)
	}
	for _, file := range found.Files {
		d.problems = append(d.problems, d.beside[path.Dir(file.Path)]...)
	}
	found.Problems = d.problems.sorted()
	return found, nil
}

// prefetchFor tells the file system at once what all renders will read.
func (d *discovery) prefetchFor(pairs []pair) error {
	near := map[string]bool{}
	for _, p := range pairs {
		for _, dir := range d.reached(p.path) {
			if k := d.nodes[dir].kustomization; k != nil {
				for _, name := range d.near(k) {
					near[name] = true
				}
			}
		}
	}
	return d.prefetch(slices.Sorted(maps.Keys(near))...)
}

// apps are the Lifecycles of one file, as one folder deploys them.
func (d *discovery) apps(p pair) ([]App, error) {
	file := d.files[p.lifecycle]
	if len(file.Lifecycles) == 0 {
		return nil, nil
	}
	r, known := d.renders[p.path]
	if !known {
		var err error
		r.Rendered, err = d.again(d.ctx).rendered(p.path)
		if err != nil && !errors.As(err, &r.problems) {
			return nil, err
		}
		d.renders[p.path] = r
	}
	apps := make([]App, 0, len(file.Lifecycles))
	for _, l := range file.Lifecycles {
		apps = append(apps, App{
			Path: p.path, File: file.Path, Lifecycle: l, Rendered: r.Rendered,
			Problems: slices.Concat(d.of[p.lifecycle], r.problems),
		})
	}
	return apps, nil
}

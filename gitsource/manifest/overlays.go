package manifest

import (
	"errors"
	"maps"
	"path"
	"slices"

	"sigs.k8s.io/kustomize/api/types"
)

// graph is which folder's kustomization names which folder.
type graph struct {
	nodes map[string]*node
	below map[string][]string // what is reached from a folder, once it was asked
}

// node is one folder.
type node struct {
	kustomization *kustomization // nil if it has none that can be read
	names         []string       // folders that it names, in order
	lifecycle     bool           // it has a lifecycle.yaml
}

// pair is an app to be: a folder to render, and the folder of the
// lifecycle.yaml that belongs to it.
type pair struct{ path, lifecycle string }

// load reads the kustomizations of folders, and all that they reach, level by
// level.
func (d *discovery) load(dirs []string) error {
	for len(dirs) > 0 {
		var files, next []string
		for _, dir := range dirs {
			files = append(files, kustomizationsIn(dir)...)
		}
		if err := d.prefetch(files...); err != nil {
			return err
		}
		for _, dir := range dirs {
			if d.nodes[dir] != nil {
				continue
			}
			n, err := d.loadOne(dir)
			if err != nil {
				return err
			}
			d.nodes[dir] = n
			next = append(next, n.names...)
		}
		dirs = slices.DeleteFunc(next, func(dir string) bool { return d.nodes[dir] != nil })
	}
	return nil
}

func (d *discovery) loadOne(dir string) (*node, error) {
	n := &node{}
	isDir, err := d.isDir(path.Join(dir, FileName))
	n.lifecycle = err == nil && !isDir
	k, err := d.readKustomization(dir)
	var r *refusal
	switch {
	case errors.As(err, &r):
		d.problems.warn(startOf(r.path), "%s; no %s is looked for through it", r.reason, FileName)
		return n, nil
	case err != nil:
		return nil, err
	case k == nil:
		return n, nil
	}
	n.kustomization = k
	for _, ref := range k.folders() {
		name, inside := within(dir, ref.path)
		if !inside || isRemote(ref.path) {
			continue
		}
		switch isDir, err := d.isDir(name); {
		case err == nil && isDir:
			n.names = append(n.names, name)
		case d.failed != nil:
			return nil, d.failed
		}
	}
	return n, nil
}

// reached are a folder and all that its kustomization leads to, sorted.
func (g graph) reached(dir string) []string {
	if known, ok := g.below[dir]; ok {
		return known
	}
	visited := map[string]bool{}
	for todo := []string{dir}; len(todo) > 0; {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if n := g.nodes[next]; n != nil && !visited[next] {
			visited[next] = true
			todo = append(todo, n.names...)
		}
	}
	g.below[dir] = slices.Sorted(maps.Keys(visited))
	return g.below[dir]
}

// lifecycles are the reached folders that have a lifecycle.yaml.
func (g graph) lifecycles(dir string) []string {
	var dirs []string
	for _, r := range g.reached(dir) {
		if g.nodes[r].lifecycle {
			dirs = append(dirs, r)
		}
	}
	return dirs
}

// pair finds for every lifecycle.yaml the folders it is rendered from.
func (d *discovery) pair(s seen) []pair {
	pairs := map[pair]bool{}
	visited, done := map[string]bool{}, map[string]bool{}
	for _, root := range d.roots(s.kustomizations) {
		for _, r := range d.reached(root) {
			visited[r] = true
		}
		d.assign(root, pairs, done)
	}
	for _, dir := range s.lifecycles {
		if !visited[dir] {
			if d.nodes[dir] == nil {
				d.nodes[dir] = &node{lifecycle: true}
			}
			pairs[pair{dir, dir}] = true
		}
	}
	return slices.SortedFunc(maps.Keys(pairs), func(a, b pair) int {
		return slices.Compare([]string{a.path, a.lifecycle}, []string{b.path, b.lifecycle})
	})
}

// roots are the overlays that no other kustomization builds on. Of a cycle,
// which has none, the first folder stands for it.
func (d *discovery) roots(dirs []string) []string {
	named := map[string]bool{}
	for dir, n := range d.nodes {
		for _, name := range n.names {
			named[name] = named[name] || name != dir
		}
	}
	var roots []string
	visited := map[string]bool{}
	for _, cycles := range []bool{false, true} {
		for _, dir := range dirs {
			n := d.nodes[dir]
			if visited[dir] || named[dir] != cycles || n.kustomization == nil || n.isComponent() {
				continue
			}
			roots = append(roots, dir)
			for _, r := range d.reached(dir) {
				visited[r] = true
			}
		}
	}
	return roots
}

func (n *node) isComponent() bool {
	return n.kustomization != nil && n.kustomization.Kind == types.ComponentKind
}

// assign pairs a folder with the one lifecycle.yaml it reaches. Where it
// reaches several, it gathers apps, and those it names are looked at.
func (d *discovery) assign(dir string, pairs map[pair]bool, done map[string]bool) {
	if done[dir] {
		return
	}
	done[dir] = true
	lifecycles := d.lifecycles(dir)
	n := d.nodes[dir]
	if len(lifecycles) == 1 {
		pairs[pair{dir, lifecycles[0]}] = true
		return
	}
	if n.lifecycle {
		pairs[pair{dir, dir}] = true
	}
	for _, name := range n.names {
		if !d.nodes[name].isComponent() {
			d.assign(name, pairs, done)
			continue
		}
		for _, l := range d.lifecycles(name) {
			pairs[pair{dir, l}] = true
		}
	}
	if len(lifecycles) > 1 && !n.lifecycle && n.kustomization.transforms() {
		d.problems.warn(startOf(n.kustomization.file), "it reaches %d %s files and also changes what they deploy: each app is rendered without that change, so give each an overlay of its own", len(lifecycles), FileName)
	}
}

// transforms says whether a kustomization does more than to gather resources.
func (k *kustomization) transforms() bool {
	rest := k.Kustomization
	rest.TypeMeta, rest.MetaData, rest.Resources = types.TypeMeta{}, nil, nil
	rest.SortOptions, rest.BuildMetadata = nil, nil
	return rest.CheckEmpty() == nil
}

// replaced takes out the Lifecycles that an overlay has replaced by its own of
// the same name.
func (d *discovery) replaced(pairs []pair) []pair {
	return slices.DeleteFunc(pairs, func(p pair) bool {
		for dir, n := range d.nodes {
			if n.lifecycle && dir != p.lifecycle && d.files[dir] != nil &&
				slices.Contains(d.reached(dir), p.path) && replaces(d.files[dir], d.files[p.lifecycle]) {
				return true
			}
		}
		return false
	})
}

func replaces(overlay, base *File) bool {
	own := map[string]bool{}
	for _, l := range overlay.Lifecycles {
		own[l.Name] = true
	}
	for _, l := range base.Lifecycles {
		if !own[l.Name] {
			return false
		}
	}
	return len(base.Lifecycles) > 0
}

package manifest

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
)

// clashes tells of Lifecycles of one name: in one environment a name stands
// for one app.
func (d *discovery) clashes(apps []App) {
	byFile := make([]*App, len(apps))
	for i := range apps {
		byFile[i] = &apps[i]
	}
	slices.SortStableFunc(byFile, func(a, b *App) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Path, b.Path))
	})
	first, firstApp := map[string]*App{}, map[string]*App{}
	for _, app := range byFile {
		name := app.Lifecycle.Name
		d.appName(app, firstApp)
		prior, clash := first[name]
		switch {
		case !clash:
			first[name] = app
		case app.File != prior.File && !d.stages(app, prior):
			app.Problems.add(d.place(app), "Lifecycle %q is already at %s: give it another name", name, d.place(prior))
		default:
			message := fmt.Sprintf("Lifecycle %q is inherited by both %s and %s: give each environment a source of its own, whose spec.paths name one of them", name, prior.Path, app.Path)
			for _, ps := range []*Problems{&app.Problems, &prior.Problems} {
				ps.add(d.place(app), "%s", message)
				(*ps)[len(*ps)-1].Overlays = true
			}
		}
	}
}

// stages says whether two apps are one in two environments: overlays of a folder with
// a lifecycle.yaml, which each of them inherits or replaces.
func (d *discovery) stages(a, b *App) bool {
	of := d.lifecycles(b.Path)
	return slices.ContainsFunc(d.lifecycles(a.Path), func(dir string) bool { return slices.Contains(of, dir) })
}

// appName checks the name that commits know the app by: it has to be one, and
// the app's alone.
func (d *discovery) appName(app *App, first map[string]*App) {
	name := app.Lifecycle.Spec.App
	if name == "" {
		name = app.Lifecycle.Name
		if reasons := validation.IsDNS1123Label(name); len(reasons) > 0 {
			app.Problems.add(d.place(app), "the app's name is %q, that of the Lifecycle, which is no name for one (%s): set spec.app", name, reasons[0])
		}
	}
	prior, taken := first[name]
	if !taken {
		first[name] = app
	} else if prior.Lifecycle.Name != app.Lifecycle.Name {
		app.Problems.add(d.place(app), "the app %q is already at %s: give it another spec.app", name, d.place(prior))
	}
}

// place is where the name of an app's Lifecycle is.
func (d *discovery) place(app *App) Position {
	at, _ := d.files[path.Dir(app.File)].Position(v1alpha1.LifecycleKind, app.Lifecycle.Name, "metadata.name", 1, 1)
	return at
}

// use is a policy that a Lifecycle names, and where.
type use struct{ name, path string }

func uses(l *v1alpha1.Lifecycle) []use {
	var all []use
	add := func(phase string, names []string) {
		for i, name := range names {
			all = append(all, use{name, fmt.Sprintf("spec.%s.policies[%d]", phase, i)})
		}
	}
	if pre := l.Spec.PreDeployment; pre != nil {
		add("preDeployment", pre.Policies)
	}
	if post := l.Spec.PostDeployment; post != nil {
		add("postDeployment", post.Policies)
	}
	return all
}

// policies gives an app the policies that its Lifecycle names.
func (d *discovery) policies(app *App) error {
	own := d.files[path.Dir(app.File)]
	app.policyFiles = map[string]*File{}
	resolved := map[string]v1alpha1.SLOPolicy{}
	for _, u := range uses(&app.Lifecycle) {
		at, _ := own.Position(v1alpha1.LifecycleKind, app.Lifecycle.Name, u.path, 1, 1)
		in, isSLO, err := d.policyFiles(own, u.name)
		if err != nil {
			return err
		}
		if isSLO {
			app.OpenSLO = append(app.OpenSLO, NamedSLO{u.name, at})
			continue
		}
		if len(in) == 0 {
			app.Problems.warn(at, "SLOPolicy %q is not in this repository: write it, or see that the cluster has it", u.name)
			continue
		}
		if len(in) > 1 {
			app.Problems.warn(at, "SLOPolicy %q is in both %s and %s, and the first is used: give them different names", u.name, in[0].Path, in[1].Path)
		}
		policy, ok := in[0].policy(u.name)
		if !ok {
			app.Problems.warn(at, "SLOPolicy %q has errors in %s: mend them", u.name, in[0].Path)
			continue
		}
		if err := d.addSLOs(in[0]); err != nil {
			return err
		}
		resolved[u.name], app.policyFiles[u.name] = policy, in[0]
	}
	for _, name := range slices.Sorted(maps.Keys(resolved)) {
		app.Policies = append(app.Policies, resolved[name])
	}
	app.Problems = append(app.Problems, d.beside[path.Dir(app.File)]...)
	return nil
}

// policyFiles are the files with a policy of that name, from where it is looked
// up first. Before the rest of the repository, it can be an SLO of the folder.
func (d *discovery) policyFiles(own *File, name string) (in []*File, isSLO bool, err error) {
	if in := d.nearby(own, v1alpha1.SLOPolicyKind, name); len(in) > 0 {
		return in, false, nil
	}
	if err := d.addBeside(own); err != nil || own.hasSLO(name) {
		return nil, true, err
	}
	in, err = d.holding(own, v1alpha1.SLOPolicyKind, name)
	return in, false, err
}

// holding are the files with an object of that kind and name, from where it is
// looked up first: the file that names it, the files found, the rest of the
// repository.
func (d *discovery) holding(own *File, kind, name string) ([]*File, error) {
	if in := d.nearby(own, kind, name); len(in) > 0 {
		return in, nil
	}
	rest, err := d.elsewhere()
	return having(kind, name, rest...), err
}

// nearby are those of holding without the rest of the repository.
func (d *discovery) nearby(own *File, kind, name string) []*File {
	if in := having(kind, name, own); len(in) > 0 {
		return in
	}
	return having(kind, name, slices.Collect(maps.Values(d.files))...)
}

// having are the files with an object of that kind and name, sorted by path.
func having(kind, name string, files ...*File) []*File {
	var in []*File
	for _, f := range files {
		if slices.ContainsFunc(f.objects, func(o object) bool { return o.kind == kind && o.name == name }) {
			in = append(in, f)
		}
	}
	slices.SortFunc(in, func(a, b *File) int { return cmp.Compare(a.Path, b.Path) })
	return in
}

func (f *File) policy(name string) (v1alpha1.SLOPolicy, bool) {
	i := slices.IndexFunc(f.Policies, func(p v1alpha1.SLOPolicy) bool { return p.Name == name })
	if i < 0 {
		return v1alpha1.SLOPolicy{}, false
	}
	return f.Policies[i], true
}

// elsewhere reads the files that are neither below the paths nor reached from
// there. Their problems are not those of this source.
func (d *discovery) elsewhere() ([]*File, error) {
	if d.searched {
		return d.rest, nil
	}
	d.searched = true
	other := &discovery{tree: d.again(d.ctx)}
	s, err := other.walk(selection{[]string{"."}})
	if err != nil {
		return nil, err
	}
	dirs := slices.DeleteFunc(s.lifecycles, func(dir string) bool { return d.files[dir] != nil })
	if err := d.prefetch(lifecyclesIn(dirs)...); err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		name := path.Join(dir, FileName)
		data, err := other.lifecycle(name)
		if other.failed != nil {
			return nil, other.failed
		}
		if err == nil {
			f, _ := Parse(name, data)
			d.rest = append(d.rest, f)
		}
	}
	return d.rest, nil
}

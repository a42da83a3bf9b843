package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
)

// kustomization is one kustomization file and what it refers to.
type kustomization struct {
	file string
	types.Kustomization
	// root is for the places of problems; nil if it cannot be had.
	root *yaml.Node
}

// readKustomization reads the kustomization of a folder; nil if it has none.
func (t *tree) readKustomization(dir string) (*kustomization, error) {
	var found []string
	for _, name := range kustomizationsIn(dir) {
		dir, err := t.isDir(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		case !dir:
			found = append(found, name)
		}
	}
	switch len(found) {
	case 0:
		return nil, nil //nolint:nilnil // a folder without a kustomization is no error
	case 1:
	default:
		return nil, refuse(found[1], "the folder has more than one kustomization, %s as well: keep one", found[0])
	}
	data, err := t.read(found[0])
	if err != nil {
		return nil, err
	}
	return parseKustomization(found[0], data)
}

// kustomizationsIn are the files that can be the kustomization of a folder.
func kustomizationsIn(dir string) []string {
	var names []string
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		names = append(names, path.Join(dir, name))
	}
	return names
}

func parseKustomization(file string, data []byte) (*kustomization, error) {
	k := &kustomization{file: file}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err == nil && len(doc.Content) == 1 {
		k.root = doc.Content[0]
	}
	if err := k.Unmarshal(data); err != nil {
		return nil, refuse(file, "not a kustomization: %s", oneLine(err.Error()))
	}
	k.FixKustomization()
	return k, nil
}

// at is the place of a field, such as resources[0].
func (k *kustomization) at(field string) Position {
	if k.root == nil {
		return startOf(k.file)
	}
	e, _ := find(k.root, field)
	return place(k.file, e.value)
}

// reference is an entry of a kustomization that names a file or folder.
type reference struct{ field, path string }

// folders are the entries that can name another kustomization.
func (k *kustomization) folders() []reference {
	var refs []reference
	for i, r := range k.Resources {
		field, n := "resources", i
		if e, ok := k.length("resources"); ok && i >= e {
			field, n = "bases", i-e
		}
		refs = append(refs, reference{fmt.Sprintf("%s[%d]", field, n), r})
	}
	for i, c := range k.Components {
		refs = append(refs, reference{fmt.Sprintf("components[%d]", i), c})
	}
	return refs
}

// length is that of a list as it is written; kustomize appends bases to the
// resources when it reads them.
func (k *kustomization) length(field string) (int, bool) {
	if k.root == nil {
		return 0, false
	}
	if e, ok := lookup(k.root, field); ok {
		return len(resolve(e.value).Content), true
	}
	return 0, true
}

// files are the entries that name a file, or hold its content in place.
func (k *kustomization) files() []reference {
	var refs []reference
	list := func(field string, paths []string) {
		for i, p := range paths {
			refs = append(refs, reference{fmt.Sprintf("%s[%d]", field, i), p})
		}
	}
	list("configurations", k.Configurations)
	list("crds", k.Crds)
	list("generators", k.Generators)
	list("transformers", k.Transformers)
	list("validators", k.Validators)
	for i, p := range k.PatchesStrategicMerge { //nolint:staticcheck // deprecated, and still in use
		refs = append(refs, reference{fmt.Sprintf("patchesStrategicMerge[%d]", i), string(p)})
	}
	for i, p := range k.Patches {
		refs = append(refs, reference{fmt.Sprintf("patches[%d].path", i), p.Path})
	}
	for i, p := range k.PatchesJson6902 { //nolint:staticcheck // deprecated, and still in use
		refs = append(refs, reference{fmt.Sprintf("patchesJson6902[%d].path", i), p.Path})
	}
	for i, r := range k.Replacements {
		refs = append(refs, reference{fmt.Sprintf("replacements[%d].path", i), r.Path})
	}
	for i, g := range k.ConfigMapGenerator {
		refs = append(refs, sources(fmt.Sprintf("configMapGenerator[%d]", i), g.KvPairSources)...)
	}
	for i, g := range k.SecretGenerator {
		refs = append(refs, sources(fmt.Sprintf("secretGenerator[%d]", i), g.KvPairSources)...)
	}
	return append(refs, reference{"openapi.path", k.OpenAPI["path"]})
}

// sources are the files of a generator, each either a path or key=path.
func sources(field string, s types.KvPairSources) []reference {
	refs := []reference{{child(field, "env"), s.EnvSource}}
	for i, f := range s.FileSources {
		if _, file, ok := strings.Cut(f, "="); ok {
			f = file
		}
		refs = append(refs, reference{fmt.Sprintf("%s.files[%d]", field, i), f})
	}
	for i, f := range s.EnvSources {
		refs = append(refs, reference{fmt.Sprintf("%s.envs[%d]", field, i), f})
	}
	return refs
}

// refusals are the entries that would need the network, run a program or leave
// the repository. Nothing of a kustomization that has any is used.
func (k *kustomization) refusals() Problems {
	var ps Problems
	dir := path.Dir(k.file)
	for _, f := range []struct {
		field string
		used  bool
	}{
		{"helmCharts", len(k.HelmCharts) > 0},
		{"helmChartInflationGenerator", len(k.HelmChartInflationGenerator) > 0},
		{"helmGlobals", k.HelmGlobals != nil},
	} {
		if f.used {
			ps.add(k.at(f.field), "%s: Helm charts are not rendered here: commit the rendered manifests and name those", f.field)
		}
	}
	for _, ref := range slices.Concat(k.folders(), k.files()) {
		_, inside := within(dir, ref.path)
		switch {
		case ref.path == "":
		case isRemote(ref.path):
			ps.add(k.at(ref.field), "%s: remote files and bases are not fetched: copy what you need into the repository and name its path", ref.field)
		case !inside && !isInline(ref):
			ps.add(k.at(ref.field), "%s: %q leads out of the repository: name a path inside", ref.field, ref.path)
		}
	}
	return append(ps, k.pluginRefusals()...)
}

// isInline is true for a patch, or a plugin, that is written in place.
func isInline(ref reference) bool {
	list, _, _ := strings.Cut(ref.field, "[")
	inPlace := []string{"generators", "patchesStrategicMerge", "transformers", "validators"}
	return slices.Contains(inPlace, list) && strings.ContainsAny(ref.path, "{\n")
}

// remote is what kustomize takes for a URL or a Git repository: a scheme, a
// user as in git@host:path, or the name of the one host that needs neither.
var remote = regexp.MustCompile(`(?i)^\s*(git::|[a-z][a-z0-9+.-]*://|https?:|[a-z][a-z0-9-]*@|github\.com[/:])`)

func isRemote(p string) bool { return remote.MatchString(p) }

// pluginRefusals are those of the plugins that are written in place.
func (k *kustomization) pluginRefusals() Problems {
	var ps Problems
	for _, list := range []struct {
		field   string
		entries []string
	}{{"generators", k.Generators}, {"transformers", k.Transformers}, {"validators", k.Validators}} {
		for i, entry := range list.entries {
			field := fmt.Sprintf("%s[%d]", list.field, i)
			if !isInline(reference{field, entry}) {
				continue
			}
			if reason := pluginRefusal([]byte(entry)); reason != "" {
				ps.add(k.at(field), "%s: %s", field, reason)
			}
		}
	}
	return ps
}

// plugins are the files that configure plugins, as paths of the repository.
func (k *kustomization) plugins() []string {
	var names []string
	for _, entry := range slices.Concat(k.Generators, k.Transformers, k.Validators) {
		if name, ok := within(path.Dir(k.file), entry); ok && !strings.ContainsAny(entry, "{\n") {
			names = append(names, name)
		}
	}
	return names
}

// pluginRefusal says why the configuration of a plugin cannot be used: only
// kustomize's own plugins run, and only on files of the repository.
func pluginRefusal(data []byte) string {
	for dec := yaml.NewDecoder(strings.NewReader(string(data))); ; {
		var n yaml.Node
		if err := dec.Decode(&n); err != nil {
			return ""
		}
		var id identity
		if err := n.Decode(&id); err != nil {
			return "not the configuration of a plugin: it needs apiVersion and kind"
		}
		switch {
		case id.APIVersion != konfig.BuiltinPluginApiVersion:
			return fmt.Sprintf("the plugin %s is no part of kustomize, and neither programs nor containers are run: only plugins of apiVersion builtin are", id.Kind)
		case strings.HasPrefix(id.Kind, "HelmChart"):
			return "Helm charts are not rendered here: commit the rendered manifests and name those"
		case namesRemote(&n, false):
			return "remote files are not fetched: copy what you need into the repository and name its path"
		}
	}
}

// namesRemote says whether any value below a field that names files is remote.
func namesRemote(n *yaml.Node, file bool) bool {
	switch n = resolve(n); n.Kind {
	case yaml.ScalarNode:
		_, value, _ := strings.Cut(n.Value, "=")
		return file && (isRemote(n.Value) || isRemote(value))
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if namesRemote(n.Content[i+1], file || namesFiles(n.Content[i].Value)) {
				return true
			}
		}
		return false
	default:
		return slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return namesRemote(c, file) })
	}
}

// namesFiles says whether kustomize's own plugins name files by a field. They
// read its name in any case.
func namesFiles(field string) bool {
	names := []string{"path", "paths", "file", "files", "env", "envs", "jsonOp", "targetFilePath"}
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, field) })
}

package manifest

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/kustomize/kyaml/openapi"
)

// mount is where kustomize sees the root of the repository. What leads above it
// is outside, and no path of a repository has such a name in it.
const mount = "/.keptn-repository"

// turn is held by the one render that runs: kustomize keeps the OpenAPI schema
// it works with in variables of the process, so two renders at once would mix
// theirs (https://github.com/kubernetes-sigs/kustomize/issues/3659).
var turn = make(chan struct{}, 1)

// errLate: a build took longer than it may.
var errLate = errors.New("the build takes too long")

// kustomize builds the kustomization of a folder. It returns when the context
// ends, or when the build has taken as long as it may, even if kustomize itself
// is still busy. The wait for others' builds does not count.
func kustomize(ctx context.Context, limit time.Duration, view *kustomizeFS, dir string) (resmap.ResMap, error) {
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errLate)
	defer cancel()
	type result struct {
		objects resmap.ResMap
		err     error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-turn }()
		objects, err := build(view, dir)
		done <- result{objects, err}
	}()
	select {
	case r := <-done:
		return r.objects, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// build runs kustomize, and survives its panics: what is in a repository must
// not end the process.
func build(view *kustomizeFS, dir string) (objects resmap.ResMap, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("kustomize cannot build this and panics: %v", p)
		}
		if view.customSchema {
			openapi.ResetOpenAPI()
		}
	}()
	plugins := types.MakePluginConfig(types.PluginRestrictionsBuiltinsOnly, types.BploUseStaticallyLinked)
	plugins.HelmConfig.Enabled = false
	return krusty.MakeKustomizer(&krusty.Options{
		Reorder:          krusty.ReorderOptionNone,
		LoadRestrictions: types.LoadRestrictionsNone,
		PluginConfig:     plugins,
	}).Run(view, path.Join(mount, dir))
}

// What kustomize quotes in its errors of the files it read, which can be secret.
var quoted = []*regexp.Regexp{
	regexp.MustCompile(`(?s)(literal sources \[).*(\]: )`),
	regexp.MustCompile(`(?s)(invalid literal source ).*(, expected key=value)`),
	regexp.MustCompile(`(?s)(line )\S* (has invalid utf8 bytes) .*()`),
	regexp.MustCompile(`(?s)(\[patch: ).*(\])`),
	regexp.MustCompile(`(?s)((?:path in|at the same time)\n).*()`),
}

// explain is an error of kustomize's with the paths of the repository, and
// without the content of files.
func explain(err error) string {
	text := err.Error()
	for _, q := range quoted {
		text = q.ReplaceAllString(text, "$1…$2")
	}
	text = strings.ReplaceAll(text, mount+"/", "")
	text = oneLine(strings.ReplaceAll(text, mount, "."))
	if runes := []rune(text); len(runes) > 600 {
		text = string(runes[:600]) + "…"
	}
	return text
}

// kustomizeFS shows a tree to kustomize: for reading only, and each
// kustomization only if nothing in it is refused.
type kustomizeFS struct {
	*tree
	// problems are the refusals met so far. Whatever kustomize makes of a file
	// that it cannot read, with a problem its result is void.
	problems Problems
	// customSchema is set if a kustomization brings an OpenAPI schema.
	customSchema bool
}

var _ filesys.FileSystem = &kustomizeFS{}

// name is the path in the repository.
func (v *kustomizeFS) name(p string) (string, error) {
	p = filepath.ToSlash(p)
	if rest, ok := strings.CutPrefix(path.Clean(p)+"/", mount+"/"); ok {
		return path.Clean("./" + strings.TrimSuffix(rest, "/")), nil
	}
	return "", v.note(refuse(strings.TrimPrefix(path.Clean(p), "/"), "leads out of the repository"))
}

// note keeps a refusal as a problem.
func (v *kustomizeFS) note(err error) error {
	var r *refusal
	if errors.As(err, &r) {
		v.problems.add(startOf(r.path), "%s", r.reason)
	}
	return err
}

func (v *kustomizeFS) lookUp(p string) (dir bool, err error) {
	name, err := v.name(p)
	if err != nil {
		return false, err
	}
	dir, err = v.isDir(name)
	return dir, v.note(err)
}

// Exists is true if the path exists in the repository.
func (v *kustomizeFS) Exists(p string) bool {
	_, err := v.lookUp(p)
	return err == nil
}

// IsDir is true if the path is a folder.
func (v *kustomizeFS) IsDir(p string) bool {
	dir, err := v.lookUp(p)
	return err == nil && dir
}

// CleanedAbs splits a path into a folder and a file in it.
func (v *kustomizeFS) CleanedAbs(p string) (filesys.ConfirmedDir, string, error) {
	dir, err := v.lookUp(p)
	switch {
	case err != nil:
		return "", "", err
	case dir:
		return filesys.ConfirmedDir(path.Clean(p)), "", nil
	default:
		return filesys.ConfirmedDir(path.Dir(path.Clean(p))), path.Base(p), nil
	}
}

// ReadFile returns the content of a file; a kustomization is vetted before.
func (v *kustomizeFS) ReadFile(p string) ([]byte, error) {
	name, err := v.name(p)
	if err != nil {
		return nil, err
	}
	data, err := v.read(name)
	if err != nil {
		return nil, v.note(err)
	}
	if slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(name)) {
		return data, v.vet(name, data)
	}
	return data, v.note(v.count(name, data))
}

// vet refuses a kustomization that would need more than this repository.
func (v *kustomizeFS) vet(name string, data []byte) error {
	k, err := parseKustomization(name, data)
	if err != nil {
		return v.note(err)
	}
	problems := k.refusals()
	for _, plugin := range k.plugins() {
		if reason := v.vetPlugin(plugin); reason != "" {
			problems.add(startOf(plugin), "%s", reason)
		}
	}
	v.problems = append(v.problems, problems...)
	v.customSchema = v.customSchema || len(k.OpenAPI) > 0
	if len(problems) > 0 {
		return problems
	}
	return v.prefetch(v.near(k)...)
}

// vetPlugin says why the configuration of a plugin cannot be used.
func (v *kustomizeFS) vetPlugin(name string) string {
	data, err := v.read(name)
	switch {
	case errors.Is(err, errIsFolder):
		return "plugins are read from files only, not from a folder: name the files in it"
	case err != nil:
		return err.Error()
	default:
		return pluginRefusal(data)
	}
}

// near are the files that a kustomization leads to: those it names, and the
// kustomizations in the folders it names.
func (t *tree) near(k *kustomization) []string {
	var files []string
	for _, ref := range slices.Concat(k.folders(), k.files()) {
		name, ok := within(path.Dir(k.file), ref.path)
		if !ok || ref.path == "" || isInline(ref) {
			continue
		}
		switch dir, err := t.isDir(name); {
		case err != nil:
		case dir:
			files = append(files, kustomizationsIn(name)...)
		default:
			files = append(files, name)
		}
	}
	return files
}

var errReadOnly = errors.New("the repository is only read")

// Create is refused.
func (v *kustomizeFS) Create(string) (filesys.File, error) { return nil, errReadOnly }

// Mkdir is refused.
func (v *kustomizeFS) Mkdir(string) error { return errReadOnly }

// MkdirAll is refused.
func (v *kustomizeFS) MkdirAll(string) error { return errReadOnly }

// RemoveAll is refused.
func (v *kustomizeFS) RemoveAll(string) error { return errReadOnly }

// WriteFile is refused.
func (v *kustomizeFS) WriteFile(string, []byte) error { return errReadOnly }

// Open is refused: a build reads whole files.
func (v *kustomizeFS) Open(string) (filesys.File, error) { return nil, errors.ErrUnsupported }

// ReadDir is refused: a build reads what is named.
func (v *kustomizeFS) ReadDir(string) ([]string, error) { return nil, errors.ErrUnsupported }

// Glob is refused: a build reads what is named.
func (v *kustomizeFS) Glob(string) ([]string, error) { return nil, errors.ErrUnsupported }

// Walk is refused: a build reads what is named.
func (v *kustomizeFS) Walk(string, filepath.WalkFunc) error { return errors.ErrUnsupported }

package manifest_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/manifest"
)

const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"

// limited is a file system that does not read some files, for they are too large.
type limited struct {
	fstest.MapFS
	large map[string]int64
}

// tooLarge is how such a file system says so.
type tooLarge struct{ size int64 }

func (e tooLarge) Error() string            { return "too large" }
func (e tooLarge) TooLarge() (int64, int64) { return e.size, 10 << 20 }

func (l limited) Open(name string) (fs.File, error) {
	if size, ok := l.large[name]; ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("wrapped: %w", tooLarge{size})}
	}
	return l.MapFS.Open(name)
}

// withSubmodule is a tree with a submodule, as a tree of a commit shows one.
func withSubmodule(archive, name string) fstest.MapFS {
	fsys := tree(archive)
	fsys[name] = &fstest.MapFile{Mode: fs.ModeIrregular}
	return fsys
}

func TestWhatIsNotInTheRepositoryIsToldByItsName(t *testing.T) {
	const (
		lfs       = "is a pointer of Git LFS, whose content is elsewhere and is not fetched: commit the file itself (git lfs untrack, then git add --renormalize)"
		submodule = "is a submodule, and those are not fetched: give the repository that it stands for a GitSource of its own, or put its files here"
		beside    = "-- b/lifecycle.yaml --\nLIFECYCLE(b)\n"
		app       = "-- a/lifecycle.yaml --\nLIFECYCLE(a)\n"
	)
	cases := map[string]struct {
		reason string
		fsys   fs.FS
		paths  []string
		want   []string
	}{
		"LFSLifecycle": {"A pattern of .gitattributes may be too wide.", tree(beside + "-- a/lifecycle.yaml --\n" + pointer), nil,
			[]string{"a/lifecycle.yaml:1:1: " + lfs}},
		"LFSManifest": {"What is rendered as well.", tree(beside + app + "-- a/d.yaml --\n" + pointer), nil,
			[]string{"a/d.yaml:1:1: " + lfs}},
		"LFSResource": {"By kustomize, too.", tree(beside + app + "-- a/kustomization.yaml --\nresources: [d.yaml]\n-- a/d.yaml --\n" + pointer), nil,
			[]string{"a/d.yaml:1:1: " + lfs}},
		"LFSKustomization": {"And what leads to it.", tree(beside + app + "-- a/kustomization.yaml --\n" + pointer), nil,
			[]string{"a/kustomization.yaml:1:1: " + lfs, "a/kustomization.yaml:1:1: warning: " + lfs + "; no lifecycle.yaml is looked for through it"}},
		"HugeLifecycle": {"It is not even fetched.", limited{tree(beside + app), map[string]int64{"a/lifecycle.yaml": 1 << 30}}, nil,
			[]string{"a/lifecycle.yaml:1:1: the file has 1073741824 bytes, and 1048576 are the limit: split it"}},
		"HugeManifest": {"Nor is a manifest of unknown size.", limited{tree(beside + app + "-- a/d.yaml --\nDEPLOY(a)\n"), map[string]int64{"a/d.yaml": 0}}, nil,
			[]string{"a/d.yaml:1:1: the file has more than 8388608 bytes, which is the limit: split it"}},
		"SubmoduleWatched": {"The folder that is watched.", withSubmodule(beside, "a"), []string{"a", "b"},
			[]string{"a:1:1: " + submodule}},
		"SubmoduleAbove": {"One on the way to it.", withSubmodule(beside, "a"), []string{"a/c", "b"},
			[]string{"a:1:1: " + submodule}},
		"SubmoduleInGlob": {"One of many that are watched hides the others not.", withSubmodule(beside, "a"), []string{"*"},
			[]string{"a:1:1: warning: " + submodule}},
		"SubmoduleElsewhere": {"Of the whole tree nobody has said that it deploys.", withSubmodule(beside, "vendor/x"), nil, nil},
		"SubmoduleAsFile": {"One that has the place of a lifecycle.yaml.", withSubmodule(beside, "a/lifecycle.yaml"), nil,
			[]string{"a/lifecycle.yaml:1:1: " + submodule}},
		"SubmoduleAsBase": {"A base in one.", withSubmodule(beside+app+"-- a/kustomization.yaml --\nresources: [../base]\n", "base"), nil,
			[]string{"base:1:1: " + submodule}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			found, err := manifest.Discover(t.Context(), tc.fsys, tc.paths, manifest.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, lines(found.Problems)); diff != "" {
				t.Errorf("%s\nproblems (-want +got):\n%s", tc.reason, diff)
			}
			healthy := false
			for _, a := range found.Apps {
				healthy = healthy || a.Lifecycle.Name == "b" && !a.Problems.HasErrors()
			}
			if !healthy {
				t.Errorf("%s\nthe other app suffers", tc.reason)
			}
		})
	}
}

func TestATreeThatCannotBeReadIsNoProblemOfTheAuthor(t *testing.T) {
	fsys := broken{tree("-- a/lifecycle.yaml --\nLIFECYCLE(a)\n"), "a/lifecycle.yaml"}
	if _, err := manifest.Discover(t.Context(), fsys, nil, manifest.Limits{}); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want the error of the file system", err)
	}
}

func TestWhatWouldNotBeSeenInANameIsEscapedInProblems(t *testing.T) {
	found, err := manifest.Discover(t.Context(), tree(
		"-- späm/lifecycle.yaml --\nLIFECYCLE(ok)\n"), nil, manifest.Limits{})
	if err != nil || len(found.Problems) > 0 || found.Apps[0].Path != "späm" {
		t.Fatalf("%v, %v", found.Problems, err)
	}
	found, err = manifest.Discover(t.Context(), fstest.MapFS{
		"a\n::error::b/lifecycle.yaml":  {Data: []byte("kind: x")},
		"c\x1b[31m/lifecycle.yaml":      {Data: []byte(pointer)},
		"d\u202ecod/lifecycle.yaml":     {Data: []byte(lifecycle("d"))},
		"d\u202ecod/kustomization.yaml": {Data: []byte("resources: ['n\u202eo']")},
	}, nil, manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for i, begin := range []string{`a\n::error::b/lifecycle.yaml:1:7: `, `c\x1b[31m/lifecycle.yaml:1:1: `, `d\u202ecod/kustomization.yaml:1:1`} {
		got := found.Problems[i]
		if line := got.String(); !strings.HasPrefix(line, begin) || strings.ContainsAny(line, "\n\x1b\u202e") {
			t.Errorf("got %q, want it to begin with %q", line, begin)
		}
	}
	if got := found.Problems[0].File; got != "a\n::error::b/lifecycle.yaml" {
		t.Errorf("the file is %q, want it as it is", got)
	}
}

// FuzzDiscover reads anything as a kustomization and as a manifest: nothing panics, what is
// wrong is the author's to mend, and an app beside goes on.
func FuzzDiscover(f *testing.F) {
	f.Add([]byte("resources: [d.yaml]\nnamePrefix: x-\nimages: [{name: acme/a, newTag: '2'}]\n"), []byte(deployment("a")))
	f.Add([]byte("resources: [d.yaml]\npatches: [{patch: '[{op: remove, path: /spec}]', target: {kind: Deployment}}]\n"), []byte(deployment("a")+"---\n"+deployment("b")))
	f.Add([]byte("configMapGenerator: [{name: a, files: [d.yaml, x=d.yaml]}]\nreplacements: [{source: {kind: ConfigMap}, targets: []}]\n"), []byte("kind: List\nitems: [{kind: A}]\n"))
	f.Add([]byte("components: [.]\nresources: ['../a', 'https://example.com/x', /etc]\n"), []byte("a: &a [*a]\n"))
	f.Add([]byte(pointer), []byte("apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: a}\nspec: {chart: {spec: {chart: ./c}}, values: {a: [1]}}\n"))
	f.Fuzz(func(t *testing.T, kustomization, object []byte) {
		fsys := tree("-- b/lifecycle.yaml --\nLIFECYCLE(b)\n-- a/lifecycle.yaml --\nLIFECYCLE(a)\n")
		fsys["a/kustomization.yaml"] = &fstest.MapFile{Data: kustomization}
		fsys["a/d.yaml"] = &fstest.MapFile{Data: object}
		fsys["b/d.yaml"] = &fstest.MapFile{Data: object}
		found, err := manifest.Discover(t.Context(), fsys, []string{"a", "b"}, manifest.Limits{Time: 5 * time.Second})
		if err != nil {
			t.Fatalf("an error of the world: %v", err)
		}
		if len(found.Apps) != 2 {
			t.Errorf("%d apps", len(found.Apps))
		}
		for _, p := range found.Problems {
			if line := p.String(); strings.ContainsAny(line, "\n\r\x1b") || p.Line < 1 || p.Column < 1 {
				t.Errorf("%q is no line, or no place", line)
			}
		}
	})
}

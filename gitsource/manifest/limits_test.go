package manifest_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/keptn/gitops/gitsource/manifest"
)

func TestARenderIsBounded(t *testing.T) {
	many := fstest.MapFS{"app/kustomization.yaml": {Data: []byte("resources: [../l9]")}}
	for i := range 10 { // every level doubles the one below
		many[fmt.Sprintf("l%d/kustomization.yaml", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "resources: [../a%d, ../b%d]", i, i)}
		for _, side := range []string{"a", "b"} {
			many[fmt.Sprintf("%s%d/kustomization.yaml", side, i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "namePrefix: %s\nresources: [../l%d]", side, i-1)}
		}
	}
	many["l-1/kustomization.yaml"] = &fstest.MapFile{Data: []byte("resources: [d.yaml]")}
	many["l-1/d.yaml"] = &fstest.MapFile{Data: []byte(deployment("x"))}
	one := repository("-- app/d.yaml --\nDEPLOY(x)\n---\nDEPLOY(y)\n-- app/sub/sub/x --\n")
	cases := map[string]struct {
		reason string
		fsys   fs.FS
		dir    string
		limits manifest.Limits
		want   string
	}{
		"Reads":   {"Bases that double must not run away.", many, "app", manifest.Limits{Reads: 200}, "more than 200 files are read"},
		"File":    {"One file is bounded.", one, "app", manifest.Limits{FileBytes: 100}, "app/d.yaml:1:1: the file has 424 bytes, and 100 are the limit: split it"},
		"Total":   {"All files are.", many, "app", manifest.Limits{TotalBytes: 3000}, "more than 3000 bytes are read"},
		"Objects": {"So are objects.", one, "app", manifest.Limits{Objects: 1}, "more than 1 objects"},
		"Doubled": {"Those of doubling bases before kustomize takes its time.", many, "app", manifest.Limits{Objects: 100}, "more than 100 objects"},
		"List":    {"Those in a list as well.", repository("-- app/kustomization.yaml --\nresources: [d.json]\n-- app/d.json --\n{\"kind\":\"List\",\"apiVersion\":\"v1\",\"items\":[{\"kind\":\"A\"},{\"kind\":\"B\"}]}"), "app", manifest.Limits{Objects: 2}, "more than 2 objects"},
		"Depth":   {"And folders.", one, "app/sub/sub", manifest.Limits{Depth: 2}, "nested deeper than 2 levels"},
		"Time":    {"And the time that kustomize takes.", repository("-- app/kustomization.yaml --\nresources: [d.yaml]\n-- app/d.yaml --\nDEPLOY(x)\n"), "app", manifest.Limits{Time: time.Nanosecond}, "longer than 1ns"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := manifest.Render(t.Context(), tc.fsys, tc.dir, tc.limits)
			var problems manifest.Problems
			if !errors.As(err, &problems) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s\ngot %v, want a problem with %q", tc.reason, err, tc.want)
			}
		})
	}
}

// broken is a file system that cannot read one file.
type broken struct {
	fstest.MapFS
	name string
}

var errBroken = errors.New("connection reset")

func (b broken) Open(name string) (fs.File, error) {
	if name == b.name {
		return nil, errBroken
	}
	return b.MapFS.Open(name)
}

func TestAnErrorOfTheWorldIsNoProblemOfTheAuthor(t *testing.T) {
	fsys := repository("-- app/kustomization.yaml --\nresources: [d.yaml]\n-- app/d.yaml --\nDEPLOY(x)\n")
	_, err := manifest.Render(t.Context(), broken{fsys, "app/d.yaml"}, "app", manifest.Limits{})
	var problems manifest.Problems
	if !errors.Is(err, errBroken) || errors.As(err, &problems) {
		t.Errorf("got %v, want the error of the file system", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := manifest.Render(ctx, fsys, "app", manifest.Limits{}); !errors.Is(err, context.Canceled) || errors.As(err, &problems) {
		t.Errorf("got %v, want that of the context", err)
	}
}

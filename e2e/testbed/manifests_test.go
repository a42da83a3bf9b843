package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestReadManifests says which files of a module are made objects of, and which are
// refused before the cluster sees any.
func TestReadManifests(t *testing.T) {
	const config = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  labels:\n    name: other\n  name: settings\ndata:\n  name: third\n"
	cases := map[string]struct {
		reason string
		files  map[string]string
		want   map[string]string // kind by name
		err    bool
	}{
		"Named":       {"The name is the object's, not a label's.", map[string]string{"a.yaml": config}, map[string]string{"settings": "ConfigMap"}, false},
		"OneDocument": {"controller-gen begins files with a mark.", map[string]string{"a.yaml": "---\n" + config}, map[string]string{"settings": "ConfigMap"}, false},
		"Kustomize":   {"A kustomization is no object of the API's.", map[string]string{"a.yaml": config, "kustomization.yaml": "resources: []\n"}, map[string]string{"settings": "ConfigMap"}, false},
		"NoObject":    {"A file of another form is an error, not nothing.", map[string]string{"a.yaml": "kind: List\n"}, nil, true},
		"Nothing":     {"A folder that has moved in a new version is an error.", nil, nil, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range c.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := readManifests(filepath.Join(dir, "*.yaml"))
			if (err != nil) != c.err || len(got) != len(c.want) {
				t.Fatalf("read %v, %v; want %v. %s", got, err, c.want, c.reason)
			}
			for _, m := range got {
				if c.want[m.name] != m.kind {
					t.Errorf("read %s %s, want %v. %s", m.kind, m.name, c.want, c.reason)
				}
			}
		})
	}
}

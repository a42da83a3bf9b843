package task_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	sigsyaml "sigs.k8s.io/yaml"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/task"
)

var update = flag.Bool("update", false, "write the Jobs that are expected")

// Each folder of testdata holds a KeptnTask with what it refers to, why that is
// looked at, and the Job that is to come of it.
func TestATaskBecomesTheJobThatItsDefinitionDescribes(t *testing.T) {
	folders, err := filepath.Glob("testdata/*/in.yaml")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, in := range folders {
		dir := filepath.Dir(in)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			of, c := read(t, in)
			job, err := task.JobOf(t.Context(), c, of, task.Options{Namespace: "keptn-system", DenoImage: "deno", PythonImage: "python"})
			if err != nil {
				t.Fatal(err)
			}
			got, err := sigsyaml.Marshal(job)
			if err != nil {
				t.Fatal(err)
			}
			want := filepath.Join(dir, "want.yaml")
			if *update {
				if err := os.WriteFile(want, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			expected, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(expected), string(got)); diff != "" {
				t.Errorf("Job (-want +got):\n%s", diff)
			}
		})
	}
}

// read returns the KeptnTask of a file, and a client of a cluster with the rest.
func read(t *testing.T, file string) (*lifecyclev1.KeptnTask, client.Client) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var of *lifecyclev1.KeptnTask
	builder := fake.NewClientBuilder().WithScheme(scheme(t))
	decoder := yaml.NewYAMLToJSONDecoder(bytes.NewReader(text))
	for {
		var raw struct {
			Kind string `json:"kind"`
		}
		var document map[string]any
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return of, builder.Build()
		} else if err != nil {
			t.Fatal(err)
		}
		text, err := sigsyaml.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		if err := sigsyaml.Unmarshal(text, &raw); err != nil {
			t.Fatal(err)
		}
		obj := kinds[raw.Kind]()
		if err := sigsyaml.UnmarshalStrict(text, obj); err != nil {
			t.Fatalf("%s: %v", raw.Kind, err)
		}
		if found, ok := obj.(*lifecyclev1.KeptnTask); ok {
			of = found
			continue
		}
		builder.WithObjects(obj)
	}
}

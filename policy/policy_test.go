package policy_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
)

// TestLanguage evaluates each folder of testdata: policy.yaml, whose first comment
// says why the case exists, over metrics.yaml. The verdict has to be want.json.
// `go test -run Language -args -update` writes what the verdict is now; read the
// difference.
func TestLanguage(t *testing.T) {
	update := flag.Lookup("update").Value.String() == "true"
	folders, err := filepath.Glob("testdata/*/policy.yaml")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no cases in testdata: %v", err)
	}
	for _, file := range folders {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			p := compileFile(t, file)
			in, err := policy.ParseMeasurements(read(t, filepath.Join(dir, "metrics.yaml")), time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			got := p.Explain(t.Context(), in)
			if update {
				write(t, filepath.Join(dir, "want.json"), got)
			}
			var want policy.Verdict
			if err := json.Unmarshal(read(t, filepath.Join(dir, "want.json")), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
			for i := range want.Rules {
				want.Rules[i].Explain = []policy.Explanation{}
			}
			if diff := cmp.Diff(want, p.Evaluate(t.Context(), in)); diff != "" {
				t.Errorf("Evaluate differs from Explain (-explain +evaluate):\n%s", diff)
			}
		})
	}
}

var _ = flag.Bool("update", false, "write testdata/*/want.json")

// compileFile compiles a policy of testdata, which holds no unknown field.
func compileFile(t *testing.T, file string) *policy.Policy {
	t.Helper()
	var object v1alpha1.SLOPolicy
	if err := yaml.UnmarshalStrict(read(t, file), &object); err != nil {
		t.Fatal(err)
	}
	p, err := policy.Compile(object.Name, object.Spec)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t *testing.T, file string, v policy.Verdict) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e := json.NewEncoder(f)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
}

// spec is a policy over the metrics a, b and c.
func spec(rules ...v1alpha1.Rule) v1alpha1.SLOPolicySpec {
	return v1alpha1.SLOPolicySpec{
		Metrics: []v1alpha1.Metric{{Name: "a"}, {Name: "b"}, {Name: "c"}},
		Rules:   rules,
	}
}

// rule is a rule by the name r.
func rule(expression string) v1alpha1.Rule {
	return v1alpha1.Rule{Name: "r", Expression: expression}
}

func compile(t *testing.T, s v1alpha1.SLOPolicySpec, opts ...policy.Option) *policy.Policy {
	t.Helper()
	p, err := policy.Compile("test", s, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// problems are what is wrong with a policy.
func problems(t *testing.T, s v1alpha1.SLOPolicySpec, opts ...policy.Option) policy.Problems {
	t.Helper()
	_, err := policy.Compile("test", s, opts...)
	var p policy.Problems
	if !errors.As(err, &p) {
		t.Fatalf("error %v, want Problems", err)
	}
	return p
}

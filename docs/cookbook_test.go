package docs_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
)

// recipes is the folder of the policies that cookbook.md shows.
const recipes = "../examples/policies"

func TestTheCookbookShowsEveryPolicyOfTheExamples(t *testing.T) {
	want, got := map[string]string{}, map[string]string{}
	for _, file := range recipeFiles(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want[path.Join("examples/policies", filepath.Base(file))] = string(text)
	}
	for _, b := range readPage(t, "cookbook.md").blocks {
		if b.language == "yaml" && b.file() != "" {
			got[b.file()] = b.text
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cookbook.md (-examples +page):\n%s", diff)
	}
}

func TestEveryPolicyOfTheCookbookPassesAndFails(t *testing.T) {
	var report struct {
		Files []struct {
			Tests []struct{ Policy, Name, Verdict string }
		}
	}
	out, err := bash(t, ".", "keptn policy test -o json "+recipes)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	verdicts := map[string][]string{}
	for _, f := range report.Files {
		for _, c := range f.Tests {
			verdicts[c.Policy] = append(verdicts[c.Policy], c.Verdict)
		}
	}
	files := recipeFiles(t)
	if len(files) < 20 {
		t.Errorf("there are %d policies only", len(files))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		for _, verdict := range []string{"pass", "fail"} {
			if !slices.Contains(verdicts[name], verdict) {
				t.Errorf("no test shows a %s of %s: there are %q", verdict, name, verdicts[name])
			}
		}
	}
}

func TestQueriesOfTheCookbookArePromQL(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("there is no promtool on PATH")
	}
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	type group struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	}
	var groups []group
	for _, file := range recipeFiles(t) {
		g := group{Name: filepath.Base(file)}
		for i, query := range promQL(t, file) {
			g.Rules = append(g.Rules, rule{Record: "q:" + string(rune('a'+i)), Expr: query})
		}
		groups = append(groups, g)
	}
	text, err := yaml.Marshal(map[string]any{"groups": groups})
	if err != nil {
		t.Fatal(err)
	}
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(rules, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", rules).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// promQL are the queries of a policy to the provider prometheus, filled in.
func promQL(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var p v1alpha1.SLOPolicy
	if err := yaml.UnmarshalStrict(text, &p); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	data := policy.QueryData{App: "checkout", Namespace: "shop", Params: policy.Params(p.Spec, nil)}
	var queries []string
	add := func(provider, query string) {
		if provider != "prometheus" || query == "" {
			return
		}
		filled, err := policy.RenderQuery(query, data)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		queries = append(queries, filled)
	}
	for _, m := range p.Spec.Metrics {
		add(m.Provider.Name, m.Query)
	}
	data.Window = "30d"
	for _, s := range p.Spec.SLOs {
		if s.Ratio != nil {
			add(s.Ratio.Provider.Name, s.Ratio.Good)
			add(s.Ratio.Provider.Name, s.Ratio.Bad)
			add(s.Ratio.Provider.Name, s.Ratio.Total)
		}
		if s.Threshold != nil {
			add(s.Threshold.Provider.Name, s.Threshold.Query)
		}
	}
	return queries
}

// recipeFiles are the policies, without their tests.
func recipeFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(recipes + "/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(files, func(file string) bool { return strings.HasSuffix(file, "_test.yaml") })
}

package openslo_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/openslo"
)

var update = flag.Bool("update", false, "write what is made as what is wanted")

// read decodes YAML documents. What is no mapping is left out.
func read(t testing.TB, data []byte) []map[string]any {
	t.Helper()
	var all []map[string]any
	for part := range bytes.SplitSeq(data, []byte("\n---\n")) {
		var fields map[string]any
		if err := yaml.Unmarshal(part, &fields); err != nil {
			t.Skip(err)
		}
		all = append(all, fields)
	}
	return all
}

// said are problems as lines: kind/name: path: message.
func said(documents []map[string]any, ps []openslo.Problem) string {
	var text strings.Builder
	for _, p := range ps {
		meta, _ := documents[p.Document]["metadata"].(map[string]any)
		fmt.Fprintf(&text, "%v/%v: %s\n", documents[p.Document]["kind"], meta["name"], p)
	}
	return text.String()
}

// policies are those of all SLOs that can be computed, resolved, as YAML.
func policies(t *testing.T, set *openslo.Set) string {
	t.Helper()
	var parts []string
	for _, name := range set.Names() {
		p, reason := set.Policy(name)
		if set.SLO(name).Valid != (p != nil) || (reason == "") != (p != nil) {
			t.Errorf("SLO %q, valid %v: policy %v, reason %q", name, set.SLO(name).Valid, p, reason)
		}
		if p == nil {
			continue
		}
		r := set.Resolve(p.Spec)
		if len(r.Unresolved) > 0 || len(r.Origins) != len(r.Spec.SLOs) {
			t.Errorf("SLO %q: unresolved %v, %d origins of %d slos", name, r.Unresolved, len(r.Origins), len(r.Spec.SLOs))
		}
		if _, err := policy.Compile(name, r.Spec); err != nil {
			t.Errorf("policy %q: %v", name, err)
		}
		data, err := yaml.Marshal(map[string]any{"name": name, "slos": r.Spec.SLOs, "rules": r.Spec.Rules})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, string(data))
	}
	return strings.Join(parts, "---\n")
}

func TestDocumentsBecomeSLOsOrAreRefusedByTheirField(t *testing.T) {
	dirs, err := filepath.Glob("testdata/*")
	if err != nil || len(dirs) == 0 {
		t.Fatal("no cases", err)
	}
	for _, dir := range slices.DeleteFunc(dirs, func(d string) bool { return filepath.Base(d) == "fuzz" }) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(dir, "input.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			documents := read(t, data)
			set := openslo.Read(documents)
			for file, got := range map[string]string{
				"want.yaml": policies(t, set), "want-problems.txt": said(documents, set.Problems()),
			} {
				golden(t, filepath.Join(dir, file), got)
			}
		})
	}
}

// golden compares with a file, which is not there where nothing is wanted.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update && got != "" {
		if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// slo is an SLO document of objectives, on one indicator.
func slo(name string, objectives int) map[string]any {
	metric := func(query string) map[string]any {
		return map[string]any{"metricSource": map[string]any{"type": "Prometheus", "spec": map[string]any{"query": query}}}
	}
	return map[string]any{
		"apiVersion": "openslo/v1", "kind": "SLO", "metadata": map[string]any{"name": name},
		"spec": map[string]any{
			"service": "s", "budgetingMethod": "Occurrences",
			"indicator": map[string]any{"spec": map[string]any{
				"ratioMetric": map[string]any{"good": metric("good"), "total": metric("total")},
			}},
			"timeWindow": []any{map[string]any{"duration": "30d", "isRolling": true}},
			"objectives": slices.Repeat([]any{map[string]any{"target": 0.9}}, objectives),
		},
	}
}

func TestAReferenceThatCannotBeFollowedStaysAndSaysWhy(t *testing.T) {
	broken := slo("broken", 1)
	broken["spec"].(map[string]any)["timeWindow"] = nil
	set := openslo.Read([]map[string]any{slo("one", 1), slo("two", 2), slo("most", 15), broken})
	cases := map[string]struct {
		reason string
		slos   []v1alpha1.SLO
		want   string // in the message; empty if it is resolved
		names  []string
	}{
		"One":    {"It takes the place of the reference.", []v1alpha1.SLO{{Name: "a", OpenSLO: "one"}}, "", []string{"a"}},
		"Others": {"Those that are in the policy keep their place.", []v1alpha1.SLO{{Name: "x"}, {Name: "a", OpenSLO: "two"}, {Name: "y"}}, "", []string{"x", "a_1", "a_2", "a", "y"}},
		"Most":   {"As many as a policy can hold.", []v1alpha1.SLO{{Name: "a", OpenSLO: "most"}}, "", nil},
		"None":   {"A slip of the pen is told.", []v1alpha1.SLO{{Name: "a", OpenSLO: "ones"}}, `no OpenSLO SLO "ones", did you mean "one"?`, []string{"a"}},
		"Broken": {"It has errors of its own.", []v1alpha1.SLO{{Name: "a", OpenSLO: "broken"}}, "has errors", []string{"a"}},
		"Taken":  {"A part would have the name of another slo.", []v1alpha1.SLO{{Name: "a", OpenSLO: "two"}, {Name: "a_2"}}, `called "a_2"`, []string{"a", "a_2"}},
		"Long":   {"A part's name would be too long.", []v1alpha1.SLO{{Name: strings.Repeat("a", 62), OpenSLO: "two"}}, "longer than 63", nil},
		"Many":   {"A policy has 16 slos at most.", []v1alpha1.SLO{{Name: "x"}, {Name: "a", OpenSLO: "most"}}, "the policy has 17 slos", []string{"x", "a"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := set.Resolve(v1alpha1.SLOPolicySpec{SLOs: tc.slos})
			var got []string
			for _, u := range r.Unresolved {
				got = append(got, u.Message)
			}
			if text := strings.Join(got, "\n"); !strings.Contains(text, tc.want) || (tc.want == "") != (text == "") {
				t.Errorf("%s\ngot %q, want %q", tc.reason, text, tc.want)
			}
			var names []string
			for _, s := range r.Spec.SLOs {
				names = append(names, s.Name)
			}
			if diff := cmp.Diff(tc.names, names); tc.names != nil && diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestTheOriginOfAFieldIsItsPlaceInTheDocuments(t *testing.T) {
	set := openslo.Read([]map[string]any{slo("one", 1), slo("two", 2)})
	r := set.Resolve(v1alpha1.SLOPolicySpec{SLOs: []v1alpha1.SLO{{Name: "x"}, {Name: "a", OpenSLO: "two"}}})
	cases := map[string]struct {
		reason string
		index  int
		path   string
		want   openslo.Place
		ok     bool
	}{
		"Own":    {"It is in the policy.", 0, "ratio.good", openslo.Place{}, false},
		"Query":  {"A query is where it is written.", 1, "ratio.good", openslo.Place{Document: 1, Path: "spec.indicator.spec.ratioMetric.good.metricSource.spec.query"}, true},
		"Above":  {"The nearest field above stands for one that is not written.", 2, "window.rolling", openslo.Place{Document: 1, Path: "spec.timeWindow"}, true},
		"None":   {"An objective stands for the rest.", 2, "objective", openslo.Place{Document: 1, Path: "spec.objectives[1]"}, true},
		"Joined": {"What joins objectives is written nowhere but in the name.", 3, "composite[0]", openslo.Place{Document: 1, Path: "metadata.name"}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := r.Origins[tc.index].Place(tc.path)
			if diff := cmp.Diff(tc.want, got); diff != "" || ok != tc.ok {
				t.Errorf("%s\n%v (-want +got):\n%s", tc.reason, ok, diff)
			}
		})
	}
}

func TestResolvingChangesNoPolicyAndNoSet(t *testing.T) {
	set := openslo.Read([]map[string]any{slo("one", 1)})
	given := v1alpha1.SLOPolicySpec{SLOs: []v1alpha1.SLO{{Name: "a", OpenSLO: "one"}}}
	first := set.Resolve(given)
	first.Spec.SLOs[0].Ratio.Good = "changed"
	if given.SLOs[0].OpenSLO != "one" {
		t.Errorf("the policy that was given is now %v", given)
	}
	if got := set.Resolve(given).Spec.SLOs[0].Ratio.Good; got != "good" {
		t.Errorf("the set now says %q", got)
	}
}

// FuzzRead finds no documents that are read with a panic, and none that make a policy
// that is not complete.
func FuzzRead(f *testing.F) {
	inputs, err := filepath.Glob("testdata/*/input.yaml")
	if err != nil || len(inputs) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range inputs {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		documents := read(t, data)
		set := openslo.Read(documents)
		for _, p := range set.Problems() {
			if p.Message == "" || p.Document >= len(documents) {
				t.Errorf("problem %+v", p)
			}
		}
		for _, name := range set.Names() {
			if !set.SLO(name).Valid {
				continue
			}
			r := set.Resolve(v1alpha1.SLOPolicySpec{SLOs: []v1alpha1.SLO{{Name: "a", OpenSLO: name}}})
			for _, s := range r.Spec.SLOs {
				if s.OpenSLO != "" || s.Window == nil || !(s.Objective > 0 && s.Objective < 100) || (s.Ratio == nil) == (s.Threshold == nil && s.Composite == nil) {
					t.Errorf("SLO %q is not complete: %+v", name, s)
				}
			}
		}
	})
}

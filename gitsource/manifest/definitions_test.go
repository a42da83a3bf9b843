package manifest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/manifest"
)

// taskApp is an app with these tasks before its deployment.
func taskApp(tasks string) string {
	return "-- shop/d.yaml --\nDEPLOY(shop)\n-- shop/lifecycle.yaml --\n" + lifecycle("shop") + "spec: {preDeployment: {tasks: [" + tasks + "]}}\n"
}

// definitions are what an app's tasks run, each as name: JSON.
func definitions(t *testing.T, app *manifest.App) []string {
	t.Helper()
	var all []string
	for _, d := range app.Definitions {
		text, err := json.Marshal(d.Spec)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d.Name+": "+string(text))
	}
	return all
}

func TestTasksGetWhatTheyRun(t *testing.T) {
	script := func(name, spec string) string { return definition(name) + "  " + spec + "\n" }
	cases := map[string]struct {
		reason, archive string
		want, problems  []string
	}{
		"InPlace": {"What is written in place, also where another phase names it.",
			taskApp("{name: a, deno: {inline: {code: x}}}"), []string{`a: {"deno":{"inline":{"code":"x"}}}`}, nil},
		"SameFile": {"The file that names it comes first.",
			taskApp("a") + script("a", "deno: {inline: {code: own}}") + "-- cart/lifecycle.yaml --\n" + script("a", "deno: {inline: {code: other}}"),
			[]string{`a: {"deno":{"inline":{"code":"own"}}}`}, nil},
		"OtherFile": {"Then the rest of the repository.",
			taskApp("a") + "-- tasks/lifecycle.yaml --\n" + script("a", "python: {inline: {code: x}}\n  retries: 2"),
			[]string{`a: {"python":{"inline":{"code":"x"}},"retries":2}`}, nil},
		"Nowhere": {"The cluster may have it.", taskApp("a"), nil,
			[]string{`shop/lifecycle.yaml:4:32: warning: KeptnTaskDefinition "a" is not in this repository: write it, or see that the cluster has it`}},
		"Twice": {"Which of two counts is told.",
			taskApp("a") + "-- t1/lifecycle.yaml --\n" + script("a", "deno: {inline: {code: x}}") + "-- t2/lifecycle.yaml --\n" + script("a", "deno: {inline: {code: y}}"),
			[]string{`a: {"deno":{"inline":{"code":"x"}}}`},
			[]string{`shop/lifecycle.yaml:4:32: warning: KeptnTaskDefinition "a" is in both t1/lifecycle.yaml and t2/lifecycle.yaml, and the first is used: give them different names`}},
		"Broken": {"What cannot be run is an error.",
			taskApp("a") + "-- t/lifecycle.yaml --\n" + script("a", "deno: 3"), nil,
			[]string{`shop/lifecycle.yaml:4:32: KeptnTaskDefinition "a" has errors in t/lifecycle.yaml: mend them`}},
		"Parents": {"A script is handed down; what the child says of its inputs comes first, and the script's language is its own.",
			taskApp("a") + script("a", "deno: {functionRef: {name: b}, parameters: {map: {x: a}}}\n  timeout: 9s") +
				"-- t/lifecycle.yaml --\n" + script("b", "python: {functionRef: {name: c}, parameters: {map: {x: b, y: b}}, cmdParameters: b}") +
				script("c", "python: {inline: {code: x}, parameters: {map: {y: c, z: c}}, cmdParameters: c, secureParameters: {secret: c}}\n  timeout: 1s"),
			[]string{`a: {"python":{"inline":{"code":"x"},"parameters":{"map":{"x":"a","y":"b","z":"c"}},"secureParameters":{"secret":"c"},"cmdParameters":"b"},"timeout":"9s"}`}, nil},
		"ParentOfStep": {"A step of a task in place has parents too.",
			taskApp("{name: a, steps: [{name: s, deno: {functionRef: {name: b}}}]}") + script("b", "deno: {inline: {code: x}}"),
			[]string{`a: {"steps":[{"name":"s","deno":{"inline":{"code":"x"}}}]}`}, nil},
		"ParentInCluster": {"What the repository does not have stays a name.",
			taskApp("a") + script("a", "deno: {functionRef: {name: b}}") + script("b", "deno: {functionRef: {name: far}, parameters: {map: {x: b}}}"),
			[]string{`a: {"deno":{"functionRef":{"name":"far"},"parameters":{"map":{"x":"b"}}}}`},
			[]string{`shop/lifecycle.yaml:16:30: warning: KeptnTaskDefinition "far" is not in this repository: write it, or see that the cluster has it`}},
		"Circle": {"A circle has no script.",
			taskApp("a") + script("a", "deno: {functionRef: {name: b}}") + script("b", "deno: {functionRef: {name: a}}"),
			[]string{`a: {"deno":{"functionRef":{"name":"a"}}}`},
			[]string{`shop/lifecycle.yaml:16:30: functionRef goes round in a circle: a → b → a`}},
		"Itself": {"The smallest circle.", taskApp("a") + script("a", "deno: {functionRef: {name: a}}"),
			[]string{`a: {"deno":{"functionRef":{"name":"a"}}}`},
			[]string{`shop/lifecycle.yaml:10:30: functionRef goes round in a circle: a → a`}},
		"NoScript": {"A container has nothing to hand down.",
			taskApp("{name: x, python: {functionRef: {name: a}}}") + script("a", "container: {image: a}"),
			[]string{`x: {"python":{"functionRef":{"name":"a"}}}`},
			[]string{`shop/lifecycle.yaml:4:71: functionRef names the KeptnTaskDefinition "a", which is no script in Deno or Python`}},
		"TooLong": {"A chain has an end.", taskApp("p0") + chain(10), []string{`p0: {"deno":{"functionRef":{"name":"p9"}}}`},
			[]string{`shop/lifecycle.yaml:58:30: functionRef goes through more than 8 definitions: p0 → p1 → p2 → p3 → p4 → p5 → p6 → p7 → p8`}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			found, err := manifest.Discover(t.Context(), repository(tc.archive), []string{"shop"}, manifest.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if len(found.Apps) != 1 {
				t.Fatalf("%s\ngot %d apps, and the problems %v", tc.reason, len(found.Apps), found.Problems)
			}
			if diff := cmp.Diff(tc.want, definitions(t, &found.Apps[0])); diff != "" {
				t.Errorf("%s\ndefinitions (-want +got):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.problems, lines(found.Apps[0].Problems)); diff != "" {
				t.Errorf("%s\nproblems (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// chain are definitions p0 to p<n>, each of which refers to the next.
func chain(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s  deno: {functionRef: {name: p%d}}\n", definition(fmt.Sprintf("p%d", i)), i+1)
	}
	return b.String()
}

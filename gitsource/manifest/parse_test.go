package manifest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/gitsource/manifest"
)

func TestTheExampleParses(t *testing.T) {
	f, problems := manifest.Parse("apps/checkout/lifecycle.yaml", []byte(example(t)))
	if diff := cmp.Diff([]string(nil), lines(problems)); diff != "" {
		t.Fatalf("problems (-want +got):\n%s", diff)
	}
	if len(f.Lifecycles) != 1 || len(f.Policies) != 1 {
		t.Fatalf("got %d Lifecycles and %d SLOPolicies, want one each", len(f.Lifecycles), len(f.Policies))
	}
	l, p := f.Lifecycles[0], f.Policies[0]
	if diff := cmp.Diff([]string{"error-budget"}, l.Spec.PreDeployment.Policies); diff != "" {
		t.Errorf("policies before (-want +got):\n%s", diff)
	}
	want := v1alpha1.Task{Name: "migrate-database", Inline: []byte(`{"container":{"command":["migrate","up"],"image":"ghcr.io/acme/migrate:2"}}`)}
	if diff := cmp.Diff([]v1alpha1.Task{want}, l.Spec.PreDeployment.Tasks); diff != "" {
		t.Errorf("tasks before (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]v1alpha1.Task{{Name: "smoke-test"}}, l.Spec.PostDeployment.Tasks); diff != "" {
		t.Errorf("tasks after (-want +got):\n%s", diff)
	}
	if got := p.Spec.Rules[0].Expression; got != "variables.ratio < 0.01" {
		t.Errorf("expression: got %q", got)
	}
	if l.Spec.MatchTimeout != nil {
		t.Error("a default was written into the Lifecycle: the object must stay as its author wrote it")
	}
}

func TestAMistakeInTheExampleIsToldWhereItIs(t *testing.T) {
	cases := map[string]struct {
		reason   string
		old, new string
		want     []string
	}{
		"UnknownField": {
			"A field that is not known is shown at its name, with the one that was meant.",
			"preDeployment:", "preDeploiment:",
			[]string{`f:8:3: unknown field "spec.preDeploiment", did you mean "preDeployment"? (known here: app, blockDeployment, checkTimeout, dora, matchTimeout, metadata, params, postDeployment, preDeployment, promotion, rolloutTimeout)`},
		},
		"UnknownInContainer": {
			"The container of an inline task is as strict as the rest.",
			"image: ghcr", "imagee: ghcr",
			[]string{
				`f:11:9: spec.preDeployment.tasks[0].container.image is required`,
				`f:11:21: unknown field "spec.preDeployment.tasks[0].container.imagee", did you mean "image"?`,
			},
		},
		"WrongEnum": {
			"A value out of a closed set is shown with the set.",
			"leadTimeFrom: commit", "leadTimeFrom: comit",
			[]string{`f:19:24: spec.dora.leadTimeFrom: "comit" is not one of the supported values: "commit", "firstCommit", "merge"`},
		},
		"WrongDuration": {
			"A duration that Go would not read is refused by the pattern of the schema.",
			"soak: 5m", "soak: 5 minutes",
			[]string{`f:14:11: spec.postDeployment.soak should match '^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$'`},
		},
		"WrongType": {
			"A number where a list is expected.",
			"policies: [error-budget]", "policies: 3",
			[]string{`f:12:15: spec.preDeployment.policies must be of type array, not integer`},
		},
		"Missing": {
			"What is missing is told at the name of what lacks it.",
			"keptnMetric: {name: checkout-p95}", "keptnMetric: {}",
			[]string{`f:34:7: spec.metrics[2].keptnMetric.name is required`},
		},
		"Rule": {
			"A validation rule of the definition applies, in its own words.",
			"      provider: {name: prometheus}    # a KeptnMetricsProvider\n", "",
			[]string{
				`f:27:7: spec.metrics[0]: a metric is either a query to a provider (provider and query) or a keptnMetric: give exactly one of them`,
				`f:27:7: spec.metrics[0]: provider and query go together: name the KeptnMetricsProvider and write the query it is asked`,
			},
		},
		"Limit": {
			"Bounds of numbers are those of the definition.",
			"weight: 2", "weight: -2",
			[]string{`f:45:15: spec.rules[1].weight should be greater than or equal to 0`},
		},
		"TwoRulesOfOneName": {
			"Rules are a map by name.",
			"no-slower-than-before", "error-ratio",
			[]string{`f:43:7: spec.rules[1] is given twice: "error-ratio"`},
		},
		"DuplicateKey": {
			"YAML would silently take the last one.",
			"      weight: 2", "      weight: 2\n      weight: 3",
			[]string{`f:46:7: the key "weight" is given twice: it is already at line 45`},
		},
		"Namespace": {
			"Copies live beside the GitSource, wherever the author thinks they do.",
			"  name: checkout-slo", "  name: checkout-slo\n  namespace: prod",
			[]string{`f:25:3: metadata.namespace has no place here, as the object lives beside the GitSource that reads it: remove it`},
		},
		"Tab": {
			"A tab is invisible to who wrote it.",
			"      - name: migrate-database", "\t- name: migrate-database",
			[]string{`f:10:1: a tab is used to indent: YAML allows spaces only`},
		},
		"TaskWithoutName": {
			"An inline task needs a name to be shown by.",
			"- name: migrate-database", "- nam: migrate-database",
			[]string{
				`f:10:9: spec.preDeployment.tasks[0].name is required`,
				`f:10:9: unknown field "spec.preDeployment.tasks[0].nam", did you mean "name"? (known here: automountServiceAccountToken, container, deno, imagePullSecrets, name, python, retries, serviceAccount, steps, timeout, ttlSecondsAfterFinished, volumes)`,
			},
		},
		"TaskOfAnotherType": {
			"A task is a name or an object.",
			"tasks: [smoke-test]", "tasks: [[smoke-test]]",
			[]string{`f:15:13: spec.postDeployment.tasks[0] must be the name of a KeptnTaskDefinition, or a mapping with a name and what to run`},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(example(t), tc.old, tc.new, 1)
			if text == example(t) {
				t.Fatal("the example no longer holds what this case changes")
			}
			_, problems := manifest.Parse("f", []byte(text))
			if diff := cmp.Diff(tc.want, lines(problems)); diff != "" {
				t.Errorf("%s\nproblems (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAllProblemsOfAFileAreToldAtOnce(t *testing.T) {
	_, problems := manifest.Parse("f", []byte(
		head("Lifecycle")+"spec: {dora: {leadTimeFrom: x}}\nstatus: {}\n"+
			"---\nnot: [yaml\n"+
			"---\n"+head("SLOPolicy")+"spec: {rules: [], metrics: []}\n"+
			"---\napiVersion: v1\nkind: Secret\n"+
			"---\nplain\n"+
			"---\n"+head("Lifecycle")))
	want := []string{
		`f:4:29: spec.dora.leadTimeFrom: "x" is not one of the supported values: "commit", "firstCommit", "merge"`,
		`f:5:1: status is what the controller writes: remove it`,
		`f:7:1: not valid YAML: did not find expected ',' or ']'`,
		`f:12:15: spec.rules should have at least 1 items`,
		`f:15:7: kind "Secret" (apiVersion "v1") has no place in a lifecycle.yaml: it holds Lifecycle, SLOPolicy, KeptnTaskDefinition`,
		`f:17:1: an object is expected, with apiVersion, kind, metadata and spec, not a single value`,
		`f:21:18: Lifecycle "cart" is already in this file, at line 3: give it another name`,
	}
	if diff := cmp.Diff(want, lines(problems)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestWhatIsNoManifestIsToldAsSuch(t *testing.T) {
	cases := map[string]struct {
		reason string
		data   string
		want   []string
	}{
		"Empty":    {"Nothing in it is a mistake.", "", []string{`f:1:1: there is no Lifecycle in it: write one (apiVersion: gitops.keptn.sh/v1alpha1, kind: Lifecycle), or delete the file`}},
		"Comments": {"Comments are nothing.", "# later\n---\n# more\n", []string{`f:1:1: there is no Lifecycle in it: write one (apiVersion: gitops.keptn.sh/v1alpha1, kind: Lifecycle), or delete the file`}},
		"Binary":   {"A picture is no text.", "a\nb\x00", []string{"f:2:2: not text: byte 0x00 at offset 3"}},
		"Latin1":   {"Another encoding would be read as garbage.", "ä: \xe4", []string{"f:1:4: not UTF-8: byte 0xe4 at offset 4; save the file as UTF-8"}},
		"UTF16":    {"YAML could be UTF-16; Kubernetes is not.", "\xff\xfea\x00", []string{"f:1:1: not UTF-8: byte 0xff at offset 0; save the file as UTF-8"}},
		"Huge":     {"The size is bounded.", strings.Repeat("#", manifest.MaxFileBytes+1), []string{"f:1:1: the file has 1048577 bytes, and 1048576 are the limit: split it"}},
		"Many":     {"So is the number of documents.", strings.Repeat("---\n", 501), []string{"f:1:1: the file has 501 documents, and 500 are the limit: split it"}},
		"NoKind":   {"Without a kind nothing is known.", "apiVersion: gitops.keptn.sh/v1alpha1", []string{"f:1:13: kind is required: one of Lifecycle, SLOPolicy, KeptnTaskDefinition"}},
		"Version":  {"A version from the future is not guessed at.", "apiVersion: gitops.keptn.sh/v9\nkind: Lifecycle", []string{`f:2:7: apiVersion "gitops.keptn.sh/v9" is not known for kind Lifecycle: write gitops.keptn.sh/v1alpha1`}},
		"Typo":     {"The nearest kind is offered.", "kind: Livecycle", []string{`f:1:7: kind "Livecycle" (apiVersion "") has no place in a lifecycle.yaml, did you mean "Lifecycle"?: it holds Lifecycle, SLOPolicy, KeptnTaskDefinition`}},
		"Nameless": {"An object without a name cannot be.", "apiVersion: gitops.keptn.sh/v1alpha1\nkind: Lifecycle\n", []string{"f:1:1: metadata is required, with a name"}},
		"Label": {"Labels are checked as the API server does.", "apiVersion: gitops.keptn.sh/v1alpha1\nkind: Lifecycle\nmetadata: {name: A, labels: {team: 1, t/: x}}\n", []string{
			"f:3:18: metadata.name \"A\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
			"f:3:36: metadata.labels[team] must be text: put it in quotes",
			"f:3:43: metadata.labels[t/]: name part must be non-empty",
			"f:3:43: metadata.labels[t/]: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName', or 'my.name', or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
		}},
		"Bomb": {"A few lines must not become a million values.", bomb(), []string{"f:6:25: the document is nested deeper than 100 levels, or its aliases expand to more than 100000 values: write it plainly"}},
		"Loop": {"An anchor in itself never ends.", "a: &a [*a]", []string{"f:1:8: the document is nested deeper than 100 levels, or its aliases expand to more than 100000 values: write it plainly"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f, problems := manifest.Parse("f", []byte(tc.data))
			if diff := cmp.Diff(tc.want, lines(problems)); diff != "" {
				t.Errorf("%s\nproblems (-want +got):\n%s", tc.reason, diff)
			}
			if len(f.Lifecycles)+len(f.Policies) != 0 {
				t.Error("an object was read all the same")
			}
		})
	}
}

// bomb is YAML whose aliases expand to 10^9 values.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 x\n")
	for i := range 9 {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	return b.String()
}

func TestObjectsWithoutErrorsAreReadBesideThoseWithErrors(t *testing.T) {
	f, problems := manifest.Parse("f", []byte(
		head("Lifecycle")+"---\n"+head("SLOPolicy")+"spec: {metrics: 1}\n---\n"+
			"apiVersion: lifecycle.keptn.sh/v1\nkind: KeptnTaskDefinition\nmetadata: {name: migrate}\nspec: {container: {image: a}}\n---\n"+
			"apiVersion: lifecycle.keptn.sh/v1beta1\nkind: KeptnTaskDefinition\nmetadata: {name: broken}\nspec: {whatever: 1}\n"))
	if !problems.HasErrors() {
		t.Error("the broken policy was not told")
	}
	if len(f.Lifecycles) != 1 || f.Lifecycles[0].Name != "cart" {
		t.Errorf("got Lifecycles %v, want cart", f.Lifecycles)
	}
	if len(f.Policies) != 0 {
		t.Error("a policy with errors was read")
	}
	if len(f.TaskDefinitions) != 1 || f.TaskDefinitions[0].Name != "migrate" || f.TaskDefinitions[0].Spec.Container.Image != "a" {
		t.Errorf("got the task definitions %v, want migrate", f.TaskDefinitions)
	}
}

func TestAnchorsAndMergesAreYAMLLikeAnyOther(t *testing.T) {
	f, problems := manifest.Parse("f", []byte(head("Lifecycle")+`spec:
  preDeployment: &checks
    policies: [budget]
    tasks: [migrate]
  postDeployment:
    <<: *checks
    tasks: [smoke-test]
`))
	if diff := cmp.Diff([]string(nil), lines(problems)); diff != "" {
		t.Fatalf("problems (-want +got):\n%s", diff)
	}
	want := v1alpha1.Checks{Policies: []string{"budget"}, Tasks: []v1alpha1.Task{{Name: "smoke-test"}}}
	if diff := cmp.Diff(want, f.Lifecycles[0].Spec.PostDeployment.Checks); diff != "" {
		t.Errorf("checks after (-want +got):\n%s", diff)
	}
}

func TestManyProblemsAreCutOffAloud(t *testing.T) {
	var b strings.Builder
	b.WriteString(head("Lifecycle") + "spec:\n")
	for i := range 300 {
		fmt.Fprintf(&b, "  unknown%d: 1\n", i)
	}
	_, problems := manifest.Parse("f", []byte(b.String()))
	if got, want := problems[len(problems)-1].Message, "100 more problems follow: mend the ones above first"; len(problems) != 201 || got != want {
		t.Errorf("got %d problems, the last %q; want 201 and %q", len(problems), got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example(f)))
	f.Add([]byte(bomb()))
	f.Add([]byte("a: &a [*a]\n---\n? [x]\n: y\n...\n%TAG ! x\n<<: *b\n"))
	f.Add([]byte(head("SLOPolicy") + "spec:\n  rules:\n  - expression: >-\n      a\n      b\n  - \"x\\n\\x41\\\n y\"\n"))
	f.Add([]byte(head("Lifecycle") + "spec: {promotion: {tasks: [a, {name: b, steps: [{name: c, deno: {inline: {code: x}}}, 1], volumes: [{name: d, secret: {}}, e]}]}}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, problems := manifest.Parse("f", data)
		if len(file.Lifecycles)+len(file.Policies)+len(file.TaskDefinitions) == 0 && !problems.HasErrors() {
			t.Error("nothing was read, and nothing said about it")
		}
		for _, p := range problems {
			if n := strings.Count(string(data), "\n") + 1; p.Line < 1 || p.Line > n || p.Column < 1 || strings.Contains(p.Message, "\n") {
				t.Errorf("%q is no place in a file of %d lines, or no line", p, n)
			}
		}
		for _, p := range file.Policies {
			for i := range p.Spec.Rules {
				at, ok := file.Position("SLOPolicy", p.Name, fmt.Sprintf("spec.rules[%d].expression", i), 1, 1)
				if !ok || at.Line > strings.Count(string(data), "\n")+1 {
					t.Errorf("the expression of rule %d is at %v, %v", i, at, ok)
				}
			}
		}
	})
}

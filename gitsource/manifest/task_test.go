package manifest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/manifest"
)

// definition is a KeptnTaskDefinition whose spec follows.
func definition(name string) string {
	return "---\napiVersion: lifecycle.keptn.sh/v1\nkind: KeptnTaskDefinition\nmetadata: {name: " + name + "}\nspec:\n"
}

func TestATaskWrittenInPlaceIsCheckedAsAKeptnTaskDefinitionIs(t *testing.T) {
	cases := map[string]struct {
		reason string
		spec   string // of the task, by lines
		want   []string
	}{
		"Container": {"A container needs no name of its own.", "container: {image: a}", nil},
		"Deno":      {"A script in place.", "deno: {inline: {code: 'console.log(1)'}, parameters: {map: {a: b}}}\nretries: 0\ntimeout: 90s", nil},
		"Steps":     {"Several executables, with what they share.", "steps:\n- {name: a, python: {httpRef: {url: 'https://acme.example/a.py'}}}\n- {name: b, container: {image: b}}\nvolumes: [{name: v, emptyDir: {sizeLimit: 1Gi}}]", nil},
		"Nothing":   {"A task with settings and nothing to run.", "retries: 3", []string{"1:1: %s: a task is exactly one of deno, python, container and steps"}},
		"Two":       {"A task is one thing.", "container: {image: a}\ndeno: {inline: {code: x}}", []string{"1:1: %s: a task is exactly one of deno, python, container and steps", "1:1: %s: a task is one of deno, python and container"}},
		"Unknown": {"A field that is misspelled is shown with the one that is meant.", "contaner: {image: a}", []string{
			"1:1: %s: a task is exactly one of deno, python, container and steps",
			`1:1: unknown field "%s.contaner", did you mean "container"? (known here: KNOWN)`,
		}},
		"UnknownBelow": {"At any depth.", "deno: {inlin: {code: x}}", []string{
			"1:7: %s.deno has no script: set one of inline, httpRef, functionRef and configMapRef",
			`1:8: unknown field "%s.deno.inlin", did you mean "inline"? (known here: cmdParameters, configMapRef, functionRef, httpRef, inline, parameters, secureParameters)`,
		}},
		"InContainer":  {"The fields of a container are Kubernetes'.", "container: {image: a, comand: [b]}", []string{`1:23: unknown field "%s.container.comand", did you mean "command"?`}},
		"InVolume":     {"So are those of a volume.", "container: {image: a}\nvolumes: [{name: v, secret: {secrtName: s}}]", []string{`2:30: unknown field "%s.volumes[0].secret.secrtName", did you mean "secretName"?`}},
		"VolumeType":   {"And their types.", "container: {image: a}\nvolumes: [{name: v, secret: s}]", []string{`2:29: %s.volumes[0].secret must not be a string`}},
		"NoImage":      {"Nothing can be run without an image.", "container: {command: [b]}", []string{"1:1: %s.container.image is required"}},
		"StepImage":    {"Nor can a step.", "steps: [{name: a, container: {command: [b]}}]", []string{"1:19: %s.steps[0].container.image is required"}},
		"StepTwice":    {"Steps are told apart by their names.", "steps: [{name: a, container: {image: b}}, {name: a, container: {image: b}}]", []string{`1:43: %s.steps[1] is given twice: "a"`}},
		"Retries":      {"Numbers have their limits.", "container: {image: a}\nretries: -1", []string{"2:10: %s.retries should be greater than or equal to 0"}},
		"Timeout":      {"Durations too.", "container: {image: a}\ntimeout: 9000h", []string{"2:10: %s.timeout has to be at most 8760h, which is a year: write it in h, m and s"}},
		"Type":         {"A list is no text.", "container: {image: a, command: b}", []string{"1:32: %s.container.command must be of type array, not string", "1:32: %s.container.command must not be a string"}},
		"TwoScripts":   {"A script is one thing.", "deno: {inline: {code: x}, httpRef: {url: 'https://a'}}", []string{"1:7: %s.deno: only one of inline, httpRef, functionRef and configMapRef can be the script"}},
		"EndlessLimit": {"A quantity that takes minutes to read.", "container: {image: a, resources: {limits: {cpu: '1e-999999999'}}}", []string{`1:12: %s.container: "1e-999999999" is no quantity: its exponent can have two digits at most`}},
	}
	const known = "automountServiceAccountToken, container, deno, imagePullSecrets, python, retries, serviceAccount, steps, timeout, ttlSecondsAfterFinished, volumes"
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for _, place := range []struct{ text, path, known string }{
				{definition("t"), "spec", known},
				{head("Lifecycle") + "spec:\n preDeployment:\n  tasks:\n  - name: t\n", "spec.preDeployment.tasks[0]", strings.Replace(known, "python", "name, python", 1)},
			} {
				indent, skipped := "  ", strings.Count(place.text, "\n")
				if place.path != "spec" {
					indent = "    "
				}
				text := place.text + indent + strings.ReplaceAll(tc.spec, "\n", "\n"+indent) + "\n"
				_, problems := manifest.Parse("f", []byte(text))
				var got, want []string
				for _, p := range problems {
					if p.Line -= skipped; p.Line < 1 { // the beginning of what is checked
						p.Line, p.Column = 1, len(indent)+1
					}
					p.Column -= len(indent)
					got = append(got, strings.TrimPrefix(p.String(), "f:"))
				}
				for _, w := range tc.want {
					want = append(want, strings.NewReplacer("%s", place.path, "KNOWN", place.known).Replace(w))
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s\n%s\n(-want +got):\n%s", tc.reason, text, diff)
				}
			}
		})
	}
}

func TestTasksAreToldApartByTheirNames(t *testing.T) {
	cases := map[string]struct {
		reason, spec string
		want         []string
	}{
		"NamedAgain":  {"What is written once may run again.", "{preDeployment: {tasks: [{name: t, container: {image: a}}]}, promotion: {tasks: [t]}}", nil},
		"JustAName":   {"A mapping with a name alone is a name.", "{preDeployment: {tasks: [{name: t}]}, promotion: {tasks: [t]}}", nil},
		"TwiceInList": {"A phase runs a task once.", "{preDeployment: {tasks: [t, t]}}", []string{`4:35: spec.preDeployment.tasks[1] is given twice: "t" is already spec.preDeployment.tasks[0]`}},
		"WrittenTwice": {"One name cannot mean two tasks.", "{preDeployment: {tasks: [{name: t, container: {image: a}}]}, promotion: {tasks: [{name: t, container: {image: b}}]}}", []string{
			`4:95: spec.promotion.tasks[0]: a task "t" is already written at spec.preDeployment.tasks[0]: name it there, or give this one another name`}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, problems := manifest.Parse("f", []byte(head("Lifecycle")+"spec: "+tc.spec+"\n"))
			var want []string
			for _, w := range tc.want {
				want = append(want, "f:"+w)
			}
			if diff := cmp.Diff(want, lines(problems)); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestTheNewFieldsOfALifecycleAreChecked(t *testing.T) {
	_, problems := manifest.Parse("f", []byte(head("Lifecycle")+`spec:
  checkTimeout: 1 hour
  blockDeployment: perhaps
  metadata: {team: 3}
  promotion:
    pullRequest: {branch: main, images: [{name: a}]}
`))
	want := []string{
		`f:5:17: spec.checkTimeout should match '^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$'`,
		`f:6:20: spec.blockDeployment must be of type boolean, not string`,
		`f:7:20: spec.metadata.team must be of type string, not integer`,
		`f:9:42: spec.promotion.pullRequest.images[0].file is required`,
	}
	if diff := cmp.Diff(want, lines(problems)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

package convert_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/policy/analysis"
	"github.com/keptn/gitops/policy/convert"
)

var dynatrace = metricsv1.ObjectReference{Name: "dynatrace", Namespace: "keptn"}

func TestIndicatorsBecomeTemplatesInTheOrderOfTheirNames(t *testing.T) {
	templates, _, err := convert.SLI([]byte(`
spec_version: "1.0"
indicators:
  throughput: "builtin:service.requestCount.total:merge(0):count?scope=tag(keptn_project:$PROJECT),tag(keptn_stage:$STAGE)"
  response_time_p95: "builtin:service.response.time:merge(0):percentile(95)?scope=tag(keptn_service:$SERVICE)"
`), dynatrace)
	if err != nil {
		t.Fatal(err)
	}
	got, err := yaml.Marshal(templates)
	if err != nil {
		t.Fatal(err)
	}
	want := `- apiVersion: metrics.keptn.sh/v1
  kind: AnalysisValueTemplate
  metadata:
    name: response-time-p95
  spec:
    provider:
      name: dynatrace
      namespace: keptn
    query: builtin:service.response.time:merge(0):percentile(95)?scope=tag(keptn_service:{{.service}})
- apiVersion: metrics.keptn.sh/v1
  kind: AnalysisValueTemplate
  metadata:
    name: throughput
  spec:
    provider:
      name: dynatrace
      namespace: keptn
    query: builtin:service.requestCount.total:merge(0):count?scope=tag(keptn_project:{{.project}}),tag(keptn_stage:{{.stage}})
`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPlaceholdersBecomeThoseOfATemplate(t *testing.T) {
	cases := map[string]struct {
		reason, query, want string
		left                []string
	}{
		"None":       {"A query may have none.", "hello", "hello", nil},
		"Capitals":   {"Only a dollar makes a placeholder.", "HELLO", "HELLO", nil},
		"Small":      {"Small letters are the provider's.", "$hello", "$hello", []string{"$hello"}},
		"Mixed":      {"So are names of both.", "$Hello", "$Hello", []string{"$Hello"}},
		"One":        {"Capitals are a placeholder.", "$HELLO", "{{.hello}}", nil},
		"Digit":      {"Digits belong to the name.", "$HELLO2", "{{.hello2}}", nil},
		"Prefix":     {"A name that begins another is not replaced in it.", "$HI,$HI2", "{{.hi}},{{.hi2}}", nil},
		"Underscore": {"So do underscores.", "$DURATION_SECONDS", "{{.duration_seconds}}", nil},
		"Dot":        {"A dot ends the name.", "app.$SERVICE.count", "app.{{.service}}.count", nil},
		"Label":      {"But a label of Keptn v1 has no value in an Analysis.", "{{$LABEL.buildId}}", `{{"{{"}}$LABEL.buildId}}`, []string{"$LABEL.buildId"}},
		"Left":       {"What is left is told once, and a group of a regular expression never.", "${x}$handler$1${1}$handler", "${x}$handler$1${1}$handler", []string{"$handler", "${x}"}},
		"Brace":      {"A brace does not run into the template's.", "up{$FILTER}", `up{{"{"}}{{.filter}}}`, nil},
		"Braces":     {"Braces stay what they are.", "{{x}} {y}", `{{"{{"}}x}} {y}`, nil},
		"BracesFull": {"Before a placeholder too.", "{{{$A}}}", `{{"{{{"}}{{.a}}}}}`, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			templates, notes, err := convert.SLI(indicator(t, "a", tc.query), dynatrace)
			if err != nil {
				t.Fatal(err)
			}
			if got := templates[0].Spec.Query; got != tc.want {
				t.Errorf("%s: got %s, want %s", tc.reason, got, tc.want)
			}
			var want []string
			for _, text := range tc.left {
				want = append(want, `indicator "a": `+text+" is left as it is")
			}
			if diff := cmp.Diff(want, notes); diff != "" {
				t.Errorf("%s: notes (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAnSLIFileThatCannotBeUnderstoodIsRefused(t *testing.T) {
	cases := map[string]struct {
		reason, file string
		provider     metricsv1.ObjectReference
		want         string
	}{
		"NoYAML":       {"A text is no file.", "invalid", dynatrace, "read SLI file"},
		"NoIndicators": {"Nothing to convert is a mistake.", "spec_version: '1.0'", dynatrace, "no indicators"},
		"NoProvider":   {"Somebody has to be asked.", "indicators: {a: b}", metricsv1.ObjectReference{}, "name of the provider"},
		"BadProvider":  {"Kubernetes has rules for names.", "indicators: {a: b}", metricsv1.ObjectReference{Name: "my_provider"}, `"my_provider"`},
		"BadNamespace": {"And for namespaces.", "indicators: {a: b}", metricsv1.ObjectReference{Name: "p", Namespace: "my_namespace"}, `"my_namespace"`},
		"SameName":     {"One would replace the other.", "indicators: {a_b: up, a-b: down}", dynatrace, `indicators "a-b" and "a_b"`},
		"NoName":       {"Nothing is left of the name.", "indicators: {_: x}", dynatrace, `"_"`},
		"NoQuery":      {"Something has to be asked.", "indicators: {a: ''}", dynatrace, `indicator "a"`},
		"LongQuery":    {"The API server would refuse it.", "indicators: {a: " + strings.Repeat("x", 70000) + "}", dynatrace, "70000 bytes"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			templates, _, err := convert.SLI([]byte(tc.file), tc.provider)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: got %v, %v, want %q", tc.reason, templates, err, tc.want)
			}
		})
	}
}

func TestALongNameIsCut(t *testing.T) {
	templates, _, err := convert.SLI(indicator(t, strings.Repeat("x", 252)+"_y", "q"), dynatrace)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("x", 252); templates[0].Name != want {
		t.Errorf("got %q", templates[0].Name)
	}
}

// indicator is an SLI file of one indicator.
func indicator(t testing.TB, name, query string) []byte {
	t.Helper()
	file, err := json.Marshal(map[string]any{"indicators": map[string]string{name: query}}) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	return file
}

var placeholder = regexp.MustCompile(`\$\b[A-Z][A-Z0-9_]*\b`)

// A template that is given each placeholder for itself renders to the query it
// was made of.
func FuzzSLI(f *testing.F) {
	f.Add("sum(rate(x{app=\"$SERVICE\",y=\"$label\"}[5m]))")
	f.Add("{{$A}}{$B{$C}{{{")
	f.Add("{{$LABEL.b}}{$LABEL.b$LABEL.$A_B")
	f.Fuzz(func(t *testing.T, query string) {
		templates, _, err := convert.SLI(indicator(t, "a", query), dynatrace)
		if err != nil || strings.ContainsRune(query, '\uFFFD') {
			return
		}
		args := map[string]string{}
		for _, name := range placeholder.FindAllString(query, -1) {
			args[strings.ToLower(name[1:])] = name
		}
		if len(args) > analysis.MaxArgs {
			return
		}
		got, err := analysis.Render(templates[0].Spec.Query, args)
		if err != nil || got != query {
			t.Fatalf("%q became %q, which renders to %q, %v", query, templates[0].Spec.Query, got, err)
		}
	})
}

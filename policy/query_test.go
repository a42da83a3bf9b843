package policy_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/policy"
)

// data are the fields of a query, without window.
func data() policy.QueryData {
	return policy.QueryData{
		App: "shop", Environment: "prod", Namespace: "shop-prod", Version: "1.2.3", Commit: "5d41402",
		Params: map[string]string{"region": "eu", "empty": ""},
	}
}

func TestAQueryIsFilledIn(t *testing.T) {
	cases := map[string]struct{ reason, text, window, want string }{
		"Plain":     {"What is no template stays as it is.", `up{app="x"} }} { {`, "", `up{app="x"} }} { {`},
		"Fields":    {"All that there is.", "{{.app}} {{.environment}} {{.namespace}} {{.version}} {{.commit}} {{.params.region}}", "", "shop prod shop-prod 1.2.3 5d41402 eu"},
		"Window":    {"A ratio's window.", "sum(increase(x[{{ .window }}]))", "30d", "sum(increase(x[30d]))"},
		"Root":      {"By the variable of the root.", "{{$.app}}-{{$.params.region}}", "", "shop-eu"},
		"Choice":    {"One query for two environments.", `{{if and (eq .environment "prod") (ne .params.region "us")}}a{{else if .params.empty}}b{{else}}c{{end}}`, "", "a"},
		"Empty":     {"An empty text counts as none.", `{{if .params.empty}}a{{else}}b{{end}}`, "", "b"},
		"Literal":   {"Braces that the query needs itself.", `{{"{{"}}.msg{{"}}"}}{{/* as in LogQL */}}`, "", "{{.msg}}"},
		"Trimmed":   {"Blanks around an action can be left out.", "a  {{- .app -}}  b", "", "ashopb"},
		"Pipelined": {"A pipeline is the same call.", `{{if .app | eq "shop"}}a{{end}}`, "", "a"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := data()
			d.Window = tc.window
			got, err := policy.RenderQuery(tc.text, d)
			if err != nil || got != tc.want {
				t.Errorf("%s: %q, %v, want %q", tc.reason, got, err, tc.want)
			}
		})
	}
}

func TestAQueryThatIsNoneIsRefused(t *testing.T) {
	cases := map[string]struct{ reason, text, want string }{
		"Unknown":    {"A typo would ask for something else.", "\n {{.environmant}}", "query:2:4: no field `environmant`; did you mean `environment`?"},
		"Far":        {"All fields are told.", "{{.x}}", "query:1:3: .x is not known: the fields are app, commit, environment, namespace, params, version"},
		"Unset":      {"A param without a text.", "{{.params.tier}}", "query:1:3: .params.tier is neither set nor has a default: set it in the Lifecycle"},
		"Window":     {"Where there is no window.", "{{.window}}", "query:1:3: only the queries of a ratio read .window"},
		"AllParams":  {"Which one?", "{{.params}}", "query:1:3: write .params.<name>"},
		"Deeper":     {"A text has no fields.", "{{.app.name}}", "query:1:3: .app.name is not known: .app is a text"},
		"Dot":        {"Nor is everything one.", "{{.}}", "query:1:3: . has no place in a query: it can read fields, and choose with if"},
		"Range":      {"A loop could go on for ever.", "{{range 1000000000}}x{{end}}", "query:1:9: {{range 1000000000}}x{{end}} has no place in a query: it can read fields, and choose with if"},
		"Print":      {"Text that doubles with each step.", "{{print .app .app}}", "query:1:3: print has no place in a query: it can read fields, and choose with if"},
		"Printf":     {"Or that is as wide as one likes.", `{{printf "%1000000s" .app}}`, "query:1:3: printf has no place in a query: it can read fields, and choose with if"},
		"Nested":     {"Wherever it is.", `{{if eq .app (js .app)}}a{{end}}`, "query:1:15: js has no place in a query: it can read fields, and choose with if"},
		"With":       {"Another dot would be another field.", "{{with .app}}{{.}}{{end}}", "query:1:8: {{with .app}}{{.}}{{end}} has no place in a query: it can read fields, and choose with if"},
		"Variable":   {"Nor are there variables.", "{{$x := .app}}", "query:1:3: $x := .app has no place in a query: it can read fields, and choose with if"},
		"Define":     {"Nor further templates.", `a{{define "x"}}{{end}}`, "query:1:1: define has no place in a query"},
		"Syntax":     {"The parser's own words.", "a\n{{.app", "query:2:1: the template is wrong: unclosed action"},
		"TooLong":    {"No provider takes such a query.", "{{.app}}" + strings.Repeat("x", 64<<10), "query:1:1: the query is longer than 64 KiB"},
		"TypeOfCall": {"What only the evaluation finds out.", `{{if lt .app 1}}a{{end}}`, `query: template: query:1:5: executing "query" at <lt .app 1>: error calling lt: incompatible types for comparison: string and int`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := policy.RenderQuery(tc.text, data())
			if err == nil || err.Error() != tc.want || got != "" {
				t.Errorf("%s: %q, error\n%v, want\n%s", tc.reason, got, err, tc.want)
			}
		})
	}
}

func TestARenderedQueryIsLimited(t *testing.T) {
	d := data()
	d.Params["region"] = strings.Repeat("x", 1<<10)
	if _, err := policy.RenderQuery(strings.Repeat("{{.params.region}}", 65), d); err == nil || !strings.Contains(err.Error(), "longer than 64 KiB") {
		t.Errorf("error %v, want that it is too long", err)
	}
	if got, err := policy.RenderQuery(strings.Repeat("{{.params.region}}", 64), d); err != nil || len(got) != 64<<10 {
		t.Errorf("%d bytes, %v, want 64 KiB", len(got), err)
	}
}

func TestAQueryThatReadsTheWindowSaysSo(t *testing.T) {
	for text, want := range map[string]bool{
		"x[{{.window}}]": true, "{{if .app}}{{$.window}}{{end}}": true, "{{.app}} .window": false, "x[.window]": false, "{{.window": false,
	} {
		if got := policy.ReadsWindow(text); got != want {
			t.Errorf("%s: %t, want %t", text, got, want)
		}
	}
}

func TestParamsAreSetOrHaveADefault(t *testing.T) {
	s := v1alpha1.SLOPolicySpec{Params: []v1alpha1.Param{{Name: "a", Default: "x"}, {Name: "b", Default: "y"}, {Name: "c"}, {Name: "d"}}}
	got := policy.Params(s, map[string]string{"b": "", "c": "z", "e": "not declared"})
	if diff := cmp.Diff(map[string]string{"a": "x", "b": "", "c": "z"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What Compile accepts is rendered, unless a comparison has types that do not fit;
// and nothing that is rendered is longer than the limit.
func FuzzRenderQuery(f *testing.F) {
	for _, seed := range []string{
		"up", "{{.app}}", "{{if and (eq .environment `prod`) .params.region}}a{{else}}b{{end}}", `{{"{{"}}`, "{{/* x */}}{{- .window -}}",
		"{{$.params.region}}", "{{range 3}}{{end}}", "{{.app | eq `a` | not}}", "{{with .app}}{{.}}{{end}}", "{{define `query`}}{{print .}}{{end}}", "{{block `x` .}}{{end}}",
		"{{(.app).x}}", "{{nil}}", "{{if}}", "{{.app -}} \n {{- .commit}}", "{{break}}", "{{true}}{{1e9}}{{'a'}}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := v1alpha1.SLOPolicySpec{
			SLOs: []v1alpha1.SLO{{
				Name: "a", Objective: 99, Window: &v1alpha1.SLOWindow{Rolling: "30d"},
				Ratio: &v1alpha1.RatioIndicator{Good: "good", Total: text},
			}},
			Params: []v1alpha1.Param{{Name: "region"}, {Name: "empty"}},
			Rules:  []v1alpha1.Rule{{Name: "r", Expression: "true"}},
		}
		_, mistakes := policy.Compile("fuzz", s)
		d := data()
		d.Window = "30d"
		got, err := policy.RenderQuery(text, d)
		switch {
		case len(got) > 64<<10 && strings.Contains(text, "{{"):
			t.Errorf("%q is %d bytes", text, len(got))
		case mistakes != nil && err == nil:
			t.Errorf("%q is rendered as %q, and does not compile: %v", text, got, mistakes)
		case mistakes == nil && err != nil && !strings.Contains(err.Error(), "executing"):
			t.Errorf("%q compiles, and is not rendered: %v", text, err)
		}
	})
}

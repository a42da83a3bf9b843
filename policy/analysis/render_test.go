package analysis_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/keptn/gitops/policy/analysis"
)

func TestQueriesAreFilledByTheirArgs(t *testing.T) {
	args := map[string]string{"app": "cart", "the-stage": "prod", "quoted": `a"b`}
	cases := map[string]struct{ reason, query, want string }{
		"Plain":     {"A query need not have placeholders.", `sum(up{job="x"})`, `sum(up{job="x"})`},
		"Empty":     {"An empty query is empty.", "", ""},
		"Arg":       {"An arg is read by its name.", `up{app="{{.app}}"}`, `up{app="cart"}`},
		"Dash":      {"A name with '-' is read by index.", `{{index . "the-stage"}}`, "prod"},
		"Root":      {"$ is the args everywhere.", `{{with .app}}{{$.app}}{{end}}`, "cart"},
		"If":        {"A query can depend on an arg.", `{{if eq .app "cart"}}a{{else}}b{{end}}`, "a"},
		"Range":     {"A query can list all args, by name.", `{{range $k, $v := .}}{{$k}}={{$v}},{{end}}`, `app=cart,quoted=a"b,the-stage=prod,`},
		"Printf":    {"Plain verbs are there.", `{{printf "%q" .quoted}}`, `"a\"b"`},
		"Functions": {"So are the functions of text/template.", `{{.app | print "x" | urlquery | len}}`, "5"},
		"Braces":    {"Braces can be written.", `{{"{{"}}.x}}`, "{{.x}}"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := analysis.Render(tc.query, args)
			if err != nil || got != tc.want {
				t.Errorf("%s: got %q, %v, want %q", tc.reason, got, err, tc.want)
			}
		})
	}
}

func TestWhatCannotBeRenderedIsAnErrorThatSaysWhatToDo(t *testing.T) {
	long := strings.Repeat("x", analysis.MaxQuery)
	many := map[string]string{}
	for i := range analysis.MaxArgs + 1 {
		many[fmt.Sprint(i)] = ""
	}
	cases := map[string]struct {
		reason, query string
		args          map[string]string
		want          []string
	}{
		"Missing":        {"A missing arg is named, and never an empty text.", "{{.app}}", nil, []string{`"app"`, "spec.args"}},
		"MissingByIndex": {"By index as well.", `{{index . "the-app"}}`, nil, []string{`"the-app"`, "spec.args"}},
		"MissingInIf":    {"A condition on nothing is a mistake too.", "{{if .app}}{{end}}", nil, []string{`"app"`}},
		"Dash":           {"The error shows how a name with '-' is read.", "{{.the-app}}", nil, []string{`{{index . "some-name"}}`}},
		"Syntax":         {"A broken template is placed.", "a\n{{.app", nil, []string{"query:2"}},
		"NoFunction":     {"Nothing outside can be reached.", `{{env "HOME"}}`, nil, []string{`"env" not defined`}},
		"LongTemplate":   {"A template has a size.", long + "x", nil, []string{"at most"}},
		"LongOutput":     {"A query has a size.", "{{.a}}{{.a}}", map[string]string{"a": long}, []string{"longer than"}},
		"ManyArgs":       {"Args have a number.", "", many, []string{"at most"}},
		"Define":         {"Templates could call each other for ever.", `{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`, nil, []string{`"a"`}},
		"Recursion":      {"A template could call itself for ever.", `{{template "query"}}`, nil, []string{"cannot call a template"}},
		"Loop":           {"A loop could run for ever.", "{{range 1000000000000}}{{end}}", nil, []string{"range over anything but the args"}},
		"LoopInWith":     {"The dot could be a number.", "{{with 1000000000000}}{{range .}}{{end}}{{end}}", nil, []string{"range over anything but the args"}},
		"LoopInElse":     {"An else is not overlooked.", "{{if false}}{{else if true}}{{range 1000000000000}}{{end}}{{end}}", nil, []string{"range over anything but the args"}},
		"LoopInLoop":     {"Loops would multiply.", "{{range .}}{{range .}}{{end}}{{end}}", nil, []string{"range over anything but the args"}},
		"Width":          {"A width could be a billion.", `{{printf "%900000d" 1}}`, nil, []string{"without a width"}},
		"Doubling":       {"Variables could double each other.", `{{$x := "xxxxxxxxxxxxxxxx"}}` + strings.Repeat("{{$x = print $x $x}}", 100), nil, []string{"longer than"}},
		"Escaping":       {"So could functions.", `{{"\\"` + strings.Repeat("|js", 100) + "}}", nil, []string{"longer than"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := analysis.Render(tc.query, tc.args)
			if err == nil {
				t.Fatalf("%s: got %.80q", tc.reason, got)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: want %q in: %.300v", tc.reason, want, err)
				}
			}
		})
	}
}

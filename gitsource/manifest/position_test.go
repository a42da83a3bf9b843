package manifest_test

import (
	"strings"
	"testing"

	"github.com/keptn/gitops/gitsource/manifest"
)

func TestAPlaceInAnExpressionIsFoundInTheFile(t *testing.T) {
	// Each case writes an expression that holds the mark @ once in its text and
	// once in the file: where the text has it, the file must have it.
	cases := map[string]struct {
		reason string
		yaml   string
	}{
		"Plain":          {"As it stands.", "expression: metrics.errors < @x"},
		"PlainFolded":    {"A plain text over lines is folded.", "expression: metrics.errors\n        <\n\n        @x"},
		"SingleQuoted":   {"Two quotes are one character.", "expression: 'message == ''it''''s'' && @x'"},
		"DoubleQuoted":   {"Escapes are one character, or white space.", `expression: "\"\x41\u00e9\U0001F600\\ \t\n @x"`},
		"DoubleFolded":   {"A line break can be escaped.", "expression: \"a \\\n         b\\n\n         @x\""},
		"Literal":        {"A block keeps its lines.", "expression: |\n        a &&\n          b &&\n\n        c @x"},
		"LiteralStrip":   {"Its header can say how it ends.", "expression: |-\n        a\n        @x"},
		"LiteralIndent":  {"Its header can say how far it is indented.", "expression: |2-\n          a\n        @x"},
		"LiteralComment": {"Its header can have a comment.", "expression: | # why\n        a\n        @x"},
		"Folded":         {"A folded block joins lines.", "expression: >-\n        a &&\n        b &&\n\n        c\n          d @x"},
		"Anchored":       {"An anchor and a tag come before the text.", "expression: !!str &e a @x"},
		"Unicode":        {"Columns count characters, not bytes.", "expression: \"'größer als ein 🐘' == @x\""},
		"CRLF":           {"Windows ends lines otherwise.", "expression: |\r\n        a\r\n        @x"},
		"Key":            {"The text can begin on the next line.", "expression:\n        a @x"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			data := head("SLOPolicy") + "spec:\n  metrics: [{name: a, keptnMetric: {name: a}}]\n  rules:\n    - name: r\n      " + tc.yaml + "\n"
			data = "# first\n---\n" + data
			f, problems := manifest.Parse("f", []byte(data))
			if problems.HasErrors() {
				t.Fatal(problems)
			}
			line, column := find(f.Policies[0].Spec.Rules[0].Expression)
			wantLine, wantColumn := find(data)
			got, ok := f.Position("SLOPolicy", "cart", "spec.rules[0].expression", line, column)
			if want := (manifest.Position{File: "f", Line: wantLine, Column: wantColumn}); !ok || got != want {
				t.Errorf("%s\n%d:%d of the text is at %v, want %v", tc.reason, line, column, got, want)
			}
		})
	}
}

// find returns the line and column of @, both from 1.
func find(text string) (line, column int) {
	before, _, _ := strings.Cut(text, "@")
	line = strings.Count(before, "\n") + 1
	return line, len([]rune(before[strings.LastIndexByte(before, '\n')+1:])) + 1
}

func TestThePositionOfAFieldIsThatOfItsValue(t *testing.T) {
	f, problems := manifest.Parse("f", []byte(example(t)))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	cases := map[string]struct {
		reason           string
		kind, name, path string
		line, column     int
		want             string
		ok               bool
	}{
		"Begin":     {"1:1 is the begin of the text.", "SLOPolicy", "checkout-slo", "spec.rules[0].expression", 1, 1, "f:39:19", true},
		"InQuotes":  {"Quotes are not of the text.", "SLOPolicy", "checkout-slo", "spec.rules[0].message", 1, 1, "f:42:17", true},
		"End":       {"An unexpected end is after the last character.", "SLOPolicy", "checkout-slo", "spec.rules[0].expression", 1, 99, "f:39:41", true},
		"ListItem":  {"Elements of lists have a place too.", "Lifecycle", "checkout", "spec.postDeployment.policies[0]", 1, 1, "f:16:16", true},
		"Mapping":   {"What is no text has its begin.", "SLOPolicy", "checkout-slo", "spec.score", 1, 1, "f:46:10", true},
		"Nowhere":   {"A path that leads nowhere has the deepest place on the way.", "SLOPolicy", "checkout-slo", "spec.score.never", 1, 1, "f:46:10", true},
		"NoObject":  {"Another object is not here.", "SLOPolicy", "other", "spec.score", 1, 1, ":0:0", false},
		"WholeSpec": {"The root is a path as well.", "Lifecycle", "checkout", "", 1, 1, "f:2:1", true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := f.Position(tc.kind, tc.name, tc.path, tc.line, tc.column)
			if got.String() != tc.want || ok != tc.ok {
				t.Errorf("%s\ngot %v, %v; want %v, %v", tc.reason, got, ok, tc.want, tc.ok)
			}
		})
	}
}

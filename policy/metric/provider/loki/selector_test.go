package loki

import (
	"strings"
	"testing"
	"time"
)

func TestALogQueryIsTakenOutOfAMetricQuery(t *testing.T) {
	const m = time.Minute
	cases := map[string]struct {
		reason, expr, want string
		window, offset     time.Duration
	}{
		"Plain":          {"The range is no part of it.", `rate({app="a"}[5m])`, `{app="a"}`, 5 * m, 0},
		"Sum":            {"What is around it is not either.", `sum by (pod) (count_over_time({app="a"} |= "err" [1h30m]))`, `{app="a"} |= "err"`, 90 * m, 0},
		"GroupedAfter":   {"A grouping may follow.", `sum(rate({app="a"}[1m])) by (pod)`, `{app="a"}`, m, 0},
		"Pipeline":       {"Parsers and filters belong to it.", `rate({app="a"} |= "x" != "y" |~ "z" | json | level="error" [5m])`, `{app="a"} |= "x" != "y" |~ "z" | json | level="error"`, 5 * m, 0},
		"FirstIsNot":     {"A filter may begin with its negation.", `rate({app="a"} != "y"[5m])`, `{app="a"} != "y"`, 5 * m, 0},
		"Parentheses":    {"A filter may have its own.", `rate({app="a"} | json | (status >= 500 or ip("10.0.0.0/8")) [5m])`, `{app="a"} | json | (status >= 500 or ip("10.0.0.0/8"))`, 5 * m, 0},
		"Commas":         {"A stage may have several arguments.", `rate({app="a", b=~"c|d"} | label_format x=y,z=w | keep x, z [5m])`, `{app="a", b=~"c|d"} | label_format x=y,z=w | keep x, z`, 5 * m, 0},
		"Unwrap":         {"No log query unwraps.", `quantile_over_time(0.99, {app="a"} | json | unwrap took [5m]) by (pod)`, `{app="a"} | json`, 5 * m, 0},
		"UnwrapFunction": {"A conversion goes with it, and what filters its errors stays.", `max_over_time({app="a"} | unwrap duration_seconds(took) | __error__="" [5m])`, `{app="a"} | __error__=""`, 5 * m, 0},
		"LabelUnwrapped": {"A label may begin with the word.", `rate({app="a"} | unwrapped="x" [5m])`, `{app="a"} | unwrapped="x"`, 5 * m, 0},
		"StringBraces":   {"Within a string nothing has a meaning.", `rate({app="a}[1m]", b="\"}"} |= "| unwrap x [1m] )" [5m])`, `{app="a}[1m]", b="\"}"} |= "| unwrap x [1m] )"`, 5 * m, 0},
		"RawString":      {"Nor within a raw one.", "rate({app=`a\"}`} | line_format `{{.x}}[1m]\\`[5m])", "{app=`a\"}`} | line_format `{{.x}}[1m]\\`", 5 * m, 0},
		"StringBefore":   {"A brace in a string begins no selector.", `label_replace(rate({app="a"}[5m]), "x", "{$1}", "y", "(.*)")`, `{app="a"}`, 5 * m, 0},
		"LeadingString":  {"Also where the string comes first.", `vector("{") + rate({app="a"}[5m])`, `{app="a"}`, 5 * m, 0},
		"RangeFirst":     {"A range may stand before the pipeline.", `rate({app="a"}[5m] |= "x" | json)`, `{app="a"} |= "x" | json`, 5 * m, 0},
		"InParentheses":  {"The log query may be in parentheses.", `rate(({app="a"} |= "x")[5m])`, `{app="a"} |= "x"`, 5 * m, 0},
		"Offset":         {"An offset moves the lines too.", `rate({app="a"}[5m] offset 1h)`, `{app="a"}`, 5 * m, 60 * m},
		"Future":         {"An offset may be negative.", `rate({app="a"}[5m] offset -1m)`, `{app="a"}`, 5 * m, -m},
		"OffsetFirst":    {"And stand before the pipeline.", `rate({app="a"}[5m] offset 1m |= "x")`, `{app="a"} |= "x"`, 5 * m, m},
		"Variable":       {"A range that cannot be read is none.", `rate({app="a"}[$__range])`, `{app="a"}`, 0, 0},
		"Comment":        {"A comment is none of it.", "# {no}\nrate({app=\"a\"} |= \"x\" # [1m] )\n| json [5m])", "{app=\"a\"} |= \"x\" | json", 5 * m, 0},
		"Lines":          {"A query may have several lines.", "rate(\n  {app=\"a\"}\n  | json\n  [5m]\n)", "{app=\"a\"} | json", 5 * m, 0},
		"Binary":         {"Of two the first is taken.", `rate({app="a"} |= "x" [5m]) / rate({app="b"}[1m]) > 0`, `{app="a"} |= "x"`, 5 * m, 0},
		"Bare":           {"A log query is its own.", `{app="a"} | json`, `{app="a"} | json`, 0, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, ok := logQueryOf(tc.expr)
			if want := (logQuery{tc.want, tc.window, tc.offset}); !ok || got != want {
				t.Errorf("%s: %+v, %v, want %+v", tc.reason, got, ok, want)
			}
		})
	}
}

func TestWhatIsNoLogQueryIsNotTakenForOne(t *testing.T) {
	for expr, reason := range map[string]string{
		`vector(1)`:                       "There is no selector.",
		``:                                "There is nothing.",
		`rate({app="a"`:                   "The selector has no end.",
		`rate({app="a}[5m])`:              "Nor has the string.",
		"rate({app=`a}[5m])":              "Nor has the raw string.",
		`rate({app="a"} |= "x [5m])`:      "Nor has the one in the pipeline.",
		`rate({app="a"}[5m`:               "Nor has the range.",
		`rate({app="a"}[5m] offset soon)`: "The offset cannot be read, and other lines would be shown.",
		`{app="a"} | json | (x="y"`:       "The parenthesis is not closed.",
		`# {app="a"}`:                     "It is a comment.",
	} {
		if got, ok := logQueryOf(expr); ok {
			t.Errorf("%s: %q has the log query %+v", reason, expr, got)
		}
	}
}

// FuzzLogQuery takes the log query out of any query: it begins with the selector,
// and is its own log query.
func FuzzLogQuery(f *testing.F) {
	for _, expr := range []string{
		`rate({app="a"}[5m])`, `rate({app="a"} | json | unwrap x [5m] offset -1m)`, `sum(rate(({a="b"} |= "\"")[1h])) by (x)`,
		"rate({app=`}`}[5m] offset 1m |= `x` # c\n| json)", `{a="b"} | (x="y" or z>1)`, "{}\x00", `{}"`,
	} {
		f.Add(expr)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		got, ok := logQueryOf(expr)
		if !ok {
			return
		}
		if !strings.HasPrefix(got.expr, "{") || got.window < 0 {
			t.Errorf("%q has the log query %+v", expr, got)
		}
		again, ok := logQueryOf(got.expr)
		if !ok || !strings.HasPrefix(again.expr, "{") {
			t.Errorf("%q has the log query %q, which has none", expr, got.expr)
		}
	})
}

func TestALineIsSafeToShow(t *testing.T) {
	cases := map[string]struct{ reason, line, want string }{
		"Plain":     {"Most lines are shown as they are.", `level=error msg="äöü"`, `level=error msg="äöü"`},
		"Spaces":    {"A line has no breaks.", "a\tb\r\nc\n", "a b  c"},
		"Terminal":  {"Nothing steers a terminal.", "\x1b[31mred\x07\x00", "[31mred"},
		"Direction": {"Nor the direction of writing.", "a\u202eb\u200bc", "abc"},
		"NotUTF8":   {"What is no text is marked.", "a\xffb", "a\uFFFDb"},
		"Long":      {"It is cut.", strings.Repeat("x", 600), strings.Repeat("x", 500)},
		"LongRunes": {"And never within a character.", "x" + strings.Repeat("ä", 300), "x" + strings.Repeat("ä", 249)},
		"Fits":      {"A line of the limit is whole.", strings.Repeat("x", 500), strings.Repeat("x", 500)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := clean(tc.line); got != tc.want {
				t.Errorf("%s: %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

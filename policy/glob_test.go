package policy_test

import (
	"strings"
	"testing"

	"github.com/keptn/gitops/policy"
)

func TestAGlobHasFewAlternatives(t *testing.T) {
	cases := map[string]struct{ reason, pattern, want string }{
		"Few":      {"64 are fine.", strings.Repeat("{a,b}", 6), ""},
		"Nested":   {"So are those within others.", "{db,{infra,net}}/{*.sql,*.tf}", ""},
		"Escaped":  {"A brace or a comma that is escaped is none.", `\{` + strings.Repeat(`{\,,b}`, 6), ""},
		"Class":    {"A brace of a class opens nothing.", "[{]" + strings.Repeat(",", 10), ""},
		"Product":  {"Braces one after the other multiply: with 22 of them a match takes seconds.", strings.Repeat("{a,a}", 22), "too many alternatives"},
		"Sum":      {"One brace can be as many.", "{" + strings.Repeat("a,", 64) + "a}", "too many alternatives"},
		"Deep":     {"Those within others count as well.", strings.Repeat("{a,", 7) + "a" + strings.Repeat("}", 7), "too many alternatives"},
		"Overflow": {"However many there are.", strings.Repeat("{a,b}", 200), "too many alternatives"},
		"Long":     {"Patterns are short.", strings.Repeat("*a", 513), "the limit is 1024: write several globs"},
		"Open":     {"What is not closed is no pattern.", "{a", "is no pattern of paths"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			literal := strings.ReplaceAll(tc.pattern, `\`, `\\`)
			s := spec(rule("'" + strings.Repeat("a", 30) + "x'.glob('" + literal + "') || true"))
			_, err := policy.Compile("p", s)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("%s: compiling: %v, want %q", tc.reason, err, tc.want)
			}
			p := compile(t, spec(rule("'"+strings.Repeat("a", 30)+"x'.glob(commit.message) == false")))
			got := p.Evaluate(t.Context(), policy.Input{Commit: &policy.Commit{Message: tc.pattern}})
			want := policy.Pass
			if tc.want != "" {
				want = policy.Inconclusive
			}
			if got.Result != want || !strings.Contains(got.Rules[0].Message, tc.want) {
				t.Errorf("%s: %s, %q, want %s, %q", tc.reason, got.Result, got.Rules[0].Message, want, tc.want)
			}
		})
	}
}

func TestWhatIsTooLongIsNoPath(t *testing.T) {
	p := compile(t, spec(rule("commit.message.glob('**/*')")))
	got := p.Evaluate(t.Context(), policy.Input{Commit: &policy.Commit{Message: strings.Repeat("a/", 3000)}})
	if got.Result != policy.Inconclusive || !strings.Contains(got.Rules[0].Message, "a text of 6000 bytes is no path") {
		t.Errorf("%s, %q", got.Result, got.Rules[0].Message)
	}
}

func TestTheAlternativesOfAGlobCost(t *testing.T) {
	in := policy.Input{Commit: &policy.Commit{Files: make([]string, 5)}}
	for i := range in.Commit.Files {
		in.Commit.Files[i] = strings.Repeat("a", 4000)
	}
	for pattern, want := range map[string]policy.Result{"*a*b": policy.Fail, strings.Repeat("{*a,*a}", 6) + "b": policy.Inconclusive} {
		p := compile(t, spec(rule("commit.files.exists(f, f.glob('"+pattern+"'))")), policy.CostLimit(500_000))
		if got := p.Evaluate(t.Context(), in); got.Result != want {
			t.Errorf("%s: %s, %q, want %s", pattern, got.Result, got.Rules[0].Message, want)
		}
	}
}

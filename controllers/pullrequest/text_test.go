package pullrequest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/gitsource/manifest"
	"github.com/keptn/gitops/policy"
)

const sha = "1234567890123456789012345678901234567890"

// evaluating is what asks for dry evaluations.
func evaluating() *scope {
	return &scope{
		source: &gitopsv1alpha1.GitSource{}, memory: &memory{judged: map[int64]*judgement{}, unread: map[int64]error{}},
		asked: gitopsv1alpha1.PullRequests{Evaluate: true}, origin: repository.Origin{Environment: "production", ContextPrefix: "keptn/production"},
	}
}

func app(name string) *manifest.App {
	a := &manifest.App{File: "apps/" + name + "/lifecycle.yaml", Rendered: &manifest.Rendered{Inputs: []string{"apps/" + name + "/", "base/shared.yaml"}}}
	a.Lifecycle.Name = name
	return a
}

// says is the verdict of a policy with one rule.
func says(name, policyName string, result policy.Result, message string) verdict {
	return verdict{app: name, policy: policyName, found: policy.Verdict{Result: result, Rules: []policy.RuleResult{{Name: "errors", Result: result, Message: message}}}}
}

func TestWhatAPullRequestIsTold(t *testing.T) {
	cases := map[string]struct {
		reason string
		j      judgement
		want   string
	}{
		"Valid": {
			reason: "A pull request that changes nothing that is evaluated is told so.",
			j:      judgement{commit: sha, validity: forge.Status{State: forge.Success, Description: "valid: checkout"}},
			want:   "**Keptn, `production`:** `1234567` is valid\n\n`valid: checkout`\n\nIt changes no app that has a policy.\n",
		},
		"Problems": {
			reason: "Each problem has its place, a warning says so, and why nothing is evaluated is told.",
			j: judgement{commit: sha, undone: "it is not valid", validity: forge.Status{State: forge.Failure, Problems: []forge.Problem{
				{File: "a/lifecycle.yaml", Line: 3, Column: 5, Message: "unknown field"}, {File: "b", Line: 1, Column: 1, Message: "odd", Warning: true},
			}}},
			want: "**Keptn, `production`:** `1234567` is not valid\n\n| where | problem |\n|---|---|\n| `a/lifecycle.yaml:3:5` | `unknown field` |\n| `b:1:1` | warning: `odd` |\n\nIts policies are not evaluated: `it is not valid`.\n",
		},
		"Fork": {
			reason: "A fork is never evaluated, and is told why.",
			j:      judgement{commit: sha, undone: "it comes from a fork", validity: forge.Status{State: forge.Success, Description: "valid: checkout"}},
			want:   "**Keptn, `production`:** `1234567` is valid\n\n`valid: checkout`\n\nIts policies are not evaluated: `it comes from a fork`.\n",
		},
		"Verdicts": {
			reason: "Each rule has its verdict and its values; a policy without a verdict says why.",
			j: judgement{commit: sha, validity: forge.Status{State: forge.Success, Description: "valid: checkout"}, dry: []verdict{
				says("checkout", "slo", policy.Fail, "errors 3.1% ≥ 1%"), {app: "cart", policy: "slo", failed: "it does not compile"},
			}},
			want: "**Keptn, `production`:** `1234567` is valid\n\n`valid: checkout`\n\nWhat its policies say of what is measured now, without a rollout of it and without a baseline:\n\n" +
				"| app | policy | verdict | rule | because |\n|---|---|---|---|---|\n| `checkout` | `slo` | fail | `errors`: fail | `errors 3.1% ≥ 1%` |\n| `cart` | `slo` | inconclusive | | `it does not compile` |\n",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, evaluating().text(&tc.j)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestWhatAForkWroteIsShownAsText(t *testing.T) {
	cases := map[string]struct{ reason, text, want string }{
		"Mention":   {"Nobody is called by it.", "@acme/all see #1", "`@acme/all see #1`"},
		"Link":      {"It leads nowhere.", "[x](https://evil.example.com) <img src=x>", "`[x](https://evil.example.com) <img src=x>`"},
		"EndOfCode": {"It cannot end the code that it is in.", "` **bold** ``", "`' **bold** ''`"},
		"EndOfCell": {"It cannot end the cell that it is in.", `a \| b | c`, "`a \\¦ b ¦ c`"},
		"Lines":     {"It cannot begin a line.", "a\r\n\n# b\u2028c", "`a # b c`"},
		"Hidden":    {"It cannot hide, or turn what is read.", "a\u202eb\u200b\x00c", "`abc`"},
		"Nothing":   {"An empty text is no code.", " \u200b", ""},
		"Invalid":   {"It is UTF-8.", "a\xff", "`a\uFFFD`"},
		"Long":      {"It is bounded.", strings.Repeat("ü", 500), "`" + strings.Repeat("ü", maxText-1) + "…`"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := code(tc.text, maxText); got != tc.want {
				t.Errorf("%s\ngot  %q\nwant %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestWhatAPullRequestIsToldFitsEveryForge(t *testing.T) {
	long := strings.Repeat("@ü|`", 500)
	j := judgement{commit: sha, validity: forge.Status{State: forge.Failure}}
	for i := range 1000 {
		j.validity.Problems = append(j.validity.Problems, forge.Problem{File: long, Line: i, Column: i, Message: long, Warning: true})
	}
	for range maxPolicies {
		v := says(long, long, policy.Inconclusive, long)
		v.found.Rules = nil
		for range 100 {
			v.found.Rules = append(v.found.Rules, policy.RuleResult{Name: long, Message: long, Result: policy.Inconclusive})
		}
		j.dry = append(j.dry, v)
	}
	got := evaluating().text(&j)
	if n := len([]rune(got)); n > 30_000 {
		t.Errorf("it has %d characters", n)
	}
	for _, want := range []string{"\n980 more.\n", "\n970 more rules.\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestACommitShowsTheWorstVerdictOfEachApp(t *testing.T) {
	got := dryStatuses("keptn/production", []verdict{
		says("checkout", "a", policy.Pass, "1 < 2"), says("checkout", "b", policy.Inconclusive, "no data"), says("checkout", "c", policy.Warning, "close"),
		says("cart", "a", policy.Warning, "close"), says("cart", "b", policy.Pass, "1 < 2"),
		says("mail", "a", policy.Fail, "3 < 2"), says("mail", "b", policy.Inconclusive, "no data"),
	})
	var lines []string
	for _, s := range got {
		lines = append(lines, fmt.Sprintf("%s %s", s.Context, s.State))
		for _, part := range []string{"a: ", "b: "} {
			if !strings.Contains(s.Description, part) {
				t.Errorf("%q does not tell of policy %s", s.Description, part)
			}
		}
	}
	want := []string{"keptn/production/checkout/dry-run error", "keptn/production/cart/dry-run warning", "keptn/production/mail/dry-run failure"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
}

func TestWhichAppsAPullRequestChanges(t *testing.T) {
	cases := map[string]struct {
		reason string
		by     commits
		want   bool
	}{
		"ItsFolder":    {"A file of its folder changes it.", commits{all: []lifecyclev1.Commit{{Files: []string{"README.md"}}, {Files: []string{"apps/a/deployment.yaml"}}}}, true},
		"ItsLifecycle": {"So does its lifecycle.yaml.", commits{all: []lifecyclev1.Commit{{Files: []string{"apps/a/lifecycle.yaml"}}}}, true},
		"ItsBase":      {"So does what it is built of.", commits{all: []lifecyclev1.Commit{{Files: []string{"base/shared.yaml"}}}}, true},
		"Another":      {"Another app is another.", commits{all: []lifecyclev1.Commit{{Files: []string{"apps/b/lifecycle.yaml", "README.md"}}}}, false},
		"TooMany":      {"What is not known may change it.", commits{more: true}, true},
		"TooManyFiles": {"As above.", commits{all: []lifecyclev1.Commit{{FilesTruncated: true}}}, true},
		"None":         {"Without commits nothing is changed.", commits{}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			a := app("a")
			a.Rendered.Inputs = []string{"apps/a/", "apps/a/deployment.yaml", "base/shared.yaml"}
			if got := tc.by.changes(a); got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

func TestWhichBranchPullRequestsGoInto(t *testing.T) {
	main := gitsource.Revision{Name: "main", Commit: sha}
	cases := map[string]struct {
		reason string
		refs   []gitsource.Ref
		at     gitsource.Revision
		want   string
	}{
		"Head":         {"HEAD is at a branch.", []gitsource.Ref{{}}, main, "main"},
		"Branch":       {"It is named.", []gitsource.Ref{{Branch: "main"}}, main, "main"},
		"FullName":     {"It is named in full.", []gitsource.Ref{{Name: "refs/heads/main"}}, gitsource.Revision{Name: "refs/heads/main", Commit: sha}, "main"},
		"Unread":       {"Which it is was not seen yet.", []gitsource.Ref{{}}, gitsource.Revision{}, ""},
		"Tag":          {"A tag is none.", []gitsource.Ref{{Tag: "v1"}}, gitsource.Revision{Name: "v1", Commit: sha}, ""},
		"Range":        {"Nor is a range of tags.", []gitsource.Ref{{SemVer: ">=1", Branch: "main"}}, gitsource.Revision{Name: "v1", Commit: sha}, ""},
		"Commit":       {"Nor is a commit.", []gitsource.Ref{{Commit: sha, Branch: "main"}}, main, ""},
		"PullRequest":  {"Nor is a pull request.", []gitsource.Ref{{Name: "refs/pull/7/head"}}, gitsource.Revision{Name: "refs/pull/7/head", Commit: sha}, ""},
		"AnnotatedTag": {"What may be either was a tag.", []gitsource.Ref{{Branch: "v1"}, {Tag: "v1"}}, gitsource.Revision{Name: "v1", Commit: sha, Tag: sha}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := baseOf(repository.Origin{Refs: tc.refs, Observed: tc.at}); got != tc.want {
				t.Errorf("%s\ngot %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestWhichHeadsAreNews(t *testing.T) {
	s := evaluating()
	s.source.Status.PullRequests = []gitopsv1alpha1.ToldPullRequest{{Number: 1, Head: sha, State: "success", Evaluated: true}}
	s.memory.judged[2] = &judgement{head: forge.Head{Number: 2, Commit: sha}, commit: sha}
	s.memory.unread[3] = gitsource.ErrRefNotFound
	other := strings.Repeat("a", 40)
	cases := map[string]struct {
		reason string
		head   forge.Head
		want   bool
	}{
		"Told":        {"It was told.", forge.Head{Number: 1, Commit: sha}, false},
		"Abbreviated": {"Bitbucket Cloud abbreviates.", forge.Head{Number: 1, Commit: sha[:12]}, false},
		"Pushed":      {"There is another commit.", forge.Head{Number: 1, Commit: other}, true},
		"Unnamed":     {"The forge does not know it yet.", forge.Head{Number: 4}, false},
		"Judged":      {"It is judged, and not told yet.", forge.Head{Number: 2, Commit: sha}, false},
		"JudgedOld":   {"An older one is judged.", forge.Head{Number: 2, Commit: other}, true},
		"Unread":      {"It is tried again with the next look.", forge.Head{Number: 3, Commit: sha}, false},
		"New":         {"Nobody knows it.", forge.Head{Number: 4, Commit: sha}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := s.isNews(tc.head); got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

func TestWhatWasToldLessThanIsAskedForIsNews(t *testing.T) {
	all := gitopsv1alpha1.ToldPullRequest{Number: 1, Head: sha, State: "success", Evaluated: true, Comment: "5"}
	yes, no := true, false
	cases := map[string]struct {
		reason string
		asked  gitopsv1alpha1.PullRequests
		forget func(*gitopsv1alpha1.ToldPullRequest)
		want   bool
	}{
		"All":       {"There is nothing to add.", gitopsv1alpha1.PullRequests{Evaluate: true, Comment: true}, func(*gitopsv1alpha1.ToldPullRequest) {}, false},
		"Less":      {"Nobody takes back what was told.", gitopsv1alpha1.PullRequests{Validate: &no}, func(*gitopsv1alpha1.ToldPullRequest) {}, false},
		"Comment":   {"A comment is asked for since.", gitopsv1alpha1.PullRequests{Comment: true}, func(p *gitopsv1alpha1.ToldPullRequest) { p.Comment = "" }, true},
		"Evaluated": {"A dry evaluation is.", gitopsv1alpha1.PullRequests{Evaluate: true}, func(p *gitopsv1alpha1.ToldPullRequest) { p.Evaluated = false }, true},
		"Validated": {"Its status is.", gitopsv1alpha1.PullRequests{Validate: &yes}, func(p *gitopsv1alpha1.ToldPullRequest) { p.State = "" }, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s, told := evaluating(), all
			tc.forget(&told)
			s.asked, s.source.Status.PullRequests = tc.asked, []gitopsv1alpha1.ToldPullRequest{told}
			if got := s.isNews(forge.Head{Number: 1, Commit: sha}); got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

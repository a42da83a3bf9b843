package forge_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/gitsource/forge"
)

// problems are so many, each in a line of its own.
func problems(n int) []forge.Problem {
	all := make([]forge.Problem, n)
	for i := range all {
		all[i] = forge.Problem{File: "apps/checkout/lifecycle.yaml", Line: i + 1, Column: 3, Message: fmt.Sprintf("problem %d", i+1)}
	}
	return all
}

func TestAnInconclusiveCheckBlocksAndAWarningDoesNot(t *testing.T) {
	// GitHub merges what is success, neutral or skipped
	// (https://docs.github.com/pull-requests/collaborating-with-pull-requests/collaborating-on-repositories-with-code-quality-features/about-status-checks).
	want := map[forge.State]string{
		forge.Pending: "in_progress ", forge.Success: "completed success", forge.Warning: "completed neutral",
		forge.Failure: "completed failure", forge.Error: "completed action_required",
	}
	for state, said := range want {
		g := newGitHub(t)
		if err := mustNew(t, forge.GitHub, g.asApp(t)).Set(t.Context(), status(knownCommit, state, "")); err != nil {
			t.Fatal(err)
		}
		conclusion := ""
		if c := g.runs[0].Conclusion; c != nil {
			conclusion = *c
		}
		if got := g.runs[0].Status + " " + conclusion; got != said {
			t.Errorf("%s is %q, want %q", state, got, said)
		}
	}
}

func TestACheckThatSomebodyElseEndedIsNoVerdict(t *testing.T) {
	for _, conclusion := range []string{"timed_out", "cancelled", "skipped", "stale"} {
		g := newGitHub(t)
		reporter := mustNew(t, forge.GitHub, g.asApp(t))
		s := status(knownCommit, forge.Success, "")
		if err := reporter.Set(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		g.runs[0].Conclusion = &conclusion
		got, found, err := reporter.Latest(t.Context(), knownCommit, s.Context)
		if err != nil || !found || got.State != forge.Error {
			t.Errorf("%s: got %s, found %t, %v", conclusion, got.State, found, err)
		}
	}
}

func TestProblemsAreShownAtTheirLines(t *testing.T) {
	g := newGitHub(t)
	s := status(knownCommit, forge.Failure, "3 problems: a")
	s.Problems = []forge.Problem{
		{File: "lifecycle.yaml", Line: 14, Column: 9, Message: "policy `latency`: undeclared reference to \"p95\""},
		{File: "lifecycle.yaml", Line: 1, Column: 1, Message: "two\nlines @acme <b> #7 https://evil.example.com www.evil.example.com", Warning: true},
		{Message: "of no file"},
	}
	s.Report = "| rule | result |\n|---|---|\n| a | fail |"
	if err := mustNew(t, forge.GitHub, g.asApp(t)).Set(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	want := &ghOutput{
		Title:   "3 problems: a",
		Summary: s.Report,
		Text: "- `lifecycle.yaml:14:9`: policy \\`latency\\`: undeclared reference to \"p95\"\n" +
			"- `lifecycle.yaml:1:1`: warning: two lines @\u200bacme &lt;b> #\u200b7 https:\u200b//evil.example.com www\u200b.evil.example.com\n- `:0:0`: of no file\n",
		Annotations: []ghAnnotation{
			{Path: "lifecycle.yaml", StartLine: 14, EndLine: 14, StartColumn: 9, EndColumn: 9, Level: "failure", Message: "policy `latency`: undeclared reference to \"p95\""},
			{Path: "lifecycle.yaml", StartLine: 1, EndLine: 1, StartColumn: 1, EndColumn: 1, Level: "warning", Message: "two lines @acme <b> #7 https://evil.example.com www.evil.example.com"},
		},
	}
	if diff := cmp.Diff(want, g.runs[0].Output); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMoreProblemsThanARequestTakesAreSentInParts(t *testing.T) {
	cases := map[string]struct {
		reason         string
		problems, runs int
		annotations    int
		requests       []string
	}{
		"One":     {"Nothing to part.", 50, 1, 50, []string{"POST /check-runs"}},
		"Three":   {"The last one completes it.", 120, 1, 120, []string{"POST /check-runs", "PATCH /check-runs/1", "PATCH /check-runs/1"}},
		"TooMany": {"The text has the rest.", 1000, 1, 500, append([]string{"POST /check-runs"}, slices.Repeat([]string{"PATCH /check-runs/1"}, 9)...)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			g := newGitHub(t)
			s := status(knownCommit, forge.Failure, "problems")
			s.Problems = problems(tc.problems)
			if err := mustNew(t, forge.GitHub, g.asApp(t)).Set(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			asked := slices.DeleteFunc(g.asked(), func(r string) bool { return strings.HasPrefix(r, "GET") })
			if diff := cmp.Diff(tc.requests, asked); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
			run := g.runs[0]
			if run.Status != "completed" || len(run.Output.Annotations) != tc.annotations || !strings.Contains(run.Output.Text, fmt.Sprintf("problem %d\n", tc.problems)) {
				t.Errorf("%s\nit is %s with %d annotations and a text of %d bytes", tc.reason, run.Status, len(run.Output.Annotations), len(run.Output.Text))
			}
		})
	}
}

func TestACheckThatWasInterruptedIsNotTakenForTheWhole(t *testing.T) {
	g := newGitHub(t)
	pages := g.Config.Handler
	broken := true
	g.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch && broken {
			panic(http.ErrAbortHandler)
		}
		pages.ServeHTTP(w, r)
	})
	s := status(knownCommit, forge.Failure, "problems")
	s.Problems = problems(120)
	if err := mustNew(t, forge.GitHub, g.asApp(t)).Set(t.Context(), s); !errors.Is(err, forge.ErrTemporary) {
		t.Fatalf("got %v", err)
	}
	reporter := mustNew(t, forge.GitHub, g.asApp(t)) // of the next process
	if held, _, err := reporter.Latest(t.Context(), knownCommit, s.Context); err != nil || held.State.Final() {
		t.Errorf("half of it reads as %s, %v", held.State, err)
	}
	broken = false
	if err := reporter.Set(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if len(g.runs) != 1 || g.runs[0].Status != "completed" {
		t.Fatalf("there are %d checks, the first is %s", len(g.runs), g.runs[0].Status)
	}
	for i, a := range g.runs[0].Output.Annotations {
		if a.StartLine != i+1 {
			t.Fatalf("annotation %d is of line %d: none may be missing, or there twice", i, a.StartLine)
		}
	}
	if n := len(g.runs[0].Output.Annotations); n != 120 {
		t.Errorf("it has %d annotations", n)
	}
}

func TestACheckIsTakenOnUntilItIsCompleted(t *testing.T) {
	g := newGitHub(t)
	for _, state := range []forge.State{forge.Pending, forge.Pending, forge.Success, forge.Success, forge.Pending, forge.Failure} {
		// Each of a process of its own.
		if err := mustNew(t, forge.GitHub, g.asApp(t)).Set(t.Context(), status(knownCommit, state, string(state))); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, run := range g.runs {
		got = append(got, *run.Conclusion)
	}
	if diff := cmp.Diff([]string{"success", "failure"}, got); diff != "" {
		t.Errorf("a check that begins anew is another one (-want +got):\n%s", diff)
	}
}

func TestACheckThatIsGoneIsMadeAgain(t *testing.T) {
	g := newGitHub(t)
	reporter := mustNew(t, forge.GitHub, g.asApp(t))
	if err := reporter.Set(t.Context(), status(knownCommit, forge.Pending, "")); err != nil {
		t.Fatal(err)
	}
	pages := g.Config.Handler
	g.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			refuse(w, http.StatusNotFound, "Not Found")
			return
		}
		pages.ServeHTTP(w, r)
	})
	if err := reporter.Set(t.Context(), status(knownCommit, forge.Success, "")); err != nil {
		t.Fatal(err)
	}
	if len(g.runs) != 2 || g.runs[1].Status != "completed" {
		t.Errorf("there are %d checks", len(g.runs))
	}
}

func TestAnothersCheckOfTheSameNameIsLeftAlone(t *testing.T) {
	g := newGitHub(t)
	s := status(knownCommit, forge.Pending, "")
	g.runs = append(g.runs,
		&ghRun{ID: 1, Name: s.Context, HeadSHA: knownCommit, ExternalID: "theirs", Status: "in_progress", Output: &ghOutput{}, App: map[string]any{"id": 123456}},
		&ghRun{ID: 2, Name: s.Context, HeadSHA: knownCommit, ExternalID: s.Context, Status: "in_progress", Output: &ghOutput{}, App: map[string]any{"id": 7}})
	reporter := mustNew(t, forge.GitHub, g.asApp(t))
	if _, found, err := reporter.Latest(t.Context(), knownCommit, s.Context); err != nil || found {
		t.Errorf("found %t, %v", found, err)
	}
	if err := reporter.Set(t.Context(), s); err != nil || len(g.runs) != 3 {
		t.Errorf("there are %d checks, %v", len(g.runs), err)
	}
}

func TestTheNewestCheckIsFoundOnAnyPage(t *testing.T) {
	g := newGitHub(t)
	s := status(knownCommit, forge.Success, "newest")
	for i := range 250 {
		conclusion := "failure"
		g.runs = append(g.runs, &ghRun{
			ID: i + 1, Name: s.Context, HeadSHA: knownCommit, ExternalID: s.Context, Status: "completed", Conclusion: &conclusion,
			Output: &ghOutput{Title: "old"}, App: map[string]any{"id": 123456},
		})
	}
	reporter := mustNew(t, forge.GitHub, g.asApp(t))
	if err := reporter.Set(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	got, found, err := reporter.Latest(t.Context(), knownCommit, s.Context)
	if err != nil || !found || !got.Same(s) {
		t.Errorf("got %+v, found %t, %v", got, found, err)
	}
}

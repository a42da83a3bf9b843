package measure_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/controllers/measure"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/dora"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/gittest"
	"github.com/keptn/gitops/gitsource/manifest"
	"github.com/keptn/gitops/history"
)

// gone is a commit that no repository has.
var gone = strings.Repeat("f", 40)

// A change is a commit that a test makes, by the name that the test calls it. One of
// another app changes nothing of the app.
type change struct {
	name, message string
	parents       []string
	other         bool
	// authored and committed are minutes after the first commit.
	authored, committed int
}

// chain are commits each of which has the one before it for its parent.
func chain(names ...string) []change {
	var all []change
	for i, name := range names {
		c := change{name: name}
		if i > 0 {
			c.parents = names[i-1 : i]
		}
		all = append(all, c)
	}
	return all
}

// A past is a repository, and its commits by what the tests call them.
type past struct {
	*gittest.Repo
	commits map[string]string
}

// newPast makes commits, each of which a ref keeps, as deployed ones are kept by a store.
func newPast(t *testing.T, changes []change) past {
	t.Helper()
	p := past{Repo: gittest.New(t).Create(t, "shop"), commits: map[string]string{"gone": gone}}
	var stream strings.Builder
	marks := map[string]int{}
	for i, c := range changes {
		marks[c.name] = i + 1
		ref := "refs/commits/" + c.name
		fmt.Fprintf(&stream, "commit %s\nmark :%d\nauthor Ann <a@example.com> %d +0000\ncommitter Carl <c@example.com> %d +0000\n",
			ref, i+1, gittest.Epoch.Unix()+int64(c.authored)*60, gittest.Epoch.Unix()+int64(c.committed)*60)
		fmt.Fprintf(&stream, "data %d\n%s\n", len(c.message), c.message)
		for n, parent := range c.parents {
			fmt.Fprintf(&stream, "%s :%d\n", []string{"from", "merge"}[min(n, 1)], marks[parent])
		}
		folder := "app"
		if c.other {
			folder = "other"
		}
		fmt.Fprintf(&stream, "M 100644 inline %s/file\ndata %d\n%s\n", folder, len(c.name), c.name)
	}
	p.Import(stream.String())
	for line := range strings.Lines(p.Git("for-each-ref", "--format=%(objectname) %(refname)", "refs/commits/")) {
		sha, ref, _ := strings.Cut(strings.TrimSpace(line), " ")
		p.commits[strings.TrimPrefix(ref, "refs/commits/")] = sha
	}
	return p
}

// open opens the repository at a URL, and the app that the folder app in it is.
func (p past) open(t *testing.T, url string) *repository.App {
	t.Helper()
	store, err := gitsource.NewStore(t.TempDir(), gitsource.AllowLocalRepositories())
	if err != nil {
		t.Fatal(err)
	}
	opened, err := store.Repository(gitsource.Remote{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	return &repository.App{Repository: opened, File: "app/lifecycle.yaml", Rendered: &manifest.Rendered{Inputs: []string{"app"}}}
}

// deployed are deployments of commits, half an hour apart, the one that finished last
// first; those with an exclamation mark failed.
func (p past) deployed(names ...string) []dora.Deployment {
	var all []dora.Deployment
	for i, name := range names {
		end := gittest.Epoch.Add(dora.Day + time.Duration(i)*30*time.Minute)
		d := dora.Deployment{App: "checkout", Environment: "production", Result: dora.Success, StartedAt: end.Add(-time.Minute), FinishedAt: end}
		name, failed := strings.CutSuffix(name, "!")
		if d.Commit = p.commits[name]; failed {
			d.Result = dora.Failure
		}
		all = append(all, d)
	}
	slices.Reverse(all)
	return all
}

// story is what became of deployments, a line each: commit, kind, and what was delivered,
// sorted.
func (p past) story(services []dora.Service) []string {
	names := map[string]string{}
	for name, sha := range p.commits {
		names[sha] = name
	}
	var story []string
	for _, s := range services {
		for _, o := range s.Outcomes {
			var delivered []string
			for _, d := range o.Delivered {
				delivered = append(delivered, cmp.Or(names[d.SHA], d.SHA))
			}
			slices.Sort(delivered)
			story = append(story, strings.Join(append([]string{names[o.Commit], string(o.Kind)}, delivered...), " "))
		}
	}
	return story
}

// evaluate works out what deployments did, from the part of history that matters, which
// it counts, and says how that differs from what the whole history comes to.
func evaluate(t *testing.T, app *repository.App, deployments []dora.Deployment, o dora.Options) (services []dora.Service, read int, differs string) {
	t.Helper()
	part, read, err := measure.Between(t.Context(), app, deployments)
	if err != nil {
		t.Fatal(err)
	}
	o.Paths = app.Inputs()
	if services, err = dora.Evaluate(t.Context(), part, deployments, o); err != nil {
		t.Fatal(err)
	}
	whole, err := dora.Evaluate(t.Context(), history.Repository{Repository: app.Repository}, deployments, o)
	if err != nil {
		t.Fatal(err)
	}
	sameError := gocmp.Comparer(func(a, b error) bool {
		return (a == nil) == (b == nil) && !slices.ContainsFunc([]error{dora.ErrUnknownCommit, dora.ErrNegative, dora.ErrNoTime}, func(e error) bool {
			return errors.Is(a, e) != errors.Is(b, e)
		})
	})
	return services, read, gocmp.Diff(whole, services, sameError)
}

func TestThePartOfHistoryThatMattersTellsAllThatTheWholeDoes(t *testing.T) {
	changes := slices.Concat(
		chain("a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "c1", "c2", "c3", "c4"),
		[]change{
			{name: "f1", parents: []string{"a9"}}, {name: "f2", parents: []string{"f1"}}, // a branch older than c1
			{name: "o5", parents: []string{"c4"}, other: true},
			{name: "m6", parents: []string{"o5", "f2"}},
			{name: "r7", parents: []string{"m6"}, message: "Revert"},
			{name: "x3", parents: []string{"c2"}}, {name: "x4", parents: []string{"x3"}}, // pushed in the place of c3
			{name: "g1", parents: []string{"f1", "c3"}}, {name: "g2", parents: []string{"m6", "g1"}},
		},
		chain("u1", "u2"), // another history
		[]change{{name: "j1", parents: []string{"c4", "u2"}}},
	)
	for i := range changes {
		changes[i].authored, changes[i].committed = i, i
	}
	p := newPast(t, changes)
	cases := map[string]struct {
		reason   string
		deployed string
		want     []string
		// read is how many commits tell the deployments apart.
		read int
	}{
		"None":        {"Nothing came of nothing.", "", nil, 0},
		"One":         {"The first one delivers nothing that is known.", "c1", []string{"c1 baseline"}, 0},
		"Onwards":     {"What came after the first one is looked at, and nothing that came before.", "c1 c2 c4", []string{"c1 baseline", "c2 forward c2", "c4 forward c3 c4"}, 3},
		"OldBranch":   {"A branch that is older than the first one comes with its merge.", "c3 m6", []string{"c3 baseline", "m6 forward c4 f1 f2"}, 5},
		"CrissCross":  {"So do merges of merges.", "c2 g2", []string{"c2 baseline", "g2 forward c3 c4 f1 f2"}, 8},
		"Back":        {"What is older than the first one was there before, and so is what comes again after it.", "c3 c1 c4", []string{"c3 baseline", "c1 rollback", "c4 forward c4"}, 3},
		"FarBack":     {"Also where the first one did not stay.", "c4 c1 a2 c1 r7", []string{"c4 baseline", "c1 rollback", "a2 rollback", "c1 forward", "r7 forward f1 f2 r7"}, 16},
		"Again":       {"The same one again is none.", "c1 c1 c2 c2", []string{"c1 baseline", "c1 redeployment", "c2 forward c2", "c2 redeployment"}, 1},
		"Pushed":      {"A force push delivers what took the place.", "c1 c3 x4 c4", []string{"c1 baseline", "c3 forward c2 c3", "x4 forward x3 x4", "c4 forward c4"}, 5},
		"Beside":      {"A branch is deployed that the first one is not on.", "c2 f2 m6", []string{"c2 baseline", "f2 forward f1 f2", "m6 forward c3 c4"}, 8},
		"Unrelated":   {"Histories may have nothing in common; what comes again delivers nothing.", "c1 u2 c1", []string{"c1 baseline", "u2 forward u1 u2", "c1 forward"}, 12},
		"Joined":      {"And be joined.", "c3 j1", []string{"c3 baseline", "j1 forward c4 u1 u2"}, 4},
		"Failed":      {"What failed delivers nothing; it comes with what mends it.", "c1 c2! c3", []string{"c1 baseline", "c2 failed", "c3 forward c2 c3"}, 2},
		"FailedFirst": {"Also where nothing was there before.", "c2! c1 c3", []string{"c2 failed", "c1 baseline", "c3 forward c2 c3"}, 2},
		"Unknown":     {"One that the repository does not have is said, and the rest goes on.", "c1 gone c3", []string{"c1 baseline", "gone unknown", "c3 forward c2 c3"}, 2},
		"UnknownAt":   {"Wherever it is.", "gone c1 gone c2 gone!", []string{"gone unknown", "c1 baseline", "gone unknown", "c2 forward c2", "gone failed"}, 1},
		"AllUnknown":  {"And if all are.", "gone gone", []string{"gone unknown", "gone redeployment"}, 0},
	}
	for where, url := range map[string]string{"InPlace": p.Dir, "Fetched": p.URL} {
		app := p.open(t, url)
		for name, tc := range cases {
			t.Run(where+"/"+name, func(t *testing.T) {
				services, read, differs := evaluate(t, app, p.deployed(strings.Fields(tc.deployed)...), dora.Options{})
				if diff := gocmp.Diff(tc.want, p.story(services)); diff != "" || read != tc.read {
					t.Errorf("%s\n%d commits were read, want %d; -want +got:\n%s", tc.reason, read, tc.read, diff)
				}
				if differs != "" {
					t.Errorf("%s\n-whole +part:\n%s", tc.reason, differs)
				}
			})
		}
	}
}

// wander makes a random history, whose names begin with a prefix: merges, branches,
// rewrites, several first commits, clocks that are wrong, and commits of other apps.
func wander(r *rand.Rand, prefix string) []change {
	var all []change
	name := func(i int) string { return fmt.Sprint(prefix, i) }
	for i := range 5 + r.IntN(25) {
		c := change{name: name(i), other: r.IntN(4) == 0, authored: i*10 + r.IntN(30), committed: i*7 + r.IntN(50)}
		for range min(i, 1+r.IntN(4)/3) {
			parent := name(max(0, i-1-r.IntN(2)*r.IntN(8)))
			if !slices.Contains(c.parents, parent) {
				c.parents = append(c.parents, parent)
			}
		}
		if r.IntN(20) == 0 {
			c.parents = nil
		}
		all = append(all, c)
	}
	return all
}

func TestThePartOfAnyHistoryTellsAllThatTheWholeDoes(t *testing.T) {
	const worlds = 50
	r := rand.New(rand.NewPCG(1, 2))
	histories := make([][]change, worlds)
	for i := range histories {
		histories[i] = wander(r, fmt.Sprintf("w%d-", i))
	}
	p := newPast(t, slices.Concat(histories...))
	app := p.open(t, p.Dir)
	delivered := 0
	for i, h := range histories {
		var names []string
		for n := range 1 + r.IntN(12) {
			name := h[min(len(h)-1, n*len(h)/12+r.IntN(6))].name
			switch r.IntN(15) {
			case 0:
				name = "gone"
			case 1, 2, 3:
				name = h[r.IntN(len(h))].name
			}
			names = append(names, name+[]string{"", "", "!"}[r.IntN(3)])
		}
		o := dora.Options{LeadTimeFrom: []dora.LeadTimeFrom{dora.FromCommit, dora.FromFirstCommit, dora.FromMerge}[i%3]}
		services, read, differs := evaluate(t, app, p.deployed(names...), o)
		if differs != "" {
			t.Fatalf("history %d, deployed %s, from %s; -whole +part:\n%s", i, names, o.LeadTimeFrom, differs)
		}
		if read > len(h) {
			t.Fatalf("history %d: %d commits were read of %d", i, read, len(h))
		}
		for _, line := range p.story(services) {
			delivered += len(strings.Fields(line)) - 2
		}
	}
	if delivered < worlds {
		t.Errorf("%d commits were delivered in %d histories: they are too poor to tell anything", delivered, worlds)
	}
}

func TestACommitThatAForcePushTookAwayIsSaidOnceItIsGone(t *testing.T) {
	repo := gittest.New(t).Create(t, "shop")
	p := past{Repo: repo, commits: map[string]string{}}
	for _, name := range []string{"c1", "c2"} {
		p.commits[name] = repo.Commit("main", name, map[string]string{"app/file": name})
	}
	repo.ForcePush("main", p.commits["c1"])
	p.commits["x2"] = repo.Commit("main", "x2", map[string]string{"app/file": "x2"})
	deployments := p.deployed("c1", "c2", "x2")
	for _, step := range []struct {
		reason string
		do     func()
		want   []string
	}{
		{"It is asked for by its name while somebody has it.", func() {}, []string{"c1 baseline", "c2 forward c2", "x2 forward x2"}},
		{"Then it is unknown, and what came before it is compared with.", repo.Prune, []string{"c1 baseline", "c2 unknown", "x2 forward x2"}},
	} {
		step.do()
		services, _, differs := evaluate(t, p.open(t, repo.URL), deployments, dora.Options{})
		if diff := gocmp.Diff(step.want, p.story(services)); diff != "" || differs != "" {
			t.Errorf("%s\n-want +got:\n%s\n-whole +part:\n%s", step.reason, diff, differs)
		}
		if problem := services[0].Outcomes[1].Problem; problem != nil && !strings.Contains(problem.Error(), p.commits["c2"]) {
			t.Errorf("its problem does not name it: %v", problem)
		}
	}
}

func TestARepositoryThatCannotBeReadIsAnError(t *testing.T) {
	server := gittest.New(t)
	repo := server.Create(t, "shop")
	p := past{Repo: repo, commits: map[string]string{"c1": repo.Commit("main", "c1", map[string]string{"app/file": "1"})}}
	server.Fail(503)
	if _, _, err := measure.Between(t.Context(), p.open(t, repo.URL), p.deployed("c1")); !errors.Is(err, gitsource.ErrUnreachable) {
		t.Errorf("a server that does not answer: %v", err)
	}
}

func TestAnIncidentMayNameTheCommitThatAnImageWasBuiltFrom(t *testing.T) {
	deployments := []dora.Deployment{{Commit: "bbbbbbb2", StartedAt: began}, {Commit: "aaaaaaa1", StartedAt: began.Add(-time.Hour)}}
	built := map[int]string{0: "c0decafe2", 1: "c0decafe1"}
	cases := map[string]struct{ reason, named, want string }{
		"Built":    {"It is the deployment that brought it.", "c0decafe1", "aaaaaaa1"},
		"Short":    {"Of several that begin so the newest.", "c0decaf", "bbbbbbb2"},
		"Deployed": {"What was deployed is found by who blames.", "aaaaaaa", "aaaaaaa"},
		"Silent":   {"Nothing is said of many.", "", ""},
	}
	for name, tc := range cases {
		if got := measure.Deployed(deployments, built, tc.named); got != tc.want {
			t.Errorf("%s: %s\ngot %q, want %q", name, tc.reason, got, tc.want)
		}
	}
}

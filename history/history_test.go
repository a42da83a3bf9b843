package history_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/dora"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/gittest"
	"github.com/keptn/gitops/history"
)

// at is a number of minutes after the first commit; gittest makes one each minute.
func at(minutes int) time.Time { return gittest.Epoch.Add(time.Duration(minutes) * time.Minute) }

// A shop is a repository of two apps, checkout and cart, with all that happens to one.
type shop struct {
	*gittest.Repo
	// names are the commits by what the tests call them.
	names map[string]string
}

// newShop makes the history, where the number of a commit is its minute:
//
//	c0 checkout and cart begin
//	c1 checkout
//	f2, f3 checkout, on a branch of c1
//	k4 cart
//	m5 the merge of the branch
//	s6 checkout, a squashed branch
//	r7 the revert of f3
//	c8 checkout and cart; dropped by a force push
//	x9 checkout, in the place of c8
//	b10 checkout, written in minute 2 and rebased in minute 10
func newShop(t *testing.T) shop {
	t.Helper()
	r := gittest.New(t).Create(t, "shop")
	s := shop{Repo: r, names: map[string]string{}}
	checkout := func(text string) map[string]string { return map[string]string{"apps/checkout/app.yaml": text} }
	cart := map[string]string{"apps/cart/app.yaml": "4"}
	s.names["c0"] = r.Commit("main", "Begin", map[string]string{"apps/checkout/app.yaml": "0", "apps/cart/app.yaml": "0"})
	s.names["c1"] = r.Commit("main", "Ask for the name", checkout("1"))
	r.ForcePush("feature", s.names["c1"])
	s.names["f2"] = r.Commit("feature", "Ask for the address", checkout("2"))
	s.names["f3"] = r.Commit("feature", "Ask for the birthday", checkout("3"))
	s.names["k4"] = r.Commit("main", "Empty the cart", cart)
	s.names["m5"] = r.Merge("main", "feature", "Merge branch feature", checkout("3"))
	s.names["s6"] = r.Commit("main", "Pay by invoice (#7)", checkout("6"))
	s.names["r7"] = r.Commit("main", "Revert \"Ask for the birthday\"\n\nThis reverts commit "+s.names["f3"]+".\n", checkout("7"))
	s.names["c8"] = r.Commit("main", "Count both", map[string]string{"apps/checkout/app.yaml": "8", "apps/cart/app.yaml": "8"})
	r.ForcePush("main", s.names["r7"])
	s.names["x9"] = r.Commit("main", "Count checkouts", checkout("9"))
	r.Import(fmt.Sprintf("commit refs/heads/main\nauthor Ann <a@example.com> %d +0000\ncommitter Carl <c@example.com> %d +0000\ndata 6\nFaster\n"+
		"from refs/heads/main^0\nM 100644 inline apps/checkout/app.yaml\ndata 2\n10\n", at(2).Unix(), at(10).Unix()))
	s.names["b10"] = r.Git("rev-parse", "main")
	s.names["gone"] = strings.Repeat("0", 40)
	return s
}

// log reads deployments, a line each: app, environment, commit, first and last minute, and
// why it failed, if it did.
func (s shop) log(t *testing.T, text string) []dora.Deployment {
	t.Helper()
	var all []dora.Deployment
	for line := range strings.Lines(strings.TrimSpace(text)) {
		var d dora.Deployment
		var commit, cause string
		var began, ended int
		if n, err := fmt.Sscan(line, &d.App, &d.Environment, &commit, &began, &ended, &cause); n < 5 {
			t.Fatalf("%q: %v", line, err)
		}
		d.Commit, d.StartedAt, d.FinishedAt = s.names[commit], at(began), at(ended)
		d.Result, d.FailedBy = dora.Success, dora.Cause(cause)
		if cause != "" {
			d.Result = dora.Failure
		}
		all = append(all, d)
	}
	return all
}

// deployed is what became of the shop's commits.
const deployed = `
checkout production c0   30  40
checkout production m5   50  60
checkout production s6   70  80 verdict
checkout production m5   81  85
checkout production r7   90 100
checkout production r7  110 112
checkout production c8  120 122 rollout
checkout production c8  123 130
checkout production r7  140 145
checkout production x9  150 160
checkout production b10 170 180
checkout production gone 190 195
checkout production r7   90 100
checkout staging    c1   20  25
checkout staging    m5   26  29
cart     production c0   35  38
cart     production c8  120 125`

// repositories are the shop's, in place and as it is served.
func (s shop) repositories(t *testing.T) map[string]history.Repository {
	t.Helper()
	store, err := gitsource.NewStore(t.TempDir(), gitsource.AllowLocalRepositories())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]history.Repository{}
	for name, url := range map[string]string{"local": s.Dir, "remote": s.URL} {
		r, err := store.Repository(gitsource.Remote{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		all[name] = history.Repository{Repository: r}
	}
	return all
}

// name is what the tests call a commit.
func (s shop) name(sha string) string {
	for name, known := range s.names {
		if known == sha {
			return name
		}
	}
	return sha
}

// describe writes an outcome as "commit kind commit=minutes … !cause +minutes rework".
func (s shop) describe(o dora.Outcome) string {
	words := []string{s.name(o.Commit), string(o.Kind)}
	for _, d := range o.Delivered {
		words = append(words, fmt.Sprintf("%s=%g", s.name(d.SHA), d.LeadTime.Minutes()))
	}
	for _, c := range o.Causes {
		words = append(words, "!"+string(c))
	}
	if !o.RecoveredAt.IsZero() {
		words = append(words, fmt.Sprintf("+%g", o.RecoveredAt.Sub(o.FinishedAt).Minutes()))
	}
	if o.Rework {
		words = append(words, "rework")
	}
	return strings.Join(words, " ")
}

func (s shop) evaluate(t *testing.T, h dora.History, o dora.Options) []dora.Service {
	t.Helper()
	services, err := dora.Evaluate(t.Context(), h, s.log(t, deployed), o)
	if err != nil {
		t.Fatal(err)
	}
	return services
}

// numbers are the metrics of a service, times in minutes.
func numbers(m dora.Metrics) string {
	minutes := func(seconds *float64) string { return fmt.Sprintf("%g", *seconds/60) }
	text := fmt.Sprintf("%d deployments, %d failed, %d commits: %s, p90 %s", m.Deployments, m.FailedDeployments, m.LeadTime.Count,
		minutes(m.LeadTime.P50Seconds), minutes(m.LeadTime.P90Seconds))
	if m.Recovery.Count > 0 {
		text += fmt.Sprintf("; %d recovered: %s", m.Recovery.Count, minutes(m.Recovery.P50Seconds))
	}
	return text + fmt.Sprintf("; %g a day, %.4f fail, %.4f rework", m.DeploymentsPerDay, *m.ChangeFailRate, *m.ReworkRate)
}

func TestTheNumbersOfARepositoryAreThoseWorkedOutByHand(t *testing.T) {
	s := newShop(t)
	// From the author's minute to the last one of the deployment, for example f2=58 as
	// 60 − 2. m5 is a merge; k4 and c8 of cart are the other app's. s6 failed, so that it is
	// delivered with r7. r7 reverts f3, which m5 delivered, 40 minutes later. The first
	// rollout of c8 was interrupted; the second one was rolled back after 15.
	want := []string{
		"c0 baseline",
		"m5 forward f3=57 f2=58 c1=59 !revert +40",
		"s6 failed !verdict +5",
		"m5 rollback rework",
		"r7 forward r7=93 s6=94 rework",
		"r7 redeployment",
		"c8 failed !rollout +8",
		"c8 forward c8=122 !rollback +15 rework",
		"r7 rollback rework",
		"x9 forward x9=151",
		"b10 forward b10=178",
		"gone unknown",
	}
	// 12 records without the one that is there twice, of which one is a redeployment.
	// Failed are m5, s6 and c8 twice; mended after 40, 5, 8 and 15 minutes: in the
	// middle 11.5. Rework are m5 and c8 after a failure, r7 with its revert, and r7 as a
	// rollback. Lead times: 57 58 59 93 94 122 151 178; in the middle 93.5, and p90 is 0.3
	// of the way from the seventh to the eighth.
	const production = "11 deployments, 4 failed, 8 commits: 93.5, p90 159.1; 4 recovered: 11.5; 11 a day, 0.3636 fail, 0.3636 rework"
	const staging = "2 deployments, 0 failed, 2 commits: 26.5, p90 26.9; 2 a day, 0.0000 fail, 0.0000 rework"
	const cart = "2 deployments, 0 failed, 2 commits: 119, p90 120.6; 2 a day, 0.0000 fail, 0.0000 rework"
	for name, r := range s.repositories(t) {
		t.Run(name, func(t *testing.T) {
			checkout := s.evaluate(t, r, dora.Options{Paths: []string{"apps/checkout"}})
			var got []string
			for _, o := range checkout[1].Outcomes {
				got = append(got, s.describe(o))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-by hand +got):\n%s", diff)
			}
			carts := s.evaluate(t, r, dora.Options{Paths: []string{"apps/cart"}})
			for i, want := range map[int]string{1: production, 2: staging} {
				if diff := cmp.Diff(want, numbers(checkout[i].Metrics(dora.Window{}))); diff != "" {
					t.Errorf("checkout in %s (-by hand +got):\n%s", checkout[i].Environment, diff)
				}
			}
			if diff := cmp.Diff(cart, numbers(carts[0].Metrics(dora.Window{}))); diff != "" {
				t.Errorf("cart (-by hand +got):\n%s", diff)
			}
		})
	}
	for from, want := range map[dora.LeadTimeFrom][]string{
		// The branch began with f2; b10 was alone.
		dora.FromFirstCommit: {"m5 forward f3=58 f2=58 c1=59 !revert +40", "b10 forward b10=178"},
		// It was merged in minute 5; b10 came to main in minute 10.
		dora.FromMerge: {"m5 forward f3=55 f2=55 c1=59 !revert +40", "b10 forward b10=170"},
	} {
		services := s.evaluate(t, s.repositories(t)["local"], dora.Options{Paths: []string{"apps/checkout"}, LeadTimeFrom: from})
		got := []string{s.describe(services[1].Outcomes[1]), s.describe(services[1].Outcomes[10])}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("from %s (-by hand +got):\n%s", from, diff)
		}
	}
}

func TestACommitThatARewriteRemovedIsSaidAndTheRestGoesOn(t *testing.T) {
	s := newShop(t)
	s.Prune()
	want := []string{
		"c8 failed !rollout +8",
		"c8 unknown !rollback +15 rework",
		"r7 rollback rework",
		"x9 forward x9=151",
	}
	for name, r := range s.repositories(t) {
		services := s.evaluate(t, r, dora.Options{Paths: []string{"apps/checkout"}})
		var got []string
		for _, o := range services[1].Outcomes[6:10] {
			got = append(got, s.describe(o))
			if rewritten := s.name(o.Commit) == "c8"; rewritten != errors.Is(o.Problem, dora.ErrUnknownCommit) {
				t.Errorf("%s: the problem of %s is %v", name, s.name(o.Commit), o.Problem)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-by hand +got):\n%s", name, diff)
		}
		for _, sha := range []string{"", "main", s.names["c1"][:12], s.names["gone"]} {
			if _, err := r.Commit(t.Context(), sha); !errors.Is(err, dora.ErrUnknownCommit) {
				t.Errorf("%s: commit %q is %v", name, sha, err)
			}
		}
	}
}

func TestTheHistoryOfDeploymentsIsRebuiltFromNotes(t *testing.T) {
	s := newShop(t)
	log := s.log(t, deployed)
	lines := map[string][]string{s.names["c1"]: {`{"time":"2026-03-01T12:00:00.000Z","context":"keptn/production/validate","state":"success"}`, "by hand"}}
	for _, d := range log {
		lines[d.Commit] = append(lines[d.Commit], d.Line())
	}
	delete(lines, s.names["gone"])
	for name, r := range s.repositories(t) {
		if err := r.AppendNotes(t.Context(), "refs/notes/keptn", lines); err != nil {
			t.Fatal(err)
		}
		noted, err := r.Deployments(t.Context(), "refs/notes/keptn")
		if err != nil {
			t.Fatal(err)
		}
		rebuilt, err := dora.Evaluate(t.Context(), r, noted, dora.Options{})
		if err != nil {
			t.Fatal(err)
		}
		kept := s.evaluate(t, r, dora.Options{})
		for i := range kept {
			var want, got []string
			for _, o := range kept[i].Outcomes {
				if s.name(o.Commit) != "gone" {
					want = append(want, s.describe(o))
				}
			}
			for _, o := range rebuilt[i].Outcomes {
				got = append(got, s.describe(o))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s in %s (-kept +rebuilt):\n%s", name, kept[i].App, kept[i].Environment, diff)
			}
		}
		if none, err := r.Deployments(t.Context(), "refs/notes/other"); err != nil || len(none) != 0 {
			t.Errorf("%s: a ref without notes has %d deployments, %v", name, len(none), err)
		}
	}
}

package dora_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/dora"
)

// noon is when the histories of these tests begin.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at is a number of minutes after noon.
func at(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }

// repository is a history in memory. The app is what commits change that are not
// in others.
type repository struct {
	commits map[string]dora.Commit
	others  map[string]bool
	asked   int
	fails   error
}

func (r *repository) Commit(_ context.Context, sha string) (dora.Commit, error) {
	r.asked++
	if r.fails != nil {
		return dora.Commit{}, r.fails
	}
	c, ok := r.commits[sha]
	if !ok {
		return c, fmt.Errorf("%w %s", dora.ErrUnknownCommit, sha)
	}
	return c, nil
}

func (r *repository) Changes(_ context.Context, sha string, _ []string) (bool, error) {
	return !r.others[sha], nil
}

// history reads a history, a commit to each word: "c@7:b,x" is c of the seventh minute with
// the parents b and x, "c@7/9:b" was committed in the ninth, "c!b@7:b" reverts b, and
// "(c)" is about another app.
func history(t *testing.T, text string) *repository {
	t.Helper()
	r := &repository{commits: map[string]dora.Commit{}, others: map[string]bool{}}
	for _, word := range strings.Fields(text) {
		plain := strings.Trim(word, "()")
		subject, parents, _ := strings.Cut(plain, ":")
		subject, times, _ := strings.Cut(subject, "@")
		sha, reverted, reverts := strings.Cut(subject, "!")
		var authored, committed int
		if n, err := fmt.Sscanf(times, "%d/%d", &authored, &committed); n == 0 {
			t.Fatalf("%s: %v", word, err)
		} else if n == 1 {
			committed = authored
		}
		c := dora.Commit{SHA: full(sha), AuthoredAt: at(authored), CommittedAt: at(committed), Message: "Change it"}
		for _, p := range strings.Split(parents, ",") {
			if p != "" {
				c.Parents = append(c.Parents, full(p))
			}
		}
		if reverts {
			c.Message = "Revert \"Change it\"\n\nThis reverts commit " + full(reverted) + ".\n"
		}
		r.commits[c.SHA], r.others[c.SHA] = c, plain != word
	}
	return r
}

// full makes an object name of a letter, and short a letter of that.
func full(name string) string { return fmt.Sprintf("%040x", name) }

func short(sha string) string {
	for name := range strings.SplitSeq("abcdefghijklmnopqrstuvwxyz", "") {
		if full(name) == sha {
			return name
		}
	}
	return sha
}

// deployments reads a log, a deployment to each word: "b@10" is a success of b that ended in
// the tenth minute and began in the one before, "-b@10" a failure.
func deployments(t *testing.T, text string) []dora.Deployment {
	t.Helper()
	var all []dora.Deployment
	for _, word := range strings.Fields(text) {
		d := dora.Deployment{App: "shop", Environment: "production", Result: dora.Success}
		plain, failed := strings.CutPrefix(word, "-")
		if failed {
			d.Result = dora.Failure
		}
		commit, minute, _ := strings.Cut(plain, "@")
		var finished int
		if _, err := fmt.Sscan(minute, &finished); err != nil {
			t.Fatalf("%s: %v", word, err)
		}
		d.Commit, d.StartedAt, d.FinishedAt = full(commit), at(finished-1), at(finished)
		all = append(all, d)
	}
	return all
}

func evaluate(t *testing.T, r *repository, log []dora.Deployment, o dora.Options) []dora.Service {
	t.Helper()
	services, err := dora.Evaluate(t.Context(), r, log, o)
	if err != nil {
		t.Fatal(err)
	}
	return services
}

// describe writes an outcome as "kind commit=minutes … !cause +minutes rework".
func describe(o dora.Outcome) string {
	words := []string{string(o.Kind)}
	for _, d := range o.Delivered {
		lead := fmt.Sprint(d.LeadTime.Minutes())
		if d.Err != nil {
			lead = "invalid"
		}
		words = append(words, short(d.SHA)+"="+lead)
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

// line is a history without branches, a commit each minute.
const line = "a@0 b@1:a c@2:b d@3:c e@4:d"

func TestDeploymentsDeliverWhatIsNewWithThem(t *testing.T) {
	cases := map[string]struct {
		reason       string
		history, log string
		want         []string
	}{
		"Forward": {
			"The first success is the baseline; each later one delivers what it can reach and the one before cannot.",
			line, "b@10 d@20 e@30",
			[]string{"baseline", "forward d=17 c=18", "forward e=26"},
		},
		"OutOfOrder": {
			"Deployments are what they are in the order in which they finished, not in that of the file.",
			line, "e@30 b@10 d@20",
			[]string{"baseline", "forward d=17 c=18", "forward e=26"},
		},
		"Failure": {
			"A failed deployment delivers nothing: its commits wait for the next success, which recovers it.",
			line, "a@10 -b@20 c@30",
			[]string{"baseline", "failed !result +10", "forward c=28 b=29 rework"},
		},
		"Retry": {
			"The same commit once more, after it failed, is a deployment, and delivers.",
			line, "a@10 -b@20 b@25",
			[]string{"baseline", "failed !result +5", "forward b=24 rework"},
		},
		"Failures": {
			"Each failure recovers with the next success.",
			line, "a@10 -b@20 -c@25 d@30",
			[]string{"baseline", "failed !result +10", "failed !result +5", "forward d=27 c=28 b=29 rework"},
		},
		"FailureFirst": {
			"What fails before anything succeeded is no baseline.",
			line, "-a@5 b@10 c@20",
			[]string{"failed !result +5", "baseline rework", "forward c=18"},
		},
		"NeverMended": {
			"Without a success there is no recovery.",
			line, "a@10 -b@20",
			[]string{"baseline", "failed !result"},
		},
		"Redeployment": {
			"The commit that runs already, once more, is no deployment, whatever its result.",
			line, "a@10 b@20 b@30 -b@40 c@50",
			[]string{"baseline", "forward b=19", "redeployment", "redeployment", "forward c=48"},
		},
		"RedeployedBaseline": {
			"That holds for the baseline too.",
			line, "b@10 b@20",
			[]string{"baseline", "redeployment"},
		},
		"Rollback": {
			"An older commit delivers nothing, and says that what it replaces failed. What it takes out is not delivered twice.",
			line, "a@10 b@20 a@30 c@40",
			[]string{"baseline", "forward b=19 !rollback +10", "rollback rework", "forward c=38"},
		},
		"RollbackAfterFailure": {
			"A rollback to what ran before a failure mends the failure, and blames nothing else.",
			line, "a@10 b@20 -c@30 b@35 c@40",
			[]string{"baseline", "forward b=19", "failed !result +5", "rollback rework", "forward c=38"},
		},
		"RollbackBelowTheBaseline": {
			"What the baseline had is never delivered, not even after an older commit ran.",
			line, "c@10 a@20 d@30",
			[]string{"baseline !rollback +10", "rollback rework", "forward d=27"},
		},
		"Merge": {
			"A merge brings its branch, and is no change itself.",
			"a@0 x@1:a y@2:x b@3:a m@4:b,y", "a@10 m@20",
			[]string{"baseline", "forward b=17 y=18 x=19"},
		},
		"BranchDeployedFirst": {
			"What was deployed from a branch is not delivered again by its merge.",
			"a@0 x@1:a b@3:a m@4:b,x", "a@10 x@20 m@30",
			[]string{"baseline", "forward x=19", "forward b=27"},
		},
		"ForcePush": {
			"After a rewrite, what is new counts. What both histories have was delivered.",
			"a@0 b@1:a c@2:b x@3:b y@4:x", "a@10 c@20 y@30",
			[]string{"baseline", "forward c=18 b=19", "forward y=26 x=27"},
		},
		"ForcePushAndBack": {
			"Back on the old history, its commits were delivered once.",
			"a@0 b@1:a c@2:b x@3:b d@4:c", "a@10 c@20 x@30 d@40",
			[]string{"baseline", "forward c=18 b=19", "forward x=27", "forward d=36"},
		},
		"Unknown": {
			"A commit that is gone is said; the next success delivers since the last one that is known.",
			line, "a@10 z@20 c@30 z@40 z@50",
			[]string{"baseline", "unknown", "forward c=28 b=29", "unknown", "redeployment"},
		},
		"UnknownFirst": {
			"A commit that is gone is no baseline.",
			line, "z@10 b@20 c@30",
			[]string{"unknown", "baseline", "forward c=28"},
		},
		"Negative": {
			"A commit of the future has no lead time, and is delivered all the same.",
			"a@0 b@50:a", "a@10 b@20",
			[]string{"baseline", "forward b=invalid"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			services := evaluate(t, history(t, tc.history), deployments(t, tc.log), dora.Options{})
			var got []string
			for _, o := range services[0].Outcomes {
				got = append(got, describe(o))
				if (o.Problem != nil) != (o.Commit == full("z")) || o.Problem != nil && !errors.Is(o.Problem, dora.ErrUnknownCommit) {
					t.Errorf("%s\nthe problem of %s is %v", tc.reason, short(o.Commit), o.Problem)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestARevertBlamesTheDeploymentOfWhatItTakesBack(t *testing.T) {
	cases := map[string]struct {
		reason       string
		history, log string
		want         []string
	}{
		"Revert": {
			"The deployment of the reverted commit failed, until the revert was deployed. What was in between did not mend it.",
			"a@0 b@1:a c@2:b r!b@3:c", "a@10 b@20 c@30 r@40",
			[]string{"baseline", "forward b=19 !revert +20", "forward c=28", "forward r=37 rework"},
		},
		"NeverDeployed": {
			"What was reverted before it was deployed hurt nobody.",
			"a@0 b@1:a r!b@2:b", "a@10 r@20",
			[]string{"baseline", "forward r=18 b=19"},
		},
		"OfTheBaseline": {
			"Which deployment delivered what the baseline had is not known.",
			"a@0 b@1:a r!a@2:b", "b@10 r@20",
			[]string{"baseline", "forward r=18"},
		},
		"OfAMerge": {
			"A merge that is reverted was delivered by somebody too.",
			"a@0 x@1:a m@2:a,x r!m@3:m", "a@10 m@20 r@30",
			[]string{"baseline", "forward x=19 !revert +10", "forward r=27 rework"},
		},
		"OfARevert": {
			"Who reverts a revert applies a change again: that mends nothing, and the revert was right.",
			"a@0 b@1:a r!b@2:b s!r@3:r", "a@10 b@20 r@30 s@40",
			[]string{"baseline", "forward b=19 !revert +10", "forward r=28 rework", "forward s=37"},
		},
		"OfAnotherApp": {
			"A revert of what another app is made of is none of this one.",
			"a@0 (b@1:a) (r!b@3:b) c@4:r", "a@10 b@20 c@30",
			[]string{"baseline", "forward", "forward c=26"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			services := evaluate(t, history(t, tc.history), deployments(t, tc.log), dora.Options{Paths: []string{"app"}})
			var got []string
			for _, o := range services[0].Outcomes {
				got = append(got, describe(o))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAnIncidentIsBlamedOnWhatWasDeployedBefore(t *testing.T) {
	incident := func(began, resolved int, commit string) dora.Incident {
		i := dora.Incident{App: "shop", Environment: "production", ID: fmt.Sprint(began), At: at(began), Commit: commit}
		if resolved > 0 {
			i.ResolvedAt = at(resolved)
		}
		return i
	}
	cases := map[string]struct {
		reason    string
		log       string
		incidents []dora.Incident
		want      []string
	}{
		"Newest": {
			"The newest deployment before it is blamed until it is over; what was deployed meanwhile is rework.",
			"a@10 b@20 c@30", []dora.Incident{incident(25, 32, "")},
			[]string{"baseline", "forward b=19 !incident +12", "forward c=28 rework"},
		},
		"OverBefore": {
			"What is deployed after it was over mends nothing.",
			"a@10 b@20 c@30", []dora.Incident{incident(25, 28, "")},
			[]string{"baseline", "forward b=19 !incident +8", "forward c=28"},
		},
		"NotResolved": {
			"Without its end, the next success is taken for it.",
			"a@10 b@20 c@30 d@40", []dora.Incident{incident(25, 0, "")},
			[]string{"baseline", "forward b=19 !incident +10", "forward c=28 rework", "forward d=37"},
		},
		"LongAfter": {
			"Long after a deployment it has other reasons.",
			"a@10 b@20", []dora.Incident{incident(51, 60, "")},
			[]string{"baseline", "forward b=19"},
		},
		"Before": {
			"Before any deployment there is nobody to blame.",
			"a@10 b@20", []dora.Incident{incident(5, 6, "")},
			[]string{"baseline", "forward b=19"},
		},
		"OfACommit": {
			"The commit that an incident names tells better than the time.",
			"a@10 c@20 d@30", []dora.Incident{incident(100, 110, full("b"))},
			[]string{"baseline", "forward c=18 b=19 !incident +90", "forward d=27"},
		},
		"OfADeployedCommit": {
			"It may be the one that was deployed, last of all times.",
			"a@10 b@20 a@30 b@40", []dora.Incident{incident(45, 46, full("b"))},
			[]string{"baseline", "forward b=19 !rollback +10", "rollback rework", "forward !incident +6"},
		},
		"OfAnUnknownCommit": {
			"If it names one that was not deployed, nobody else is blamed.",
			"a@10 b@20", []dora.Incident{incident(25, 26, full("z"))},
			[]string{"baseline", "forward b=19"},
		},
		"OfAFailure": {
			"A deployment that failed anyhow is recovered when its incident is over, if that is before the next success.",
			"a@10 -b@20 c@40", []dora.Incident{incident(21, 30, "")},
			[]string{"baseline", "failed !result +10", "forward c=38 b=39 rework"},
		},
		"OutlastsAFailure": {
			"But not later than with the next success.",
			"a@10 -b@20 c@25", []dora.Incident{incident(21, 30, "")},
			[]string{"baseline", "failed !result +5", "forward c=23 b=24 rework"},
		},
		"Twice": {
			"The same incident, told again, is one; the end counts.",
			"a@10 b@20 c@30", []dora.Incident{incident(25, 32, ""), incident(25, 0, "")},
			[]string{"baseline", "forward b=19 !incident +12", "forward c=28 rework"},
		},
		"Restart": {
			"A redeployment is not blamed, and does not count, but may be what mended it.",
			"a@10 b@20 b@24 b@30", []dora.Incident{incident(25, 0, "")},
			[]string{"baseline", "forward b=19 !incident +4", "redeployment", "redeployment"},
		},
		"OfAnotherEnvironment": {
			"Another environment's incident is not this one's.",
			"a@10 b@20", []dora.Incident{{App: "shop", Environment: "staging", ID: "1", At: at(25)}},
			[]string{"baseline", "forward b=19"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := dora.Options{Incidents: tc.incidents, IncidentWindow: 30 * time.Minute}
			services := evaluate(t, history(t, line), deployments(t, tc.log), o)
			var got []string
			for _, o := range services[0].Outcomes {
				got = append(got, describe(o))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAnIncidentMayAbbreviateItsCommit(t *testing.T) {
	name := func(letter string) string { return strings.Repeat(letter, 20) } // 40 digits in full
	a, b, c, d := name("a"), name("b"), name("c"), "bbbb"+strings.Repeat("d", 16)
	h := history(t, fmt.Sprintf("%s@0 %s@1:%s %s@2:%s %s@3:%s", a, b, a, d, b, c, d))
	cases := map[string]struct {
		reason  string
		log     []string
		commit  string
		want    int
		strayed bool
	}{
		"Deployed":          {"Seven digits name the one that was deployed.", []string{a, d, c}, full(d)[:7], 1, false},
		"DeployedFirst":     {"That comes before one that was only delivered, b.", []string{a, d, c}, "62626262", 1, false},
		"Delivered":         {"One that was not deployed is blamed on what delivered it.", []string{a, c}, full(d)[:12], 1, false},
		"SeveralDelivered":  {"Which of two is meant is not known.", []string{a, c}, full(b)[:7], -1, true},
		"SeveralDeployed":   {"Nor of two that were deployed.", []string{a, b, d}, full(b)[:7], -1, true},
		"DeployedTwice":     {"One that was deployed twice is one: the last time counts.", []string{a, b, a, b}, full(b)[:7], 3, false},
		"Nobody":            {"A commit that nothing deployed is told.", []string{a, c}, "0123456", -1, true},
		"Full":              {"A full name is its own.", []string{a, b, d}, full(b), 1, false},
		"BeforeItsDelivery": {"What delivered it came after the incident: nobody is blamed, and nothing is wrong.", []string{a, a, a, a, a, c}, full(c)[:7], -1, false},
	}
	for test, tc := range cases {
		t.Run(test, func(t *testing.T) {
			var log strings.Builder
			for i, commit := range tc.log {
				fmt.Fprintf(&log, "%s@%d ", commit, 10*(i+1))
			}
			i := dora.Incident{App: "shop", Environment: "production", ID: "1", At: at(50), Commit: tc.commit}
			s := evaluate(t, h, deployments(t, log.String()), dora.Options{Incidents: []dora.Incident{i}})[0]
			blamed := -1
			for n := range s.Outcomes {
				if len(s.Outcomes[n].Incidents) > 0 {
					blamed = n
				}
			}
			if blamed != tc.want || (len(s.Strays) > 0) != tc.strayed {
				t.Errorf("%s\nblamed is %d, want %d; strays are %v", tc.reason, blamed, tc.want, s.Strays)
			}
		})
	}
}

func TestLeadTimesBeginWhereTheyAreTold(t *testing.T) {
	// On main: a, b, the merge m of x and y, and c, which was rebased, in their order.
	const merged = "a@0 x@1:a y@2:x b@3:a m@5:b,y c@4/8:m"
	for from, want := range map[dora.LeadTimeFrom]string{
		"":                   "forward c=16 y=18 b=17 x=19",
		dora.FromCommit:      "forward c=16 y=18 b=17 x=19",
		dora.FromFirstCommit: "forward c=16 y=19 b=17 x=19",
		dora.FromMerge:       "forward c=12 y=15 b=17 x=15",
	} {
		services := evaluate(t, history(t, merged), deployments(t, "a@10 c@20"), dora.Options{LeadTimeFrom: from})
		got := strings.Fields(describe(services[0].Outcomes[1]))
		wanted := strings.Fields(want)
		slices.Sort(got)
		slices.Sort(wanted)
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("from %q (-want +got):\n%s", from, diff)
		}
	}
	if _, err := dora.Evaluate(t.Context(), history(t, merged), nil, dora.Options{LeadTimeFrom: "push"}); err == nil {
		t.Error("a begin that does not exist is accepted")
	}
}

func TestAHistoryThatCannotBeReadEndsTheEvaluation(t *testing.T) {
	boom := errors.New("boom")
	broken := history(t, line)
	broken.fails = boom
	if _, err := dora.Evaluate(t.Context(), broken, deployments(t, "a@10"), dora.Options{}); !errors.Is(err, boom) {
		t.Errorf("the error is %v", err)
	}
	// A parent that is gone is no unknown deployment: what was delivered would be wrong.
	torn := history(t, "b@1:a c@2:b")
	if _, err := dora.Evaluate(t.Context(), torn, deployments(t, "c@10"), dora.Options{}); err == nil || !strings.Contains(err.Error(), "incomplete") {
		t.Errorf("the error of a torn history is %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(boom)
	if _, err := dora.Evaluate(ctx, history(t, line), deployments(t, "a@10"), dora.Options{}); !errors.Is(err, boom) {
		t.Errorf("the error after the end of the context is %v", err)
	}
}

func TestServicesAreByAppAndEnvironment(t *testing.T) {
	log := deployments(t, "a@10 b@20")
	for i, d := range deployments(t, "b@15 c@25 d@35") {
		d.Environment, d.App = "staging", []string{"shop", "shop", "cart"}[i]
		log = append(log, d)
	}
	var got []string
	for _, s := range evaluate(t, history(t, line), log, dora.Options{}) {
		for _, o := range s.Outcomes {
			got = append(got, s.App+" "+s.Environment+" "+describe(o))
		}
	}
	want := []string{"cart staging baseline", "shop production baseline", "shop production forward b=19", "shop staging baseline", "shop staging forward c=23"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if none := evaluate(t, history(t, line), nil, dora.Options{}); len(none) != 0 {
		t.Errorf("without deployments there are %d services", len(none))
	}
}

func TestARecordIsOneHoweverOftenItIsKept(t *testing.T) {
	base, second := deployments(t, "a@10")[0], deployments(t, "b@20")[0]
	failed := second
	failed.Result, failed.FailedBy = dora.Failure, dora.CauseVerdict
	later := second
	later.FinishedAt = at(30)
	abroad := second
	abroad.StartedAt = second.StartedAt.In(time.FixedZone("", 3600))
	cases := map[string]struct {
		reason string
		log    []dora.Deployment
		want   string
	}{
		"Same":     {"A record that is kept twice is one.", []dora.Deployment{base, second, second, base}, "forward b=19"},
		"TimeZone": {"A time zone makes no other record of it.", []dora.Deployment{base, second, abroad}, "forward b=19"},
		"Later":    {"What finished later knows more.", []dora.Deployment{base, later, second}, "forward b=29"},
		"Failed":   {"Of two that say otherwise the failure counts.", []dora.Deployment{base, second, failed}, "failed !verdict"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				outcomes := evaluate(t, history(t, line), tc.log, dora.Options{})[0].Outcomes
				if got := describe(outcomes[1]); got != tc.want || len(outcomes) != 2 {
					t.Errorf("%s\ngot %d outcomes, the second %q; want 2, %q", tc.reason, len(outcomes), got, tc.want)
				}
				slices.Reverse(tc.log)
			}
		})
	}
}

func TestEachCommitIsAskedForOnce(t *testing.T) {
	r := history(t, line)
	evaluate(t, r, deployments(t, "a@10 b@20 a@30 d@40 e@50 c@60 e@70"), dora.Options{})
	if r.asked != 5 {
		t.Errorf("the history was asked %d times for its 5 commits", r.asked)
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/dora"
	"github.com/keptn/gitops/gitsource/gittest"
)

// A delivered is a repository with commits a minute apart, and a log of its deployments.
type delivered struct {
	*gittest.Repo
	shas []string
	log  string
}

// newDelivered makes a repository of five commits, the fourth of another app, and deploys
// the first, the third, which fails, the fourth and the fifth, half an hour apart, then a
// commit that is gone.
func newDelivered(t *testing.T) *delivered {
	t.Helper()
	d := &delivered{Repo: gittest.New(t).Create(t, "shop")}
	for i := range 5 {
		file := "apps/checkout/app.yaml"
		if i == 3 {
			file = "apps/cart/app.yaml"
		}
		d.shas = append(d.shas, d.Commit("main", fmt.Sprint("Change ", i), map[string]string{file: fmt.Sprint(i)}))
	}
	d.shas = append(d.shas, strings.Repeat("0", 40))
	for i, commit := range []int{0, 2, 3, 4, 5} {
		end := gittest.Epoch.Add(time.Duration(30+i*30) * time.Minute)
		record := dora.Deployment{
			App: "checkout", Environment: "production", Commit: d.shas[commit], Result: dora.Success, StartedAt: end.Add(-time.Minute), FinishedAt: end,
		}
		if i == 1 {
			record.Result = dora.Failure
		}
		d.log += record.Line() + "\n"
	}
	return d
}

// dora runs the command on the repository and the log.
func (d *delivered) dora(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	file := filepath.Join(folder(t, map[string]string{"log": d.log}), "log")
	return keptn(t, append([]string{"dora", "--source", d.Dir, "--deployments", file}, args...)...)
}

func TestDoraPrintsTheContractsJSON(t *testing.T) {
	d := newDelivered(t)
	out, stderr, code := d.dora(t, "-o", "json", "--path", "apps/checkout")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var rows []map[string]any
	if err := json.Unmarshal([]byte(out), &rows); err != nil || len(rows) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	commit := func(i, by int, minutes float64) any {
		return map[string]any{"sha": d.shas[i], "deployedBy": d.shas[by], "leadTimeSeconds": minutes * 60}
	}
	// The failure delivers nothing, so that what it had comes with the next success 90
	// minutes after the first commit; that one also ends it, after half an hour.
	for field, want := range map[string]any{
		"app": "checkout", "environment": "production", "deployments": 5.0, "failedDeployments": 1.0, "deploymentsPerDay": 5.0,
		"leadTime":       map[string]any{"count": 3.0, "p50Seconds": 89 * 60.0, "p90Seconds": (89 + 0.8*27) * 60, "invalid": 0.0},
		"changeFailRate": 0.2, "recovery": map[string]any{"count": 1.0, "p50Seconds": 1800.0}, "reworkRate": 0.2,
		"commits": []any{commit(2, 3, 88), commit(1, 3, 89), commit(4, 4, 116)},
	} {
		if diff := cmp.Diff(want, rows[0][field]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", field, diff)
		}
	}
	records, _ := rows[0]["records"].([]any)
	if len(records) != 5 {
		t.Fatalf("there are %d records", len(records))
	}
	last, _ := records[4].(map[string]any)
	if problem, _ := last["problem"].(string); last["kind"] != "unknown" || !strings.Contains(problem, d.shas[5]) {
		t.Errorf("what is wrong with a commit that is gone is not said: %v", last)
	}
}

func TestDoraPrintsWhatIsBehindTheNumbers(t *testing.T) {
	d := newDelivered(t)
	out, stderr, code := d.dora(t, "--bands", "2024", "--window", "2d", "--until", "2024-01-02T12:00:00Z")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	want := []string{
		"checkout in production",
		"change lead time 1h 28m, p90 1h 47m 4 commits elite",
		"deployment frequency 2.50 a day 5 deployments elite",
		"failed deployment recovery time 30m 1 recovery elite",
		"change fail rate 20.0% 1 of 5 high",
		"deployment rework rate 20.0% 1 of 5",
		"deployments by day, until 2024-01-02 12:00: 0 5",
		"2024-01-01 12:30 " + d.shas[0][:7] + " baseline",
		"2024-01-01 13:00 " + d.shas[2][:7] + " failed, mended after 30m",
		"2024-01-01 13:30 " + d.shas[3][:7] + " forward, rework",
		d.shas[3][:7] + " 1h 27m",
		d.shas[2][:7] + " 1h 28m",
		d.shas[1][:7] + " 1h 29m",
		"2024-01-01 14:00 " + d.shas[4][:7] + " forward",
		d.shas[4][:7] + " 1h 56m",
		"2024-01-01 14:30 0000000 unknown",
		"unknown commit " + d.shas[5] + ": the repository does not have it: its history was rewritten, or the clone is shallow",
	}
	var got []string
	for line := range strings.Lines(out) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDoraReadsWhatItIsTold(t *testing.T) {
	d := newDelivered(t)
	d.GitInput(d.log, "-c", "user.name=Tess", "-c", "user.email=tess@example.com", "notes", "--ref=keptn", "add", "-F", "-", d.shas[0])
	files := folder(t, map[string]string{
		"log": d.log, "none": "", "bad": "{}\n" + d.log + "x\n",
		"incidents": `{"app":"checkout","environment":"production","id":"slow","at":"2024-01-01T14:05:00Z"}`,
	})
	file := func(name string) string { return filepath.Join(files, name) }
	log := "--deployments=" + file("log")
	cases := map[string]struct {
		reason string
		args   []string
		code   int
		want   []string
	}{
		"Notes":      {"The notes of a repository hold the same log.", []string{"--source", d.URL, "--notes"}, 0, []string{"1 of 5", "4 commits", "unknown"}},
		"Incidents":  {"An incident is blamed on what was deployed before.", []string{log, "--source", d.Dir, "--incidents", file("incidents")}, 0, []string{"forward, failed (incident slow), mended after 30m"}},
		"Window":     {"What finished before the window does not count; its commits are still delivered.", []string{log, "--source", d.Dir, "--window=1h", "--until=2024-01-01T14:01:00Z"}, 0, []string{"0 of 2", "4 commits"}},
		"LongAgo":    {"A window ends now, unless told otherwise.", []string{log, "--source", d.Dir, "--window=90d"}, 0, []string{"0 of 0", "0 commits"}},
		"App":        {"Others' deployments can be left out, of an app that there is.", []string{log, "--source", d.Dir, "--app=cart"}, 2, []string{`--app "cart": the log has no deployment of it; it has checkout`}},
		"Env":        {"And those to other environments.", []string{log, "--source", d.Dir, "--environment=staging"}, 2, []string{`--environment "staging": the log has no deployment of it; it has production`}},
		"Merge":      {"Lead times begin where they are told.", []string{log, "--source", d.Dir, "--lead-time-from=merge"}, 0, []string{"1h 28m"}},
		"EmptyText":  {"Nor have they an app.", []string{"--deployments", file("none"), "--source", d.Dir, "--app=cart"}, 0, []string{"no deployments found"}},
		"Empty":      {"No deployments are no error.", []string{"--deployments", file("none"), "--source", d.Dir, "-o=json"}, 0, []string{"[]\n"}},
		"Bad":        {"All mistakes in a log are named by their place.", []string{"--deployments", file("bad"), "--source", d.Dir}, 2, []string{"bad:1: it has no app, ", "bad:7: not a JSON object"}},
		"Missing":    {"A file that is not there is named.", []string{"--deployments", file("other"), "--source", d.Dir}, 2, []string{"other: no such file"}},
		"NoLog":      {"Either a log or notes have to be named.", []string{"--source", d.Dir}, 2, []string{"[deployments notes]"}},
		"BothLogs":   {"And not both.", []string{log, "--notes"}, 2, []string{"[deployments notes]"}},
		"NoFolder":   {"A source that is not there is named.", []string{log, "--source", file("gone")}, 2, []string{"--source: ", "gone"}},
		"NoRepo":     {"A folder in no repository has no history.", []string{log, "--source", files}, 2, []string{"keptn: --source " + files + ": is no Git repository, and in none"}},
		"WindowBad":  {"A window is a time.", []string{log, "--source", d.Dir, "--window=month"}, 2, []string{`--window "month": has to be weeks, days or hours, as 4w, 30d or 12h`}},
		"WindowNone": {"And not nothing, or more than can be counted.", []string{log, "--source", d.Dir, "--window=99999999999d"}, 2, []string{`--window "99999999999d"`}},
		"Weeks":      {"Weeks are told as days are.", []string{log, "--source", d.Dir, "--window=4w", "--until=2024-01-02T12:00:00Z"}, 0, []string{"5 deployments", "by day, until"}},
		"IncWindow":  {"An incident's time is told as a window is.", []string{log, "--source", d.Dir, "--incidents", file("incidents"), "--incident-window=1d"}, 0, []string{"incident slow"}},
		"IncShort":   {"After it nobody is blamed.", []string{log, "--source", d.Dir, "--incidents", file("incidents"), "--incident-window=1m"}, 0, []string{"1 of 5"}},
		"IncBad":     {"And is some time.", []string{log, "--source", d.Dir, "--incident-window=0h"}, 2, []string{`--incident-window "0h": has to be weeks, days or hours`}},
		"UntilBad":   {"The end of a window is a time.", []string{log, "--source", d.Dir, "--until=today"}, 2, []string{`--until "today"`}},
		"Bands":      {"Not every year has bands.", []string{log, "--source", d.Dir, "--bands=2022"}, 2, []string{`--bands: report "2022": has to be 2021, 2023, 2024 or none`}},
		"From":       {"Lead times do not begin anywhere.", []string{log, "--source", d.Dir, "--lead-time-from=push"}, 2, []string{"has to be commit, firstCommit or merge"}},
		"Path":       {"A path is within the repository.", []string{log, "--source", d.Dir, "--path=../other"}, 2, []string{`--path "../other": has to be a path within the repository`}},
		"Stdin":      {"Standard input is read once.", []string{"--deployments=-", "--incidents=-", "--source", d.Dir}, 2, []string{"standard input is read for --deployments"}},
		"Output":     {"There are two formats.", []string{log, "-o=yaml"}, 2, []string{"has to be text or json"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out, stderr, code := keptn(t, append([]string{"dora"}, tc.args...)...)
			if code != tc.code {
				t.Errorf("%s\nexit code %d, want %d: %s", tc.reason, code, tc.code, stderr)
			}
			for _, want := range tc.want {
				if !strings.Contains(out+stderr, want) {
					t.Errorf("%s\nno %q in:\n%s%s", tc.reason, want, out, stderr)
				}
			}
		})
	}
}

func TestTheTrendOfDoraAddsUpToTheWindow(t *testing.T) {
	outcome := func(hours int) dora.Outcome {
		return dora.Outcome{Deployment: dora.Deployment{FinishedAt: gittest.Epoch.Add(time.Duration(hours) * time.Hour)}}
	}
	year := dora.Service{Outcomes: []dora.Outcome{outcome(0), outcome(24), outcome(365 * 24)}}
	end := gittest.Epoch.Add(400 * dora.Day)
	cases := map[string]struct {
		reason string
		s      dora.Service
		window dora.Window
		parts  int
		first  time.Duration
	}{
		"Month":   {"A month is told by days.", year, dora.Window{End: end, Length: 30 * dora.Day}, 30, dora.Day},
		"Half":    {"What is less than a day comes first.", year, dora.Window{End: end, Length: 36 * time.Hour}, 2, 12 * time.Hour},
		"Months":  {"Two months by weeks, of which the first is shorter.", year, dora.Window{End: end, Length: 60 * dora.Day}, 9, 4 * dora.Day},
		"Quarter": {"As of a quarter.", year, dora.Window{End: end, Length: 90 * dora.Day}, 13, 6 * dora.Day},
		"Year":    {"A year is told by weeks.", year, dora.Window{End: end, Length: 365 * dora.Day}, 53, dora.Day},
		"Years":   {"More than that by months.", year, dora.Window{End: end, Length: 730 * dora.Day}, 25, 10 * dora.Day},
		"Hours":   {"Less than a day is one part, and no longer than the window.", year, dora.Window{End: end, Length: time.Hour}, 1, time.Hour},
		"All":     {"Without a window all is in it.", year, dora.Window{}, 53, dora.Week},
		"Until":   {"From the first deployment to the end that is told.", year, dora.Window{End: gittest.Epoch.Add(36 * time.Hour)}, 2, dora.Day},
		"Two":     {"The first deployment is part of it.", dora.Service{Outcomes: year.Outcomes[:2]}, dora.Window{}, 2, dora.Day},
		"None":    {"Nothing has no trend.", dora.Service{}, dora.Window{}, 0, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			row, err := newDoraRow(&tc.s, tc.window, dora.NoReport)
			if err != nil || len(row.Trend) != tc.parts || tc.parts > 0 && row.Trend[0].To.Sub(row.Trend[0].From) != tc.first {
				t.Fatalf("%s\n%v: %d parts, want %d of which the first is %s", tc.reason, err, len(row.Trend), tc.parts, tc.first)
			}
			total := 0
			for _, p := range row.Trend {
				total += p.Deployments
			}
			if total != row.Deployments {
				t.Errorf("%s\nthe trend has %d deployments, and the window %d", tc.reason, total, row.Deployments)
			}
		})
	}
}

func TestTimesAndBarsAreShort(t *testing.T) {
	for n, want := range map[float64]string{
		0: "0s", 0.4: "0s", 59: "59s", 60: "1m", 61: "1m 1s", 3600: "1h", 3661: "1h 1m", 3601: "1h", 86400 + 7200: "1d 2h", 40 * 86400: "40d",
	} {
		if got := seconds(&n); got != want {
			t.Errorf("%v seconds are %q, want %q", n, got, want)
		}
	}
	if got := seconds(nil); got != "-" {
		t.Errorf("no time is %q", got)
	}
	for want, counts := range map[string][]int{"▁▁": {0, 0}, "▁█▄": {0, 2, 1}, "▁█": {1, 1000}} {
		if got := sparkline(counts); got != want {
			t.Errorf("%v is drawn %s, want %s", counts, got, want)
		}
	}
}

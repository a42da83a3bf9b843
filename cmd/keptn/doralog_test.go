package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/dora"
	"github.com/keptn/gitops/gitsource/gittest"
)

// record is a success an hour after the epoch.
func record(app, environment, commit string) string {
	end := gittest.Epoch.Add(time.Hour)
	return dora.Deployment{
		App: app, Environment: environment, Commit: commit, Result: dora.Success, StartedAt: end.Add(-time.Minute), FinishedAt: end,
	}.Line() + "\n"
}

func TestDoraTellsWhatTheLogHasNothingOf(t *testing.T) {
	d := newDelivered(t)
	files := folder(t, map[string]string{
		"several": d.log + record("cart", "staging", d.shas[3]),
		"base":    record("checkout", "production", d.shas[0]),
		"wrong": `{"app":"chekout","environment":"production","id":"a","at":"2024-01-01T14:05:00Z"}
{"app":"chekout","environment":"production","id":"b","at":"2024-01-01T14:05:00Z"}
{"app":"cart","environment":"production","id":"c","at":"2024-01-01T14:05:00Z"}
{"app":"checkout","environment":"production","id":"d","at":"2024-01-01T14:05:00Z","commit":"0123456"}`,
		"right": `{"app":"checkout","environment":"production","id":"e","at":"2024-01-01T14:05:00Z","commit":"` + d.shas[2][:8] + `"}`,
		"zzz":   `{"app":"checkout","environment":"production","id":"e","at":"2024-01-01T14:05:00Z","commit":"zzz"}`,
	})
	file := func(name string) string { return filepath.Join(files, name) }
	several := "--deployments=" + file("several")
	incidents := func(name string) string { return "--incidents=" + file(name) }
	cases := map[string]struct {
		reason string
		args   []string
		code   int
		out    string
		errs   []string
	}{
		"Incidents": {
			"An incident that is blamed on nobody for what it names is told, those of one mistake together.",
			[]string{several, incidents("wrong")}, 0, "0 of 1", []string{
				"incident a and 1 more: no deployment of app chekout, only of cart, checkout",
				"incident c: no deployment of app cart to production, only to staging",
				"incident d: commit 0123456 is of no deployment of checkout to production, or may be of several",
			},
		},
		"OtherApps": {
			"An app that is in the log is no mistake where it is not asked for.",
			[]string{several, incidents("right"), "--app=cart"}, 0, "cart in staging", nil,
		},
		"Abbreviated": {
			"An abbreviated commit is the one that was deployed.",
			[]string{several, incidents("right")}, 0, "failed (incident e), mended", nil,
		},
		"NoSHA": {
			"What is no SHA is told with its line.",
			[]string{several, incidents("zzz")}, 2, "", []string{file("zzz") + `:1: commit "zzz" has to be a SHA`},
		},
		"PathOfNothing": {
			"A path that is not there makes all lead times vanish.",
			[]string{several, "--app=checkout", "--path=apps/chekout"}, 0, "0 commits", []string{
				"--path apps/chekout: " + d.shas[4][:7] + ", the newest deployed commit, has no such file or folder; paths are from the repository's root",
			},
		},
		"PathUntouched": {
			"Of several, the one that no delivered commit changes is told.",
			[]string{several, "--app=cart", "--path=apps/checkout", "--path=apps/cart"}, 0, "0 commits", nil,
		},
		"PathTouched": {
			"One that is changed is not told.",
			[]string{several, "--app=checkout", "--path=apps/checkout", "--path=apps/cart"}, 0, "4 commits", nil,
		},
		"PathOfABaseline": {
			"Where nothing was delivered, a path that is there is right.",
			[]string{"--deployments=" + file("base"), "--path=apps/checkout"}, 0, "baseline", nil,
		},
		"PathOfSeveral": {
			"A path is of one app.",
			[]string{several, "--path=apps/cart"}, 2, "", []string{"--path is of one app: give --app, of cart, checkout"},
		},
		"PathOfAnEnvironment": {
			"Which may be the only one in its environment.",
			[]string{several, "--path=apps/cart", "--environment=staging"}, 0, "cart in staging", nil,
		},
		"AppElsewhere": {
			"An environment is one of the app's.",
			[]string{several, "--app=cart", "--environment=production"}, 2, "", []string{`--environment "production": the log has no deployment of it; it has staging`},
		},
		"NoNotes": {
			"A clone leaves the notes out.",
			[]string{"--notes"}, 2, "", []string{"--notes: there is no refs/notes/keptn here, as clones leave it out: get it with git fetch origin '+refs/notes/keptn:refs/notes/keptn'"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out, stderr, code := keptn(t, append([]string{"dora", "--source", d.Dir}, tc.args...)...)
			var want strings.Builder
			for _, line := range tc.errs {
				want.WriteString("keptn: " + line + "\n")
			}
			if code != tc.code || !strings.Contains(out, tc.out) {
				t.Errorf("%s\nexit code %d, want %d, and no %q in:\n%s", tc.reason, code, tc.code, tc.out, out)
			}
			if tc.code == 0 && stderr != want.String() || !strings.HasPrefix(stderr, strings.TrimSpace(want.String())) {
				t.Errorf("%s\n%s", tc.reason, cmp.Diff(want.String(), stderr))
			}
		})
	}
}

func TestAPathThatNoDeliveredCommitChangesIsTold(t *testing.T) {
	d := newDelivered(t)
	d.shas[4] = d.Commit("main", "Begin docs", map[string]string{"docs/app.md": "5", "apps/checkout/app.yaml": "5"})
	d.log = record("checkout", "production", d.shas[4])
	next := d.Commit("main", "Change checkout", map[string]string{"apps/checkout/app.yaml": "6"})
	d.log += strings.ReplaceAll(record("checkout", "production", next), "T13:00", "T14:00")
	_, stderr, code := d.dora(t, "--path=apps/checkout", "--path=docs")
	if code != 0 || stderr != "keptn: --path docs: no delivered commit changes it\n" {
		t.Errorf("exit code %d, and it tells %q", code, stderr)
	}
}

func TestNotesWithoutDeploymentsAreAnEmptyLog(t *testing.T) {
	d := newDelivered(t)
	for name, source := range map[string]string{"a folder": d.Dir, "a server": d.URL} {
		if _, stderr, code := keptn(t, "dora", "--notes", "--source", source); code != 2 || !strings.Contains(stderr, "no refs/notes/keptn") {
			t.Errorf("%s without notes: exit code %d: %s", name, code, stderr)
		}
	}
	d.GitInput("valid\n", "-c", "user.name=Tess", "-c", "user.email=tess@example.com", "notes", "--ref=keptn", "add", "-F", "-", d.shas[0])
	for name, source := range map[string]string{"a folder": d.Dir, "a server": d.URL} {
		if out, stderr, code := keptn(t, "dora", "--notes", "--source", source); code != 0 || out != "no deployments found\n" {
			t.Errorf("%s with other notes: exit code %d: %s%s", name, code, out, stderr)
		}
	}
}

func TestTheDocumentationNamesAllThatDoraPrintsAsJSON(t *testing.T) {
	page, err := os.ReadFile("../../docs/dora.md")
	if err != nil {
		t.Fatal(err)
	}
	words := []string{
		string(dora.Baseline), string(dora.Forward), string(dora.Rollback), string(dora.Redeployment), string(dora.Failed), string(dora.Unknown),
		string(dora.CauseResult), string(dora.CauseRollout), string(dora.CauseVerdict), string(dora.CauseBurn),
		string(dora.CauseRollback), string(dora.CauseRevert), string(dora.CauseIncident),
	}
	for _, kind := range []reflect.Type{
		reflect.TypeFor[doraRow](), reflect.TypeFor[doraRecord](), reflect.TypeFor[dora.Metrics](),
		reflect.TypeFor[dora.Bands](), reflect.TypeFor[dora.Point](), reflect.TypeFor[dora.DeliveredCommit](),
	} {
		for field := range kind.Fields() {
			if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
				words = append(words, name)
			}
		}
	}
	for _, word := range words {
		if !strings.Contains(string(page), "`"+word+"`") && !strings.Contains(string(page), `"`+word+`":`) {
			t.Errorf("docs/dora.md does not name %s", word)
		}
	}
}

func TestWhatIsNoCommandOfAGroupIsAMistake(t *testing.T) {
	for _, group := range []string{"gate", "policy", "convert"} {
		if out, stderr, code := keptn(t, group, "bogus"); code != 2 || !strings.Contains(stderr, `unknown command "bogus"`) {
			t.Errorf("keptn %s bogus: exit code %d: %s%s", group, code, out, stderr)
		}
		if out, _, code := keptn(t, group); code != 0 || !strings.Contains(out, "Available Commands") {
			t.Errorf("keptn %s: exit code %d: %s", group, code, out)
		}
	}
}

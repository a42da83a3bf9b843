package dora_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/dora"
)

const goodLine = `{"app":"shop","environment":"production","commit":"ABC1230000000000000000000000000000000000","startedAt":"2026-03-01T12:00:00Z","finishedAt":"2026-03-01T13:05:00.5+01:00","result":"success"}`

func TestALogOfDeploymentsIsReadStrictly(t *testing.T) {
	good := dora.Deployment{
		App: "shop", Environment: "production", Commit: "abc1230000000000000000000000000000000000", Result: dora.Success,
		StartedAt: noon, FinishedAt: noon.Add(5*time.Minute + 500*time.Millisecond),
	}
	failed := good
	failed.Result, failed.FailedBy, failed.Cluster = dora.Failure, dora.CauseBurn, "eu"
	replace := func(old, by string) string { return strings.Replace(goodLine, old, by, 1) }
	cases := map[string]struct {
		reason string
		text   string
		want   []dora.Deployment
		errs   []string
	}{
		"Good":       {"Names are kept, commits written in lower case.", goodLine + "\n", []dora.Deployment{good}, nil},
		"NoEnd":      {"The last line may lack its end, and others be blank or end as on Windows.", "\n" + goodLine + "\r\n  \n" + goodLine, []dora.Deployment{good, good}, nil},
		"Optional":   {"The cause and the cluster may be told.", replace(`"success"`, `"failure","failedBy":"burn","cluster":"eu"`), []dora.Deployment{failed}, nil},
		"Nothing":    {"No line, no deployment.", "", nil, nil},
		"All":        {"Every mistake is told with its line, and the good lines are read.", "x\n" + goodLine + "\n[]", []dora.Deployment{good}, []string{"log:1: not a JSON object", "log:3: not a JSON object"}},
		"Unknown":    {"A misspelled field is no optional one.", replace(`"result"`, `"Result"`), nil, []string{`log:1: unknown field "Result" (known are app, `}},
		"Twice":      {"Which of two is meant is not known.", replace(`{`, `{"app":"x",`), nil, []string{`field "app" is given twice`}},
		"Missing":    {"What is missing is named.", replace(`"app":"shop","environment":"production",`, ``), nil, []string{`log:1: it has no app, environment`}},
		"Null":       {"Null is no value.", replace(`"2026-03-01T12:00:00Z"`, `null`), nil, []string{`it has no startedAt`}},
		"Type":       {"A number is no name.", replace(`"shop"`, `1`), nil, []string{`log:1: field "app": `}},
		"Time":       {"A time without a zone could be any.", replace(`12:00:00Z`, `12:00:00`), nil, []string{`field "startedAt": `}},
		"Result":     {"There are two results.", replace(`success`, `passed`), nil, []string{`result "passed" has to be success or failure`}},
		"Short":      {"An abbreviated commit is found in no repository.", goodLine + "\n" + replace(`ABC1230000000000000000000000000000000000`, `ABC1230`), []dora.Deployment{good}, []string{`log:2: commit "abc1230" has to be a full SHA, of 40 or 64 hexadecimal digits`}},
		"NoSHA":      {"Nor is a branch, or what is no number.", replace(`ABC123`, `XYZ123`), nil, []string{`log:1: commit "xyz1230`}},
		"Cause":      {"Causes that are found out are not told.", replace(`"success"`, `"failure","failedBy":"revert"`), nil, []string{`failedBy "revert"`}},
		"CauseFails": {"A success has no cause of its failure.", replace(`"success"`, `"success","failedBy":"burn"`), nil, []string{`a success has no failedBy`}},
		"Backwards":  {"Nothing ends before it begins.", replace(`T13:05`, `T12:05`), nil, []string{`finishedAt 2026-03-01T11:05:00.5Z is before startedAt 2026-03-01T12:00:00Z`}},
		"Rest":       {"A line is one object.", goodLine + goodLine, nil, []string{`log:1: more than one value in a line`}},
		"Cut":        {"A line that was cut off is none.", goodLine[:120], nil, []string{`log:1: `}},
		"TooLong":    {"A line that has no end must not fill the memory.", goodLine + "\n" + strings.Repeat("x", 1<<20), []dora.Deployment{good}, []string{"log:2: a line of more than 65536 bytes"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := dora.ReadDeployments(strings.NewReader(tc.text), "log")
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
			for _, want := range tc.errs {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s\nthe error %v does not hold %q", tc.reason, err, want)
				}
			}
			if err != nil && len(tc.errs) == 0 {
				t.Errorf("%s\n%v", tc.reason, err)
			}
		})
	}
}

func TestReadingEndsAfterTwentyMistakesAndTooManyLines(t *testing.T) {
	_, err := dora.ReadDeployments(strings.NewReader(strings.Repeat("x\n", 1000)), "log")
	if n := strings.Count(err.Error(), "\n") + 1; n != 20 {
		t.Errorf("%d mistakes are told", n)
	}
	_, err = dora.ReadDeployments(strings.NewReader(strings.Repeat("\n", 1_000_001)), "log")
	if err == nil || !strings.Contains(err.Error(), "more than 1000000 lines") {
		t.Errorf("the error of a million lines is %v", err)
	}
	boom := errors.New("boom")
	if _, err = dora.ReadDeployments(iotest.ErrReader(boom), "log"); !errors.Is(err, boom) {
		t.Errorf("the error of the file is %v", err)
	}
}

func TestALogOfIncidentsIsReadStrictly(t *testing.T) {
	const good = `{"app":"shop","environment":"production","id":"1","at":"2026-03-01T12:00:00Z"}`
	const whole = `{"app":"shop","environment":"production","id":"2","at":"2026-03-01T12:00:00Z","resolvedAt":"2026-03-01T12:05:00Z","commit":"ABC1230"}`
	got, err := dora.ReadIncidents(strings.NewReader(good+"\n"+whole), "incidents")
	want := []dora.Incident{
		{App: "shop", Environment: "production", ID: "1", At: noon},
		{App: "shop", Environment: "production", ID: "2", At: noon, ResolvedAt: at(5), Commit: "abc1230"},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for text, wanted := range map[string]string{
		strings.Replace(good, `"id":"1",`, "", 1):               "incidents:1: it has no id",
		strings.Replace(good, `"id"`, `"name"`, 1):              `incidents:1: unknown field "name"`,
		strings.Replace(whole, `12:05:00`, `11:00`, 1):          `incidents:1: field "resolvedAt": `,
		strings.Replace(whole, `T12:05`, `T11:05`, 1):           "incidents:1: resolvedAt 2026-03-01T11:05:00Z is before at 2026-03-01T12:00:00Z",
		strings.Replace(whole, `"ABC1230"`, `"ABC1230","x"`, 1): "incidents:1: ",
		strings.Replace(whole, `ABC1230`, `zzz`, 1):             `incidents:1: commit "zzz" has to be a SHA, of which seven digits will do`,
		strings.Replace(whole, `ABC1230`, `ABC123`, 1):          `incidents:1: commit "abc123" has to be a SHA`,
	} {
		if _, err := dora.ReadIncidents(strings.NewReader(text), "incidents"); err == nil || !strings.Contains(err.Error(), wanted) {
			t.Errorf("%s: the error %v does not hold %q", text, err, wanted)
		}
	}
}

func TestDeploymentsAreTakenOutOfNotesAmongOtherLines(t *testing.T) {
	d := deployments(t, "-b@10")[0]
	d.FailedBy, d.Cluster = dora.CauseVerdict, "eu"
	d.StartedAt = d.StartedAt.In(time.FixedZone("", 3600))
	got, ok := dora.DeploymentOfNote(d.Line())
	if diff := cmp.Diff(d, got); diff != "" || !ok {
		t.Errorf("the line %s is not what it was made of (-want +got):\n%s", d.Line(), diff)
	}
	if newer := strings.Replace(d.Line(), "{", `{"new":[1],`, 1); newer != d.Line() {
		if _, ok := dora.DeploymentOfNote(newer); !ok {
			t.Error("what a newer program adds hides a deployment from this one")
		}
	}
	for _, line := range []string{
		"", "written by hand", "null", "[]",
		`{"time":"2026-03-01T12:00:00.000Z","context":"keptn/production/validate","state":"success","description":"valid"}`,
		strings.Replace(d.Line(), `"app":"shop"`, `"app":""`, 1),
		strings.Replace(d.Line(), `"failure"`, `"failed"`, 1),
		strings.Replace(d.Line(), d.Commit, d.Commit[:12], 1),
		strings.Replace(d.Line(), `{`, `{"x":"`+strings.Repeat("x", 1<<17)+`",`, 1),
		d.Line() + d.Line(),
	} {
		if _, ok := dora.DeploymentOfNote(line); ok {
			t.Errorf("%.100q is taken for a deployment", line)
		}
	}
}

func FuzzReadDeployments(f *testing.F) {
	f.Add([]byte(goodLine))
	f.Add([]byte(goodLine + "\n{\n" + goodLine))
	f.Add([]byte(`{"app":{"app":["` + "\xff" + `"]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		read, err := dora.ReadDeployments(bytes.NewReader(text), "log")
		if err != nil && !strings.HasPrefix(err.Error(), "log:") {
			t.Errorf("the error does not say where: %v", err)
		}
		for _, d := range read {
			again, err := dora.ReadDeployments(strings.NewReader(d.Line()), "log")
			if diff := cmp.Diff([]dora.Deployment{d}, again); err != nil || diff != "" {
				t.Errorf("%q reads as %v, %v", d.Line(), again, err)
			}
			if noted, ok := dora.DeploymentOfNote(d.Line()); !ok || !cmp.Equal(noted, d) {
				t.Errorf("%q is no line of a note", d.Line())
			}
		}
	})
}

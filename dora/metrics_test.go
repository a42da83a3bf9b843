package dora_test

import (
	"encoding/json"
	"testing"
	"testing/quick"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/dora"
)

// week is a log of ten days: times in minutes, 1440 to a day.
const week = "a@0 b@60 -c@1440 d@1500 d@1600 b@2880 e@14400"

func metricsOf(t *testing.T, log string, w dora.Window) dora.Metrics {
	t.Helper()
	services := evaluate(t, history(t, line), deployments(t, log), dora.Options{})
	return services[0].Metrics(w)
}

func encode(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestMetricsAreSumsOverWhatTheDeploymentsDid(t *testing.T) {
	cases := map[string]struct {
		reason string
		log    string
		window dora.Window
		want   string
	}{
		"All": {
			// Deployments: a, b, c (failed), d (its redeployment is none), the rollback to b
			// and e: 6 in 10 days. Failed: c, and d by the rollback: 2 of 6. Recovered: c in
			// 60 minutes by d, d in 1380 by b: median 720. Rework: d after a failure, and b.
			// Lead times: b 59, c 1498 and d 1497, e 14396 minutes. Sorted: 59, 1497, 1498,
			// 14396; the median is 1497.5, and p90 lies 0.7 of the way from the third to the
			// fourth: 1498 + 0.7·12898 = 10526.6.
			"Without a window all counts, over the days from the first to the last.",
			week, dora.Window{},
			`{"app":"shop","environment":"production","deployments":6,"failedDeployments":2,"deploymentsPerDay":0.6,` +
				`"leadTime":{"count":4,"p50Seconds":89850,"p90Seconds":631596,"invalid":0},"changeFailRate":0.3333333333333333,` +
				`"recovery":{"count":2,"p50Seconds":43200},"reworkRate":0.3333333333333333,"commits":[` +
				`{"sha":"` + full("b") + `","deployedBy":"` + full("b") + `","leadTimeSeconds":3540},` +
				`{"sha":"` + full("d") + `","deployedBy":"` + full("d") + `","leadTimeSeconds":89820},` +
				`{"sha":"` + full("c") + `","deployedBy":"` + full("d") + `","leadTimeSeconds":89880},` +
				`{"sha":"` + full("e") + `","deployedBy":"` + full("e") + `","leadTimeSeconds":863760}]}`,
		},
		"Day": {
			// From minute 1440, which is left out, to 2880: d, failed and recovered, and the
			// rollback.
			"The begin of a window is no part of it, its end is.",
			week, dora.Window{End: at(2880), Length: dora.Day},
			`{"app":"shop","environment":"production","deployments":2,"failedDeployments":1,"deploymentsPerDay":2,` +
				`"leadTime":{"count":2,"p50Seconds":89850,"p90Seconds":89874,"invalid":0},"changeFailRate":0.5,` +
				`"recovery":{"count":1,"p50Seconds":82800},"reworkRate":1,"commits":[` +
				`{"sha":"` + full("d") + `","deployedBy":"` + full("d") + `","leadTimeSeconds":89820},` +
				`{"sha":"` + full("c") + `","deployedBy":"` + full("d") + `","leadTimeSeconds":89880}]}`,
		},
		"Empty": {
			"Where nothing was deployed, nothing is known but that.",
			week, dora.Window{End: at(10000), Length: dora.Day},
			`{"app":"shop","environment":"production","deployments":0,"failedDeployments":0,"deploymentsPerDay":0,` +
				`"leadTime":{"count":0,"p50Seconds":null,"p90Seconds":null,"invalid":0},"changeFailRate":null,` +
				`"recovery":{"count":0,"p50Seconds":null},"reworkRate":null,"commits":[]}`,
		},
		"Until": {
			"Without a length a window begins with the first record.",
			week, dora.Window{End: at(60)},
			`{"app":"shop","environment":"production","deployments":2,"failedDeployments":0,"deploymentsPerDay":2,` +
				`"leadTime":{"count":1,"p50Seconds":3540,"p90Seconds":3540,"invalid":0},"changeFailRate":0,` +
				`"recovery":{"count":0,"p50Seconds":null},"reworkRate":0,"commits":[` +
				`{"sha":"` + full("b") + `","deployedBy":"` + full("b") + `","leadTimeSeconds":3540}]}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, encode(t, metricsOf(t, tc.log, tc.window))); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestALeadTimeThatCannotBeIsCountedAsInvalidAndSaid(t *testing.T) {
	services := evaluate(t, history(t, "a@0 b@50:a c@12:b"), deployments(t, "a@10 c@20"), dora.Options{})
	m := services[0].Metrics(dora.Window{})
	if m.LeadTime.Count != 1 || m.LeadTime.Invalid != 1 || *m.LeadTime.P50Seconds != 480 {
		t.Errorf("lead times are %s, want one of 480 s and one invalid", encode(t, m.LeadTime))
	}
	if c := m.Commits[0]; c.SHA != full("b") || c.LeadTimeSeconds != nil || c.Problem == "" {
		t.Errorf("the commit of the future is %s", encode(t, c))
	}
}

func TestADayIsTheLeastThatDeploymentsAreDividedBy(t *testing.T) {
	if m := metricsOf(t, "a@10 b@20 c@30", dora.Window{}); m.DeploymentsPerDay != 3 {
		t.Errorf("three deployments in twenty minutes are %v a day", m.DeploymentsPerDay)
	}
	if m := metricsOf(t, "a@10 b@20 c@30", dora.Window{End: at(30), Length: time.Hour}); m.DeploymentsPerDay != 3 {
		t.Errorf("three deployments in a window of an hour are %v a day", m.DeploymentsPerDay)
	}
}

func TestATrendAddsUpToItsWindow(t *testing.T) {
	services := evaluate(t, history(t, line), deployments(t, week), dora.Options{})
	check := func(minutes, hours, offset uint16) bool {
		window, span := dora.Window{End: at(int(offset)), Length: time.Duration(minutes) * time.Minute}, time.Duration(hours%300+1)*time.Hour
		points := services[0].Trend(window, span)
		if minutes == 0 {
			return len(points) == 0
		}
		total := 0
		for i, p := range points {
			total += p.Deployments
			if i > 0 && (p.To.Sub(p.From) != span || !points[i-1].To.Equal(p.From)) {
				return false
			}
		}
		if n := len(points); (window.Length+span-1)/span > 1000 {
			return n == 1000 // the oldest parts are left out
		}
		first, last := points[0], points[len(points)-1]
		return first.From.Equal(window.End.Add(-window.Length)) && first.To.Sub(first.From) <= span && last.To.Equal(window.End) &&
			total == services[0].Metrics(window).Deployments
	}
	if err := quick.Check(check, nil); err != nil {
		t.Error(err)
	}
}

func TestTheFirstPartOfATrendBeginsWithTheWindow(t *testing.T) {
	services := evaluate(t, history(t, line), deployments(t, week), dora.Options{})
	points := services[0].Trend(dora.Window{End: at(2880), Length: 47 * time.Hour}, dora.Day)
	if len(points) != 2 || points[0].To.Sub(points[0].From) != 23*time.Hour || points[0].Deployments+points[1].Deployments != 3 {
		t.Errorf("47 hours by days are %s", encode(t, points))
	}
	if n := len(services[0].Trend(dora.Window{End: noon, Length: 12 * time.Hour}, time.Second)); n != 1000 {
		t.Errorf("a trend may have %d parts", n)
	}
	if points := services[0].Trend(dora.Window{End: noon}, dora.Day); len(points) != 0 {
		t.Errorf("a window that begins with no time has the trend %s", encode(t, points))
	}
}

func TestBandsAreThoseOfTheReport(t *testing.T) {
	const hour, day = 3600.0, 24 * 3600.0
	type levels struct{ lead, frequency, fails, recovery dora.Level }
	cases := map[string]struct {
		reason                         string
		report                         dora.Report
		lead, perDay, failed, recovery float64
		want                           levels
	}{
		"Elite2024":   {"Best of all.", dora.Report2024, day - 1, 1.1, 0.05, hour - 1, levels{dora.Elite, dora.Elite, dora.Elite, dora.Elite}},
		"High2024":    {"Once a day is no more often than a day.", dora.Report2024, day, 1, 0.06, hour, levels{dora.High, dora.High, dora.High, dora.High}},
		"Medium2024":  {"Where high has worse numbers than medium, high is the level.", dora.Report2024, 7*day + 1, 1.0 / 8, 0.10, day - 1, levels{dora.Medium, dora.Medium, dora.High, dora.High}},
		"Low2024":     {"What no cluster covers is low.", dora.Report2024, 31 * day, 1.0 / 31, 0.21, day, levels{dora.Low, dora.Low, dora.Low, dora.Low}},
		"Medium2023":  {"The report of 2023 has three steps of the change fail rate.", dora.Report2023, 30 * day, 1.0 / 30, 0.15, 7 * day, levels{dora.Medium, dora.Medium, dora.Medium, dora.Medium}},
		"High2023":    {"And so on.", dora.Report2023, 7 * day, 1.0 / 7, 0.10, day - 1, levels{dora.High, dora.High, dora.High, dora.High}},
		"Elite2021":   {"In 2021 elite was an hour.", dora.Report2021, hour - 1, 2, 0.15, hour - 1, levels{dora.Elite, dora.Elite, dora.Elite, dora.Elite}},
		"Between2021": {"A number between two clusters belongs to the worse.", dora.Report2021, hour, 0.5, 0.151, day, levels{dora.High, dora.High, dora.High, dora.Medium}},
		"None":        {"Without a report there are no levels.", dora.NoReport, hour, 1, 0, hour, levels{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			m := dora.Metrics{
				Deployments: 1, DeploymentsPerDay: tc.perDay, ChangeFailRate: &tc.failed,
				LeadTime: dora.LeadTimes{P50Seconds: &tc.lead}, Recovery: dora.Recovery{P50Seconds: &tc.recovery},
			}
			b, err := m.Bands(tc.report)
			got := levels{b.LeadTime, b.DeploymentFrequency, b.ChangeFailRate, b.Recovery}
			if err != nil || got != tc.want {
				t.Errorf("%s\ngot %v, %v; want %v", tc.reason, got, err, tc.want)
			}
		})
	}
	var nothing dora.Metrics
	if b, err := nothing.Bands(dora.Report2024); err != nil || b != (dora.Bands{Report: dora.Report2024}) {
		t.Errorf("without numbers the bands are %v, %v", b, err)
	}
	if _, err := nothing.Bands("2022"); err == nil {
		t.Error("a report that is not known is accepted")
	}
}

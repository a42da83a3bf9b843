package incident_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keptn/gitops/controllers/incident"
)

// at is so many minutes after noon.
func at(minutes int) time.Time {
	return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).Add(time.Duration(minutes) * time.Minute)
}

// fired is an alert that fires since a minute, resolved one that ended at another.
func fired(key string, since int) incident.Report {
	return incident.Report{Key: key, Source: "am", Summary: "errors", StartedAt: at(since)}
}

func resolved(key string, since, until int) incident.Report {
	r := fired(key, since)
	r.ResolvedAt = at(until)
	return r
}

// ended is an end of which nobody told the beginning.
func ended(key string, until int) incident.Report {
	return incident.Report{Key: key, Source: "am", ResolvedAt: at(until)}
}

// entry is an incident as a Lifecycle has it; one that goes on has until -1. The named
// minute is that of its ID.
func entry(key string, named, since, until int) incident.Incident {
	i := incident.Incident{
		ID: key + "@" + at(named).Format(time.RFC3339), Source: "am", Summary: "errors", StartedAt: metav1.NewTime(at(since)),
	}
	if until >= 0 {
		end := metav1.NewTime(at(until))
		i.ResolvedAt = &end
	}
	return i
}

func merged(reports ...incident.Report) []incident.Incident {
	var all []incident.Incident
	for _, r := range reports {
		all, _ = incident.Merge(all, r)
	}
	return all
}

func TestReportsBecomeIncidents(t *testing.T) {
	unnamed := func(i incident.Incident) incident.Incident {
		i.Summary = ""
		return i
	}
	cases := map[string]struct {
		reason  string
		reports []incident.Report
		want    []incident.Incident
	}{
		"Fires":       {"It goes on.", []incident.Report{fired("a", 1)}, []incident.Incident{entry("a", 1, 1, -1)}},
		"Repeated":    {"Alertmanager repeats what still fires.", []incident.Report{fired("a", 1), fired("a", 1)}, []incident.Incident{entry("a", 1, 1, -1)}},
		"Resolved":    {"It has its end.", []incident.Report{fired("a", 1), resolved("a", 1, 5)}, []incident.Incident{entry("a", 1, 1, 5)}},
		"Alone":       {"The end tells of both.", []incident.Report{resolved("a", 1, 5)}, []incident.Incident{entry("a", 1, 1, 5)}},
		"Twice":       {"Two Alertmanagers tell the same.", []incident.Report{resolved("a", 1, 5), resolved("a", 1, 5)}, []incident.Incident{entry("a", 1, 1, 5)}},
		"Late":        {"A delayed message opens nothing again.", []incident.Report{resolved("a", 1, 5), fired("a", 1)}, []incident.Incident{entry("a", 1, 1, 5)}},
		"Again":       {"What fails again is another incident.", []incident.Report{resolved("a", 1, 5), fired("a", 7)}, []incident.Incident{entry("a", 7, 7, -1), entry("a", 1, 1, 5)}},
		"AtOnce":      {"Also at the very moment.", []incident.Report{resolved("a", 1, 5), fired("a", 5)}, []incident.Incident{entry("a", 5, 5, -1), entry("a", 1, 1, 5)}},
		"Earlier":     {"Alertmanager corrects the beginning, and the incident keeps its name.", []incident.Report{fired("a", 3), resolved("a", 1, 5)}, []incident.Incident{entry("a", 3, 1, 5)}},
		"Others":      {"Keys are told apart, also where one begins with the other.", []incident.Report{fired("a@b", 1), fired("a", 2)}, []incident.Incident{entry("a", 2, 2, -1), entry("a@b", 1, 1, -1)}},
		"Former":      {"The end of a former one does not end the one that goes on.", []incident.Report{fired("a", 7), resolved("a", 1, 5)}, []incident.Incident{entry("a", 7, 7, -1), entry("a", 1, 1, 5)}},
		"End":         {"CDEvents tell of the end alone.", []incident.Report{fired("a", 1), ended("a", 5)}, []incident.Incident{entry("a", 1, 1, 5)}},
		"EndTwice":    {"The first end counts.", []incident.Report{fired("a", 1), ended("a", 5), ended("a", 6)}, []incident.Incident{entry("a", 1, 1, 5)}},
		"EndFirst":    {"Nobody told of the beginning.", []incident.Report{ended("a", 5)}, []incident.Incident{unnamed(entry("a", 5, 5, 5))}},
		"EndThenTold": {"Then somebody does.", []incident.Report{ended("a", 5), fired("a", 1)}, []incident.Incident{unnamed(entry("a", 5, 1, 5))}},
		"Backwards":   {"Clocks differ: no incident ends before it began.", []incident.Report{fired("a", 3), resolved("a", 3, 2)}, []incident.Incident{entry("a", 3, 3, 3)}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, merged(tc.reports...)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAnIncidentIsKeptAsTheAPIServerHasIt(t *testing.T) {
	r := incident.Report{
		Key: strings.Repeat("ü", 200), Source: strings.Repeat("s", 600), Summary: "two\nlines " + strings.Repeat("x", 2000),
		Commit: "0123456", StartedAt: at(0).Add(123 * time.Millisecond),
	}
	all, id := incident.Merge(nil, r)
	got := all[0]
	if len(got.ID) > 253 || got.ID != id || !strings.HasPrefix(got.ID, "üü") || !strings.HasSuffix(got.ID, "@2026-11-23T12:00:00Z") {
		t.Errorf("ID is %q", got.ID)
	}
	if len(got.Source) > 512 || len(got.Summary) > 1024 || !strings.HasPrefix(got.Summary, "two lines xxx") || got.Commit != "0123456" {
		t.Errorf("got %+v", got)
	}
	if !got.StartedAt.Time.Equal(at(0)) {
		t.Errorf("began at %s, where times have seconds", got.StartedAt)
	}
	again, _ := incident.Merge(all, r)
	if diff := cmp.Diff(all, again); diff != "" {
		t.Errorf("a long key is not known again (-want +got):\n%s", diff)
	}
	r.Key += "x"
	if more, _ := incident.Merge(all, r); len(more) != 2 {
		t.Error("keys that differ in their ends are one")
	}
}

// many are so many incidents, each of its own key and each a minute after the other,
// where until says when it ended; newest first.
func many(n int, until func(since int) int) (all []incident.Incident) {
	for i := range n {
		all = append([]incident.Incident{entry(fmt.Sprint("a", i), i, i, until(i))}, all...)
	}
	return all
}

func TestOfTooManyTheOldestResolvedGoFirst(t *testing.T) {
	open := func(int) int { return -1 }
	over := func(since int) int { return since }
	odd := func(since int) int { // every other one is resolved
		if since%2 == 1 {
			return since
		}
		return -1
	}
	cases := map[string]struct {
		reason string
		known  []incident.Incident
		report incident.Report
		kept   bool
		gone   string
	}{
		"Resolved":    {"A new one takes the place of the oldest.", many(100, over), fired("new", 200), true, "a0"},
		"Open":        {"What goes on stays while there is a resolved one.", many(100, odd), fired("new", 200), true, "a1"},
		"AllOpen":     {"Nothing is for ever.", many(100, open), fired("new", 200), true, "a0"},
		"OldResolved": {"One that is older than all has no place.", many(100, over), resolved("new", -2, -1), false, ""},
		"OldOpen":     {"Unless it goes on.", many(100, over), fired("new", -2), true, "a0"},
		"OlderOpen":   {"The oldest of those that go on.", many(100, open), fired("new", -2), false, ""},
		"Room":        {"Nothing has to go.", many(99, over), resolved("new", -2, -1), true, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			all, id := incident.Merge(tc.known, tc.report)
			has := map[string]bool{}
			for _, i := range all {
				has[strings.Split(i.ID, "@")[0]] = true
			}
			if has["new"] != tc.kept || (id != "") != tc.kept || len(all) != 100 {
				t.Errorf("%s\n%d are kept, and it as %q", tc.reason, len(all), id)
			}
			for _, i := range tc.known {
				key := strings.Split(i.ID, "@")[0]
				if has[key] == (key == tc.gone) {
					t.Errorf("%s\n%s is kept: %t", tc.reason, key, has[key])
				}
			}
			if again, same := incident.Merge(all, tc.report); same != id || !cmp.Equal(all, again) {
				t.Errorf("%s\ntold again: %q %s", tc.reason, same, cmp.Diff(all, again))
			}
		})
	}
}

func TestAnAlertThatFlapsDrivesOutNoOther(t *testing.T) {
	all := many(20, func(since int) int { return since })
	for i := range 100 {
		all, _ = incident.Merge(all, fired("flap", 100+2*i))
		all, _ = incident.Merge(all, resolved("flap", 100+2*i, 101+2*i))
	}
	if len(all) != 100 || all[0].ID != entry("flap", 298, 0, -1).ID || all[79].ID != entry("flap", 140, 0, -1).ID || all[99].ID != entry("a0", 0, 0, -1).ID {
		t.Errorf("%d are kept, from %s to %s", len(all), all[0].ID, all[len(all)-1].ID)
	}
}

func TestTellingEverythingTwiceChangesNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a seed makes it repeatable
	for range 300 {
		var want []incident.Incident
		var told []incident.Report
		for since := random.IntN(5); since < 60 && len(want) < 10; { // of one key are kept ten
			until := since + random.IntN(10)
			want = append([]incident.Incident{entry("a", since, since, until)}, want...)
			said := []incident.Report{fired("a", since), resolved("a", since, until)}
			for _, i := range []int{0, 0, 1, 0, 1}[random.IntN(3):] { // by two senders, who are not in step
				told = append(told, said[i])
			}
			since = until + 1 + random.IntN(10)
		}
		all := merged(told...)
		if diff := cmp.Diff(want, all); diff != "" {
			t.Fatalf("after %+v (-want +got):\n%s", told, diff)
		}
		if diff := cmp.Diff(all, merged(append(told, told...)...)); diff != "" {
			t.Fatalf("telling of %+v again (-want +got):\n%s", told, diff)
		}
	}
}

func TestNoTwoIncidentsHaveOneID(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a seed makes it repeatable
	for range 300 {
		var all []incident.Incident
		for range random.IntN(12) { // of a source that contradicts itself
			since := random.IntN(60)
			r := []incident.Report{fired("a", since), resolved("a", since, since+random.IntN(10)), ended("a", since)}[random.IntN(3)]
			all, _ = incident.Merge(all, r)
		}
		seen := map[string]bool{}
		for _, i := range all {
			if seen[i.ID] {
				t.Fatalf("%s is there twice, which no Lifecycle can have: %+v", i.ID, all)
			}
			seen[i.ID] = true
		}
	}
}

package incident_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/controllers/directory"
	"github.com/keptn/gitops/controllers/incident"
	"github.com/keptn/gitops/telemetry/event"
)

// webhook is what Alertmanager 0.28 posts for two alerts of a group.
const webhook = `{
  "version": "4", "groupKey": "{}:{alertname=\"HighErrorRate\"}", "truncatedAlerts": 0, "status": "firing", "receiver": "keptn",
  "groupLabels": {"alertname": "HighErrorRate"}, "commonLabels": {"alertname": "HighErrorRate", "severity": "critical"},
  "commonAnnotations": {}, "externalURL": "http://alertmanager.monitoring:9093",
  "alerts": [
    {"status": "firing", "labels": {"alertname": "HighErrorRate", "app": "checkout", "namespace": "shop", "severity": "critical"},
     "annotations": {"summary": "5% of requests fail", "description": "too many"}, "startsAt": "2026-11-23T11:50:01.234Z",
     "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus:9090/graph?g0.expr=up", "fingerprint": "1a30ba71cca2921f"},
    {"status": "resolved", "labels": {"alertname": "HighErrorRate", "app": "web", "keptn_app": "cart", "namespace": "shop", "keptn_environment": "production", "keptn_commit": "0123456789"},
     "annotations": {}, "startsAt": "2026-11-23T12:40:00+01:00", "endsAt": "2026-11-23T11:55:00Z", "fingerprint": "b2e4c1a9d3f05e77"}
  ]
}`

func TestAlertsAreRead(t *testing.T) {
	got, ignored, err := incident.FromAlertmanager([]byte(webhook), at(0))
	if err != nil || ignored != nil {
		t.Fatal(err, ignored)
	}
	const url = "http://alertmanager.monitoring:9093"
	want := []incident.Report{
		{
			At: "alerts[0]", Name: directory.Name{Namespace: "shop", App: "checkout"}, Key: "1a30ba71cca2921f",
			Source: url, Summary: "5% of requests fail", StartedAt: at(-10).Add(1234 * time.Millisecond),
		},
		{
			At: "alerts[1]", Name: directory.Name{Namespace: "shop", App: "cart", Environment: "production"}, Key: "b2e4c1a9d3f05e77",
			Source: url, Summary: "HighErrorRate", Commit: "0123456789", StartedAt: at(-20), ResolvedAt: at(-5),
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// one is a webhook with one alert, in which a text is replaced by another.
func one(old, replacement string) string {
	const alert = `{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"A"},"startsAt":"2026-11-23T11:50:00Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"f"}]}`
	return strings.Replace(alert, old, replacement, 1)
}

func TestOddAlertsAreRead(t *testing.T) {
	cases := map[string]struct {
		reason, body string
		want         incident.Report
	}{
		"Plain":         {"Labels need not be there: the path may name the app.", one("", ""), incident.Report{Key: "f", Source: "alertmanager", Summary: "A", StartedAt: at(-10)}},
		"Grafana":       {"Grafana's version is 1.", one(`"4"`, `"1"`), incident.Report{Key: "f", Source: "alertmanager", Summary: "A", StartedAt: at(-10)}},
		"NoFingerprint": {"Alertmanager before 0.19 has none: labels identify an alert.", one(`"fingerprint":"f"`, `"x":1`), incident.Report{Key: "873efec9b248db5f", Source: "alertmanager", Summary: "A", StartedAt: at(-10)}},
		"NoEnd":         {"What was resolved just ended.", one("firing", "resolved"), incident.Report{Key: "f", Source: "alertmanager", Summary: "A", StartedAt: at(-10), ResolvedAt: at(0)}},
		"UpperCase":     {"Whoever copies a SHA may have it so.", one(`"alertname":"A"`, `"alertname":"A","keptn_commit":"0123ABC"`), incident.Report{Key: "f", Source: "alertmanager", Summary: "A", Commit: "0123abc", StartedAt: at(-10)}},
		"Annotated":     {"An annotation counts before a label.", one(`"labels":{`, `"annotations":{"keptn_commit":"0123abc"},"labels":{"keptn_commit":"4567def",`), incident.Report{Key: "f", Source: "alertmanager", Summary: "A", Commit: "0123abc", StartedAt: at(-10)}},
		"FastClock":     {"A clock may be minutes ahead.", one("11:50", "12:04"), incident.Report{Key: "f", Source: "alertmanager", Summary: "A", StartedAt: at(4)}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, ignored, err := incident.FromAlertmanager([]byte(tc.body), at(0))
			tc.want.At = "alerts[0]"
			if diff := cmp.Diff([]incident.Report{tc.want}, got); diff != "" || err != nil || ignored != nil {
				t.Errorf("%s: %v, ignored %v (-want +got):\n%s", tc.reason, err, ignored, diff)
			}
		})
	}
}

func TestABadAlertIsIgnoredAndTheOthersOfItsGroupAreTaken(t *testing.T) {
	const good = `{"status":"firing","startsAt":"2026-11-23T11:50:00Z","fingerprint":"f"}`
	cases := map[string]struct{ reason, bad, want string }{
		"Commit":     {"A branch is no commit.", `{"status":"firing","startsAt":"2026-11-23T11:50:00Z","labels":{"keptn_commit":"main"}}`, "alerts[1].labels.keptn_commit: has to be a SHA, of which seven digits will do"},
		"Annotation": {"The place is where it was said.", `{"status":"firing","startsAt":"2026-11-23T11:50:00Z","annotations":{"keptn_commit":"main"}}`, "alerts[1].annotations.keptn_commit: has to be a SHA, of which seven digits will do"},
		"Start":      {"A time that is none.", `{"status":"firing","startsAt":"yesterday"}`, `alerts[1].startsAt "yesterday": has to be a time, as 2026-05-05T05:05:05Z`},
		"End":        {"The other one.", `{"status":"resolved","startsAt":"2026-11-23T11:50:00Z","endsAt":"now"}`, `alerts[1].endsAt "now": has to be a time, as 2026-05-05T05:05:05Z`},
		"Number":     {"Times are texts.", `{"startsAt":1763899800}`, "alerts[1].startsAt: cannot be a JSON number"},
		"Label":      {"So are labels.", `{"labels":{"alertname":1}}`, "alerts[1].labels: cannot be a JSON number"},
		"Kind":       {"An alert is an object.", `[]`, "alerts[1]: cannot be a JSON array"},
		"Null":       {"Nothing says nothing.", `null`, "alerts[1].startsAt: has to be a time, as 2026-05-05T05:05:05Z"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, ignored, err := incident.FromAlertmanager(fmt.Appendf(nil, `{"version":"4","alerts":[%s,%s,%s]}`, good, tc.bad, good), at(0))
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			if diff := cmp.Diff([]incident.Ignored{{At: "alerts[1]", Reason: tc.want}}, ignored); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if len(got) != 2 || got[0].At != "alerts[0]" || got[1].At != "alerts[2]" {
				t.Errorf("%s\ntaken are %+v", tc.reason, got)
			}
			_, ignored, err = incident.FromAlertmanager(fmt.Appendf(nil, `{"version":"4","alerts":[%s,{}]}`, tc.bad), at(0))
			if want := strings.Replace(tc.want, "[1]", "[0]", 1); err == nil || err.Error() != want || ignored != nil {
				t.Errorf("%s\nwhere all are bad: %v, want %s", tc.reason, err, want)
			}
		})
	}
}

func TestBadAlertsAreRefusedWithTheirPlace(t *testing.T) {
	cases := map[string]struct{ reason, body, want string }{
		"Empty":    {"Nothing was sent.", "", "byte 0: unexpected end of JSON input"},
		"Syntax":   {"The place of the mistake.", `{"version": 4"}`, `byte 14: invalid character '"' after object key:value pair`},
		"Kind":     {"The field, and what it is.", `{"alerts": {}}`, "byte 12: alerts cannot be a JSON object"},
		"Label":    {"Labels are texts.", one(`"alertname":"A"`, `"alertname":1`), "alerts[0].labels: cannot be a JSON number"},
		"List":     {"Another webhook's body.", `[]`, "byte 1: the body cannot be a JSON array"},
		"Version":  {"Its meaning is not known.", one(`"4"`, `"5"`), `version "5": has to be "4"`},
		"None":     {"Nothing happened.", `{"version":"4","alerts":[]}`, "alerts: there are none"},
		"Many":     {"Alertmanager can be told to send less.", one(`"alerts":[`, `"alerts":[`+strings.Repeat("{},", 1000)), "alerts: there are 1001, and 1001 are too many: set max_alerts"},
		"Status":   {"It is neither.", one("firing", "pending"), `alerts[0].status "pending": has to be firing or resolved`},
		"NoStart":  {"An incident begins.", one("2026-11-23T11:50:00Z", "0001-01-01T00:00:00Z"), "alerts[0].startsAt: has to be a time, as 2026-05-05T05:05:05Z"},
		"NoTime":   {"Times are written as RFC 3339 has it.", one("2026-11-23T11:50:00Z", "yesterday"), `alerts[0].startsAt "yesterday": has to be a time, as 2026-05-05T05:05:05Z`},
		"Future":   {"It would be the newest for years.", one("2026", "2027"), "alerts[0].startsAt 2027-11-23T11:50:00Z: is in the future: it is 2026-11-23T12:00:00Z"},
		"FarEnd":   {"So would its end.", strings.Replace(one("firing", "resolved"), "0001-01-01", "2027-01-01", 1), "alerts[0].endsAt 2027-01-01T00:00:00Z: is in the future: it is 2026-11-23T12:00:00Z"},
		"Commit":   {"A branch is no commit.", one(`"alertname":"A"`, `"keptn_commit":"main"`), "alerts[0].labels.keptn_commit: has to be a SHA, of which seven digits will do"},
		"Nonsense": {"Not JSON at all.", "hello", "byte 1: invalid character 'h' looking for beginning of value"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, _, err := incident.FromAlertmanager([]byte(tc.body), at(0))
			if err == nil || err.Error() != tc.want {
				t.Errorf("%s\ngot %+v, %v\nwant %s", tc.reason, got, err, tc.want)
			}
		})
	}
}

// cdevent is the data of a CDEvent, as spec 0.5 has it.
const cdevent = `{
  "context": {"specversion": "0.5.0", "id": "e1", "source": "/monitoring/prod", "type": "dev.cdevents.incident.detected.0.3.0", "timestamp": "2026-11-23T11:50:00Z"},
  "subject": {"id": "inc-1", "source": "/pager", "content": {
    "description": "slow", "environment": {"id": "production", "source": "/iaas"}, "service": {"id": "checkout"}, "artifactId": "pkg:oci/checkout@sha256%3A0b31"}},
  "customData": {"commit": "0123456"}, "customDataContentType": "application/json"
}`

// binary is the header of an event in binary mode.
func binary(kind string) http.Header {
	return http.Header{
		"Ce-Specversion": {"1.0"}, "Ce-Id": {"e1"}, "Ce-Source": {"/monitoring/prod"}, "Ce-Type": {kind},
		"Ce-Time": {"2026-11-23T11:45:00Z"}, "Content-Type": {"application/json"},
	}
}

// structured is an event in structured mode.
func structured(kind, data string) (http.Header, string) {
	return http.Header{"Content-Type": {"application/cloudevents+json; charset=utf-8"}},
		fmt.Sprintf(`{"specversion":"1.0","id":"e1","source":"dynatrace","type":%q,"datacontenttype":"application/json","data":%s}`, kind, data)
}

func TestCloudEventsAreRead(t *testing.T) {
	detected := incident.Report{
		At: "data", Name: directory.Name{App: "checkout", Environment: "production"}, Key: "/pager#inc-1",
		Source: "/pager", Summary: "slow", Commit: "0123456", StartedAt: at(-10),
	}
	upper := detected
	upper.Commit = "abcdef0"
	over := detected
	over.StartedAt, over.ResolvedAt = time.Time{}, at(-10)
	small := incident.Report{At: "data", Key: "/monitoring/prod#i", Source: "/monitoring/prod", Summary: "i", StartedAt: at(-15)}
	custom := small
	custom.StartedAt, custom.ResolvedAt = time.Time{}, at(-15)
	problem := incident.Report{
		At: "data", Name: directory.Name{App: "carts", Environment: "production"}, Key: "dynatrace#-42_V2",
		Source: "dynatrace", Summary: "Failure rate increase", StartedAt: at(0),
	}
	fixed := problem
	fixed.StartedAt, fixed.ResolvedAt = time.Time{}, at(0)
	open := `{"State":"OPEN","ProblemID":"42","PID":"-42_V2","ProblemTitle":"Failure rate increase","project":"sockshop","stage":"production","service":"carts"}`
	cases := map[string]struct {
		reason, mode, kind, data string
		want                     incident.Report
	}{
		"UpperCase":     {"Whoever copies a SHA may have it so.", "binary", "dev.cdevents.incident.detected.0.3.0", strings.Replace(cdevent, "0123456", "ABCDEF0", 1), upper},
		"Detected":      {"A monitor found it.", "binary", "dev.cdevents.incident.detected.0.3.0", cdevent, detected},
		"Structured":    {"The other mode says the same.", "structured", "dev.cdevents.incident.detected.0.3.0", cdevent, detected},
		"Reported":      {"Somebody wrote a ticket.", "binary", "dev.cdevents.incident.reported.0.2.0", cdevent, detected},
		"Resolved":      {"It is over since the event.", "binary", "dev.cdevents.incident.resolved.0.4.0-draft", cdevent, over},
		"Small":         {"What is missing the CloudEvent says.", "binary", "dev.cdevents.incident.detected.0.3.0", `{"subject":{"id":"i"}}`, small},
		"CustomText":    {"Custom data may be anything.", "binary", "dev.cdevents.incident.resolved.0.3.0", `{"subject":{"id":"i"},"customData":"x"}`, custom},
		"Problem":       {"Keptn's stage is the environment, and without a time it is now.", "structured", "sh.keptn.events.problem", open, problem},
		"ProblemOpen":   {"The type says it.", "structured", "sh.keptn.event.problem.open", strings.Replace(open, `"State":"OPEN",`, "", 1), problem},
		"ProblemSolved": {"The state says it.", "structured", "sh.keptn.events.problem", strings.Replace(open, "OPEN", "RESOLVED", 1), fixed},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			header, body := binary(tc.kind), tc.data
			if tc.mode == "structured" {
				header, body = structured(tc.kind, tc.data)
			}
			got, ignored, err := incident.FromCloudEvent(header, []byte(body), at(0))
			if diff := cmp.Diff([]incident.Report{tc.want}, got); diff != "" || err != nil || ignored != nil {
				t.Errorf("%s: %v, ignored %v (-want +got):\n%s", tc.reason, err, ignored, diff)
			}
		})
	}
}

func TestWhatKeptnSentIsIgnored(t *testing.T) {
	sent := event.OfIncident(event.Incident{ID: "uid/f@2026-11-23T11:50:00Z", Namespace: "shop", App: "checkout", Summary: "slow", StartedAt: at(-10)})
	relayed := sent.Clone()
	relayed.SetSource("https://broker.example.com")
	delivery := sent.Clone()
	delivery.SetType("sh.keptn.delivery.started")
	cases := map[string]struct {
		reason string
		event  cloudevents.Event
		at     string
	}{
		"Sent":     {"The broker hands it to all who listen.", sent, "source"},
		"Relayed":  {"One that says that it is its own is believed no more.", relayed, "data"},
		"Delivery": {"A broker that hands on everything hears of no mistake.", delivery, "source"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			body, err := json.Marshal(tc.event)
			if err != nil {
				t.Fatal(err)
			}
			got, ignored, err := incident.FromCloudEvent(http.Header{"Content-Type": {"application/cloudevents+json"}}, body, at(0))
			want := []incident.Ignored{{At: tc.at, Reason: "its source is keptn.sh: what Keptn tells of is not taken in again"}}
			if diff := cmp.Diff(want, ignored); diff != "" || err != nil || got != nil {
				t.Errorf("%s: %+v, %v (-want +got):\n%s", tc.reason, got, err, diff)
			}
		})
	}
}

func TestBadCloudEventsAreRefusedWithTheirPlace(t *testing.T) {
	const detected = "dev.cdevents.incident.detected.0.3.0"
	without := func(name string) http.Header {
		h := binary(detected)
		h.Del(name)
		return h
	}
	header := func(h http.Header, _ string) http.Header { return h }
	cases := map[string]struct {
		reason string
		header http.Header
		body   string
		want   string
	}{
		"Plain":   {"JSON alone is no event.", http.Header{"Content-Type": {"application/json"}}, cdevent, "not a CloudEvent"},
		"NoID":    {"The attribute is named.", without("Ce-Id"), cdevent, "not a CloudEvent: id: MUST be a non-empty string"},
		"NoType":  {"So is this.", without("Ce-Type"), cdevent, "not a CloudEvent: type: MUST be a non-empty string"},
		"Type":    {"What is understood is listed.", binary("dev.cdevents.service.deployed.0.3.0"), cdevent, `type "dev.cdevents.service.deployed.0.3.0": has to be dev.cdevents.incident.detected.*`},
		"Syntax":  {"The place in the data.", binary(detected), `{"subject":`, "data: byte 11: unexpected end of JSON input"},
		"Subject": {"An incident has a name.", binary(detected), `{"subject":{}}`, "data: subject.id: is missing"},
		"Commit":  {"A branch is no commit.", binary(detected), `{"subject":{"id":"i"},"customData":{"commit":"main"}}`, "data: customData.commit: has to be a SHA"},
		"Future":  {"It would be the newest for years.", binary(detected), strings.Replace(cdevent, "2026-11-23T11:50", "2027-11-23T11:50", 1), "time 2027-11-23T11:50:00Z: is in the future"},
		"Problem": {"A problem has a name.", binary("sh.keptn.events.problem"), `{"State":"OPEN"}`, "data: PID: is missing"},
		"State":   {"Its state is not known.", binary("sh.keptn.events.problem"), `{"PID":"1","State":"?"}`, `data: State "?": has to be OPEN`},
		"Body":    {"The event itself cannot be read.", header(structured(detected, "")), `{"specversion":`, "not a CloudEvent"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, _, err := incident.FromCloudEvent(tc.header, []byte(tc.body), at(0))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s\ngot %+v, %v\nwant %s", tc.reason, got, err, tc.want)
			}
		})
	}
}

// checked fails where what was read could not be kept.
func checked(t *testing.T, reports []incident.Report) {
	t.Helper()
	for _, r := range reports {
		all, id := incident.Merge(nil, r)
		if len(all) != 1 || id == "" || len(id) > 253 || len(all[0].Summary) > 1024 || len(all[0].Source) > 512 {
			t.Errorf("%+v cannot be kept: %+v", r, all)
		}
		if year := all[0].StartedAt.Year(); year < 2005 || year > 9899 {
			t.Errorf("%+v begins in %d", r, year)
		}
		if again, _ := incident.Merge(all, r); !cmp.Equal(again, all) {
			t.Errorf("%+v is not known again: %s", r, cmp.Diff(all, again))
		}
	}
}

func FuzzAlertmanager(f *testing.F) {
	for _, seed := range []string{webhook, one("", ""), one("firing", "resolved"), "", "[]", `{"version":"4","alerts":[{}]}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		reports, _, err := incident.FromAlertmanager([]byte(body), at(0))
		if err == nil {
			checked(t, reports)
		}
	})
}

func FuzzCloudEvent(f *testing.F) {
	f.Add("application/json", "dev.cdevents.incident.detected.0.3.0", cdevent)
	f.Add("application/json", "dev.cdevents.incident.resolved.0.3.0", `{"subject":{"id":"i"}}`)
	f.Add("application/json", "sh.keptn.events.problem", `{"PID":"1","State":"OPEN"}`)
	_, body := structured("dev.cdevents.incident.detected.0.3.0", cdevent)
	f.Add("application/cloudevents+json", "", body)
	f.Add("application/cloudevents-batch+json", "", "["+body+"]")
	f.Fuzz(func(t *testing.T, contentType, kind, body string) {
		header := binary(kind)
		header.Set("Content-Type", contentType)
		reports, _, err := incident.FromCloudEvent(header, []byte(body), at(0))
		if err == nil {
			checked(t, reports)
		}
	})
}

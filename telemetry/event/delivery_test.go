package event_test

import (
	"encoding/json"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry/event"
	"github.com/keptn/gitops/telemetry/record"
	"github.com/keptn/gitops/telemetry/recordtest"
)

// traceparent of the delivery.
const traceparent = "00-90cbb52ec3cd5f5364882cbc4a44cb70-3c05e127e7c2413b-01"

// eventsOf are the events of a change of the record of an app's delivery.
func eventsOf(before, after *lifecyclev1.KeptnAppVersion) []cloudevents.Event {
	return event.OfDelivery(record.OfApp(before), record.OfApp(after))
}

// running is Delivered before its end.
func running() *lifecyclev1.KeptnAppVersion {
	kav := recordtest.Delivered()
	kav.Status.EndTime.Reset()
	return kav
}

// said is what a test compares of an event.
type said struct {
	Type, ID string
	Time     time.Time
}

func saidBy(events []cloudevents.Event) []said {
	var out []said
	for _, e := range events {
		out = append(out, said{e.Type(), e.ID(), e.Time()})
	}
	return out
}

var (
	started        = said{event.DeliveryStartedType, recordtest.UID + "/started", recordtest.At(0).Time}
	rolledOut      = said{event.PhaseFinishedType, recordtest.UID + "/AppDeploy/Succeeded", recordtest.At(30).Time}
	rolloutFailed  = said{event.PhaseFinishedType, recordtest.UID + "/AppDeploy/Failed", recordtest.At(30).Time}
	soaked         = said{event.PhaseFinishedType, recordtest.UID + "/AppSoak/Succeeded", recordtest.At(90).Time}
	evaluated      = said{event.PhaseFinishedType, recordtest.UID + "/AppPostDeployEvaluations/Warning", recordtest.At(100).Time}
	succeeded      = said{event.DeliveryFinishedType, recordtest.UID + "/finished/Succeeded", recordtest.At(100).Time}
	deliveryFailed = said{event.DeliveryFinishedType, recordtest.UID + "/finished/Failed", recordtest.At(30).Time}
)

// retried is what is said of the second attempt.
var retried = []said{
	{event.DeliveryStartedType, recordtest.UID + "/retry-1/started", recordtest.At(200).Time},
	{event.PhaseFinishedType, recordtest.UID + "/retry-1/AppDeploy/Succeeded", recordtest.At(230).Time},
	{event.PhaseFinishedType, recordtest.UID + "/retry-1/AppSoak/Succeeded", recordtest.At(290).Time},
	{event.PhaseFinishedType, recordtest.UID + "/retry-1/AppPostDeployEvaluations/Warning", recordtest.At(300).Time},
	{event.DeliveryFinishedType, recordtest.UID + "/retry-1/finished/Succeeded", recordtest.At(300).Time},
}

// story is a delivery's record at every step of its life, first to last.
func story() []*lifecyclev1.KeptnAppVersion {
	step := func(change func(*lifecyclev1.KeptnAppVersionStatus)) *lifecyclev1.KeptnAppVersion {
		kav := running()
		kav.Status.Status, kav.Status.LeadTime = lifecyclev1.StateProgressing, nil
		change(&kav.Status)
		return kav
	}
	running := func(p lifecyclev1.PhaseRecord) lifecyclev1.PhaseRecord {
		p.State, p.EndTime = lifecyclev1.StateProgressing, nil
		return p
	}
	return []*lifecyclev1.KeptnAppVersion{
		step(func(s *lifecyclev1.KeptnAppVersionStatus) { s.StartTime, s.Phases = metav1.Time{}, nil }),
		step(func(s *lifecyclev1.KeptnAppVersionStatus) { s.Phases = []lifecyclev1.PhaseRecord{running(s.Phases[0])} }),
		step(func(s *lifecyclev1.KeptnAppVersionStatus) {
			s.Phases = []lifecyclev1.PhaseRecord{s.Phases[0], running(s.Phases[1])}
		}),
		step(func(s *lifecyclev1.KeptnAppVersionStatus) { s.Phases[2] = running(s.Phases[2]) }),
		recordtest.Delivered(),
	}
}

func TestEventsSayWhatChangedInTheRecord(t *testing.T) {
	s := story()
	cases := map[string]struct {
		reason        string
		before, after *lifecyclev1.KeptnAppVersion
		want          []said
	}{
		"Created":    {"A record alone is no delivery yet.", nil, s[0], nil},
		"Started":    {"Its start is the first thing to say.", s[0], s[1], []said{started}},
		"Unchanged":  {"A reconcile that changes nothing says nothing.", s[1], s[1], nil},
		"RolledOut":  {"A phase finished, and the next has begun.", s[1], s[2], []said{rolledOut}},
		"Finished":   {"The last phase and the delivery finish at once, the phase first.", s[3], s[4], []said{evaluated, succeeded}},
		"Ended":      {"What has ended does not end again.", s[4], s[4], nil},
		"LateEnd":    {"A phase is over once it has an end, not only a result.", endless(s[2]), s[2], []said{rolledOut}},
		"Leap":       {"Steps that were not seen are still told, in order.", s[0], s[3], []said{started, rolledOut, soaked}},
		"WholeStory": {"Nothing is known of it, so all is news.", nil, s[4], []said{started, rolledOut, soaked, evaluated, succeeded}},
		"Failed":     {"A phase that never ran did not finish.", s[1], recordtest.Failed(), []said{rolloutFailed, deliveryFailed}},
		"GivenUp":    {"Of what had ended nothing more is told.", s[4], recordtest.Deprecated(), nil},
		"Retried":    {"What is retried starts, and ends, again: as another attempt.", recordtest.Failed(), recordtest.Retried(), retried},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, saidBy(eventsOf(tc.before, tc.after))); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// endless takes the end of the first phase away.
func endless(kav *lifecyclev1.KeptnAppVersion) *lifecyclev1.KeptnAppVersion {
	kav = kav.DeepCopy()
	kav.Status.Phases[0].EndTime = nil
	return kav
}

func TestStepByStepOrAtOnceTheEventsAreTheSame(t *testing.T) {
	s := story()
	var steps []cloudevents.Event
	for i := 1; i < len(s); i++ {
		steps = append(steps, eventsOf(s[i-1], s[i])...)
	}
	if diff := cmp.Diff(saidBy(eventsOf(nil, s[len(s)-1])), saidBy(steps)); diff != "" {
		t.Errorf("-at once +step by step:\n%s", diff)
	}
}

func TestEventsAreValidCloudEventsOfTheDelivery(t *testing.T) {
	for _, e := range eventsOf(nil, recordtest.Delivered()) {
		if err := e.Validate(); err != nil {
			t.Errorf("%s is not valid: %v", e.ID(), err)
		}
		got := map[string]any{
			"specversion": e.SpecVersion(), "source": e.Source(), "subject": e.Subject(),
			"datacontenttype": e.DataContentType(), "extensions": e.Extensions(),
		}
		want := map[string]any{
			"specversion": "1.0", "source": "keptn.sh", "subject": "shop/checkout-4b825dc-1a2b3c4d",
			"datacontenttype": "application/json",
			"extensions":      map[string]any{"traceparent": traceparent},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s, -want +got:\n%s", e.ID(), diff)
		}
	}
}

func TestTheDataOfAnEventSaysWhatWhereAndWhy(t *testing.T) {
	annotated := recordtest.Failed()
	annotated.Spec.Commit, annotated.Spec.Environment = nil, ""
	const common = `"app": "checkout", "namespace": "shop", "delivery": "checkout-4b825dc-1a2b3c4d", "version": "4b825dc"`
	const fromGit = common + `, "environment": "production", "commit": "` + recordtest.SHA + `", "repository": "https://git.example.com/acme/shop.git"`
	const verdicts = `[{"policy": "checkout-slo", "evaluation": "post-eval-checkout-slo-1", "state": "Warning"}]`
	cases := map[string]struct {
		reason string
		kav    *lifecyclev1.KeptnAppVersion
		event  string
		want   string
	}{
		"Started": {
			"A start is a start, also when it is told after the end.",
			recordtest.Delivered(), started.ID,
			`{` + fromGit + `, "state": "Progressing"}`,
		},
		"Phase": {
			"A phase without policies has no verdicts.",
			recordtest.Delivered(), rolledOut.ID,
			`{` + fromGit + `, "phase": "AppDeploy", "state": "Succeeded", "reason": "Succeeded", "message": "3 of 3 replicas run 4b825dc"}`,
		},
		"Evaluated": {
			"A phase that evaluates tells each verdict.",
			recordtest.Delivered(), evaluated.ID,
			`{` + fromGit + `, "phase": "AppPostDeployEvaluations", "state": "Warning", "reason": "Warning", "message": "error ratio 0.7 %", "verdicts": ` + verdicts + `}`,
		},
		"Succeeded": {
			"The end of a success tells the lead time.",
			recordtest.Delivered(), succeeded.ID,
			`{` + fromGit + `, "state": "Succeeded", "reason": "Warning", "message": "error ratio 0.7 %", "verdicts": ` + verdicts + `, "leadTimeSeconds": 1500}`,
		},
		"Failed": {
			"The end of a failure tells what failed; an annotated app has no commit.",
			annotated, deliveryFailed.ID,
			`{` + common + `, "state": "Failed", "reason": "Failed", "message": "1 of 3 replicas available after 5m"}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for _, e := range eventsOf(nil, tc.kav) {
				if e.ID() != tc.event {
					continue
				}
				if diff := cmp.Diff(decode(t, []byte(tc.want)), decode(t, e.Data())); diff != "" {
					t.Errorf("%s\n-want +got:\n%s", tc.reason, diff)
				}
				return
			}
			t.Errorf("no event %s", tc.event)
		})
	}
}

func decode(t *testing.T, data []byte) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return v
}

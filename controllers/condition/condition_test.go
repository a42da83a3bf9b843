package condition_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/condition"
)

func newSource() *gitopsv1alpha1.GitSource {
	s := &gitopsv1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Name: "shop", Generation: 3}}
	s.Status.ObservedGeneration = 3
	return s
}

func TestKstatusReadsTheOutcome(t *testing.T) {
	cases := map[string]struct {
		reason  string
		outcome condition.Outcome
		want    status.Status
	}{
		"Ready":   {"It is as it should be.", condition.Ready("Succeeded", "fine"), status.CurrentStatus},
		"Waiting": {"Something is under way.", condition.Waiting("Progressing", "a moment"), status.InProgressStatus},
		"Failed":  {"Only a person can help.", condition.Failed("Invalid", "mend it"), status.FailedStatus},
	}
	before := map[string]condition.Outcome{
		"after nothing": {}, "after success": condition.Ready("R", ""), "after waiting": condition.Waiting("W", ""), "after failure": condition.Failed("F", ""),
	}
	for name, tc := range cases {
		for when, first := range before {
			t.Run(name+" "+when, func(t *testing.T) {
				s := newSource()
				if first.Status != "" {
					condition.Summarize(s, first)
				}
				condition.Summarize(s, tc.outcome)
				content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(s)
				if err != nil {
					t.Fatal(err)
				}
				u := &unstructured.Unstructured{Object: content}
				u.SetGroupVersionKind(gitopsv1alpha1.GroupVersion.WithKind(gitopsv1alpha1.GitSourceKind))
				got, err := status.Compute(u)
				if err != nil || got.Status != tc.want {
					t.Errorf("%s\ngot %v, %v, want %s", tc.reason, got, err, tc.want)
				}
				if c := condition.Of(s, meta.ReadyCondition); c.ObservedGeneration != 3 || c.Message != tc.outcome.Message {
					t.Errorf("%s\ncondition: %+v", tc.reason, c)
				}
			})
		}
	}
}

func TestEventsTellOfChangesAlone(t *testing.T) {
	cond := func(conditionType, s, reason string) metav1.Condition {
		return metav1.Condition{Type: conditionType, Status: metav1.ConditionStatus(s), Reason: reason}
	}
	type list = []metav1.Condition
	cases := map[string]struct {
		reason        string
		before, after list
		want          []string
	}{
		"Nothing":    {"Nothing changed.", list{cond("Ready", "True", "A")}, list{cond("Ready", "True", "A")}, nil},
		"New":        {"A first verdict is news.", nil, list{cond("Ready", "True", "A")}, []string{"Normal Ready A"}},
		"Reason":     {"So is another reason.", list{cond("Ready", "False", "A")}, list{cond("Ready", "False", "B")}, []string{"Warning Ready B"}},
		"Repetition": {"Reconciling and Stalled say the same as Ready.", nil, list{cond("Reconciling", "True", "A"), cond("Stalled", "True", "A")}, nil},
		"OtherGood":  {"That another condition is good from the beginning is no news.", nil, list{cond("Reported", "True", "A")}, nil},
		"OtherBad":   {"That it turns bad is.", list{cond("Reported", "Unknown", "A")}, list{cond("Reported", "False", "B")}, []string{"Warning Reported B"}},
		"OtherHeals": {"And that it is good again.", list{cond("Reported", "False", "B")}, list{cond("Reported", "True", "A")}, []string{"Normal Reported A"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, c := range condition.Changes(tc.before, tc.after) {
				got = append(got, c.EventType()+" "+c.Type+" "+c.Reason)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAMessageIsCutToWhatTheServerTakes(t *testing.T) {
	s := newSource()
	condition.Summarize(s, condition.Failed("Long", "%s", strings.Repeat("ä", 40_000)))
	got := condition.Of(s, meta.ReadyCondition).Message
	if len(got) > 32768 || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
		t.Errorf("got %d bytes that end in %q", len(got), got[len(got)-8:])
	}
}

func TestANoteFitsIntoAnEvent(t *testing.T) {
	if got := condition.Note("short"); got != "short" {
		t.Errorf("a short note became %q", got)
	}
	got := condition.Note(strings.Repeat("ä", 1000))
	if len(got) > 1024 || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
		t.Errorf("a long note became %d bytes, valid: %v", len(got), utf8.ValidString(got))
	}
}

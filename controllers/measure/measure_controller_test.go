package measure_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/measure"
)

func TestAnAppIsMeasuredAgainWhenSomethingOfItsMetricsChanged(t *testing.T) {
	at := func(n int) *metav1.Time { return &metav1.Time{Time: minute(n)} }
	reported := func() *gitopsv1alpha1.Lifecycle {
		lc := &gitopsv1alpha1.Lifecycle{}
		lc.Generation, lc.Status.ObservedRevision = 1, "main@sha1:"+sha("a")
		lc.Status.Incidents = []gitopsv1alpha1.Incident{{ID: "slow", StartedAt: *at(1), ResolvedAt: at(2)}}
		return lc
	}
	cases := map[string]struct {
		reason string
		change func(before, after *gitopsv1alpha1.Lifecycle)
		want   bool
	}{
		"Nothing":  {"What is the same is not measured again.", func(_, _ *gitopsv1alpha1.Lifecycle) {}, false},
		"Spec":     {"Lead times may begin elsewhere.", func(_, after *gitopsv1alpha1.Lifecycle) { after.Generation++ }, true},
		"First":    {"Before its commits are known nothing can be measured.", func(before, _ *gitopsv1alpha1.Lifecycle) { before.Status.ObservedRevision = "" }, true},
		"Commit":   {"A commit that is not deployed changes no metric.", func(_, after *gitopsv1alpha1.Lifecycle) { after.Status.ObservedRevision = "main@sha1:" + sha("b") }, false},
		"Reported": {"What commits were told is no concern.", func(_, after *gitopsv1alpha1.Lifecycle) { after.Status.Reported = []gitopsv1alpha1.ReportedStatus{{}} }, false},
		"Measured": {"Nor is what was just measured.", func(_, after *gitopsv1alpha1.Lifecycle) { after.Status.DORA = &gitopsv1alpha1.DORAMetrics{} }, false},
		"Incident": {"An incident fails a deployment.", func(before, _ *gitopsv1alpha1.Lifecycle) { before.Status.Incidents = nil }, true},
		"Over":     {"Its end is a recovery.", func(before, _ *gitopsv1alpha1.Lifecycle) { before.Status.Incidents[0].ResolvedAt = nil }, true},
		"Earlier":  {"Its beginning may be corrected.", func(_, after *gitopsv1alpha1.Lifecycle) { after.Status.Incidents[0].StartedAt = *at(0) }, true},
		"Blamed":   {"It may be blamed on another commit.", func(_, after *gitopsv1alpha1.Lifecycle) { after.Status.Incidents[0].Commit = sha("a") }, true},
		"Said":     {"How it is called matters to people alone.", func(_, after *gitopsv1alpha1.Lifecycle) { after.Status.Incidents[0].Summary = "Slow" }, false},
		"SameTime": {"A time is the same in every zone.", func(_, after *gitopsv1alpha1.Lifecycle) {
			after.Status.Incidents[0].StartedAt.Time = minute(1).In(time.FixedZone("", 3600))
		}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before, after := reported(), reported()
			tc.change(before, after)
			if got := measure.Measured().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != tc.want {
				t.Errorf("%s\nit is measured again: %t", tc.reason, got)
			}
		})
	}
	if !measure.Measured().Create(event.CreateEvent{Object: reported()}) {
		t.Error("an app that was just found is not measured")
	}
}

func TestOnlyDeliveriesThatHaveEndedAreMeasured(t *testing.T) {
	for state, want := range map[lifecyclev1.KeptnState]bool{
		"": false, lifecyclev1.StatePending: false, lifecyclev1.StateProgressing: false,
		ok: true, failed: true, warning: true, unknown: true, deprecated: true,
	} {
		kav := delivery(state)
		if got := measure.Ended().Update(event.UpdateEvent{ObjectOld: delivery(""), ObjectNew: kav}); got != want {
			t.Errorf("one that is %q is measured: %t", state, got)
		}
	}
}

package delivery

import (
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// settle is how long a phase runs before the record tells how it goes on: most end
// sooner, and a write each time that a pod gets ready would be most of all writes.
const settle = 10 * time.Second

// putOff says after which time a record is to be written; zero is at once. Only one that
// tells nothing but how something goes on has time.
func putOff(goesOn bool, d *lifecyclev1.Delivery, created metav1.Time, now time.Time) time.Duration {
	if !goesOn {
		return 0
	}
	since := created.Time
	if rec := d.Phase(d.CurrentPhase); rec != nil && rec.StartTime != nil {
		since = rec.StartTime.Time
	}
	return max(0, settle-now.Sub(since))
}

// sooner is the earlier of two times to look again, of which zero is never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b < a {
		return b
	}
	return a
}

// appGoesOn says whether a record of an app's delivery differs from the one before only
// in how something goes on.
func appGoesOn(before, after *lifecyclev1.KeptnAppVersion) bool {
	return !equality.Semantic.DeepEqual(before.Status, after.Status) &&
		equality.Semantic.DeepEqual(essence(&before.Status), essence(&after.Status))
}

// workloadGoesOn is appGoesOn for a workload's delivery, for which it is news as well
// that its app failed.
func workloadGoesOn(before, after *lifecyclev1.KeptnWorkloadVersion) bool {
	if equality.Semantic.DeepEqual(before.Status, after.Status) || says(before, reasonAppFailed) != says(after, reasonAppFailed) {
		return false
	}
	b, a := before.Status.DeepCopy(), after.Status.DeepCopy()
	quieten(&b.Delivery, b.Fields)
	quieten(&a.Delivery, a.Fields)
	return equality.Semantic.DeepEqual(b, a)
}

func essence(s *lifecyclev1.KeptnAppVersionStatus) *lifecyclev1.KeptnAppVersionStatus {
	quiet := s.DeepCopy()
	quieten(&quiet.Delivery, quiet.Fields)
	for i := range quiet.WorkloadStatus {
		if w := &quiet.WorkloadStatus[i]; !w.Status.Completed() {
			w.Status = ""
		}
	}
	if len(quiet.WorkloadStatus) > 0 && !anyEnded(quiet.WorkloadStatus) {
		quiet.WorkloadStatus = nil
	}
	return quiet
}

func anyEnded(statuses []lifecyclev1.WorkloadStatus) bool {
	for _, s := range statuses {
		if s.Status.Completed() {
			return true
		}
	}
	return false
}

// quieten leaves out how things go on that have not ended.
func quieten(d *lifecyclev1.Delivery, fields func(lifecyclev1.Phase) (*lifecyclev1.KeptnState, *[]lifecyclev1.ItemStatus)) {
	for i := range d.Phases {
		rec := &d.Phases[i]
		if !rec.State.Completed() {
			rec.Reason, rec.Message = "", ""
		}
		if _, items := fields(rec.Name); items != nil {
			quietenItems(*items)
		}
	}
	if !d.Status.Completed() {
		d.Conditions, d.ObservedGeneration = nil, 0
	}
	if !begun(d) {
		d.StartTime = metav1.Time{}
	}
}

func quietenItems(items []lifecyclev1.ItemStatus) {
	for i := range items {
		if item := &items[i]; !item.Status.Completed() {
			item.Status, item.StartTime = "", metav1.Time{}
		}
	}
}

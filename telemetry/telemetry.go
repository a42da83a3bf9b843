package telemetry

import (
	"k8s.io/apimachinery/pkg/types"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry/record"
)

// Traceparent is the W3C trace context of the first attempt at a delivery that has no
// trace parent in its spec: the traceparent header value that names the root span of its
// trace. It follows from the UID of the delivery's record alone, see
// [record.Delivery.Traceparent], which knows of attempts and parents as well.
func Traceparent(delivery types.UID) string {
	return of(delivery).Traceparent()
}

// PhaseTraceparent is [Traceparent] for the span of the first run of a phase.
func PhaseTraceparent(delivery types.UID, phase lifecyclev1.Phase) string {
	return of(delivery).PhaseTraceparent(phase)
}

func of(delivery types.UID) record.Delivery {
	return record.Delivery{UID: delivery, Progress: &lifecyclev1.Delivery{}}
}

// AppNeedsFacts says whether it takes the tasks and evaluations of an app's delivery to
// tell of a change of its record.
func AppNeedsFacts(before, after *lifecyclev1.KeptnAppVersion) bool {
	return record.NeedsFacts(record.OfApp(before), record.OfApp(after))
}

// WorkloadNeedsFacts is [AppNeedsFacts] for a workload's delivery.
func WorkloadNeedsFacts(before, after *lifecyclev1.KeptnWorkloadVersion) bool {
	return record.NeedsFacts(record.OfWorkload(before, nil), record.OfWorkload(after, nil))
}

// Ended says whether a delivery ended, or a further attempt at it, between two records
// of it.
func Ended(before, after *lifecyclev1.KeptnAppVersion) bool {
	return record.Ended(record.OfApp(before), record.OfApp(after))
}

package delivery

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/keptn/gitops/controllers/workload"
)

// heldUp says whether the rollout of a Deployment got stuck while its pods were not
// let go yet: that says nothing of the revision. It was made before, and released
// when its pods were let go.
func heldUp(w *workload.Workload, made, released time.Time) bool {
	d, ok := w.Object.(*appsv1.Deployment)
	if !ok || w.Status != status.FailedStatus {
		return false
	}
	return slices.ContainsFunc(d.Status.Conditions, func(c appsv1.DeploymentCondition) bool {
		at := c.LastTransitionTime.Time
		return c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse && !at.Before(made) && at.Before(released)
	})
}

func count(n int32, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}

package delivery

import (
	"time"

	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/workload"
)

// rolledOut decides from what was seen. It reads no clock and no cluster; left
// is the time that the rollout still has.
func rolledOut(spec lifecyclev1.KeptnAppVersionSpec, live []*workload.Workload, left time.Duration) phase.Outcome {
	var pods int32
	var waiting []phase.Outcome
	for i, w := range live {
		name := spec.Workloads[i].Kind + " " + spec.Workloads[i].Name
		switch o := settled(name, w, spec.Workloads[i].TemplateHash); o.State {
		case lifecyclev1.StateSucceeded:
			pods += w.Replicas
		case lifecyclev1.StateFailed:
			return o
		default:
			waiting = append(waiting, o)
		}
	}
	switch {
	case len(waiting) == 0:
		return phase.Pass("%s %s", count(pods, "pod runs", "pods run"), spec.Version)
	case left <= 0:
		return phase.Fail(phase.Timeout, "%s when the time for the rollout was over", waiting[0].Message)
	default:
		return waiting[0].In(left)
	}
}

// settled decides for one workload.
func settled(name string, w *workload.Workload, hash string) phase.Outcome {
	switch {
	case w == nil:
		return phase.Wait(phase.Waiting, "%s does not exist", name)
	case hash == "":
		return phase.Wait(phase.Waiting, "%s does not have the commit's pod template", name)
	case w.Status == status.FailedStatus:
		return phase.Fail(phase.Failed, "%s: %s", name, w.Message)
	case w.Status != status.CurrentStatus:
		return phase.Wait(phase.Progressing, "%s: %s", name, w.Message)
	default:
		return phase.Pass("")
	}
}

package measure

import (
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/dora"
)

// windows are the spans that are summed up, in days.
func windows() []int32 { return []int32{7, 30, 90} }

// summary is the metrics of an app, of which all services are, and of the code that was
// built for it.
func summary(services []dora.Service, built *dora.Service, now time.Time) *gitopsv1alpha1.DORAMetrics {
	all := &gitopsv1alpha1.DORAMetrics{}
	for _, days := range windows() {
		span := min(time.Duration(days)*dora.Day, recordedFor(services, now))
		w := gitopsv1alpha1.DORAWindow{Days: days, DeploymentsPerDay: "0"}
		for i := range services {
			m := services[i].Metrics(dora.Window{End: now, Length: span})
			w = window(days, &m)
		}
		code := built.Metrics(dora.Window{End: now, Length: span}).LeadTime
		w.CodeLeadTimes = int32(min(code.Count, maxCounted)) //nolint:gosec // bounded
		w.CodeLeadTimeP50, w.CodeLeadTimeP90 = duration(code.P50Seconds), duration(code.P90Seconds)
		all.Windows = append(all.Windows, w)
	}
	return all
}

// recordedFor is how far back the record is complete: of an app with more deployments than
// are kept no further than these reach.
func recordedFor(services []dora.Service, now time.Time) time.Duration {
	kept, oldest := 0, now
	for i := range services {
		kept += len(services[i].Outcomes)
		for _, o := range services[i].Outcomes {
			if o.FinishedAt.Before(oldest) {
				oldest = o.FinishedAt
			}
		}
	}
	if kept < maxDeployments {
		return keptFor
	}
	return now.Sub(oldest)
}

func window(days int32, m *dora.Metrics) gitopsv1alpha1.DORAWindow {
	return gitopsv1alpha1.DORAWindow{
		Days:              days,
		Deployments:       int32(m.Deployments),       //nolint:gosec // of a record that is bounded
		FailedDeployments: int32(m.FailedDeployments), //nolint:gosec // of a record that is bounded
		DeploymentsPerDay: decimal(&m.DeploymentsPerDay),
		LeadTimes:         int32(min(m.LeadTime.Count, maxCounted)),   //nolint:gosec // bounded
		InvalidLeadTimes:  int32(min(m.LeadTime.Invalid, maxCounted)), //nolint:gosec // bounded
		LeadTimeP50:       duration(m.LeadTime.P50Seconds),
		LeadTimeP90:       duration(m.LeadTime.P90Seconds),
		ChangeFailRate:    decimal(m.ChangeFailRate),
		Recoveries:        int32(m.Recovery.Count), //nolint:gosec // of a record that is bounded
		RecoveryP50:       duration(m.Recovery.P50Seconds),
		ReworkRate:        decimal(m.ReworkRate),
	}
}

// decimal writes a number with four digits after the point at most; empty where there is
// none.
func decimal(x *float64) string {
	if x == nil {
		return ""
	}
	rounded, _ := strconv.ParseFloat(strconv.FormatFloat(*x, 'f', 4, 64), 64) // it was just written
	return strconv.FormatFloat(rounded, 'f', -1, 64)
}

// longest is the longest time that a status can hold.
const longest = 1_000_000 * time.Hour

// duration is a time in whole seconds, the longest where it is longer; nil where there is
// none.
func duration(seconds *float64) *metav1.Duration {
	if seconds == nil {
		return nil
	}
	bounded := min(*seconds, longest.Seconds())
	return &metav1.Duration{Duration: time.Duration(bounded * float64(time.Second)).Round(time.Second)}
}

// nextChange is the time until a deployment leaves one of the windows, or enters them
// since the clock of another cluster was ahead, which changes the metrics although nothing
// happens; zero where none will.
func nextChange(deployments []dora.Deployment, now time.Time) time.Duration {
	var next time.Duration
	for _, d := range deployments {
		for _, days := range append(windows(), 0) {
			left := d.FinishedAt.Add(time.Duration(days) * dora.Day).Sub(now)
			if left > 0 && (next == 0 || left < next) {
				next = left
			}
		}
	}
	if next == 0 {
		return 0
	}
	return next + time.Second
}

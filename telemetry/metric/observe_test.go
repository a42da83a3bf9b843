package metric_test

import (
	"context"
	"errors"
	"math"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry/metric"
	"github.com/keptn/gitops/telemetry/recordtest"
)

// a run is a delivery of an app from a start to an end in seconds; no end where that is 0.
func run(namespace, app, version, previous string, start, end int) lifecyclev1.KeptnAppVersion {
	kav := lifecyclev1.KeptnAppVersion{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: app + "-" + version, UID: types.UID(namespace + app + version + recordtest.At(start).String())},
		Spec:       lifecyclev1.KeptnAppVersionSpec{AppName: app, Version: version, PreviousVersion: previous},
	}
	kav.Status.StartTime = recordtest.At(start)
	if end > 0 {
		kav.Status.EndTime = recordtest.At(end)
	}
	return kav
}

// showing shows records.
func showing(r metric.Records) metric.Sources {
	return metric.Sources{Records: func(context.Context) (metric.Records, error) { return r, nil }}
}

func TestIntervalsAreFromTheExactPredecessorInTheNamespace(t *testing.T) {
	metrics, registry := newMetrics(t)
	metrics.Observe(showing(metric.Records{Apps: []lifecyclev1.KeptnAppVersion{
		run("shop", "cart", "2", "1", 500, 560), // after the later of the two deliveries of 1
		run("shop", "cart", "1", "", 300, 330),
		run("shop", "cart", "1", "", 100, 130),
		run("shop", "cart", "1", "", 510, 520),  // delivered again meanwhile
		run("shop", "cart", "10", "", 350, 380), // whose name begins as that of 1
		run("shop", "cart-extra", "1", "", 400, 410),
		run("blog", "cart", "1", "", 450, 460),  // of another namespace
		run("blog", "cart", "2", "1", 500, 0),   // under way
		run("shop", "mail", "2", "1", 500, 520), // whose predecessor is gone
		run("shop", "news", "2", "1", 500, 520), // whose predecessor never ended
		run("shop", "news", "1", "", 400, 0),
	}}))
	const cart = `{keptn_deployment_app_name="cart",keptn_deployment_app_namespace="shop",keptn_deployment_app_previousversion="1",keptn_deployment_app_version="2",SCOPE}`
	expect(t, registry, `
# HELP keptn_app_deploymentinterval Seconds from the end of the previous version's delivery to the end of this one's
# TYPE keptn_app_deploymentinterval gauge
keptn_app_deploymentinterval`+cart+` 230
`, "keptn_app_deploymentinterval")
}

func TestGaugesFollowTheObjects(t *testing.T) {
	metrics, registry := newMetrics(t)
	workload, task, evaluation := recordtest.Workload(), recordtest.Task(), recordtest.Evaluation()
	previous := workload.DeepCopy()
	previous.UID, previous.Spec.Version, previous.Spec.PreviousVersion = "previous", "1.1", ""
	previous.Status.StartTime, previous.Status.EndTime = recordtest.At(-100), recordtest.At(-40)
	evaluation.Status.OverallStatus = lifecyclev1.StateProgressing
	metrics.Observe(showing(metric.Records{
		Apps:      []lifecyclev1.KeptnAppVersion{run("shop", "cart", "1", "", 0, 0), run("shop", "mail", "1", "", 0, 7), run("shop", "mail", "1", "", 10, 0)},
		Workloads: []lifecyclev1.KeptnWorkloadVersion{*workload, *previous},
		Tasks:     []lifecyclev1.KeptnTask{task}, Evaluations: []lifecyclev1.KeptnEvaluation{evaluation},
	}))
	const of = `{keptn_deployment_app_name="checkout",`
	expect(t, registry, `
# HELP keptn_app_active 1 while the delivery of the app is under way, else 0
# TYPE keptn_app_active gauge
keptn_app_active{keptn_deployment_app_name="cart",keptn_deployment_app_namespace="shop",keptn_deployment_app_version="1",SCOPE} 1
keptn_app_active{keptn_deployment_app_name="mail",keptn_deployment_app_namespace="shop",keptn_deployment_app_version="1",SCOPE} 1
# HELP keptn_deployment_active 1 while the delivery of the workload is under way, else 0
# TYPE keptn_deployment_active gauge
keptn_deployment_active`+of+`keptn_deployment_workload_name="checkout-web",keptn_deployment_workload_namespace="shop",keptn_deployment_workload_version="1.1",SCOPE} 0
keptn_deployment_active`+of+`keptn_deployment_workload_name="checkout-web",keptn_deployment_workload_namespace="shop",keptn_deployment_workload_version="1.2",SCOPE} 0
# HELP keptn_deployment_deploymentduration Seconds that the delivery of the workload took
# TYPE keptn_deployment_deploymentduration gauge
keptn_deployment_deploymentduration`+of+`keptn_deployment_workload_name="checkout-web",keptn_deployment_workload_namespace="shop",keptn_deployment_workload_previousversion="",keptn_deployment_workload_version="1.1",SCOPE} 60
keptn_deployment_deploymentduration`+of+`keptn_deployment_workload_name="checkout-web",keptn_deployment_workload_namespace="shop",keptn_deployment_workload_previousversion="1.1",keptn_deployment_workload_version="1.2",SCOPE} 25
# HELP keptn_deployment_deploymentinterval Seconds from the end of the previous version's delivery to the end of this one's
# TYPE keptn_deployment_deploymentinterval gauge
keptn_deployment_deploymentinterval`+of+`keptn_deployment_workload_name="checkout-web",keptn_deployment_workload_namespace="shop",keptn_deployment_workload_previousversion="1.1",keptn_deployment_workload_version="1.2",SCOPE} 65
# HELP keptn_evaluation_active 1 while the evaluation is under way, else 0
# TYPE keptn_evaluation_active gauge
keptn_evaluation_active`+of+`keptn_deployment_app_namespace="shop",keptn_deployment_app_version="4b825dc",keptn_deployment_evaluation_name="post-eval-checkout-slo-1",keptn_deployment_evaluation_type="post-eval",keptn_deployment_workload_name="",keptn_deployment_workload_version="",SCOPE} 1
# HELP keptn_task_active 1 while the task is under way, else 0
# TYPE keptn_task_active gauge
keptn_task_active`+of+`keptn_deployment_app_namespace="shop",keptn_deployment_app_version="",keptn_deployment_task_name="pre-migrate-1",keptn_deployment_task_type="pre",keptn_deployment_workload_name="checkout-web",keptn_deployment_workload_version="1.2",SCOPE} 0
`, "keptn_app_active", "keptn_deployment_active", "keptn_task_active", "keptn_evaluation_active",
		"keptn_deployment_deploymentduration", "keptn_deployment_deploymentinterval")

	metrics.Observe(showing(metric.Records{}))
	expect(t, registry, "", "keptn_app_active", "keptn_deployment_active", "keptn_task_active", "keptn_evaluation_active", "keptn_deployment_deploymentduration")
}

func TestTheDORAMetricsShowAsTheyWereComputed(t *testing.T) {
	metrics, registry := newMetrics(t)
	metrics.Observe(metric.Sources{DORA: func(context.Context) ([]metric.DORA, error) {
		return []metric.DORA{{
			App: "cart", Namespace: "shop", Environment: "production", Window: "30d",
			Deployments: 12, DeploymentsPerDay: 0.4, LeadTimeP50: 3600, LeadTimeP90: 7200,
			ChangeFailRate: 0.25, ReworkRate: 0, Recovery: math.NaN(),
		}}, nil
	}})
	const of = `{deployment_environment_name="production",keptn_deployment_app_name="cart",keptn_deployment_app_namespace="shop",keptn_dora_window="30d",SCOPE`
	expect(t, registry, `
# HELP keptn_dora_change_fail_rate Share of deployments that failed, 0 to 1
# TYPE keptn_dora_change_fail_rate gauge
keptn_dora_change_fail_rate`+of+`} 0.25
# HELP keptn_dora_deployment_frequency_per_day Deployments per day
# TYPE keptn_dora_deployment_frequency_per_day gauge
keptn_dora_deployment_frequency_per_day`+of+`} 0.4
# HELP keptn_dora_deployments Deployments in the window
# TYPE keptn_dora_deployments gauge
keptn_dora_deployments`+of+`} 12
# HELP keptn_dora_lead_time_seconds Change lead time
# TYPE keptn_dora_lead_time_seconds gauge
keptn_dora_lead_time_seconds`+of+`,quantile="0.5"} 3600
keptn_dora_lead_time_seconds`+of+`,quantile="0.9"} 7200
# HELP keptn_dora_rework_rate Share of deployments that mend an earlier one, 0 to 1
# TYPE keptn_dora_rework_rate gauge
keptn_dora_rework_rate`+of+`} 0
`, "keptn_dora_change_fail_rate", "keptn_dora_deployment_frequency_per_day", "keptn_dora_deployments",
		"keptn_dora_lead_time_seconds", "keptn_dora_recovery_seconds", "keptn_dora_rework_rate")
}

func TestASourceThatFailsHidesNoOtherMetric(t *testing.T) {
	metrics, registry := newMetrics(t)
	errBoom := errors.New("boom")
	metrics.Observe(metric.Sources{
		Records: func(context.Context) (metric.Records, error) { return metric.Records{}, errBoom },
		DORA:    func(context.Context) ([]metric.DORA, error) { return nil, errBoom },
	})
	ended(t, metrics, recordtest.Delivered())
	if got := sums(t, registry, "keptn_app_duration_seconds"); len(got) != 1 {
		t.Errorf("durations %v, want one", got)
	}
}

func TestNoSeriesIsFoldedAway(t *testing.T) {
	metrics, registry := newMetrics(t)
	var records metric.Records
	for i := range 2100 { // the SDK's own limit is 2000
		records.Apps = append(records.Apps, run("shop", "cart", recordtest.At(i).String(), "", i, 0))
	}
	metrics.Observe(showing(records))
	if got := len(family(t, registry, "keptn_app_active").GetMetric()); got != 2100 {
		t.Errorf("%d series of 2100 deliveries", got)
	}
}

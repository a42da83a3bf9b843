package controllers

import (
	"fmt"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/keptn/gitops/controllers/evaluation"
	"github.com/keptn/gitops/controllers/metrics"
	"github.com/keptn/gitops/controllers/provider"
	"github.com/keptn/gitops/controllers/serving"
	"github.com/keptn/gitops/policy/metric/fabric"
	metricprovider "github.com/keptn/gitops/policy/metric/provider"
)

// asking is how many objects of a kind are reconciled at a time that ask metrics
// providers: they do little but wait.
const asking = 64

// setupMetrics registers what asks metrics providers, and what serves the answers.
func setupMetrics(mgr ctrl.Manager, o Options) error {
	wall := clock.RealClock{}
	c := mgr.GetClient()
	values := metrics.NewValues(c)
	providers, err := provider.New(c, fabric.New(metricprovider.Open), wall, o.Providers)
	if err != nil {
		return err
	}
	if err := register(mgr, asking,
		&evaluation.Reconciler{
			Client: c, Clock: wall, Events: mgr.GetEventRecorder("keptnevaluation-controller"),
			Providers: providers, Metrics: values, OwnNamespace: o.Namespace,
		},
		&metrics.AnalysisReconciler{
			Client: c, Clock: wall, Events: mgr.GetEventRecorder("analysis-controller"),
			Providers: providers, Foreign: !o.OneNamespace,
		},
	); err != nil {
		return err
	}
	if err := register(mgr, o.Concurrent, &metrics.MetricReconciler{
		Client: c, Events: mgr.GetEventRecorder("keptnmetric-controller"),
		Providers: providers, Values: values,
	}); err != nil {
		return err
	}
	o.Serving.Collectors = append(o.Serving.Collectors, metrics.NewCollector(c))
	if err := serving.Setup(mgr, values, o.Serving); err != nil {
		return fmt.Errorf("set up the serving of metrics: %w", err)
	}
	return nil
}

package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/evaluation"
	"github.com/keptn/gitops/controllers/metrics"
	"github.com/keptn/gitops/controllers/provider"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/serving"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/metric/fabric"
	metricprovider "github.com/keptn/gitops/policy/metric/provider"
)

// asking is how many objects of a kind are reconciled at a time that ask metrics
// providers: they do little but wait.
const asking = 64

// asked are what measurements come from, for all who measure.
type asked struct {
	providers *provider.Providers
	values    *metrics.Values
}

func newAsked(mgr ctrl.Manager, o Options) (*asked, error) {
	c := mgr.GetClient()
	providers, err := provider.New(c, fabric.New(metricprovider.Open), clock.RealClock{}, provider.Options{Addresses: o.Addresses, Ambient: o.AmbientCredentials})
	if err != nil {
		return nil, err
	}
	return &asked{providers: providers, values: metrics.NewValues(c)}, nil
}

// dry evaluates what is no object of the cluster.
func (a *asked) dry(c clock.PassiveClock) func(context.Context, *lifecyclev1.KeptnEvaluation, time.Time) (policy.Verdict, error) {
	return (&evaluation.Reconciler{Clock: c, Providers: a.providers, Metrics: a.values}).Dry
}

// setupMetrics registers what asks metrics providers, and what serves the answers.
func setupMetrics(mgr ctrl.Manager, o Options, repositories *repository.Repositories, asked *asked) error {
	wall := clock.RealClock{}
	c, providers, values := mgr.GetClient(), asked.providers, asked.values
	if err := register(mgr, asking,
		&evaluation.Reconciler{
			Client: c, Clock: wall, Events: mgr.GetEventRecorder("keptnevaluation-controller"),
			Providers: providers, Metrics: values, OwnNamespace: o.Namespace, Teller: o.Teller,
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
	routes, err := routesOf(mgr, o, repositories)
	if err != nil {
		return err
	}
	o.Serving.Routes = append(o.Serving.Routes, routes...)
	if err := serving.Setup(mgr, values, o.Serving); err != nil {
		return fmt.Errorf("set up the serving of metrics: %w", err)
	}
	return nil
}

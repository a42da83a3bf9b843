package controllers

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/measure"
	"github.com/keptn/gitops/controllers/serving"
	"github.com/keptn/gitops/telemetry/metric"
)

// sourcesOf are what gauges show, as long as this replica is the one that works:
// another's would be shown twice.
func sourcesOf(mgr ctrl.Manager, values serving.Source) metric.Sources {
	return metric.Sources{
		Records:      whileElected(mgr, recordsOf(mgr.GetClient())),
		DORA:         whileElected(mgr, measure.Gauges(mgr.GetClient())),
		KeptnMetrics: whileElected(mgr, measuredBy(values)),
	}
}

// whileElected is a source that has nothing to show before this replica is the one that
// works.
func whileElected[T any](mgr ctrl.Manager, source func(context.Context) (T, error)) func(context.Context) (T, error) {
	return func(ctx context.Context) (none T, err error) {
		select {
		case <-mgr.Elected():
			return source(ctx)
		default:
			return none, nil
		}
	}
}

// measuredBy are the values of all KeptnMetrics.
func measuredBy(values serving.Source) func(context.Context) ([]metric.Measured, error) {
	return func(ctx context.Context) ([]metric.Measured, error) {
		all, err := values.List(ctx, metav1.NamespaceAll, labels.Everything())
		if err != nil {
			return nil, fmt.Errorf("list KeptnMetrics: %w", err)
		}
		var measured []metric.Measured
		for i := range all {
			if v := &all[i]; v.HasValue {
				measured = append(measured, metric.Measured{Series: serving.GaugeName(v.Name), Namespace: v.Namespace, Name: v.Name, Value: v.Value})
			}
		}
		return measured, nil
	}
}

// recordsOf are all records that there are.
func recordsOf(c client.Client) func(context.Context) (metric.Records, error) {
	return func(ctx context.Context) (metric.Records, error) {
		var apps lifecyclev1.KeptnAppVersionList
		var workloads lifecyclev1.KeptnWorkloadVersionList
		var tasks lifecyclev1.KeptnTaskList
		var evaluations lifecyclev1.KeptnEvaluationList
		for _, list := range []client.ObjectList{&apps, &workloads, &tasks, &evaluations} {
			if err := c.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
				return metric.Records{}, fmt.Errorf("list %T: %w", list, err)
			}
		}
		return metric.Records{Apps: apps.Items, Workloads: workloads.Items, Tasks: tasks.Items, Evaluations: evaluations.Items}, nil
	}
}

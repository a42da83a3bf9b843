package measure

import (
	"context"
	"fmt"
	"math"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/telemetry/metric"
)

// Gauges are the metrics of all Lifecycles as they have them in their status.
func Gauges(c client.Reader) func(context.Context) ([]metric.DORA, error) {
	return func(ctx context.Context) ([]metric.DORA, error) {
		var sources gitopsv1alpha1.GitSourceList
		if err := c.List(ctx, &sources, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("list GitSources: %w", err)
		}
		environments := map[types.NamespacedName]string{}
		for i := range sources.Items {
			environments[client.ObjectKeyFromObject(&sources.Items[i])] = sources.Items[i].Spec.Environment
		}
		var lifecycles gitopsv1alpha1.LifecycleList
		if err := c.List(ctx, &lifecycles, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("list Lifecycles: %w", err)
		}
		var all []metric.DORA
		for i := range lifecycles.Items {
			lc := &lifecycles.Items[i]
			environment := environments[types.NamespacedName{Namespace: lc.Namespace, Name: lc.Labels[gitopsv1alpha1.SourceLabel]}]
			if lc.Status.DORA == nil || environment == "" {
				continue
			}
			for _, w := range lc.Status.DORA.Windows {
				all = append(all, gauge(lc, environment, w))
			}
		}
		return all, nil
	}
}

func gauge(lc *gitopsv1alpha1.Lifecycle, environment string, w gitopsv1alpha1.DORAWindow) metric.DORA {
	return metric.DORA{
		App: lc.Spec.App, Namespace: lc.Namespace, Environment: environment,
		Window:      strconv.Itoa(int(w.Days)) + "d",
		Deployments: int64(w.Deployments), DeploymentsPerDay: number(w.DeploymentsPerDay),
		LeadTimeP50: seconds(w.LeadTimeP50), LeadTimeP90: seconds(w.LeadTimeP90),
		CodeLeadTimeP50: seconds(w.CodeLeadTimeP50), CodeLeadTimeP90: seconds(w.CodeLeadTimeP90),
		ChangeFailRate: number(w.ChangeFailRate), ReworkRate: number(w.ReworkRate),
		Recovery: seconds(w.RecoveryP50),
	}
}

// number is a decimal number as a status has it; NaN where there is none.
func number(text string) float64 {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return math.NaN()
	}
	return x
}

func seconds(d *metav1.Duration) float64 {
	if d == nil {
		return math.NaN()
	}
	return d.Seconds()
}

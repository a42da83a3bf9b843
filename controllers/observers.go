package controllers

import (
	"context"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/delivery"
	"github.com/keptn/gitops/telemetry"
)

// observers tell of deliveries whoever is configured.
func observers(o Options) []delivery.Observer {
	var all []delivery.Observer
	if o.Tracer != nil {
		all = append(all, func(ctx context.Context, before, after *lifecyclev1.KeptnAppVersion, evaluations []lifecyclev1.KeptnEvaluation) {
			if telemetry.Ended(before, after) {
				o.Tracer.Delivery(ctx, after, evaluations)
			}
		})
	}
	if o.Events != nil {
		all = append(all, func(ctx context.Context, before, after *lifecyclev1.KeptnAppVersion, _ []lifecyclev1.KeptnEvaluation) {
			o.Events.Send(ctx, telemetry.EventsOf(before, after)...)
		})
	}
	if o.Metrics != nil {
		all = append(all, func(ctx context.Context, before, after *lifecyclev1.KeptnAppVersion, _ []lifecyclev1.KeptnEvaluation) {
			if telemetry.Ended(before, after) {
				o.Metrics.DeliveryEnded(ctx, after)
			}
		})
	}
	return all
}

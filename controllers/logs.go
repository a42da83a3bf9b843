package controllers

import (
	"context"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry"
	"github.com/keptn/gitops/telemetry/record"
)

// logsOf has what is logged of deliveries of a kind tell their commit and their trace,
// beside what controller-runtime logs of every object.
func logsOf[T client.Object](ctx context.Context, mgr ctrl.Manager, kind string, teller *telemetry.Teller, empty func() T, read func(T) record.Delivery) func(*reconcile.Request) logr.Logger {
	base := mgr.GetLogger().WithValues("controllerGroup", lifecyclev1.GroupVersion.Group, "controllerKind", kind)
	return func(req *reconcile.Request) logr.Logger {
		if req == nil {
			return base
		}
		log := base.WithValues(kind, klog.KRef(req.Namespace, req.Name), "namespace", req.Namespace, "name", req.Name)
		delivery := empty()
		if err := mgr.GetClient().Get(ctx, req.NamespacedName, delivery, client.UnsafeDisableDeepCopy); err != nil {
			return log // the reconcile tells of it
		}
		return log.WithValues(teller.LogValues(read(delivery))...)
	}
}

func appLogs(ctx context.Context, mgr ctrl.Manager, teller *telemetry.Teller) func(*reconcile.Request) logr.Logger {
	empty := func() *lifecyclev1.KeptnAppVersion { return &lifecyclev1.KeptnAppVersion{} }
	return logsOf(ctx, mgr, "KeptnAppVersion", teller, empty, record.OfApp)
}

func workloadLogs(ctx context.Context, mgr ctrl.Manager, teller *telemetry.Teller) func(*reconcile.Request) logr.Logger {
	empty := func() *lifecyclev1.KeptnWorkloadVersion { return &lifecyclev1.KeptnWorkloadVersion{} }
	return logsOf(ctx, mgr, "KeptnWorkloadVersion", teller, empty, func(kwv *lifecyclev1.KeptnWorkloadVersion) record.Delivery {
		return record.OfWorkload(kwv, nil)
	})
}

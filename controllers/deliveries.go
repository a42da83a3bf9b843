package controllers

import (
	"context"
	"errors"
	"fmt"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/app"
	"github.com/keptn/gitops/controllers/delivery"
	"github.com/keptn/gitops/controllers/gate"
	"github.com/keptn/gitops/controllers/promotion"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/task"
	"github.com/keptn/gitops/controllers/workload"
	"github.com/keptn/gitops/gitsource/forge"
)

// delivering is how many deliveries of a kind are worked on at a time: one that is
// promoted waits for Git and for a forge.
const delivering = 16

// setupDeliveries registers what walks deliveries through their phases, and what
// runs their tasks.
func setupDeliveries(ctx context.Context, mgr ctrl.Manager, o Options, repositories *repository.Repositories) error {
	rollouts, err := hasRollouts(mgr)
	if err != nil {
		return err
	}
	pods, err := kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("set up the reading of logs: %w", err)
	}
	o.Tasks.Namespace = o.Namespace
	wall, c := clock.RealClock{}, mgr.GetClient()
	promoter := &promotion.Promoter{Client: c, Repositories: repositories, Traced: o.Teller.Traces()}
	return register(mgr, delivering,
		&delivery.AppVersionReconciler{
			Client: c, Clock: wall, Events: mgr.GetEventRecorder("keptnappversion-controller"),
			Teller: o.Teller, Traced: o.Teller.Traces(), Promote: promote(promoter), OwnNamespace: o.Namespace,
			Logger: appLogs(ctx, mgr, o.Teller),
		},
		&delivery.WorkloadVersionReconciler{
			Client: c, Clock: wall, Events: mgr.GetEventRecorder("keptnworkloadversion-controller"),
			OwnNamespace: o.Namespace, Rollouts: rollouts, Teller: o.Teller, Traced: o.Teller.Traces(),
			Logger: workloadLogs(ctx, mgr, o.Teller),
		},
		&task.Reconciler{
			Client: c, APIReader: mgr.GetAPIReader(), Clock: wall, Events: mgr.GetEventRecorder("keptntask-controller"),
			Logs: task.PodLogs(pods), Options: o.Tasks, Teller: o.Teller,
		},
		&task.DefinitionReconciler{
			Client: c, APIReader: mgr.GetAPIReader(), Events: mgr.GetEventRecorder("keptntaskdefinition-controller"),
		},
	)
}

// hasRollouts says whether the cluster has Argo Rollouts.
func hasRollouts(mgr ctrl.Manager) (bool, error) {
	_, err := mgr.GetRESTMapper().RESTMapping(workload.RolloutKind.GroupKind(), workload.RolloutKind.Version)
	if apimeta.IsNoMatchError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for Argo Rollouts: %w", err)
	}
	return true, nil
}

// promote has a promoter do what deliveries ask for.
func promote(p *promotion.Promoter) delivery.Promoter {
	return func(ctx context.Context, kav *lifecyclev1.KeptnAppVersion) (url, message string, err error) {
		result, err := p.Promote(ctx, kav)
		var permanent *promotion.PermanentError
		var limited *forge.RateLimitedError
		switch {
		case errors.As(err, &permanent):
			err = fmt.Errorf("%w: %w", delivery.ErrNotPromoted, err)
		case errors.As(err, &limited):
			err = &delivery.LaterError{After: limited.RetryAfter, Err: err}
		}
		return result.URL, result.Message, err
	}
}

// setupGates registers what finds annotated workloads and apps, and what opens the
// gates of their pods.
func setupGates(mgr ctrl.Manager, o Options) error {
	wall, c := clock.RealClock{}, mgr.GetClient()
	gates := gate.New(c, mgr.GetAPIReader(), wall, app.Managed)
	return register(mgr, delivering,
		gates,
		&app.Workloads{Client: c, Events: mgr.GetEventRecorder("keptnworkload-controller"), Governed: gates.Governed},
		&app.Workload{Client: c, Events: mgr.GetEventRecorder("keptnworkload-controller")},
		&app.Discovery{Client: c, Clock: wall, Events: mgr.GetEventRecorder("keptnapp-controller"), Options: o.Apps},
		&app.App{Client: c, Events: mgr.GetEventRecorder("keptnapp-controller")},
	)
}

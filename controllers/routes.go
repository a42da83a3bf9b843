package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/keptn/gitops/controllers/directory"
	"github.com/keptn/gitops/controllers/fluxhook"
	"github.com/keptn/gitops/controllers/guard"
	"github.com/keptn/gitops/controllers/incident"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/verdict"
	"github.com/keptn/gitops/controllers/webhook"
	"github.com/keptn/gitops/telemetry"
	"github.com/keptn/gitops/telemetry/event"
)

// webhookSecret is the Secret that lets callers in: that of a namespace for what is about
// the namespace, and that of Keptn's own for all.
const webhookSecret = "keptn-webhooks" //nolint:gosec // the name of a Secret

// routesOf are what is served over HTTP beside metrics: the gate of deliveries, and what
// takes in incidents, Flux' alerts and the hooks of forges.
func routesOf(mgr ctrl.Manager, o Options, repositories *repository.Repositories) ([]guard.Route, error) {
	secrets, err := guard.NewSecrets(mgr.GetAPIReader(), webhookSecret, o.Namespace, time.Now)
	if err != nil {
		return nil, fmt.Errorf("set up webhooks: %w", err)
	}
	seen, err := webhook.NewDeliveries(time.Now)
	if err != nil {
		return nil, fmt.Errorf("set up webhooks: %w", err)
	}
	c, log := mgr.GetClient(), mgr.GetLogger().WithName("webhooks")
	var gateAuth guard.Auth
	if o.GateToken {
		gateAuth = secrets.Auth
	}
	gate := &verdict.Handler{Reader: c, Log: log}
	incidents := &incident.Handler{
		Reader: c, Now: time.Now, Log: log,
		Recorder: &incident.Recorder{Reader: mgr.GetAPIReader(), Client: c, Tell: tellIncident(o.Teller)},
	}
	wake := fluxhook.Request(c, time.Now)
	alerts := &fluxhook.Handler{Reader: c, Wake: wake, Log: log}
	pushes := &webhook.Handler{Reader: c, Origin: repositories.Origin, Wake: wake, Seen: seen, Log: log}
	return slices.Concat(gate.Routes(gateAuth), incidents.Routes(secrets.Auth), alerts.Routes(secrets.Auth), pushes.Routes(secrets.Auth)), nil
}

// tellIncident has others told of incidents.
func tellIncident(t *telemetry.Teller) func(context.Context, directory.Entry, incident.Incident) {
	return func(ctx context.Context, of directory.Entry, news incident.Incident) {
		told := event.Incident{
			ID: string(of.UID) + "/" + news.ID, Namespace: of.Namespace, App: of.Spec.App, Environment: of.Environment,
			Summary: news.Summary, Commit: news.Commit, StartedAt: news.StartedAt.Time,
		}
		if news.ResolvedAt != nil {
			told.ResolvedAt = news.ResolvedAt.Time
		}
		t.Incident(ctx, told)
	}
}

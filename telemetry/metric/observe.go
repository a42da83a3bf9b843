package metric

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry/record"
)

// Sources are asked for what the gauges show, at each scrape and each push. One that is
// nil shows nothing, and so does one that fails. They may be asked by several at a time,
// and what they return is only read.
type Sources struct {
	// Records are the objects that there are.
	Records func(ctx context.Context) (Records, error)
	// DORA are the DORA metrics, one for each app, environment and window.
	DORA func(ctx context.Context) ([]DORA, error)
	// KeptnMetrics are values that are pushed; Prometheus is shown them elsewhere.
	KeptnMetrics func(ctx context.Context) ([]Measured, error)
}

// Records are the objects that gauges are shown of.
type Records struct {
	Apps        []lifecyclev1.KeptnAppVersion
	Workloads   []lifecyclev1.KeptnWorkloadVersion
	Tasks       []lifecyclev1.KeptnTask
	Evaluations []lifecyclev1.KeptnEvaluation
}

// DORA are the DORA metrics of an app in an environment over a window. What is NaN is
// not known, and not shown.
type DORA struct {
	App, Namespace, Environment string
	// Window is how far they look back, for example 30d.
	Window string
	// Deployments in the window.
	Deployments int64
	// DeploymentsPerDay of the window.
	DeploymentsPerDay float64
	// LeadTimeP50 and LeadTimeP90 are quantiles of the change lead time in seconds.
	LeadTimeP50, LeadTimeP90 float64
	// CodeLeadTimeP50 and CodeLeadTimeP90 are those of commits of other repositories, in
	// which the app's images are built.
	CodeLeadTimeP50, CodeLeadTimeP90 float64
	// ChangeFailRate and ReworkRate are from 0 to 1.
	ChangeFailRate, ReworkRate float64
	// Recovery is the median of the failed deployment recovery time in seconds.
	Recovery float64
}

const (
	doraWindow = attribute.Key("keptn.dora.window")
	quantile   = attribute.Key("quantile")
)

// Observe sets what the gauges show. Before, they show nothing.
func (m *Metrics) Observe(s Sources) {
	if m != nil {
		m.sources.Store(&s)
	}
}

// observe creates the gauges.
func (m *Metrics) observe(meter metric.Meter) error {
	return errors.Join(m.observeRecords(meter), m.observeDORA(meter))
}

// gauges of records; the first four are in the order of a walk over the records.
type recordGauges struct {
	app, workload, task, evaluation                              metric.Int64ObservableGauge
	appDuration, appInterval, workloadDuration, workloadInterval metric.Float64ObservableGauge
}

func (m *Metrics) observeRecords(meter metric.Meter) error {
	var g recordGauges
	var errs [9]error
	for i, of := range []struct {
		gauge        *metric.Int64ObservableGauge
		prefix, what string
	}{
		{&g.app, "keptn.app", "the delivery of the app"}, {&g.workload, "keptn.deployment", "the delivery of the workload"},
		{&g.task, "keptn.task", "the task"}, {&g.evaluation, "keptn.evaluation", "the evaluation"},
	} {
		*of.gauge, errs[i] = meter.Int64ObservableGauge(of.prefix+".active",
			metric.WithDescription("1 while "+of.what+" is under way, else 0"))
	}
	for i, of := range []struct {
		gauge             *metric.Float64ObservableGauge
		name, description string
	}{
		{&g.appDuration, "keptn.app.deploymentduration", "Seconds that the delivery of the app took"},
		{&g.appInterval, "keptn.app.deploymentinterval", "Seconds from the end of the previous version's delivery to the end of this one's"},
		{&g.workloadDuration, "keptn.deployment.deploymentduration", "Seconds that the delivery of the workload took"},
		{&g.workloadInterval, "keptn.deployment.deploymentinterval", "Seconds from the end of the previous version's delivery to the end of this one's"},
	} {
		*of.gauge, errs[4+i] = meter.Float64ObservableGauge(of.name, metric.WithDescription(of.description))
	}
	_, errs[8] = meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		sources := m.sources.Load()
		if sources == nil || sources.Records == nil {
			return nil
		}
		records, err := sources.Records(ctx)
		if err != nil {
			m.log.Error(err, "Could not list what the gauges of deliveries show")
			return nil
		}
		g.show(o, records)
		return nil
	}, g.app, g.workload, g.task, g.evaluation, g.appDuration, g.appInterval, g.workloadDuration, g.workloadInterval)
	return errors.Join(errs[:]...)
}

func (g recordGauges) show(o metric.Observer, r Records) {
	apps, workloads := make([]record.Delivery, len(r.Apps)), make([]record.Delivery, len(r.Workloads))
	for i := range r.Apps {
		apps[i] = record.OfApp(&r.Apps[i])
	}
	for i := range r.Workloads {
		workloads[i] = record.OfWorkload(&r.Workloads[i], nil)
	}
	showDeliveries(o, apps, g.app, g.appDuration, g.appInterval)
	showDeliveries(o, workloads, g.workload, g.workloadDuration, g.workloadInterval)
	for i := range r.Tasks {
		t := &r.Tasks[i]
		of := t.Spec.Context
		o.ObserveInt64(g.task, active(!t.Status.Status.Completed()), metric.WithAttributes(
			record.AppName.String(of.AppName), record.AppVersion.String(of.AppVersion), record.AppNamespace.String(t.Namespace),
			record.WorkloadName.String(of.WorkloadName), record.WorkloadVersion.String(of.WorkloadVersion),
			record.TaskName.String(t.Name), record.TaskType.String(string(t.Spec.Type))))
	}
	for i := range r.Evaluations {
		e := &r.Evaluations[i]
		of := &e.Spec
		o.ObserveInt64(g.evaluation, active(!e.Status.OverallStatus.Completed()), metric.WithAttributes(
			record.AppName.String(of.AppName), record.AppVersion.String(of.AppVersion), record.AppNamespace.String(e.Namespace),
			record.WorkloadName.String(of.Workload), record.WorkloadVersion.String(of.WorkloadVersion),
			record.EvaluationName.String(e.Name), record.EvaluationType.String(string(of.Type))))
	}
}

func active(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// showDeliveries shows deliveries of apps, or of workloads. Of several deliveries of the
// same version the newest is shown.
func showDeliveries(o metric.Observer, all []record.Delivery, running metric.Int64Observable, duration, interval metric.Float64Observable) {
	slices.SortStableFunc(all, func(a, b record.Delivery) int { return startOf(a).Compare(startOf(b)) })
	of := map[delivered][]record.Delivery{}
	for _, d := range all {
		key := delivered{d.Namespace, d.AppName, d.WorkloadName, d.Version}
		of[key] = append(of[key], d)
	}
	for _, d := range all {
		o.ObserveInt64(running, active(!d.Over()), metric.WithAttributes(versioned(d)...))
		if !d.Over() {
			continue
		}
		attributes := metric.WithAttributes(append(versioned(d), previousVersion(d))...)
		if took, known := d.Duration(); known {
			o.ObserveFloat64(duration, took.Seconds(), attributes)
		}
		if d.PreviousVersion == "" {
			continue
		}
		if p := predecessor(d, of[delivered{d.Namespace, d.AppName, d.WorkloadName, d.PreviousVersion}]); p != nil {
			o.ObserveFloat64(interval, d.Progress.EndTime.Sub(p.Progress.EndTime.Time).Seconds(), attributes)
		}
	}
}

// delivered is one version of an app, or of a workload, in a namespace.
type delivered struct{ namespace, app, workload, version string }

// predecessor is, of the deliveries of the previous version in the order of their
// starts, the newest that began before a delivery and ended before it did.
func predecessor(d record.Delivery, candidates []record.Delivery) *record.Delivery {
	for i := len(candidates) - 1; i >= 0; i-- {
		p := &candidates[i]
		if p.Over() && startOf(*p).Before(startOf(d)) && !p.Progress.EndTime.After(d.Progress.EndTime.Time) {
			return p
		}
	}
	return nil
}

// startOf is when a delivery began, whatever its attempts.
func startOf(d record.Delivery) time.Time { return d.Progress.StartTime.Time }

func versioned(d record.Delivery) []attribute.KeyValue {
	if d.IsApp() {
		return []attribute.KeyValue{
			record.AppName.String(d.AppName), record.AppVersion.String(d.Version), record.AppNamespace.String(d.Namespace),
		}
	}
	return []attribute.KeyValue{
		record.AppName.String(d.AppName), record.WorkloadName.String(d.WorkloadName),
		record.WorkloadVersion.String(d.Version), record.WorkloadNamespace.String(d.Namespace),
	}
}

func previousVersion(d record.Delivery) attribute.KeyValue {
	if d.IsApp() {
		return record.AppPreviousVersion.String(d.PreviousVersion)
	}
	return record.WorkloadPreviousVersion.String(d.PreviousVersion)
}

func (m *Metrics) observeDORA(meter metric.Meter) error {
	gauge := func(name, unit, description string) (metric.Float64ObservableGauge, error) {
		return meter.Float64ObservableGauge("keptn.dora."+name, metric.WithUnit(unit), metric.WithDescription(description))
	}
	var errs [8]error
	var deployments metric.Int64ObservableGauge
	var frequency, leadTime, codeLeadTime, failRate, recovery, reworkRate metric.Float64ObservableGauge
	deployments, errs[0] = meter.Int64ObservableGauge("keptn.dora.deployments", metric.WithDescription("Deployments in the window"))
	frequency, errs[1] = gauge("deployment_frequency_per_day", "", "Deployments per day")
	leadTime, errs[2] = gauge("lead_time", "s", "Change lead time")
	failRate, errs[3] = gauge("change_fail_rate", "", "Share of deployments that failed, 0 to 1")
	recovery, errs[4] = gauge("recovery", "s", "Median of the failed deployment recovery time")
	reworkRate, errs[5] = gauge("rework_rate", "", "Share of deployments that mend an earlier one, 0 to 1")
	codeLeadTime, errs[6] = gauge("code_lead_time", "s", "Change lead time of commits in the repositories that images are built in")
	_, errs[7] = meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		sources := m.sources.Load()
		if sources == nil || sources.DORA == nil {
			return nil
		}
		all, err := sources.DORA(ctx)
		if err != nil {
			m.log.Error(err, "Could not compute the DORA metrics")
			return nil
		}
		for _, d := range all {
			attributes := []attribute.KeyValue{
				record.AppName.String(d.App), record.AppNamespace.String(d.Namespace),
				semconv.DeploymentEnvironmentNameKey.String(d.Environment), doraWindow.String(d.Window),
			}
			show := func(gauge metric.Float64Observable, value float64, more ...attribute.KeyValue) {
				if !math.IsNaN(value) && !math.IsInf(value, 0) {
					o.ObserveFloat64(gauge, value, metric.WithAttributes(append(more, attributes...)...))
				}
			}
			o.ObserveInt64(deployments, d.Deployments, metric.WithAttributes(attributes...))
			show(frequency, d.DeploymentsPerDay)
			show(leadTime, d.LeadTimeP50, quantile.String("0.5"))
			show(leadTime, d.LeadTimeP90, quantile.String("0.9"))
			show(codeLeadTime, d.CodeLeadTimeP50, quantile.String("0.5"))
			show(codeLeadTime, d.CodeLeadTimeP90, quantile.String("0.9"))
			show(failRate, d.ChangeFailRate)
			show(recovery, d.Recovery)
			show(reworkRate, d.ReworkRate)
		}
		return nil
	}, deployments, frequency, leadTime, codeLeadTime, failRate, recovery, reworkRate)
	return errors.Join(errs[:]...)
}

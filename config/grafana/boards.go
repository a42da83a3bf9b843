package grafana

import "fmt"

// What is chosen on a board, as matchers. That of the workload's board also holds for
// tasks and evaluations, but for the namespace, which they call the app's.
const (
	ofApp      = `{keptn_deployment_app_namespace=~"$namespace",keptn_deployment_app_name="$app"}`
	ofWorkload = `{keptn_deployment_workload_namespace=~"$namespace",keptn_deployment_workload_name="$workload"}`
	ofAppsWork = `{keptn_deployment_workload_namespace=~"$namespace",keptn_deployment_app_name="$app"}`
	inChecks   = `{keptn_deployment_app_namespace=~"$namespace",keptn_deployment_workload_name="$workload"}`
	ofDORA     = `{keptn_deployment_app_namespace=~"$namespace",deployment_environment_name="$environment",keptn_deployment_app_name=~"$app",keptn_dora_window="$window"}`
	ofLead     = `{keptn_deployment_app_namespace=~"$namespace",deployment_environment_name="$environment",keptn_deployment_app_name=~"$app"}`
)

// Boards are all boards.
func Boards() []Board {
	return []Board{applications(), workloads(), overview(), dora()}
}

func applications() Board {
	return Board{
		UID: "keptn-applications", Title: "Keptn Applications", From: "now-7d",
		Variables: []Variable{
			{"namespace", "Namespace", "label_values(keptn_app_active, keptn_deployment_app_namespace)", true},
			{"app", "Application", `label_values(keptn_app_active{keptn_deployment_app_namespace=~"$namespace"}, keptn_deployment_app_name)`, false},
		},
		Panels: append(delivered("keptn_app", "app", ofApp),
			stat("Successful promotions", "", `sum(`+counted(with("keptn_promotion_count_total", ofApp, `keptn_deployment_app_status="Succeeded"`), "$__range")+`)`),
			Panel{Title: "Active workloads", Kind: "state-timeline", Width: 24, Height: 8, Queries: []Query{
				{"max by (keptn_deployment_workload_name, keptn_deployment_workload_version) (keptn_deployment_active" + ofAppsWork + ")", "{{keptn_deployment_workload_name}} {{keptn_deployment_workload_version}}"},
			}},
		),
		Traces: Attribute{"keptn.deployment.app.name", "$app"},
	}
}

func workloads() Board {
	return Board{
		UID: "keptn-workloads", Title: "Keptn Workloads", From: "now-7d",
		Variables: []Variable{
			{"namespace", "Namespace", "label_values(keptn_deployment_active, keptn_deployment_workload_namespace)", true},
			{"workload", "Workload", `label_values(keptn_deployment_active{keptn_deployment_workload_namespace=~"$namespace"}, keptn_deployment_workload_name)`, false},
		},
		Panels: append(delivered("keptn_deployment", "workload", ofWorkload),
			graph("Tasks that ended", "bars", "1h", counts("keptn_task_count_total", inChecks, "keptn_deployment_task_name", "keptn_deployment_task_status")),
			graph("Evaluations that ended", "bars", "1h", counts("keptn_evaluation_count_total", inChecks, "keptn_deployment_evaluation_name", "keptn_deployment_evaluation_status")),
		),
		Traces: Attribute{"keptn.deployment.workload.name", "$workload"},
	}
}

// delivered are the panels of deliveries of an app, or of a workload.
func delivered(metric, of, chosen string) []Panel {
	version, status := "keptn_deployment_"+of+"_version", "keptn_deployment_"+of+"_status"
	previous := "keptn_deployment_" + of + "_previousversion"
	ended := func(states string) string {
		return "sum(" + counted(with(metric+"_count_total", chosen, status+"=~"+states), "$__range") + ")"
	}
	times := func(title, gauge, legend, by string) Panel {
		return Panel{Title: title, Kind: "bargauge", Unit: "s", Width: 12, Height: 8, Queries: []Query{
			{fmt.Sprintf("max by (%s) (%s%s)", by, metric+gauge, chosen), legend},
		}}
	}
	return []Panel{
		stat("Succeeded", "", ended(`"Succeeded|Warning"`), Step{0, "green"}),
		stat("Failed", "", ended(`"Failed"`), Step{0, "green"}, Step{1, "red"}),
		stat("Active deliveries", "", "sum("+metric+"_active"+chosen+")"),
		stat("Average time between deliveries", "s", "avg("+metric+"_deploymentinterval"+chosen+")"),
		times("Time of a delivery, by version", "_deploymentduration", "{{"+version+"}}", version),
		times("Time between deliveries", "_deploymentinterval", "{{"+previous+"}} → {{"+version+"}}", previous+", "+version),
		{Title: "Deliveries under way", Kind: "state-timeline", Width: 24, Height: 8, Queries: []Query{
			{fmt.Sprintf("max by (%s) (%s_active%s)", version, metric, chosen), "{{" + version + "}}"},
		}},
	}
}

func overview() Board {
	b := Board{UID: "keptn-overview", Title: "Keptn Metrics", From: "now-24h"}
	kinds := []struct{ title, metric, of string }{
		{"apps", "keptn_app", "app"}, {"workloads", "keptn_deployment", "workload"},
		{"tasks", "keptn_task", "task"}, {"evaluations", "keptn_evaluation", "evaluation"},
	}
	for _, k := range kinds {
		b.Panels = append(b.Panels, stat("Active "+k.title, "", "sum("+k.metric+"_active)"))
	}
	for _, k := range kinds {
		b.Panels = append(b.Panels, graph("Finished "+k.title, "bars", "1h", counts(k.metric+"_count_total", "", "keptn_deployment_"+k.of+"_status")))
	}
	for _, k := range kinds {
		p := graph("Time that "+k.title+" took, of a day", "timeseries", "", quantiles(k.metric+"_duration_seconds_bucket", "1d")...)
		p.Unit = "s"
		b.Panels = append(b.Panels, p)
	}
	b.Panels = append(b.Panels,
		graph("CloudEvents, events for Flux, and spans", "bars", "1h",
			counts("keptn_cloudevent_count_total", "", "keptn_cloudevent_outcome"),
			counts("keptn_fluxevent_count_total", "", "keptn_fluxevent_outcome"),
			counts("keptn_span_count_total", "", "keptn_span_outcome")),
		graph("Reconciliations with an error, a second", "timeseries", "",
			Query{"sum by (controller) (rate(controller_runtime_reconcile_errors_total[$__rate_interval]) and on (job, instance) keptn_lifecycle_active_total)", "{{controller}}"}),
	)
	return b
}

func dora() Board {
	windowed := func(metric string) string { return metric + ofDORA }
	// Where the app is built in another repository, lead times begin there.
	lead := with("keptn_dora_code_lead_time_seconds", ofDORA, `quantile="0.5"`) +
		" or " + with("keptn_dora_lead_time_seconds", ofDORA, `quantile="0.5"`)
	levels := []struct {
		title, unit, expr string
		steps             []Step
	}{
		{"Change lead time", "s", lead, LeadTimeSteps()},
		{"Deployments a day", "", windowed("keptn_dora_deployment_frequency_per_day"), FrequencySteps()},
		{"Change fail rate", "percentunit", windowed("keptn_dora_change_fail_rate"), FailRateSteps()},
		{"Failed deployment recovery time", "s", windowed("keptn_dora_recovery_seconds"), RecoverySteps()},
		{"Deployment rework rate", "percentunit", windowed("keptn_dora_rework_rate"), nil},
		{"Deployments", "", windowed("keptn_dora_deployments"), nil},
	}
	b := Board{
		UID: "keptn-dora", Title: "Keptn DORA", From: "now-30d",
		Variables: []Variable{
			{"namespace", "Namespace", "label_values(keptn_dora_deployments, keptn_deployment_app_namespace)", true},
			{"environment", "Environment", "label_values(keptn_dora_deployments, deployment_environment_name)", false},
			{"app", "Application", `label_values(keptn_dora_deployments{deployment_environment_name="$environment"}, keptn_deployment_app_name)`, true},
			{"window", "Window", "label_values(keptn_dora_deployments, keptn_dora_window)", false},
		},
	}
	for _, l := range levels {
		p := stat(l.title, l.unit, "max by (keptn_deployment_app_name) ("+l.expr+")", l.steps...)
		p.Width, p.Height, p.Queries[0].Legend = 4, 8, "{{keptn_deployment_app_name}}"
		b.Panels = append(b.Panels, p)
	}
	for _, l := range levels[:5] {
		p := graph(l.title+", trend", "timeseries", "", Query{"max by (keptn_deployment_app_name) (" + l.expr + ")", "{{keptn_deployment_app_name}}"})
		p.Unit = l.unit
		b.Panels = append(b.Panels, p)
	}
	deployed := graph("Deliveries a day", "bars", "1d", counts("keptn_app_count_total", ofLead, "keptn_deployment_app_status"))
	times := graph("Lead time of what was delivered in a week", "timeseries", "1d", quantiles("keptn_lead_time_seconds_bucket"+ofLead, "7d")...)
	times.Unit = "s"
	b.Panels = append(b.Panels, deployed, times)
	return b
}

// The levels of 2024's report on https://dora.dev/research/2024/, best first: elite, high,
// medium and low, of which the fail rate and the recovery have no medium. There are none
// for the rework rate. A step is the first number, of those that a status can hold, that
// is of the next level.

// LeadTimeSteps are in seconds: elite is less than a day, high up to a week, medium up to
// thirty days.
func LeadTimeSteps() []Step {
	return []Step{{0, "green"}, {86400, "blue"}, {604801, "yellow"}, {2592001, "red"}}
}

// FrequencySteps are in deployments a day: low is less than one in thirty days, medium
// less than one a week, high up to one a day.
func FrequencySteps() []Step {
	return []Step{{0, "red"}, {0.0333, "yellow"}, {0.1429, "blue"}, {1.0001, "green"}}
}

// FailRateSteps are from 0 to 1: elite is up to 5 %, high up to 20 %.
func FailRateSteps() []Step {
	return []Step{{0, "green"}, {0.0501, "blue"}, {0.2001, "red"}}
}

// RecoverySteps are in seconds: elite is less than an hour, high less than a day.
func RecoverySteps() []Step {
	return []Step{{0, "green"}, {3600, "blue"}, {86400, "red"}}
}

// stat is a number.
func stat(title, unit, expr string, steps ...Step) Panel {
	return Panel{Title: title, Kind: "stat", Unit: unit, Width: 6, Height: 4, Queries: []Query{{Expr: expr}}, Steps: steps}
}

// graph is what changes with time.
func graph(title, kind, interval string, queries ...Query) Panel {
	return Panel{Title: title, Kind: kind, Width: 12, Height: 8, Interval: interval, Queries: queries}
}

// with is a metric with the matchers that were chosen, and one more.
func with(metric, chosen, matcher string) string {
	return metric + chosen[:len(chosen)-1] + "," + matcher + "}"
}

// counted is how much each counter grew within a time. A counter that begins within it, as
// that of the first failure since the controller started, began at 0, which increase does
// not know of: what it began with is added.
func counted(counter, within string) string {
	return fmt.Sprintf("(increase(%[1]s[%[2]s]) + min_over_time(%[1]s[%[2]s]) unless max_over_time(%[1]s[1h] offset %[2]s) or increase(%[1]s[%[2]s]))", counter, within)
}

// counts is how much counters grew between two points of a graph, by labels.
func counts(metric, chosen string, labels ...string) Query {
	by, legend := labels[0], "{{"+labels[0]+"}}"
	for _, l := range labels[1:] {
		by, legend = by+", "+l, legend+" {{"+l+"}}"
	}
	return Query{"round(sum by (" + by + ") " + counted(metric+chosen, "$__interval") + ")", legend}
}

// quantiles are the median and the ninth decile of what a histogram took in within a time.
func quantiles(buckets, within string) []Query {
	at := func(q string) string {
		return fmt.Sprintf("histogram_quantile(%s, sum by (le) %s)", q, counted(buckets, within))
	}
	return []Query{{at("0.5"), "median"}, {at("0.9"), "p90"}}
}

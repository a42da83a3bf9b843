// Package metric counts and times deliveries, their tasks and their evaluations, under
// Keptn's names, and shows what others computed: the DORA metrics and the values of
// KeptnMetrics. Prometheus scrapes them, and where OpenTelemetry's environment variables
// ask for it they are pushed by OTLP as well.
//
// What is counted, counts once, also over restarts: those who write a record tell of the
// change after the write. What is observed, the gauges, follows the objects: a series
// ends with its object.
//
//	counters and histograms           of what ended
//	  keptn.app.*                     deliveries of apps
//	  keptn.deployment.*              deliveries of workloads
//	  keptn.task.*, keptn.evaluation.*
//	  keptn.promotion.count           promotions
//	  keptn.lead_time                 from the commit's author time to the end of a success
//	gauges
//	  keptn.{app,deployment,task,evaluation}.active
//	  keptn.{app,deployment}.deploymentduration, .deploymentinterval
//	  keptn.dora.*
//
// The counters and histograms do not have the versions, nor the names of single tasks
// and evaluations but those of their definitions, where Keptn has both: each would be a
// new series that stays for good, and that begins at 1 and never grows, so that increase
// and rate over it are 0. The gauges have them all. Nothing is labelled by a commit.
package metric

// Package trace writes one OpenTelemetry trace per delivery, from the records of
// deliveries alone: a span for the delivery, below it one for each phase, and below
// that one for each check of the phase. The delivery of a workload lies below the
// rollout of its app.
//
//	<KeptnAppVersion>
//	├ AppPreDeployTasks             ─ <KeptnTask>
//	├ AppPreDeployEvaluations       ─ <KeptnEvaluation>
//	├ AppDeploy
//	│ └ <KeptnWorkloadVersion>
//	│   ├ <workload>/WorkloadPreDeployTasks …
//	│   └ <workload>/WorkloadDeploy …
//	└ <KeptnAppVersion> (retry 1)
//
// A span is exported once, when what it tells of is over, with the times that the
// record holds: a phase with its checks as soon as it has ended, a delivery when it
// has. Nothing is kept in memory in between, so a restart loses nothing, and the ids
// follow from the record, so telling the same twice is telling it once.
//
// A delivery that is retried is told of again: the further attempt has a root span of
// its own, in the same trace, below that of the first attempt and linked to the one
// before it, and so have the phases that run again. Thus the id of the trace stays what
// commits' statuses say; Jaeger and Tempo show one trace with one root, whose own times
// are those of the first attempt, and the attempts in it side by side. A second span of
// the root's id would be dropped by some stores, and shown twice by others.
//
// The package never blocks those who tell: what waits is bounded, and what does not fit
// is dropped and counted.
package trace

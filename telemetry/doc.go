// Package telemetry tells other systems what happened to a delivery: as one
// OpenTelemetry trace, as CloudEvents, and as metrics for Prometheus.
//
// All of it is derived from the delivery's record, a KeptnAppVersion and its
// KeptnEvaluations, and from nothing else. Trace, span and event ids follow from
// the record's UID, so that telling the same story twice, for example after a
// restart, says nothing new. Metrics are the exception: a counter counts what it
// is given, see [Metrics].
//
// Nothing here blocks a rollout: what is told waits in bounded queues, and what
// does not fit is given up, counted and logged. The package never reads from or
// writes to Kubernetes, never decides anything about a delivery, and never sends
// credentials that a repository's URL may hold.
package telemetry

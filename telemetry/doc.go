// Package telemetry tells other systems what happened to deliveries: as OpenTelemetry
// traces (package trace), as metrics (package metric), as CloudEvents and as events for
// Flux (package event). A [Teller] tells them all; there is one way in for each kind of
// record, and the controllers take it once a change is written.
//
// It is several packages since each way of telling has its own vocabulary, and none
// needs another: what they share, how a record is read, is package record, and how
// OpenTelemetry is configured is package otlp.
//
// All of it is derived from the records, and from nothing else. Trace, span and event ids
// follow from the record's UID, so that telling the same story twice, for example after a
// restart, says nothing new. Counters are the exception: they count what they are told.
//
// Nothing here blocks a rollout: what is told waits in bounded queues, and what
// does not fit is given up, counted and logged. The packages never read from or
// write to Kubernetes, never decide anything about a delivery, and never send
// credentials that a repository's URL may hold.
package telemetry

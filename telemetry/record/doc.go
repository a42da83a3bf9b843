// Package record reads of the records of deliveries what telemetry tells: when
// something began and ended, in which attempt, where it stands in a trace, and by
// which attributes it is found. It makes one value of the records of apps and of
// workloads, so that everybody who tells of them tells the same.
//
// All of it follows from the records alone: told twice, for example after a restart,
// it is the same. The package keeps nothing, sends nothing, and reads no clock.
package record

// Package openslo reads OpenSLO v1 documents, and makes of them the SLOs that an
// SLOPolicy can hold.
//
// [Read] takes the documents of one folder: DataSource, Service, SLI and SLO. It is
// strict: a field that OpenSLO does not know is an error, and so is whatever would
// make Keptn compute something else than what is written. What makes no difference
// to the numbers, such as an alert policy, is a warning. [Set.Resolve] puts an SLO
// in the place of a reference to it, and [Set.Policy] makes a policy of an SLO.
//
// The package reads no file and no YAML: it is given what JSON would hold, and
// names the fields that its problems are about. It reads no connectionDetails: the
// connection to a provider is that of a KeptnMetricsProvider.
//
// The specification is that of https://github.com/OpenSLO/OpenSLO, version v1.
package openslo

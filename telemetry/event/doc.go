// Package event tells other systems what happened, in events that they know how to
// receive: CloudEvents of three families, and the events that Flux's
// notification-controller takes.
//
//	delivery  our own, of every transition of deliveries, tasks and evaluations
//	keptn     Keptn's, one for each Kubernetes event
//	cdevents  https://cdevents.dev: services that were deployed, tests that ran, incidents
//
// What an event says follows from the records, and so does its id: told twice, it is the
// same event, which a consumer can drop. Nothing here blocks those who tell: what is to
// be sent waits in a bounded queue, and what does not fit is given up, counted and
// logged. Credentials that a URL may hold are never sent and never logged.
package event

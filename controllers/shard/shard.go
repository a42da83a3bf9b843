// Package shard says which GitSources, and what was read from them, this controller works
// on, where several controllers share the work. It assigns nothing: people do, by a label.
package shard

import (
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

// Label on a GitSource names the controller that reads it, by its flag --shard; it is the
// one that Flux shards its own objects by (https://fluxcd.io/flux/installation/configuration/sharding/).
// What is read from the source carries it, too.
const Label = "sharding.fluxcd.io/key"

// A Shard is the name of a controller. The one without a name works on what has no label.
type Shard string

// Owns says whether an object is this controller's to work on.
func (s Shard) Owns(obj client.Object) bool { return obj.GetLabels()[Label] == string(s) }

// Lease is the name of the lease that replicas of this controller contend for.
func (s Shard) Lease() string {
	if s == "" {
		return "keptn-gitops"
	}
	return "keptn-gitops-" + string(s)
}

// Moved lets through objects that another controller is to work on from now on.
func Moved() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetLabels()[Label] != e.ObjectNew.GetLabels()[Label]
	}}
}

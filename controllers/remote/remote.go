// Package remote says how the remotes of GitSources are asked, to all who read Git: how
// often, for how long, and how many of one server at a time. It asks none itself.
package remote

import (
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
)

// defaultInterval and defaultTimeout apply where a source does not say them.
const (
	defaultInterval = time.Minute
	defaultTimeout  = time.Minute
)

// Interval is the time between two looks at the remote of a source.
func Interval(source *gitopsv1alpha1.GitSource) time.Duration {
	if d := source.Spec.Interval.Duration; d > 0 {
		return d
	}
	return defaultInterval
}

// Timeout is how long a fetch of a source, or any other conversation with its remote, may take.
func Timeout(source *gitopsv1alpha1.GitSource) time.Duration {
	if t := source.Spec.Timeout; t != nil && t.Duration > 0 {
		return t.Duration
	}
	return defaultTimeout
}

// Requested lets through sources of which a look at the remote is asked.
func Requested() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, _ := meta.ReconcileAnnotationValue(e.ObjectOld.GetAnnotations())
		after, ok := meta.ReconcileAnnotationValue(e.ObjectNew.GetAnnotations())
		return ok && before != after
	}}
}

package lifecycle

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/trust"
)

// Governed says whether a Lifecycle that a GitSource reads governs a workload: its
// folder renders to it, and the GitSource may govern the namespace. The reader has
// to have the indexes of [AddIndexes].
func Governed(ctx context.Context, r client.Reader, kind, namespace, name string) (bool, error) {
	var found gitopsv1alpha1.LifecycleList
	if err := r.List(ctx, &found, client.MatchingFields{byWorkload: workloadKey(kind, namespace, name)}); err != nil {
		return false, fmt.Errorf("list lifecycles of %s %s/%s: %w", kind, namespace, name, err)
	}
	for i := range found.Items {
		lc := &found.Items[i]
		if inert(lc) {
			continue
		}
		var source gitopsv1alpha1.GitSource
		key := types.NamespacedName{Namespace: lc.Namespace, Name: lc.Labels[gitopsv1alpha1.SourceLabel]}
		if err := r.Get(ctx, key, &source); client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("read GitSource %s: %w", key, err)
		} else if err != nil {
			continue
		}
		if may, err := trust.MayGovern(ctx, r, &source, namespace); may || err != nil {
			return may, err
		}
	}
	return false, nil
}

// inert says whether a Lifecycle has no effect: it is no copy that a GitSource made
// of what it read.
func inert(lc *gitopsv1alpha1.Lifecycle) bool {
	name := lc.Labels[gitopsv1alpha1.SourceLabel]
	owner := metav1.GetControllerOf(lc)
	return name == "" || owner == nil || owner.Kind != gitopsv1alpha1.GitSourceKind || owner.Name != name
}

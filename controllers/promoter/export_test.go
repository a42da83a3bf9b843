package promoter

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

// What tests look at.
var (
	KeyOf     = keyOf
	SafeLabel = safeLabel
)

// Asks says whether a PromotionStrategy asks about a key on a branch.
func Asks(t *testing.T, strategy *unstructured.Unstructured, branch, key string) bool {
	t.Helper()
	var s strategyRead
	if err := convert(strategy, &s); err != nil {
		t.Fatal(err)
	}
	return s.asks(question{branch: branch, key: key})
}

type strategyRead = strategy

// IsAt says whether a GitRepository is that of a URL.
func IsAt(t *testing.T, repository *unstructured.Unstructured, url string) bool {
	t.Helper()
	var g gitRepository
	if err := convert(repository, &g); err != nil {
		t.Fatal(err)
	}
	return g.isAt(url)
}

// CommitStatus is what a PromotionStrategy is told that asks about a key on a branch.
func (r *Reconciler) CommitStatus(t *testing.T, by *unstructured.Unstructured, branch, key string, lc *gitopsv1alpha1.Lifecycle, deliveries []lifecyclev1.KeptnAppVersion, tip string) *unstructured.Unstructured {
	t.Helper()
	var s strategyRead
	if err := convert(by, &s); err != nil {
		t.Fatal(err)
	}
	return s.commitStatus(lc, question{branch: branch, key: key}, tip, r.judge(lc, deliveries, tip))
}

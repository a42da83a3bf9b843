package apply

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Status writes the status of after where it differs from before, in one patch,
// and says whether it did. It fails with a conflict where before was not the
// newest, so that no write is based on what is no longer true. An object that is gone
// has no status: that is no failure, and nothing is written.
func Status(ctx context.Context, c client.Client, before, after client.Object) (bool, error) {
	if equality.Semantic.DeepEqual(before, after) {
		return false, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	err := c.Status().Patch(ctx, after, patch)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write status of %s: %w", client.ObjectKeyFromObject(before), err)
	}
	return true, nil
}

// afterConflict is how long the cache is given to catch up with a write that was
// not known yet.
const afterConflict = 20 * time.Millisecond

// Terminating says whether something could not be created since its namespace is
// being deleted. All that is in it goes, so that there is nothing left to do, and
// nobody left to tell: an event cannot be created there either.
func Terminating(err error) bool {
	return apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}

// Result is the end of a reconcile: a conflict is no failure, but the news that
// somebody else wrote in between, and is tried again with what they wrote; and what
// is to be in a namespace that is being deleted is not tried again.
func Result(recheck time.Duration, err error) (reconcile.Result, error) {
	switch {
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: afterConflict}, nil
	case Terminating(err):
		return reconcile.Result{RequeueAfter: recheck}, nil
	case err != nil:
		return reconcile.Result{}, err
	default:
		return reconcile.Result{RequeueAfter: recheck}, nil
	}
}

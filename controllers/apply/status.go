package apply

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// Status writes the status of after where it differs from before, in one patch,
// and says whether it did. It fails with a conflict where before was not the
// newest, so that no write is based on what is no longer true.
func Status(ctx context.Context, c client.Client, before, after client.Object) (bool, error) {
	if equality.Semantic.DeepEqual(before, after) {
		return false, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := c.Status().Patch(ctx, after, patch); err != nil {
		return false, fmt.Errorf("write status of %s: %w", client.ObjectKeyFromObject(before), err)
	}
	return true, nil
}

// afterConflict is how long the cache is given to catch up with a write that was
// not known yet.
const afterConflict = 20 * time.Millisecond

// Result is the end of a reconcile: a conflict is no failure, but the news that
// somebody else wrote in between, and is tried again with what they wrote.
func Result(recheck time.Duration, err error) (reconcile.Result, error) {
	switch {
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: afterConflict}, nil
	case err != nil:
		return reconcile.Result{}, err
	default:
		return reconcile.Result{RequeueAfter: recheck}, nil
	}
}

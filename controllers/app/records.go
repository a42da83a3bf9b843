package app

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/apply"
	"github.com/keptn/gitops/controllers/condition"
)

// kept is how many records that have ended are kept of each workload and app.
const kept = 10

// afterStale is how long the cache is given to show what the API server has already.
const afterStale = 20 * time.Millisecond

// A creation is how a record comes to be.
type creation struct {
	// owner is what the record is a record of.
	owner, record client.Object
	// known is an empty object of the record's kind, and same says whether the record
	// that was read into it is the one to create.
	known client.Object
	same  func() bool
	// spare is a name that no other record can have, for where the record's own is
	// taken by another one.
	spare   string
	manager string
}

// create creates a record once. It is no failure that it is there already; that one
// of its name is there which is not known yet is the error AlreadyExists.
func create(ctx context.Context, c client.Client, n creation) error {
	if err := apply.Own(n.owner, n.record, c.Scheme()); err != nil {
		return err
	}
	taken := c.Create(ctx, n.record, client.FieldOwner(n.manager))
	if !apierrors.IsAlreadyExists(taken) {
		return taken
	}
	err := c.Get(ctx, client.ObjectKeyFromObject(n.record), n.known)
	switch {
	case apierrors.IsNotFound(err):
		return taken
	case err != nil:
		return err
	case metav1.IsControlledBy(n.known, n.owner) && n.same():
		return nil
	}
	n.record.SetName(n.spare)
	if err := c.Create(ctx, n.record, client.FieldOwner(n.manager)); !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// prune deletes the records that have ended beyond those that are kept. They are
// given newest first.
func prune[T any](ctx context.Context, c client.Client, records []T, object func(*T) client.Object, ended func(*T) bool) error {
	seen := 0
	for i := range records {
		if !ended(&records[i]) {
			continue
		}
		if seen++; seen <= kept {
			continue
		}
		if err := c.Delete(ctx, object(&records[i])); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("delete %s: %w", client.ObjectKeyFromObject(object(&records[i])), err)
		}
	}
	return nil
}

// patch writes what differs between two states of an object, unless somebody else
// wrote in between.
func patch(ctx context.Context, c client.Client, before, after client.Object, manager string) error {
	diff := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	return c.Patch(ctx, after, diff, client.FieldOwner(manager))
}

// result is the end of a reconcile: what the API server refuses is refused again
// until the object changes; and a name that is taken by what is not known yet is the
// news that the cache will tell in a moment.
func result(err error) (reconcile.Result, error) {
	switch {
	case apierrors.IsInvalid(err):
		return reconcile.Result{}, reconcile.TerminalError(err)
	case apierrors.IsAlreadyExists(err):
		return reconcile.Result{RequeueAfter: afterStale}, nil
	default:
		return apply.Result(0, err)
	}
}

// passing says whether an error is none to tell people of.
func passing(err error) bool {
	return err == nil || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apply.Terminating(err)
}

// A failure is what an event tells of, in Keptn's words.
type failure struct{ reason, phase, message string }

// The failures, as Keptn has them.
var (
	createWorkloadFailed        = failure{"CreateWorkloadFailed", "Create Workload", "could not create KeptnWorkload"}
	updateWorkloadFailed        = failure{"UpdateWorkloadFailed", "Update Workload", "could not update KeptnWorkload"}
	createWorkloadVersionFailed = failure{"CreateWorkloadVersionFailed", "Create WorkloadVersion", "could not create KeptnWorkloadVersion"}
	createAppFailed             = failure{"CreateAppFailed", "Create App", "could not create KeptnApp"}
	updateAppFailed             = failure{"UpdateAppFailed", "Update App", "could not update KeptnApp"}
	createAppVersionFailed      = failure{"CreateAppVersionFailed", "Create AppVersion", "could not create KeptnAppVersion"}
)

// tell emits the event of a failure, about an object and the version of it.
func (f failure) tell(recorder events.EventRecorder, about client.Object, version string, err error) {
	if passing(err) {
		return
	}
	where := fmt.Sprintf("Namespace: %s, Name: %s", about.GetNamespace(), about.GetName())
	if version != "" {
		where += ", Version: " + version
	}
	recorder.Eventf(about, nil, corev1.EventTypeWarning, f.reason, "Create", "%s",
		condition.Note(fmt.Sprintf("%s: %s: %v / %s", f.phase, f.message, err, where)))
}

// traceOf is the W3C trace parent that an object carries.
func traceOf(obj client.Object) map[string]string {
	if parent := obj.GetAnnotations()[lifecyclev1.TraceParentAnnotation]; parent != "" {
		return map[string]string{lifecyclev1.TraceParentAnnotation: parent}
	}
	return nil
}

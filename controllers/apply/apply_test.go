package apply_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/keptn/gitops/controllers/apply"
)

func TestWhatCannotBeWrittenAnyMoreIsNoFailure(t *testing.T) {
	gone := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b", ResourceVersion: "1"}}
	after := gone.DeepCopy()
	after.Status.Phase = corev1.PodRunning
	if written, err := apply.Status(t.Context(), fake.NewClientBuilder().Build(), gone, after); written || err != nil {
		t.Errorf("the status of what is gone: written %t, %v", written, err)
	}

	group := schema.GroupResource{Resource: "pods"}
	terminating := apierrors.NewForbidden(group, "b", errors.New("going"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	cases := map[string]struct {
		reason string
		err    error
		want   reconcile.Result
		fails  bool
	}{
		"None":        {"It is looked at again when that is wanted.", nil, reconcile.Result{RequeueAfter: time.Minute}, false},
		"Conflict":    {"Somebody else wrote: it is looked at in a moment.", apierrors.NewConflict(group, "b", errors.New("newer")), reconcile.Result{RequeueAfter: 20 * time.Millisecond}, false},
		"Terminating": {"Its namespace goes, and it with it.", fmt.Errorf("create: %w", errors.Join(terminating)), reconcile.Result{RequeueAfter: time.Minute}, false},
		"Forbidden":   {"That may change.", apierrors.NewForbidden(group, "b", errors.New("no right")), reconcile.Result{}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := apply.Result(time.Minute, tc.err)
			if got != tc.want || (err != nil) != tc.fails {
				t.Errorf("%s\ngot %+v, %v", tc.reason, got, err)
			}
		})
	}
}

func TestWhatTheClusterHoldsIsNotAppliedAgain(t *testing.T) {
	applied := 0
	c := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			applied++
			return c.Patch(ctx, obj, patch, opts...)
		},
	}).Build()
	wanted := func(value string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b"}, Data: map[string]string{"key": value}}
	}
	expect := func(reason, value string, want int) {
		t.Helper()
		if err := apply.Changed(t.Context(), c, wanted(value), "owner"); err != nil {
			t.Fatal(err)
		}
		if applied != want {
			t.Errorf("%s: applied %d times, want %d", reason, applied, want)
		}
	}
	expect("It is not there yet.", "1", 1)
	expect("It is there.", "1", 1)
	expect("Something else is wanted.", "2", 2)

	live := &corev1.ConfigMap{}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(wanted("")), live); err != nil {
		t.Fatal(err)
	}
	live.CreationTimestamp, live.Generation = metav1.Now(), 3 // as objects of a real cluster have
	live.Data["key"] = "changed by hand"
	if err := c.Update(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	expect("Somebody changed it.", "2", 3)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(live), live); err != nil {
		t.Fatal(err)
	}
	live.CreationTimestamp = metav1.Now()
	live.Labels = map[string]string{"theirs": "stays"}
	if err := c.Update(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	expect("What others add is theirs.", "2", 3)
}

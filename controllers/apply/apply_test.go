package apply_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/keptn/gitops/controllers/apply"
)

func TestWhatTheClusterHoldsIsNotAppliedAgain(t *testing.T) {
	applied := 0
	c := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			applied++
			return c.Apply(ctx, obj, opts...)
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

package options_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	optionsv1alpha1 "github.com/keptn/gitops/api/options/v1alpha1"
	"github.com/keptn/gitops/controllers/options"
)

func TestTheOldestConfigurationCounts(t *testing.T) {
	of := func(namespace, name string, age time.Duration, spec optionsv1alpha1.KeptnConfigSpec) client.Object {
		created := metav1.NewTime(time.Date(2026, 5, 5, 12, 0, 0, 0, time.UTC).Add(-age))
		return &optionsv1alpha1.KeptnConfig{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: created}, Spec: spec,
		}
	}
	waits := func(seconds uint) optionsv1alpha1.KeptnConfigSpec {
		return optionsv1alpha1.KeptnConfigSpec{KeptnAppCreationRequestTimeoutSeconds: seconds}
	}
	full := func(seconds uint, block bool, timeout time.Duration) optionsv1alpha1.KeptnConfigSpec {
		return optionsv1alpha1.KeptnConfigSpec{
			KeptnAppCreationRequestTimeoutSeconds: seconds,
			BlockDeployment:                       ptr.To(block),
			ObservabilityTimeout:                  &metav1.Duration{Duration: timeout},
		}
	}
	cases := map[string]struct {
		reason  string
		configs []client.Object
		want    optionsv1alpha1.KeptnConfigSpec
	}{
		"None":     {"The defaults are Keptn's.", nil, full(30, true, 5*time.Minute)},
		"One":      {"What it says counts.", []client.Object{of("a", "a", 0, full(1, false, time.Second))}, full(1, false, time.Second)},
		"Sparse":   {"What it does not say has its default.", []client.Object{of("a", "a", 0, waits(7))}, full(7, true, 5*time.Minute)},
		"NoWait":   {"The API server writes 30 where nothing is said, so 0 is what somebody wants.", []client.Object{of("a", "a", 0, waits(0))}, full(0, true, 5*time.Minute)},
		"Several":  {"A second one changes nothing, whatever it is called.", []client.Object{of("a", "a", 0, waits(1)), of("z", "z", time.Hour, waits(2))}, full(2, true, 5*time.Minute)},
		"SameTime": {"The choice is the same at every look.", []client.Object{of("b", "a", 0, waits(1)), of("a", "b", 0, waits(2)), of("a", "c", 0, waits(3))}, full(2, true, 5*time.Minute)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := fake.NewClientBuilder().WithScheme(scheme(t)).WithObjects(tc.configs...).Build()
			got, err := options.Config(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAConfigurationThatCannotBeReadIsNoDefault(t *testing.T) {
	broken := errors.New("broken")
	c := fake.NewClientBuilder().WithScheme(scheme(t)).WithInterceptorFuncs(interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error { return broken },
	}).Build()
	if _, err := options.Config(t.Context(), c); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	if err := optionsv1alpha1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	return s
}

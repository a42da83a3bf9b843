package measure_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/measure"
	"github.com/keptn/gitops/telemetry/metric"
)

// source is a GitSource of shop.
func source(environment string) client.Object {
	s := &gitopsv1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "source-" + environment}}
	s.Spec.Environment = environment
	return s
}

// app is a Lifecycle of shop that the GitSource of an environment reads; without windows
// it was not measured yet.
func app(name, environment string, windows ...gitopsv1alpha1.DORAWindow) client.Object {
	lc := &gitopsv1alpha1.Lifecycle{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: name + "-" + environment, Labels: map[string]string{gitopsv1alpha1.SourceLabel: "source-" + environment},
	}}
	lc.Spec.App = name
	if windows != nil {
		lc.Status.DORA = &gitopsv1alpha1.DORAMetrics{Windows: windows}
	}
	return lc
}

// cluster has objects, and answers a list of some kinds with an error.
func cluster(t *testing.T, objects []client.Object, fails string) client.Reader {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := gitopsv1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	lists := func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		if kinds, err := c.GroupVersionKindFor(list); err != nil || fails != "" && strings.HasPrefix(kinds.Kind, fails) {
			return errors.Join(err, errors.New("the cache is gone"))
		}
		return c.List(ctx, list, opts...)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{List: lists}).Build()
}

func TestGaugesShowWhatTheStatusSays(t *testing.T) {
	nan := math.NaN()
	hours := func(n int) *metav1.Duration { return &metav1.Duration{Duration: time.Duration(n) * time.Hour} }
	full := gitopsv1alpha1.DORAWindow{
		Days: 30, Deployments: 3, FailedDeployments: 1, DeploymentsPerDay: "0.1", LeadTimes: 2, LeadTimeP50: hours(1), LeadTimeP90: hours(2),
		CodeLeadTimes: 1, CodeLeadTimeP50: hours(4), CodeLeadTimeP90: hours(5),
		ChangeFailRate: "0.3333", Recoveries: 1, RecoveryP50: hours(3), ReworkRate: "0",
	}
	empty := gitopsv1alpha1.DORAWindow{Days: 7, DeploymentsPerDay: "0"}
	cases := map[string]struct {
		reason  string
		objects []client.Object
		want    []metric.DORA
	}{
		"Windows": {
			"Each window is shown, and what is not known is no number: it must not be taken for zero.",
			[]client.Object{source("production"), app("checkout", "production", empty, full)},
			[]metric.DORA{
				{
					App: "checkout", Namespace: "shop", Environment: "production", Window: "7d",
					LeadTimeP50: nan, LeadTimeP90: nan, CodeLeadTimeP50: nan, CodeLeadTimeP90: nan, ChangeFailRate: nan, ReworkRate: nan, Recovery: nan,
				},
				{
					App: "checkout", Namespace: "shop", Environment: "production", Window: "30d", Deployments: 3, DeploymentsPerDay: 0.1,
					LeadTimeP50: 3600, LeadTimeP90: 7200, CodeLeadTimeP50: 14400, CodeLeadTimeP90: 18000, ChangeFailRate: 0.3333, Recovery: 10800,
				},
			},
		},
		"Environments": {
			"An app in two environments is two.",
			[]client.Object{source("production"), source("staging"), app("cart", "production", full), app("cart", "staging", full)},
			[]metric.DORA{
				{App: "cart", Namespace: "shop", Environment: "production", Window: "30d", Deployments: 3, DeploymentsPerDay: 0.1, LeadTimeP50: 3600, LeadTimeP90: 7200, CodeLeadTimeP50: 14400, CodeLeadTimeP90: 18000, ChangeFailRate: 0.3333, Recovery: 10800},
				{App: "cart", Namespace: "shop", Environment: "staging", Window: "30d", Deployments: 3, DeploymentsPerDay: 0.1, LeadTimeP50: 3600, LeadTimeP90: 7200, CodeLeadTimeP50: 14400, CodeLeadTimeP90: 18000, ChangeFailRate: 0.3333, Recovery: 10800},
			},
		},
		"NotMeasured": {"One that was not measured yet shows nothing.", []client.Object{source("production"), app("checkout", "production")}, nil},
		"NoSource":    {"What is of no environment cannot be told from another.", []client.Object{source("staging"), app("checkout", "production", full)}, nil},
		"None":        {"There may be none.", nil, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := measure.Gauges(cluster(t, tc.objects, ""))(t.Context())
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateNaNs()); diff != "" || err != nil {
				t.Errorf("%s\n%v; -want +got:\n%s", tc.reason, err, diff)
			}
		})
	}
	for _, kind := range []string{"GitSource", "Lifecycle"} {
		if _, err := measure.Gauges(cluster(t, cases["Windows"].objects, kind))(t.Context()); err == nil || !strings.Contains(err.Error(), "list "+kind+"s: ") {
			t.Errorf("%ss that cannot be listed: %v", kind, err)
		}
	}
}

package serving_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/keptn/gitops/controllers/serving"
)

// values is a Source of what a test puts in.
type values []serving.Value

func (s values) Get(_ context.Context, name types.NamespacedName) (serving.Value, error) {
	for _, v := range s {
		if v.Namespace == name.Namespace && v.Name == name.Name {
			return v, nil
		}
	}
	return serving.Value{}, apierrors.NewNotFound(schema.GroupResource{Group: "metrics.keptn.sh", Resource: "keptnmetrics"}, name.Name)
}

func (s values) List(_ context.Context, namespace string, selector labels.Selector) ([]serving.Value, error) {
	var found []serving.Value
	for _, v := range s {
		if (namespace == "" || v.Namespace == namespace) && selector.Matches(labels.Set(v.Labels)) {
			found = append(found, v)
		}
	}
	return found, nil
}

// broken is a Source that answers nothing.
type broken struct{}

var errBroken = errors.New("the cache is gone")

func (broken) Get(context.Context, types.NamespacedName) (serving.Value, error) {
	return serving.Value{}, errBroken
}

func (broken) List(context.Context, string, labels.Selector) ([]serving.Value, error) {
	return nil, errBroken
}

var measured = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// measuredValue is a KeptnMetric with a value.
func measuredValue(namespace, name string, value float64, labels map[string]string) serving.Value {
	return serving.Value{Namespace: namespace, Name: name, Value: value, HasValue: true, Text: "text", Time: measured, Labels: labels}
}

func info(group, metric string) provider.CustomMetricInfo {
	return provider.CustomMetricInfo{GroupResource: schema.GroupResource{Group: group, Resource: "keptnmetrics"}, Namespaced: true, Metric: metric}
}

func TestAMetricIsFoundByItsName(t *testing.T) {
	source := values{
		measuredValue("a", "b-c", 4, map[string]string{"app": "shop"}),
		measuredValue("a-b", "c", 5, nil),
		measuredValue("a", "tiny", 1e-12, nil), measuredValue("a", "huge", 1e300, nil), measuredValue("a", "less", -1e300, nil), measuredValue("a", "exact", -0.000012, nil),
		measuredValue("a", "nan", math.NaN(), nil), measuredValue("a", "infinite", math.Inf(1), nil),
		{Namespace: "a", Name: "new"},
		{Namespace: "a", Name: "failing", Reason: "connection refused"},
		{Namespace: "a", Name: "text", Text: "many"},
	}
	cases := map[string]struct {
		reason          string
		namespace, name string
		group           string
		selector        string
		want            string
		missing         string
	}{
		"KeptnsPath":     {"Keptn has served metrics.sh from the start.", "a", "b-c", "metrics.sh", "", "4", ""},
		"AutoscalerPath": {"An autoscaler's path comes from the apiVersion of its describedObject.", "a", "b-c", "metrics.keptn.sh", "", "4", ""},
		"NoCollision":    {"a/b-c and a-b/c are two metrics.", "a-b", "c", "metrics.sh", "", "5", ""},
		"Tiny":           {"What is smaller than a billionth is not nothing.", "a", "tiny", "metrics.sh", "", "1n", ""},
		"Huge":           {"Autoscalers take for zero what is larger.", "a", "huge", "metrics.sh", "", "9P", ""},
		"Hugely less":    {"So they do below zero.", "a", "less", "metrics.sh", "", "-9P", ""},
		"Exact":          {"Digits survive.", "a", "exact", "metrics.sh", "", "-12u", ""},
		"Selected":       {"A metric selector may fit.", "a", "b-c", "metrics.sh", "app=shop", "4", ""},
		"NotSelected":    {"A metric selector that does not fit is no permission to take another.", "a", "b-c", "metrics.sh", "app=cart", "", "with selector app=cart"},
		"OtherNamespace": {"A metric is its namespace's.", "b", "b-c", "metrics.sh", "", "", "could not find the metric"},
		"NoNamespace":    {"KeptnMetrics are namespaced.", "", "b-c", "metrics.sh", "", "", "could not find the metric"},
		"OtherGroup":     {"Metrics of other objects are another adapter's.", "a", "b-c", "example.com", "", "", "could not find the metric"},
		"NoValueYet":     {"A zero would scale down what nobody has measured.", "a", "new", "metrics.sh", "", "", "it has no value yet"},
		"Failing":        {"The author reads why there is none.", "a", "failing", "metrics.sh", "", "", "it has no value: connection refused"},
		"Text":           {"Text is no number.", "a", "text", "metrics.sh", "", "", `its value "many" is no number`},
		"NotANumber":     {"0/0 is no evidence.", "a", "nan", "metrics.sh", "", "", "its value is NaN"},
		"Infinite":       {"Infinity has no quantity.", "a", "infinite", "metrics.sh", "", "", "its value is +Inf"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			selector, err := labels.Parse(tc.selector)
			if err != nil {
				t.Fatal(err)
			}
			p := serving.NewProvider(t.Context(), source, logr.Discard())
			got, err := p.GetMetricByName(t.Context(), types.NamespacedName{Namespace: tc.namespace, Name: tc.name}, info(tc.group, tc.name), selector)
			if tc.missing != "" {
				if !apierrors.IsNotFound(err) || !contains(err, tc.missing) {
					t.Errorf("%s: got error %v, want not found with %q", tc.reason, err, tc.missing)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", tc.reason, err)
			}
			if got.Value.String() != tc.want {
				t.Errorf("%s: got %s, want %s", tc.reason, got.Value.String(), tc.want)
			}
			if v := got.Value.AsApproximateFloat64(); math.Abs(v) >= 1 && float64(got.Value.MilliValue()) != v*1000 {
				t.Errorf("%s: an autoscaler reads %d thousandths of %v", tc.reason, got.Value.MilliValue(), v)
			}
			object := custom_metrics.ObjectReference{APIVersion: "metrics.keptn.sh/v1", Kind: "KeptnMetric", Namespace: tc.namespace, Name: tc.name}
			if diff := cmp.Diff(object, got.DescribedObject); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
			if !got.Timestamp.Time.Equal(measured) {
				t.Errorf("it was measured at %s, not at %s", measured, got.Timestamp)
			}
		})
	}
}

func TestASelectorFindsTheMetricsOfItsNamespace(t *testing.T) {
	shop := map[string]string{"app": "shop"}
	source := values{
		measuredValue("b", "one", 1, shop), measuredValue("a", "two", 2, shop), measuredValue("a", "one", 3, shop),
		measuredValue("a", "three", 4, map[string]string{"app": "cart"}),
		{Namespace: "a", Name: "new", Labels: shop},
	}
	cases := map[string]struct {
		reason                    string
		namespace, metric         string
		selector, metricSelectors string
		want                      []string
	}{
		"Namespace":      {"The path's namespace counts, and what has no value is left out.", "a", "*", "app=shop", "", []string{"a/one", "a/two"}},
		"All":            {"Without a selector all are meant.", "a", "*", "", "", []string{"a/one", "a/three", "a/two"}},
		"EveryNamespace": {"A star is every namespace.", "*", "*", "app=shop", "", []string{"a/one", "a/two", "b/one"}},
		"Root":           {"So is no namespace.", "", "*", "app=shop", "", []string{"a/one", "a/two", "b/one"}},
		"OneMetric":      {"A metric's name narrows it down.", "a", "one", "", "", []string{"a/one"}},
		"MetricSelector": {"So does a selector of metrics.", "a", "*", "", "app=cart", []string{"a/three"}},
		"Nothing":        {"Nothing found is an empty list.", "c", "*", "", "", nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			selector, err := labels.Parse(tc.selector)
			metricSelector, err2 := labels.Parse(tc.metricSelectors)
			if err := errors.Join(err, err2); err != nil {
				t.Fatal(err)
			}
			p := serving.NewProvider(t.Context(), source, logr.Discard())
			list, err := p.GetMetricBySelector(t.Context(), tc.namespace, selector, info("metrics.sh", tc.metric), metricSelector)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, item := range list.Items {
				got = append(got, item.DescribedObject.Namespace+"/"+item.DescribedObject.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestTheLabelsOfAMetricSelectIt(t *testing.T) {
	p := serving.NewProvider(t.Context(), values{measuredValue("a", "b", 1, map[string]string{"app": "shop"})}, logr.Discard())
	got, err := p.GetMetricByName(t.Context(), types.NamespacedName{Namespace: "a", Name: "b"}, info("metrics.sh", "b"), labels.Everything())
	if err != nil {
		t.Fatal(err)
	}
	want := custom_metrics.MetricIdentifier{Name: "b", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "shop"}}}
	if diff := cmp.Diff(want, got.Metric); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEveryMetricIsListedOnceForEachWayToCallIt(t *testing.T) {
	source := values{measuredValue("b", "two", 1, nil), measuredValue("a", "two", 1, nil), {Namespace: "a", Name: "new"}}
	want := []provider.CustomMetricInfo{
		info("metrics.sh", "new"), info("metrics.keptn.sh", "new"), info("metrics.sh", "two"), info("metrics.keptn.sh", "two"),
	}
	if diff := cmp.Diff(want, serving.NewProvider(t.Context(), source, logr.Discard()).ListAllMetrics()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestASourceThatIsDownIsNotTakenForAMissingMetric(t *testing.T) {
	p := serving.NewProvider(t.Context(), broken{}, logr.Discard())
	if _, err := p.GetMetricByName(t.Context(), types.NamespacedName{Namespace: "a", Name: "b"}, info("metrics.sh", "b"), labels.Everything()); !errors.Is(err, errBroken) {
		t.Errorf("one metric: %v", err)
	}
	if _, err := p.GetMetricBySelector(t.Context(), "a", labels.Everything(), info("metrics.sh", "*"), labels.Everything()); !errors.Is(err, errBroken) {
		t.Errorf("several metrics: %v", err)
	}
	if got := p.ListAllMetrics(); got != nil {
		t.Errorf("listed %v", got)
	}
}

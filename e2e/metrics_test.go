package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/e2e/stage"
)

// read reads a path of the API server's.
func read(ctx context.Context, path string) ([]byte, error) {
	var said bytes.Buffer
	err := stage.Kubectl(ctx, &said, "get", "--raw", path)
	return said.Bytes(), err
}

// measuring is a KeptnMetric of the project's Prometheus.
func measuring(namespace, name, query string) *metricsv1.KeptnMetric {
	return &metricsv1.KeptnMetric{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": "checkout"}},
		Spec: metricsv1.KeptnMetricSpec{
			Provider:             metricsv1.ProviderRef{Name: "prometheus"},
			Query:                query,
			FetchIntervalSeconds: 2,
		},
	}
}

// scalingOn has a Deployment scaled by a KeptnMetric, as Keptn's guide does.
func scalingOn(deployment *appsv1.Deployment, metric, target string) *autoscalingv2.HorizontalPodAutoscaler {
	value := resource.MustParse(target)
	least := int32(1)
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: deployment.Namespace, Name: deployment.Name},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: deployment.Name},
			MinReplicas:    &least,
			MaxReplicas:    3,
			Metrics: []autoscalingv2.MetricSpec{{
				Type: autoscalingv2.ObjectMetricSourceType,
				Object: &autoscalingv2.ObjectMetricSource{
					Metric:          autoscalingv2.MetricIdentifier{Name: metric},
					DescribedObject: autoscalingv2.CrossVersionObjectReference{APIVersion: "metrics.keptn.sh/v1", Kind: "KeptnMetric", Name: metric},
					Target:          autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, Value: &value},
				},
			}},
		},
	}
}

var _ = Describe("A KeptnMetric", func() {
	It("scales a Deployment by a HorizontalPodAutoscaler, and is served to whoever asks", func(ctx context.Context) {
		p := project(ctx, "scaled", false)
		push(ctx, p, "Deliver checkout")
		Expect(p.Apply(ctx)).To(Succeed())
		checkout := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "scaled", Name: "checkout"}}
		replicas := func(ctx context.Context) (int32, error) {
			err := cluster.Get(ctx, client.ObjectKeyFromObject(checkout), checkout)
			return checkout.Status.ReadyReplicas, err
		}
		Eventually(ctx, replicas).Should(BeEquivalentTo(2), "the Deployment as it is in Git")

		By("measuring what calls for more pods than the most allowed")
		Expect(cluster.Create(ctx, measuring("scaled", "load", "vector(40)"))).To(Succeed())
		Expect(cluster.Create(ctx, scalingOn(checkout, "load", "1"))).To(Succeed())
		Eventually(ctx, replicas).Should(BeEquivalentTo(3))

		By("asking the custom metrics API, as any other autoscaler does")
		for _, path := range []string{
			"/apis/custom.metrics.k8s.io/v1beta1/namespaces/scaled/keptnmetrics.metrics.sh/load/load",
			"/apis/custom.metrics.k8s.io/v1beta2/namespaces/scaled/keptnmetrics.metrics.sh/load/load",
			"/apis/custom.metrics.k8s.io/v1beta2/namespaces/scaled/keptnmetrics.metrics.sh/*/*?labelSelector=app%3Dcheckout",
		} {
			answer, err := read(ctx, path)
			Expect(err).NotTo(HaveOccurred())
			var list struct{ Items []struct{ Value string } }
			Expect(json.Unmarshal(answer, &list)).To(Succeed())
			Expect(list.Items).To(ConsistOf(HaveField("Value", "40")), path)
		}

		By("asking the JSON API where KEDA's metrics-api trigger was told to by Keptn")
		const service = "/api/v1/namespaces/keptn-system/services/metrics-operator-service:9999/proxy"
		Expect(read(ctx, service+"/api/v1/metrics/scaled/load")).To(MatchJSON(`{"metric":"load","namespace":"scaled","value":"40"}`))
		Expect(read(ctx, service+"/metrics")).To(ContainSubstring(`load{name="load",namespace="scaled"} 40`))

		By("measuring what calls for fewer")
		load := measuring("scaled", "load", "")
		patch := fmt.Sprintf(`{"spec":{"query":%q}}`, "vector(0.5)")
		Expect(cluster.Patch(ctx, load, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
		Eventually(func() ([]byte, error) { return read(ctx, service+"/api/v1/metrics/scaled/load") }).
			Should(MatchJSON(`{"metric":"load","namespace":"scaled","value":"0.5"}`))

		By("taking it away")
		Expect(cluster.Delete(ctx, load)).To(Succeed())
		Eventually(func() ([]byte, error) { return read(ctx, service+"/metrics") }).ShouldNot(ContainSubstring(`name="load"`))
	})
})

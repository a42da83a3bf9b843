package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
	"github.com/keptn/gitops/telemetry"
)

func TestATaskIsMadeOfItsDefinition(t *testing.T) {
	kav := checking("a")
	kav.Spec.Confinement = &lifecyclev1.Confinement{ServiceAccountName: "deployer"}
	kav.Spec.TaskDefinitions = []lifecyclev1.NamedTaskDefinition{{Name: "a", Spec: lifecyclev1.FrozenTaskDefinition{
		KeptnTaskDefinitionSpec: lifecyclev1.KeptnTaskDefinitionSpec{Retries: ptr.To[int32](7)},
	}}}
	c := newCluster(t, definition("a"), kav)
	if _, err := c.app("shop-1"); err != nil {
		t.Fatal(err)
	}
	spec := c.tasks()[0].Spec
	if spec.Definition == nil || *spec.Retries != 7 {
		t.Errorf("the definition at the commit does not count: %+v", spec)
	}
	if spec.Confinement == nil || spec.Confinement.ServiceAccountName != "deployer" {
		t.Errorf("the task is not confined: %+v", spec.Confinement)
	}
	if !metav1.IsControlledBy(&c.tasks()[0], kav) {
		t.Error("the task does not go with its delivery")
	}
}

func TestATaskHasTheLabelsAndAnnotationsOfItsDefinition(t *testing.T) {
	type texts = map[string]string
	const applied = corev1.LastAppliedConfigAnnotation
	inCluster := definition("a")
	inCluster.Labels, inCluster.Annotations = texts{"team": "blue"}, texts{"runbook": "a", applied: "{}"}
	atCommit := lifecyclev1.NamedTaskDefinition{Name: "a", Labels: texts{"team": "green"}, Annotations: texts{"runbook": "b", applied: "{}"}}
	cases := map[string]struct {
		reason              string
		frozen              []lifecyclev1.NamedTaskDefinition
		labels, annotations texts
	}{
		"InTheCluster": {"They go on to the Job and its pod (R53).", nil, texts{"team": "blue"}, texts{"runbook": "a"}},
		"AtTheCommit":  {"The definition counts that Git froze.", []lifecyclev1.NamedTaskDefinition{atCommit}, texts{"team": "green"}, texts{"runbook": "b"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			kav := checking("a")
			kav.Spec.TaskDefinitions = tc.frozen
			c := newCluster(t, inCluster.DeepCopy(), kav)
			if _, err := c.app("shop-1"); err != nil {
				t.Fatal(err)
			}
			task := c.tasks()[0]
			if diff := cmp.Diff(tc.labels, task.Labels); diff != "" {
				t.Errorf("%s\nlabels (-want +got):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.annotations, task.Annotations); diff != "" {
				t.Errorf("%s\nannotations (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestATaskIsToldOfItsDelivery(t *testing.T) {
	type metadata = map[string]string
	kav := letGo("kav", 1, "1")
	kav.Spec.PreDeploymentTasks, kav.Spec.Metadata = []string{"app"}, metadata{"team": "blue", "stage": "dev"}
	kwv := ofRevision1("kwv", 1, "1")
	kwv.Spec.PreDeploymentTasks, kwv.Spec.Metadata = []string{"workload"}, metadata{"stage": "hardening"}
	ofApp := func(m metadata) lifecyclev1.TaskContext {
		return lifecyclev1.TaskContext{AppName: "shop", AppVersion: "1", TaskType: "pre", ObjectType: "App", Metadata: m}
	}
	ofWorkload := func(m metadata) lifecyclev1.TaskContext {
		return lifecyclev1.TaskContext{AppName: "shop", WorkloadName: "shop-cart", WorkloadVersion: "1", TaskType: "pre", ObjectType: "Workload", Metadata: m}
	}
	trace := telemetry.Traceparent(kav.UID)
	cases := map[string]struct {
		reason        string
		traced        bool
		app, workload lifecyclev1.TaskContext
	}{
		"Untraced": {
			"A workload's task has no version of the app (R57), and the workload's metadata go before the app's (R58).", false,
			ofApp(metadata{"team": "blue", "stage": "dev"}), ofWorkload(metadata{"team": "blue", "stage": "hardening"}),
		},
		"Traced": {
			"Where traces are exported each is told of its app's.", true,
			ofApp(metadata{"team": "blue", "stage": "dev", "traceparent": trace}), ofWorkload(metadata{"team": "blue", "stage": "hardening", "traceparent": trace}),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, append(rolling("1"), kav.DeepCopy(), kwv.DeepCopy(), definition("app"), definition("workload"))...)
			c.traced = tc.traced
			if _, err := c.app("kav"); err != nil {
				t.Fatal(err)
			}
			c.workload("kwv")
			got := map[string]lifecyclev1.TaskContext{}
			for _, task := range c.tasks() {
				got[task.Spec.TaskDefinition] = task.Spec.Context
			}
			if diff := cmp.Diff(map[string]lifecyclev1.TaskContext{"app": tc.app, "workload": tc.workload}, got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestACheckIsDefinedInItsNamespaceElseInKeptnsOwn(t *testing.T) {
	// Definitions that hold nothing but a number say by it where they are.
	namespaces := []string{"shop", "keptn-system", "warehouse"}
	at := func(namespace string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: "check"}
	}
	kinds := map[string]struct {
		evaluates bool
		define    func(namespace string) client.Object
		// made is the namespace of the definition that a check was made of.
		made func(c *cluster) string
	}{
		"KeptnTaskDefinition": {false, func(namespace string) client.Object {
			return &lifecyclev1.KeptnTaskDefinition{ObjectMeta: at(namespace), Spec: lifecyclev1.KeptnTaskDefinitionSpec{Retries: ptr.To(int32(slices.Index(namespaces, namespace)))}}
		}, func(c *cluster) string {
			return namespaces[*c.tasks()[0].Spec.Retries]
		}},
		"KeptnEvaluationDefinition": {true, func(namespace string) client.Object {
			return &lifecyclev1.KeptnEvaluationDefinition{ObjectMeta: at(namespace), Spec: lifecyclev1.KeptnEvaluationDefinitionSpec{
				EvaluationRetries: lifecyclev1.EvaluationRetries{Retries: slices.Index(namespaces, namespace)},
			}}
		}, func(c *cluster) string {
			return namespaces[c.evaluations()[0].Spec.Retries]
		}},
		"SLOPolicy": {true, func(namespace string) client.Object {
			return &gitopsv1alpha1.SLOPolicy{ObjectMeta: at(namespace), Spec: gitopsv1alpha1.SLOPolicySpec{
				Metrics: []gitopsv1alpha1.Metric{{Name: namespace}},
			}}
		}, func(c *cluster) string {
			return c.evaluations()[0].Spec.Policy.Metrics[0].Name
		}},
		"AnalysisDefinition": {true, func(namespace string) client.Object {
			return &metricsv1.AnalysisDefinition{ObjectMeta: at(namespace)}
		}, func(c *cluster) string {
			return c.evaluations()[0].Spec.AnalysisDefinition.Namespace
		}},
	}
	places := map[string]struct {
		reason  string
		defined []string
		want    string
	}{
		"Own":       {"It is that of the delivery's namespace.", []string{"shop"}, "shop"},
		"Keptns":    {"Else it is that of Keptn's namespace (R65, R76).", []string{"keptn-system"}, "keptn-system"},
		"Both":      {"The nearer one counts.", []string{"keptn-system", "shop"}, "shop"},
		"Elsewhere": {"One of another namespace is nobody else's.", []string{"warehouse"}, ""},
	}
	for kind, of := range kinds {
		for place, tc := range places {
			t.Run(kind+" "+place, func(t *testing.T) {
				kav := checking("check")
				if of.evaluates {
					kav.Spec.PreDeploymentTasks, kav.Spec.PreDeploymentEvaluations = nil, []string{"check"}
				}
				objects := []client.Object{kav}
				for _, namespace := range tc.defined {
					objects = append(objects, of.define(namespace))
				}
				c := newCluster(t, objects...)
				if _, err := c.app("shop-1"); err != nil {
					t.Fatal(err)
				}
				got := ""
				if len(c.tasks())+len(c.evaluations()) > 0 {
					got = of.made(c)
				}
				if got != tc.want {
					t.Errorf("%s\nit is made of the one in %q, want %q", tc.reason, got, tc.want)
				}
			})
		}
	}
}

func TestAPromotionThatFailsFailsTheDelivery(t *testing.T) {
	kav := checking()
	kav.Spec.PromotionTasks = []string{"tell"}
	c := newCluster(t, definition("tell"), kav)
	if _, err := c.app("shop-1"); err != nil {
		t.Fatal(err)
	}
	if task := c.tasks()[0]; task.Spec.Type != lifecyclev1.PromotionCheckType || task.Spec.Context.TaskType != "promotion" {
		t.Errorf("the task is not one of the promotion: %+v", task.Spec)
	}
	c.end("tell", failed)
	kav, err := c.app("shop-1")
	if err != nil {
		t.Fatal(err)
	}
	s := kav.Status
	if s.Status != failed || s.PromotionStatus != failed || s.PostDeploymentEvaluationStatus != succeeded || s.CurrentPhase != lifecyclev1.PhasePromotion {
		t.Errorf("it is %s, its promotion %s, what came before %s, at %s", s.Status, s.PromotionStatus, s.PostDeploymentEvaluationStatus, s.CurrentPhase)
	}
	if len(s.PromotionTaskStatus) != 1 || s.PromotionTaskStatus[0].Status != failed || s.PromotionTaskStatus[0].DefinitionName != "tell" {
		t.Errorf("its tasks: %+v", s.PromotionTaskStatus)
	}
	want := []string{
		"Normal PromotionTasksStarted Promotion Tasks: has started",
		"Warning PromotionTasksFailed Promotion Tasks: has failed: tell: Failed",
		"Warning AppCompletedFailed App Completed: has failed",
	}
	if diff := cmp.Diff(want, said(c.events)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAPromotionIsTriedAgainWhenItsForgeAllows(t *testing.T) {
	down := errors.New("down")
	cases := map[string]struct {
		reason string
		err    error
		after  time.Duration
	}{
		"Down":    {"It may be up again soon.", down, 15 * time.Second},
		"Limited": {"It asked for a pause.", fmt.Errorf("promote: %w", &LaterError{After: 2 * time.Minute, Err: down}), 2 * time.Minute},
		"Short":   {"A short pause is no reason to hurry.", &LaterError{After: time.Second, Err: down}, 15 * time.Second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			kav := checking()
			kav.Spec.PullRequest = &gitopsv1alpha1.PullRequest{}
			c := newCluster(t, kav)
			r := &AppVersionReconciler{
				Client: c.Client, Clock: c.clock, Events: c.events, OwnNamespace: "keptn-system",
				Promote: func(context.Context, *lifecyclev1.KeptnAppVersion) (string, string, error) { return "", "", tc.err },
			}
			result, err := r.Reconcile(t.Context(), read(c, "shop-1", &lifecyclev1.KeptnAppVersion{}))
			if err != nil || result.RequeueAfter != tc.after {
				t.Errorf("%s tried again after %s, want %s (%v)", tc.reason, result.RequeueAfter, tc.after, err)
			}
		})
	}
}

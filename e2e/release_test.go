package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/e2e/stage"
)

// team is a namespace.
type team string

// opted makes a namespace whose annotated workloads are delivered with checks, for
// as long as the test lasts.
func opted(ctx context.Context, name string) team {
	GinkgoHelper()
	return namespaced(ctx, name, map[string]string{lifecyclev1.NamespaceEnabledAnnotation: "enabled"})
}

func namespaced(ctx context.Context, name string, annotations map[string]string) team {
	GinkgoHelper()
	Expect(cluster.Namespace(ctx, name, os.Getenv("TESTBED_PROMETHEUS_URL"), annotations)).To(Succeed())
	DeferCleanup(func(ctx context.Context) error {
		return stage.Kubectl(ctx, GinkgoWriter, "delete", "namespace", name, "--wait=false")
	})
	return team(name)
}

// kubectl does what people do.
func (t team) kubectl(ctx context.Context, args ...string) {
	GinkgoHelper()
	Expect(stage.Kubectl(ctx, GinkgoWriter, append([]string{"--namespace", string(t)}, args...)...)).To(Succeed())
}

// apply applies a file of testdata/release.
func (t team) apply(ctx context.Context, file string) {
	GinkgoHelper()
	t.kubectl(ctx, "apply", "--filename", filepath.Join("testdata", "release", file))
}

// app reads the newest delivery of an app.
func (t team) app(name string) func(context.Context) (*lifecyclev1.KeptnAppVersion, error) {
	return func(ctx context.Context) (*lifecyclev1.KeptnAppVersion, error) {
		all, err := t.apps(name)(ctx)
		if err == nil && len(all) == 0 {
			err = fmt.Errorf("no delivery of app %s yet", name)
		}
		if err != nil {
			return nil, err
		}
		return &all[0], nil
	}
}

// apps reads all deliveries of an app, newest first.
func (t team) apps(name string) func(context.Context) ([]lifecyclev1.KeptnAppVersion, error) {
	return func(ctx context.Context) ([]lifecyclev1.KeptnAppVersion, error) {
		var list lifecyclev1.KeptnAppVersionList
		err := cluster.List(ctx, &list, client.InNamespace(t))
		all := slices.DeleteFunc(list.Items, func(kav lifecyclev1.KeptnAppVersion) bool { return kav.Spec.AppName != name })
		slices.SortFunc(all, func(a, b lifecyclev1.KeptnAppVersion) int {
			return cmp.Compare(b.Spec.AppGeneration, a.Spec.AppGeneration)
		})
		return all, err
	}
}

// workloads reads all deliveries of the workloads of an app, newest first.
func (t team) workloads(app string) func(context.Context) ([]lifecyclev1.KeptnWorkloadVersion, error) {
	return func(ctx context.Context) ([]lifecyclev1.KeptnWorkloadVersion, error) {
		var list lifecyclev1.KeptnWorkloadVersionList
		err := cluster.List(ctx, &list, client.InNamespace(t))
		all := slices.DeleteFunc(list.Items, func(kwv lifecyclev1.KeptnWorkloadVersion) bool { return kwv.Spec.AppName != app })
		slices.SortFunc(all, func(a, b lifecyclev1.KeptnWorkloadVersion) int {
			return cmp.Compare(b.Spec.WorkloadGeneration, a.Spec.WorkloadGeneration)
		})
		return all, err
	}
}

// tasks reads all runs of a task.
func (t team) tasks(definition string) func(context.Context) ([]lifecyclev1.KeptnTask, error) {
	return func(ctx context.Context) ([]lifecyclev1.KeptnTask, error) {
		var list lifecyclev1.KeptnTaskList
		err := cluster.List(ctx, &list, client.InNamespace(t))
		return slices.DeleteFunc(list.Items, func(task lifecyclev1.KeptnTask) bool { return task.Spec.TaskDefinition != definition }), err
	}
}

// pods reads the pods that a selector names, but for those that are going.
func (t team) pods(selector string) func(context.Context) ([]corev1.Pod, error) {
	return func(ctx context.Context) ([]corev1.Pod, error) {
		chosen, err := labels.Parse(selector)
		if err != nil {
			return nil, err
		}
		var list corev1.PodList
		err = cluster.List(ctx, &list, client.InNamespace(t), client.MatchingLabelsSelector{Selector: chosen})
		return slices.DeleteFunc(list.Items, func(pod corev1.Pod) bool { return !pod.DeletionTimestamp.IsZero() }), err
	}
}

// What objects are expected to be.
var (
	succeeded = HaveField("Status.Status", lifecyclev1.StateSucceeded)
	failed    = HaveField("Status.Status", lifecyclev1.StateFailed)
	isRunning = HaveField("Status.Phase", corev1.PodRunning)
	isHeld    = And(
		HaveField("Status.Phase", corev1.PodPending),
		HaveField("Spec.SchedulingGates", ConsistOf(corev1.PodSchedulingGate{Name: lifecyclev1.SchedulingGate})),
		HaveField("Status.Conditions", ContainElement(HaveField("Reason", corev1.PodReasonSchedulingGated))),
	)
	wasHeld = HaveField("Annotations", HaveKeyWithValue(lifecyclev1.SchedulingGateRemovedAnnotation, "true"))
)

// ended is a phase that ended in a state, for a reason.
func ended(phase lifecyclev1.Phase, state lifecyclev1.KeptnState, reason string) gomegatypes.GomegaMatcher {
	return HaveField("Status.Phases", ContainElement(And(
		HaveField("Name", phase), HaveField("State", state), HaveField("Reason", reason))))
}

// expectGatedUntil expects that so many pods run, and that none of them was given a
// node before a time. The first were gated; those that are made once their revision
// is released, as the second of a StatefulSet, are not.
func expectGatedUntil(ctx context.Context, t team, selector string, count int, until time.Time) {
	GinkgoHelper()
	pods, err := t.pods(selector)(ctx)
	Expect(err).NotTo(HaveOccurred())
	Expect(pods).To(And(HaveLen(count), HaveEach(isRunning), ContainElement(wasHeld)), selector)
	for i := range pods {
		for _, c := range pods[i].Status.Conditions {
			if c.Type == corev1.PodScheduled {
				Expect(c.LastTransitionTime.Time).To(BeTemporally(">=", until), "pod %s was scheduled before its checks had ended", pods[i].Name)
			}
		}
	}
}

var _ = Describe("An app of annotated workloads", func() {
	It("of six workloads and three kinds is delivered whole, with tasks in Deno, Python and containers", func(ctx context.Context) {
		t := opted(ctx, "webshop")
		t.apply(ctx, "webshop.yaml")
		Eventually(ctx, t.app("webshop")).Should(And(succeeded, HaveField("Spec.Workloads", HaveLen(6))))
		Expect(t.workloads("webshop")(ctx)).To(And(HaveLen(6), HaveEach(succeeded)))

		done := map[string]time.Time{}
		for definition, said := range map[string]string{
			"announce": "releases: App webshop of checkout, pre",
			"thank":    "webshop is out, post",
			"migrate":  "migrated: add column",
		} {
			tasks, err := t.tasks(definition)(ctx)
			Expect(err).NotTo(HaveOccurred())
			Expect(tasks).To(ConsistOf(And(succeeded,
				HaveField("Status.Log", said), HaveField("Status.ExitCode", HaveValue(BeZero())))), definition)
			done[definition] = tasks[0].Status.EndTime.Time
		}
		expectGatedUntil(ctx, t, "app=cart", 2, done["migrate"])
		for workload, count := range map[string]int{"cart": 2, "catalog": 1, "payment": 1, "search": 1, "orders": 2, "edge": 1} {
			expectGatedUntil(ctx, t, "app="+workload, count, done["announce"])
		}
	})

	It("is held by an evaluation that fails, until it is tried again", func(ctx context.Context) {
		t := opted(ctx, "evaluated")
		t.apply(ctx, "evaluated.yaml")
		Eventually(ctx, t.app("ledger")).Should(failed)
		Expect(t.workloads("ledger")(ctx)).To(ConsistOf(And(failed, ended(lifecyclev1.PhaseWorkloadPreDeployEvaluations, lifecyclev1.StateFailed, "Failed"))))
		Eventually(ctx, t.pods("app=ledger")).Should(And(HaveLen(2), HaveEach(isHeld)))

		By("measuring better")
		t.kubectl(ctx, "patch", "keptnmetric", "budget", "--type=merge", "--patch", `{"spec":{"query":"vector(1)"}}`)
		t.kubectl(ctx, "wait", "keptnmetric/budget", "--for=jsonpath={.status.value}=1", "--timeout=1m")
		Expect(t.pods("app=ledger")(ctx)).To(HaveEach(isHeld), "nothing is tried again by itself")

		By("trying it again, and then the app, which has failed by it")
		t.kubectl(ctx, "annotate", "keptnworkloadversions", "--all", "keptn.sh/retry=1")
		Eventually(ctx, t.pods("app=ledger")).Should(And(HaveLen(2), HaveEach(And(isRunning, wasHeld))))
		Eventually(ctx, t.workloads("ledger")).Should(ConsistOf(succeeded))
		t.kubectl(ctx, "annotate", "keptnappversions", "--all", "keptn.sh/retry=1")
		Eventually(ctx, t.app("ledger")).Should(succeeded)
	})

	It("runs in spite of an evaluation that fails where checks do not block", Serial, func(ctx context.Context) {
		t := opted(ctx, "nonblocking")
		keptn := team("keptn-system")
		keptn.apply(ctx, "nonblocking.yaml")
		DeferCleanup(keptn.kubectl, "delete", "--filename", "testdata/release/nonblocking.yaml")
		t.apply(ctx, "evaluated.yaml")
		Eventually(ctx, t.app("ledger")).Should(succeeded)
		Expect(t.workloads("ledger")(ctx)).To(ConsistOf(And(succeeded,
			ended(lifecyclev1.PhaseWorkloadPreDeployEvaluations, lifecyclev1.StateWarning, "NotBlocking"))))
		Expect(t.pods("app=ledger")(ctx)).To(And(HaveLen(2), HaveEach(And(isRunning, wasHeld))))
	})

	It("is checked again for a revision, a new version, and a rollback", func(ctx context.Context) {
		t := opted(ctx, "shop")
		ran := func(announced, migrated int) {
			GinkgoHelper()
			Expect(t.tasks("announce")(ctx)).To(And(HaveLen(announced), HaveEach(succeeded)), "tasks of the app")
			Expect(t.tasks("migrate")(ctx)).To(And(HaveLen(migrated), HaveEach(succeeded)), "tasks of the workload")
		}
		t.apply(ctx, "shop-1.yaml")
		Eventually(ctx, t.app("shop")).Should(succeeded)
		ran(1, 1)

		By("raising the revision")
		t.kubectl(ctx, "patch", "keptnapp", "shop", "--type=merge", "--patch", `{"spec":{"revision":2}}`)
		Eventually(ctx, t.apps("shop")).Should(HaveExactElements(
			And(succeeded, HaveField("Spec.Revision", BeEquivalentTo(2))),
			HaveField("Status.Status", lifecyclev1.StateDeprecated),
		))
		ran(2, 1)

		By("delivering a new version")
		t.apply(ctx, "shop-2.yaml")
		Eventually(ctx, t.app("shop")).Should(And(succeeded, HaveField("Spec.Version", "2026.11.2")))
		ran(3, 2)

		By("rolling back")
		t.kubectl(ctx, "rollout", "undo", "deployment/cart")
		t.kubectl(ctx, "patch", "keptnapp", "shop", "--type=merge", "--patch",
			`{"spec":{"version":"2026.11.1","workloads":[{"name":"cart","version":"1.0.0"}]}}`)
		Eventually(ctx, t.app("shop")).Should(And(succeeded, HaveField("Spec.Version", "2026.11.1")))
		ran(4, 3)
		Expect(t.workloads("shop")(ctx)).To(HaveExactElements(
			And(succeeded, HaveField("Spec.Version", "1.0.0")),
			HaveField("Spec.Version", "1.1.0"),
			HaveField("Spec.Version", "1.0.0"),
		))
		Eventually(ctx, t.pods("app=cart")).Should(ConsistOf(And(isRunning, wasHeld)))
	})

	It("says why a task failed, and is cancelled where it is stuck", func(ctx context.Context) {
		t := opted(ctx, "failing")
		t.apply(ctx, "failing.yaml")
		Eventually(ctx, t.workloads("broken")).Should(ConsistOf(failed))
		Expect(t.tasks("migrate")(ctx)).To(ConsistOf(And(failed,
			HaveField("Status.Reason", "BackoffLimitExceeded"),
			HaveField("Status.Message", Not(BeEmpty())),
			HaveField("Status.ExitCode", HaveValue(BeEquivalentTo(3))),
			HaveField("Status.Log", And(ContainSubstring("connected"), ContainSubstring("no such table: orders"))),
		)))
		Eventually(ctx, t.app("broken")).Should(failed)
		Eventually(ctx, t.pods("app=broken")).Should(ConsistOf(isHeld))

		By("cancelling what waits for a definition that does not exist")
		Eventually(ctx, t.workloads("stuck")).Should(ConsistOf(HaveField("Status.Phases", ContainElement(
			HaveField("Message", "forgotten: no KeptnTaskDefinition of this name")))))
		stuck, err := t.workloads("stuck")(ctx)
		Expect(err).NotTo(HaveOccurred())
		t.kubectl(ctx, "annotate", "keptnworkloadversion", stuck[0].Name, "keptn.sh/cancel=wrong name")
		Eventually(ctx, t.workloads("stuck")).Should(ConsistOf(And(failed,
			ended(lifecyclev1.PhaseWorkloadPreDeployTasks, lifecyclev1.StateFailed, "Cancelled"),
			HaveField("Status.Phases", ContainElement(HaveField("Message", "cancelled: wrong name"))),
		)))
		Eventually(ctx, t.app("stuck")).Should(failed)
		Expect(t.pods("app=stuck")(ctx)).To(ConsistOf(isHeld))
	})
})

var _ = Describe("While the controller is down", Serial, func() {
	It("pods of what is not released wait, and all others start", func(ctx context.Context) {
		t := opted(ctx, "outage")
		elsewhere := namespaced(ctx, "outage-elsewhere", nil)
		t.apply(ctx, "older.yaml")
		Eventually(ctx, t.app("older")).Should(succeeded)
		before, err := t.pods("app=older")(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(before).To(ConsistOf(And(isRunning, wasHeld)))

		DeferCleanup(func(ctx context.Context) { scale(ctx, 1) })
		scale(ctx, 0)
		t.apply(ctx, "newer.yaml")
		elsewhere.apply(ctx, "newer.yaml")
		t.kubectl(ctx, "delete", "pod", before[0].Name)
		Eventually(ctx, t.pods("app=older")).Should(ConsistOf(And(isRunning, HaveField("UID", Not(Equal(before[0].UID))))))
		Eventually(ctx, elsewhere.pods("app=newer")).Should(ConsistOf(isRunning))
		Eventually(ctx, t.pods("app=newer")).Should(ConsistOf(isHeld))

		scale(ctx, 1)
		Eventually(ctx, t.pods("app=newer")).Should(ConsistOf(And(isRunning, wasHeld)))
		Eventually(ctx, t.app("newer")).Should(succeeded)
	})
})

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/gate"
	"github.com/keptn/gitops/e2e/stage"
)

// notHeld is a pod that was never gated.
var notHeld = HaveField("Annotations", Not(HaveKey(lifecyclev1.SchedulingGateRemovedAnnotation)))

// of reads the deliveries of one workload that is an app of its own.
func (t team) of(workload string) func(context.Context) ([]lifecyclev1.KeptnWorkloadVersion, error) {
	return t.workloads(workload)
}

// saysIn is a delivery that has a phase with a message.
func saysIn(phase lifecyclev1.Phase, message any) gomegatypes.GomegaMatcher {
	return HaveField("Status.Phases", ContainElement(And(HaveField("Name", phase), HaveField("Message", message))))
}

// theController is the pod of the controller.
func theController(ctx context.Context) corev1.Pod {
	GinkgoHelper()
	pods, err := team("keptn-system").pods("app.kubernetes.io/component=controller")(ctx)
	Expect(err).NotTo(HaveOccurred())
	Expect(pods).To(ConsistOf(isRunning))
	return pods[0]
}

var residentMemory = regexp.MustCompile(`(?m)^process_resident_memory_bytes (\S+)$`)

// memoryOf reads how many bytes of memory the controller holds.
func memoryOf(ctx context.Context, controller corev1.Pod) (float64, error) {
	text, err := read(ctx, fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:8080/proxy/metrics", controller.Namespace, controller.Name))
	if err != nil {
		return 0, err
	}
	found := residentMemory.FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("no process_resident_memory_bytes among %d bytes of metrics", len(text))
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

// jobs reads the Jobs of a namespace.
func (t team) jobs(ctx context.Context) ([]batchv1.Job, error) {
	var list batchv1.JobList
	err := cluster.List(ctx, &list, client.InNamespace(t))
	return list.Items, err
}

var _ = Describe("Bad input", func() {
	It("of all kinds at once is said, and nothing waits for ever without a word", func(ctx context.Context) {
		t := opted(ctx, "badinput")
		controller := theController(ctx)
		memory, err := memoryOf(ctx, controller)
		Expect(err).NotTo(HaveOccurred())
		t.apply(ctx, "badinput.yaml")

		By("changing pod templates while they are checked")
		const pre = lifecyclev1.PhaseWorkloadPreDeployTasks
		next := `{"spec":{"template":{"metadata":{"annotations":{"keptn.sh/version":"2","keptn.sh/pre-deployment-tasks":"quick"}}}}}`
		for kind, name := range map[string]string{"deployment": "hasty", "statefulset": "hasty-db"} {
			Eventually(ctx, t.of(name)).Should(ConsistOf(saysIn(pre, "running endless")))
			Eventually(ctx, t.pods("app="+name)).Should(ConsistOf(isHeld))
			t.kubectl(ctx, "patch", kind, name, "--type=merge", "--patch", next)
			Eventually(ctx, t.of(name)).Should(ConsistOf(
				And(HaveField("Spec.Version", "2"), ended(pre, lifecyclev1.StateSucceeded, "Succeeded")),
				And(HaveField("Spec.Version", "1"), HaveField("Status.Status", lifecyclev1.StateDeprecated), saysIn(pre, "the workload has a newer revision")),
			))
		}
		Eventually(ctx, t.of("hasty")).Should(ContainElement(And(HaveField("Spec.Version", "2"), succeeded)))
		Expect(t.pods("app=hasty")(ctx)).To(ConsistOf(isRunning))

		By("deleting the pod of a StatefulSet that Kubernetes does not replace, since it is not ready")
		Eventually(ctx, t.of("hasty-db")).Should(ContainElement(And(HaveField("Spec.Version", "2"),
			saysIn(lifecyclev1.PhaseWorkloadDeploy, HaveSuffix("delete those that do not get ready")))))
		Expect(t.pods("app=hasty-db")(ctx)).To(ConsistOf(isHeld))
		t.kubectl(ctx, "delete", "pod", "hasty-db-0")
		Eventually(ctx, t.of("hasty-db")).Should(ContainElement(And(HaveField("Spec.Version", "2"), succeeded)))
		Expect(t.pods("app=hasty-db")(ctx)).To(ConsistOf(And(isRunning, notHeld)))

		By("scaling to zero while a definition is missing, which then comes")
		Eventually(ctx, t.of("paused")).Should(ConsistOf(saysIn(pre, "later: no KeptnTaskDefinition of this name")))
		Eventually(ctx, t.pods("app=paused")).Should(And(HaveLen(2), HaveEach(isHeld)))
		t.kubectl(ctx, "scale", "deployment/paused", "--replicas=0")
		Eventually(ctx, t.pods("app=paused")).Should(BeEmpty())
		Expect(t.of("paused")(ctx)).To(ConsistOf(HaveField("Status.Status", lifecyclev1.StateProgressing)))
		t.apply(ctx, "later.yaml")
		Eventually(ctx, t.app("paused")).Should(succeeded)
		Expect(t.of("paused")(ctx)).To(ConsistOf(And(succeeded, saysIn(lifecyclev1.PhaseWorkloadDeploy, "0 pods run 1"))))

		By("having no pods from the beginning, and some later, which do not wait")
		Eventually(ctx, t.app("idle")).Should(succeeded)
		Expect(t.workloads("idle")(ctx)).To(And(HaveLen(2), HaveEach(And(succeeded, saysIn(lifecyclev1.PhaseWorkloadDeploy, "0 pods run 1")))))
		t.kubectl(ctx, "scale", "deployment/paused", "deployment/idle", "statefulset/idle-db", "--replicas=1")
		for _, name := range []string{"paused", "idle", "idle-db"} {
			Eventually(ctx, t.pods("app="+name)).Should(ConsistOf(And(isRunning, notHeld)), name)
		}

		By("deleting a Job by hand")
		robbed, err := t.of("robbed")(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(robbed).To(ConsistOf(saysIn(pre, "running endless")))
		var task lifecyclev1.KeptnTask
		Expect(cluster.Get(ctx, types.NamespacedName{Namespace: "badinput", Name: robbed[0].Status.PreDeploymentTaskStatus[0].Name}, &task)).To(Succeed())
		t.kubectl(ctx, "delete", "job", task.Status.JobName)
		Eventually(ctx, t.of("robbed")).Should(ConsistOf(And(failed, saysIn(pre, ContainSubstring("was deleted before the task ended")))))
		Expect(t.pods("app=robbed")(ctx)).To(ConsistOf(isHeld))

		By("naming an image that nobody has")
		Eventually(ctx, t.tasks("unpullable")).Should(ConsistOf(And(failed, HaveField("Status.Reason", "DeadlineExceeded"),
			HaveField("Status.Message", And(HavePrefix("Job was active longer than specified deadline: "),
				ContainSubstring(`cannot pull the image "registry.invalid/migrate:1" of the container "migrate": `))))))
		Eventually(ctx, t.of("unpullable")).Should(ConsistOf(And(failed, saysIn(pre, ContainSubstring("registry.invalid/migrate:1")))))
		Expect(t.pods("app=unpullable")(ctx)).To(ConsistOf(isHeld))

		By("writing 100 MB of logs")
		highest := memory
		Eventually(ctx, func(ctx context.Context) ([]lifecyclev1.KeptnTask, error) {
			now, err := memoryOf(ctx, controller)
			if err != nil {
				return nil, err
			}
			highest = max(highest, now)
			return t.tasks("chatty")(ctx)
		}).Should(ConsistOf(failed))
		Expect(t.tasks("chatty")(ctx)).To(ConsistOf(And(
			HaveField("Status.Log", "no space left"), HaveField("Status.ExitCode", HaveValue(BeEquivalentTo(3))))))
		Expect(highest-memory).To(BeNumerically("<", 64<<20), "the controller held %.0f MB before, and %.0f MB at most", memory/1e6, highest/1e6)
		Expect(theController(ctx).Status.ContainerStatuses).To(ConsistOf(HaveField("RestartCount", controller.Status.ContainerStatuses[0].RestartCount)))
	})

	It("as a namespace that is deleted while it delivers leaves nothing, and is no trouble", func(ctx context.Context) {
		governed := namespaced(ctx, "governed", map[string]string{gitopsv1alpha1.AllowFromAnnotation: "doomed"})
		doomed := team("doomed")
		p, err := stage.NewProject(ctx, cluster, root, GinkgoT().TempDir(), string(doomed), false)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx context.Context) error {
			return stage.Kubectl(ctx, GinkgoWriter, "delete", "namespace", string(doomed), "--wait=false", "--ignore-not-found")
		})
		p.Source.Spec.TargetNamespaces = []string{string(governed)}
		sha := push(ctx, p, "Deliver checkout", stage.Edit("kustomization.yaml", "namespace: doomed", "namespace: governed"),
			stage.Edit("lifecycle.yaml", "  app: checkout\n", `  app: checkout
  preDeployment:
    tasks:
      - name: endless
        container: {image: "busybox:1.36", command: [sh, -c, "trap exit TERM; sleep 1d & wait"], securityContext: {runAsUser: 65532}}
`))
		shows(ctx, p, sha, stage.Validate, "success", "valid: checkout")
		Expect(p.Apply(ctx)).To(Succeed())
		doomed.kubectl(ctx, "annotate", "namespace", string(doomed), lifecyclev1.NamespaceEnabledAnnotation+"=enabled")
		doomed.apply(ctx, "badinput.yaml")
		for t, name := range map[team]string{governed: "checkout", doomed: "robbed"} {
			Eventually(ctx, t.pods("app="+name)).Should(And(Not(BeEmpty()), HaveEach(isHeld)), name)
			Eventually(ctx, t.pods("keptn.sh/task-name")).Should(ContainElement(isRunning), name)
		}
		Expect(governed.pods("keptn.sh/task-name")(ctx)).To(HaveEach(HaveField("Spec.Volumes", BeEmpty())), "what comes from Git gets no token")

		from := time.Now().UTC().Format(time.RFC3339)
		doomed.kubectl(ctx, "delete", "namespace", string(doomed), "--wait=false")
		Eventually(ctx, func(ctx context.Context) error {
			return cluster.Get(ctx, types.NamespacedName{Name: string(doomed)}, &corev1.Namespace{})
		}).Should(MatchError(apierrors.IsNotFound, "IsNotFound"))

		By("looking at what is left elsewhere")
		Eventually(ctx, governed.apps("checkout")).Should(BeEmpty())
		Eventually(ctx, governed.tasks("endless")).Should(BeEmpty())
		Eventually(ctx, governed.jobs).Should(BeEmpty())
		Eventually(ctx, governed.pods("app=checkout")).Should(And(HaveLen(2), HaveEach(isRunning)))
		var ns corev1.Namespace
		Expect(cluster.Get(ctx, types.NamespacedName{Name: string(governed)}, &ns)).To(Succeed())
		Expect(ns.Annotations).NotTo(Or(HaveKey(gate.GatedAnnotation), HaveKey(gate.ReleasedAnnotation)))

		By("reading what the controller said of it")
		var said bytes.Buffer
		Expect(stage.Kubectl(ctx, &said, "--namespace", "keptn-system", "logs", "deployment/keptn-controller", "--since-time", from)).To(Succeed())
		var errors []string
		for line := range strings.Lines(said.String()) {
			if strings.Contains(line, `"level":"error"`) && strings.Contains(line, string(doomed)) {
				errors = append(errors, line)
			}
		}
		Expect(errors).To(BeEmpty())
	})
})

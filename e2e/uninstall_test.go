package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/gate"
	"github.com/keptn/gitops/e2e/stage"
)

var (
	// announced has a task before the deployment, which the namespace has to define.
	announced = stage.Edit("lifecycle.yaml", "  app: checkout\n", "  app: checkout\n  preDeployment:\n    tasks: [announce]\n")
	// judged has a policy in its place, which fails.
	judged = func(app stage.App) (stage.App, error) {
		app, err := stage.Edit("lifecycle.yaml", "    tasks: [announce]\n", "    policies: [no-incidents]\n")(app)
		if err != nil {
			return nil, err
		}
		return stage.Edit("lifecycle.yaml", "---\n", `---
apiVersion: gitops.keptn.sh/v1alpha1
kind: SLOPolicy
metadata:
  name: no-incidents
spec:
  metrics:
    - {name: incidents, provider: {name: prometheus}, query: vector(2)}
  rules:
    - {name: incidents, expression: metrics.incidents < 1}
---
`)(app)
	}
)

// announce is the task that announced names.
const announce = `apiVersion: lifecycle.keptn.sh/v1
kind: KeptnTaskDefinition
metadata: {name: announce}
spec:
  container: {name: announce, image: "busybox:1.36", command: [echo, announced], securityContext: {runAsUser: 65534}}
`

// A gateResult is what keptn gate wait prints as JSON.
type gateResult struct {
	Environment, Commit, Verdict, Message, Delivery string
	Phases                                          []struct{ Name, State, Message string }
}

// A step is what keptn uninstall prints of each of its steps as JSON.
type step struct {
	Step, Error string
	Done        []string
}

// ran is how a command ended.
type ran struct {
	stdout, stderr string
	code           int
}

// runs runs a program to its end.
func runs(cmd *exec.Cmd) ran {
	GinkgoHelper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		Fail(err.Error())
	}
	GinkgoWriter.Println(cmd.Args, "exit code", cmd.ProcessState.ExitCode(), "after", time.Since(began))
	GinkgoWriter.Println(stdout.String() + stderr.String())
	return ran{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// says runs a line of bash in the repository, and returns what it prints.
func says(ctx context.Context, line string) string {
	GinkgoHelper()
	cmd := exec.CommandContext(ctx, "bash", "-eu", "-o", "pipefail", "-c", line)
	cmd.Dir = root
	r := runs(cmd)
	Expect(r.code).To(BeZero(), r.stderr)
	return r.stdout
}

// shown is the text of the fenced block of a page of the documentation that follows
// something.
func shown(page, after, fence string) string {
	GinkgoHelper()
	text, err := os.ReadFile(filepath.Join(root, "docs", page))
	Expect(err).NotTo(HaveOccurred())
	_, rest, found := strings.Cut(string(text), after)
	Expect(found).To(BeTrue(), "%s has no %q", page, after)
	_, rest, found = strings.Cut(rest, "\n```"+fence+"\n")
	Expect(found).To(BeTrue(), "%s has no %s after %q", page, fence, after)
	block, _, _ := strings.Cut(rest, "\n```\n")
	return block + "\n"
}

// written is a file with a content, and is gone after the test.
func written(name, content string) string {
	GinkgoHelper()
	path := filepath.Join(GinkgoT().TempDir(), name)
	Expect(os.WriteFile(path, []byte(content), 0o600)).To(Succeed())
	return path
}

// holdDeployer runs the Job of the documentation for a commit, and returns how its pod
// is read.
func (t team) holdDeployer(ctx context.Context, sha string) func(context.Context) (corev1.Pod, error) {
	GinkgoHelper()
	job := strings.NewReplacer("namespace: shop", "namespace: "+string(t), "--namespace, shop", "--namespace, "+string(t),
		"registry.example.com/keptn/gitops:1.2.3", "docker.io/keptn/gitops:dev", "${ARGOCD_APP_REVISION}", sha,
	).Replace(shown("cli.md", "## keptn gate wait", "yaml gate.yaml"))
	name := strings.TrimSpace(says(ctx, "kubectl create -o name -f "+written("gate.yaml", job)))
	return func(ctx context.Context) (corev1.Pod, error) {
		pods, err := t.pods("batch.kubernetes.io/job-name=" + strings.TrimPrefix(name, "job.batch/"))(ctx)
		if err == nil && len(pods) != 1 {
			err = fmt.Errorf("%s has %d pods", name, len(pods))
		}
		if err != nil {
			return corev1.Pod{}, err
		}
		return pods[0], nil
	}
}

// kubeconfig is a file by which a service account of the namespace reaches the cluster.
func (t team) kubeconfig(ctx context.Context, account string) string {
	GinkgoHelper()
	path := filepath.Join(GinkgoT().TempDir(), account)
	says(ctx, fmt.Sprintf(`kubectl config view --raw --minify --flatten > %[1]s; chmod 600 %[1]s
token=$(kubectl -n %[2]s create token %[3]s)
KUBECONFIG=%[1]s kubectl config set-credentials %[3]s --token="$token"
KUBECONFIG=%[1]s kubectl config set-context --current --user=%[3]s`, path, t, account))
	return path
}

// exited is a pod whose container ended with a code.
func exited(code int) OmegaMatcher {
	return HaveField("Status.ContainerStatuses", ConsistOf(HaveField("State.Terminated.ExitCode", BeEquivalentTo(code))))
}

// held makes pods wait in a namespace of a name, for tasks that fail or are not there,
// one of them for somebody else as well, and in one of its name and -git for a task
// that Git names.
func held(ctx context.Context, name string) (t, git team) {
	GinkgoHelper()
	t, git = opted(ctx, name), team(name+"-git")
	p := project(ctx, string(git), false)
	push(ctx, p, "Deliver checkout", announced)
	t.apply(ctx, "failing.yaml")
	t.apply(ctx, "theirs.yaml")
	Eventually(ctx, git.annotations).Should(HaveKeyWithValue(gate.GatedAnnotation, ",Deployment/checkout,"))
	Expect(p.Apply(ctx)).To(Succeed())
	Eventually(ctx, git.pods("app=checkout")).Should(And(HaveLen(2), HaveEach(isHeld)))
	Eventually(ctx, t.workloads("broken")).Should(ConsistOf(failed))
	for _, app := range []string{"broken", "stuck"} {
		Eventually(ctx, t.pods("app="+app)).Should(ConsistOf(isHeld))
	}
	Eventually(ctx, t.pods("app=theirs")).Should(ConsistOf(hasGates(foreignGate, lifecyclev1.SchedulingGate)))
	return t, git
}

// foreignGate is somebody else's, in testdata/release/theirs.yaml.
const foreignGate = "example.com/quota"

func hasGates(names ...string) OmegaMatcher {
	var gates []any
	for _, name := range names {
		gates = append(gates, corev1.PodSchedulingGate{Name: name})
	}
	return HaveField("Spec.SchedulingGates", ConsistOf(gates...))
}

// annotations reads those of the namespace.
func (t team) annotations(ctx context.Context) (map[string]string, error) {
	var ns corev1.Namespace
	err := cluster.Get(ctx, client.ObjectKey{Name: string(t)}, &ns)
	return ns.Annotations, err
}

// growsLate makes a pod of a Deployment after the other as soon as the admission policy
// is deleted, while the API server still gates by it for a moment, and ends with the
// channel.
func (t team) growsLate(ctx context.Context, name string, replicas int) <-chan error {
	ended := make(chan error, 1)
	binding := &admissionv1.MutatingAdmissionPolicyBinding{}
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: string(t), Name: name}}
	go func() {
		err := wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
			err := cluster.Get(ctx, client.ObjectKey{Name: gate.PolicyName}, binding)
			return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
		})
		for n := 2; n <= replicas && err == nil; n++ {
			err = cluster.Patch(ctx, deployment, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n)))
			time.Sleep(150 * time.Millisecond)
		}
		ended <- err
	}()
	return ended
}

// installed are all objects of the cluster that Keptn's installation is made of.
func installed(ctx context.Context) []string {
	GinkgoHelper()
	return strings.Fields(says(ctx, `kinds=$(kubectl api-resources --verbs=list -o name | grep -vx events | paste -sd,)
kubectl get "$kinds" --all-namespaces --selector app.kubernetes.io/part-of=keptn -o name
kubectl get mutatingadmissionpolicies,mutatingadmissionpolicybindings -o name
kubectl get namespace keptn-system -o name --ignore-not-found`))
}

// expectOut expects that Keptn is out, and that nothing waits for it.
func expectOut(ctx context.Context, t, git team, stuck int) {
	GinkgoHelper()
	Expect(installed(ctx)).To(HaveEach(HavePrefix("customresourcedefinition.apiextensions.k8s.io/")))
	Eventually(ctx, t.pods("app=stuck")).Should(And(HaveLen(stuck), HaveEach(isRunning)))
	Eventually(ctx, t.pods("app=broken")).Should(ConsistOf(isRunning))
	Eventually(ctx, git.pods("app=checkout")).Should(And(HaveLen(2), HaveEach(isRunning)))
	Expect(t.pods("app=theirs")(ctx)).To(ConsistOf(hasGates(foreignGate)))
	for _, of := range []team{t, git} {
		Expect(of.annotations(ctx)).NotTo(Or(HaveKey(gate.GatedAnnotation), HaveKey(gate.ReleasedAnnotation)))
	}

	By("deploying anew")
	t.kubectl(ctx, "rollout", "restart", "deployment/broken")
	t.kubectl(ctx, "rollout", "status", "deployment/broken", "--timeout=1m")
	git.kubectl(ctx, "scale", "deployment/checkout", "--replicas=3")
	Eventually(ctx, git.pods("app=checkout")).Should(And(HaveLen(3), HaveEach(isRunning), ContainElement(Not(wasHeld))))
	Expect(t.pods("app=broken")(ctx)).To(ConsistOf(And(isRunning, Not(wasHeld))))
}

// onlyInATestbed skips what takes Keptn out of a cluster where that is not ours to do.
func onlyInATestbed() {
	GinkgoHelper()
	if os.Getenv("TESTBED_NAME") == "" {
		Skip("Keptn is only taken out of a testbed: this cluster is somebody's own")
	}
}

var _ = Describe("The command keptn", Serial, func() {
	keptn := func(ctx context.Context, kubeconfig string, args ...string) ran {
		GinkgoHelper()
		path, err := binary()
		Expect(err).NotTo(HaveOccurred())
		cmd := exec.CommandContext(ctx, path, args...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
		return runs(cmd)
	}

	It("holds a deployer until a commit's checks have ended, and says how", func(ctx context.Context) {
		t := team("waited")
		p := project(ctx, string(t), false)
		Expect(stage.Kubectl(ctx, GinkgoWriter, "label", "namespace", string(t), "pod-security.kubernetes.io/enforce=restricted")).To(Succeed())
		first := push(ctx, p, "Announce it", announced)
		shows(ctx, p, first, stage.Validate, "success", ContainSubstring("checkout"))
		for _, command := range regexp.MustCompile(`(?m)^\$ (.*)$`).FindAllStringSubmatch(shown("cli.md", "## keptn gate wait", "console cluster"), -1) {
			says(ctx, strings.ReplaceAll(command[1], "shop", string(t)))
		}

		waiting := t.holdDeployer(ctx, first)
		Eventually(ctx, t.app("checkout")).Should(HaveField("Status.Phases", ContainElement(
			HaveField("Message", "announce: no KeptnTaskDefinition of this name"))))
		Eventually(ctx, waiting).Should(HaveField("Status.Phase", corev1.PodRunning))

		By("defining the task, which passes")
		t.kubectl(ctx, "apply", "--filename", written("announce.yaml", announce))
		Eventually(ctx, waiting).Should(exited(0))
		tasks, err := t.tasks("announce")(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(tasks).To(ConsistOf(succeeded))
		pod, err := waiting(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(pod.Status.ContainerStatuses[0].State.Terminated.FinishedAt.Time).To(BeTemporally(">=", tasks[0].Status.EndTime.Time))
		Expect(says(ctx, fmt.Sprintf("kubectl -n %s logs %s", t, pod.Name))).To(And(
			ContainSubstring("announce: no KeptnTaskDefinition of this name\n"), MatchRegexp(`\npass: AppPreDeploy.*\n$`)))
		Expect(t.pods("app=checkout")(ctx)).To(BeEmpty(), "it was asked before the rollout")

		By("failing the policy of the next commit")
		second := push(ctx, p, "Judge it", judged)
		refused := t.holdDeployer(ctx, second)
		Eventually(ctx, refused).Should(exited(1))
		pod, err = refused(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(says(ctx, fmt.Sprintf("kubectl -n %s logs %s", t, pod.Name))).To(MatchRegexp(`\nfail: AppPreDeployEvaluations: .*incidents 2 ≥ 1.*\n$`))

		By("reading it as JSON")
		account := t.kubeconfig(ctx, "keptn-gate-waiter")
		r := keptn(ctx, account, "gate", "wait", "--app", "checkout", "--namespace", string(t), "--commit", second[:7], "-o", "json")
		Expect(r.code).To(Equal(1))
		Expect(r.stderr).To(ContainSubstring("AppPreDeployEvaluations Failed: "))
		var result gateResult
		Expect(json.Unmarshal([]byte(r.stdout), &result)).To(Succeed())
		Expect(result).To(And(HaveField("Environment", "production"), HaveField("Commit", second), HaveField("Verdict", "fail"),
			HaveField("Message", ContainSubstring("incidents 2 ≥ 1")), HaveField("Phases", HaveLen(2))))

		By("looking where the account may not")
		r = keptn(ctx, account, "gate", "wait", "--app", "checkout", "--commit", second)
		Expect(r.code).To(Equal(2))
		Expect(r.stderr).To(And(ContainSubstring("list Lifecycles: "), ContainSubstring("waited:keptn-gate-waiter"), ContainSubstring("forbidden")))
	})

	It("takes out what was installed, and lets every pod go", func(ctx context.Context) {
		onlyInATestbed()
		t, git := held(ctx, "leaving")
		DeferCleanup(install)
		const stuck = 8
		grown := t.growsLate(ctx, "stuck", stuck)
		r := keptn(ctx, os.Getenv("KUBECONFIG"), "uninstall", "--yes")
		Expect(<-grown).To(Succeed())
		Expect(r.code).To(BeZero())
		Expect(r.stdout).To(And(
			ContainSubstring("MutatingAdmissionPolicy keptn-gate\n"),
			ContainSubstring("   pod leaving-git/checkout-"), ContainSubstring("   pod leaving/stuck-"), ContainSubstring("   pod leaving/theirs-"),
			ContainSubstring("   namespace leaving-git\n"), ContainSubstring("   Deployment keptn-system/keptn-controller\n"),
			ContainSubstring("   left, with all objects of theirs"), ContainSubstring("   Namespace keptn-system\n")))
		expectOut(ctx, t, git, stuck)
		Expect(t.workloads("broken")(ctx)).To(ConsistOf(failed), "records stay")

		By("running it again, to delete the kinds as well")
		r = keptn(ctx, os.Getenv("KUBECONFIG"), "uninstall", "--yes", "--crds", "-o", "json")
		Expect(r.code).To(BeZero())
		var steps []step
		Expect(json.Unmarshal([]byte(r.stdout), &steps)).To(Succeed())
		Expect(steps).To(HaveEach(HaveField("Error", BeEmpty())))
		Expect(steps).To(ContainElement(And(HaveField("Step", "remove the custom resource definitions"),
			HaveField("Done", ContainElement("CustomResourceDefinition lifecycles.gitops.keptn.sh")))))
		Expect(slices.DeleteFunc(steps, func(s step) bool { return len(s.Done) == 0 })).To(HaveLen(1), "the rest was gone already")
		Expect(installed(ctx)).To(BeEmpty())
	})

	It("is not needed for that: the steps of the documentation do the same, with the controller down", func(ctx context.Context) {
		onlyInATestbed()
		t, git := held(ctx, "parting")
		DeferCleanup(install)
		scale(ctx, 0)
		t.apply(ctx, "newer.yaml")
		Eventually(ctx, t.pods("app=newer")).Should(ConsistOf(isHeld))

		steps := regexp.MustCompile(`(?m)^# \d\. `).Split(shown("operations.md", "By hand, in this order:", "sh"), -1)[1:]
		Expect(steps).To(HaveLen(5))
		for i, commands := range steps {
			steps[i] = "# " + commands // the rest of the comment
		}
		says(ctx, steps[0])
		says(ctx, steps[1])
		Eventually(ctx, t.pods("app=newer")).Should(ConsistOf(isRunning))
		Expect(says(ctx, steps[1])).To(BeEmpty(), "it is to be repeated until nothing is printed")
		says(ctx, steps[2])
		says(ctx, steps[3])
		expectOut(ctx, t, git, 1)

		By("taking the steps again, and the last one")
		for _, commands := range steps[1:] { // the first only waits
			says(ctx, commands)
		}
		Expect(installed(ctx)).To(BeEmpty())
		var lifecycles gitopsv1alpha1.LifecycleList
		Expect(cluster.List(ctx, &lifecycles)).NotTo(Succeed(), "the kinds are gone")
	})
})

// Package chaos_test delivers apps while their controller is killed, its leader is
// lost, the API server is restarted and etcd stands still, in a testbed of its own
// with simulated nodes. What happens follows from a seed, which the variable
// CHAOS_SEED changes.
package chaos_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/e2e/stage"
)

// deliveryTimeout bounds how long the apps may take once it is calm.
const deliveryTimeout = 4 * time.Minute

func TestChaos(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Chaos")
}

// A world is a testbed, and the controllers that work in it.
type world struct {
	bed      *stage.Testbed
	cluster  *stage.Cluster
	auditLog string
	replicas []*replica
	pids     map[string]int // of the testbed's components
}

var _ = Describe("Chaos while apps deploy", Serial, func() {
	It("loses no task, runs none twice, and leaves no pod gated", func(ctx context.Context) {
		SetDefaultEventuallyTimeout(time.Minute)
		SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
		chosen, err := seed()
		Expect(err).NotTo(HaveOccurred())
		w := newWorld(ctx)
		w.prepare(ctx)
		w.startControllers(2)

		faults := sequence(chosen, len(w.replicas))
		AddReportEntry("what may happen", written(chosen, faults))
		Eventually(ctx, w.leader).WithTimeout(leaderTimeout).ShouldNot(BeNil(), "no controller leads")
		Expect(apply(ctx, deployments())).To(Succeed())
		struck := w.wreak(ctx, faults)
		AddReportEntry("what happened", strings.Join(struck, "\n"))

		began := time.Now()
		Eventually(ctx, w.unfinished).WithTimeout(deliveryTimeout).WithPolling(time.Second).Should(BeEmpty())
		AddReportEntry("all delivered", fmt.Sprintf("%s after it was calm", time.Since(began).Round(time.Second)))
		w.expectOneEach(ctx)
	})
})

// wreak has the faults happen while apps are under way, each kind once at least, and
// tells how many were delivered at each.
func (w *world) wreak(ctx context.Context, faults []fault) []string {
	GinkgoHelper()
	began := time.Now()
	var struck []string
	for i, f := range faults {
		var done int
		Eventually(ctx, func(ctx context.Context) (err error) {
			done, err = w.delivered(ctx)
			return err
		}).Should(Succeed())
		if done == size && i >= len(faults)/rounds {
			break
		}
		struck = append(struck, fmt.Sprintf("%5.1f s, %d of %d apps delivered: %s", time.Since(began).Seconds(), done, size, f))
		By(struck[i])
		w.strike(ctx, f)
	}
	return struck
}

// newWorld brings up a testbed, which is taken down when the test ends.
func newWorld(ctx context.Context) *world {
	GinkgoHelper()
	root, err := filepath.Abs("../..")
	Expect(err).NotTo(HaveOccurred())
	policy := filepath.Join(GinkgoT().TempDir(), "audit-policy.yaml")
	Expect(os.WriteFile(policy, []byte(auditPolicy), 0o600)).To(Succeed())
	w := &world{bed: stage.NewTestbed(root, "chaos", GinkgoWriter), pids: map[string]int{}}
	DeferCleanup(w.bed.Down)
	Expect(w.bed.Down(ctx)).To(Succeed()) // what a crash has left
	w.auditLog, err = w.bed.UpAudited(ctx, policy, "kwok")
	Expect(err).NotTo(HaveOccurred())
	w.cluster, err = stage.Connect()
	Expect(err).NotTo(HaveOccurred())
	Expect(w.look(ctx)).To(Succeed())
	for _, folder := range []string{"crd", "admission"} {
		Expect(stage.Kubectl(ctx, GinkgoWriter, "apply", "--server-side", "-k", filepath.Join(root, "config", folder))).To(Succeed())
	}
	Expect(stage.Kubectl(ctx, GinkgoWriter, "wait", "--for=condition=Established", "crd", "--all")).To(Succeed())
	return w
}

// prepare makes all but the apps, and waits until pods are gated.
func (w *world) prepare(ctx context.Context) {
	GinkgoHelper()
	Expect(apply(ctx, surroundings())).To(Succeed())
	Eventually(ctx, func(ctx context.Context) (bool, error) {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: namespace, Name: "probe",
				OwnerReferences: []metav1.OwnerReference{{
					APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "probe", UID: "00000000-0000-0000-0000-000000000001", Controller: new(true),
				}},
			},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox:1.36"}}},
		}
		err := w.cluster.Create(ctx, pod, client.DryRunAll)
		if apierrors.IsForbidden(err) { // the namespace's account is still to come
			return false, nil
		}
		return gated(pod), err
	}).Should(BeTrue(), "the policy of config/admission gates no pod")
}

// startControllers builds the controller, and runs replicas of it until the test ends.
func (w *world) startControllers(replicas int) {
	GinkgoHelper()
	binary, err := gexec.Build("github.com/keptn/gitops/cmd/keptn")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(gexec.CleanupBuildArtifacts)
	dir := GinkgoT().TempDir()
	running, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	DeferCleanup(func() {
		cancel()
		all.Wait()
		w.tell()
	})
	for i := range replicas {
		r, err := newReplica(fmt.Sprintf("controller-%d", i), binary, dir)
		Expect(err).NotTo(HaveOccurred())
		w.replicas = append(w.replicas, r)
		all.Go(func() {
			defer GinkgoRecover()
			Expect(r.keep(running)).To(Succeed())
		})
	}
}

// tell writes the controllers' logs to the report of a test that failed.
func (w *world) tell() {
	if !CurrentSpecReport().Failed() {
		return
	}
	for _, r := range w.replicas {
		if log, err := os.ReadFile(r.log); err == nil {
			fmt.Fprintf(GinkgoWriter, "%s:\n%s\n", r.name, log)
		}
	}
}

// apply applies manifests in one go.
func apply(ctx context.Context, manifests string) error {
	cmd := exec.CommandContext(ctx, "kubectl", "apply", "-f", "-")
	cmd.Stdin, cmd.Stderr = strings.NewReader(manifests), GinkgoWriter
	return cmd.Run()
}

// gated says whether a pod waits for its checks.
func gated(pod *corev1.Pod) bool {
	for _, gate := range pod.Spec.SchedulingGates {
		if gate.Name == lifecyclev1.SchedulingGate {
			return true
		}
	}
	return false
}

// delivered is how many apps are delivered.
func (w *world) delivered(ctx context.Context) (int, error) {
	var apps lifecyclev1.KeptnAppVersionList
	err := w.cluster.List(ctx, &apps, client.InNamespace(namespace))
	var n int
	for _, app := range apps.Items {
		if app.Status.Status == lifecyclev1.StateSucceeded {
			n++
		}
	}
	return n, err
}

// objects are all that a delivery makes.
type objects struct {
	apps      lifecyclev1.KeptnAppVersionList
	workloads lifecyclev1.KeptnWorkloadVersionList
	tasks     lifecyclev1.KeptnTaskList
	jobs      batchv1.JobList
	pods      corev1.PodList
}

func (w *world) objects(ctx context.Context) (*objects, error) {
	o := &objects{}
	for _, list := range []client.ObjectList{&o.apps, &o.workloads, &o.tasks, &o.jobs, &o.pods} {
		if err := w.cluster.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// unfinished is what has not succeeded yet, or is not there.
func (w *world) unfinished(ctx context.Context) ([]string, error) {
	o, err := w.objects(ctx)
	if err != nil {
		return nil, err
	}
	apps, workloads, tasks := expected()
	waits := append(count("KeptnAppVersions", len(o.apps.Items), len(apps)),
		count("KeptnWorkloadVersions", len(o.workloads.Items), len(workloads))...)
	waits = append(waits, count("KeptnTasks", len(o.tasks.Items), len(tasks))...)
	waits = append(waits, count("Jobs", len(o.jobs.Items), len(tasks))...)
	for _, app := range o.apps.Items {
		waits = append(waits, state("KeptnAppVersion", app.Name, app.Status.Status, string(app.Status.CurrentPhase))...)
	}
	for _, version := range o.workloads.Items {
		waits = append(waits, state("KeptnWorkloadVersion", version.Name, version.Status.Status, string(version.Status.CurrentPhase))...)
	}
	for _, task := range o.tasks.Items {
		waits = append(waits, state("KeptnTask", task.Name, task.Status.Status, task.Status.Message)...)
	}
	for _, job := range o.jobs.Items {
		if !complete(&job) {
			waits = append(waits, fmt.Sprintf("Job %s is not complete", job.Name))
		}
	}
	return append(waits, unready(o.pods.Items)...), nil
}

func count(what string, n, want int) []string {
	if n == want {
		return nil
	}
	return []string{fmt.Sprintf("%d %s of %d", n, what, want)}
}

func state(kind, name string, state lifecyclev1.KeptnState, more string) []string {
	if state == lifecyclev1.StateSucceeded {
		return nil
	}
	return []string{fmt.Sprintf("%s %s is %s: %s", kind, name, state, more)}
}

// complete says whether a Job has succeeded.
func complete(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Type == batchv1.JobComplete && c.Status == corev1.ConditionTrue
	})
}

// again are the Jobs that Kubernetes has run more than one pod of. It may do so
// whenever the answer to the creation of a pod is lost: a Job is run at least once; see
// https://kubernetes.io/docs/concepts/workloads/controllers/job/#handling-pod-and-container-failures.
func again(jobs []batchv1.Job) []string {
	var all []string
	for _, job := range jobs {
		if s := job.Status; s.Succeeded != 1 || s.Failed != 0 {
			all = append(all, fmt.Sprintf("%s: %d pods succeeded, %d failed", job.Name, s.Succeeded, s.Failed))
		}
	}
	return all
}

// unready are the apps' pods that do not run, or are gated.
func unready(pods []corev1.Pod) []string {
	var all []string
	running := map[string]bool{}
	for _, pod := range pods {
		app, ok := pod.Labels["app"]
		switch {
		case gated(&pod):
			all = append(all, fmt.Sprintf("pod %s is gated", pod.Name))
		case ok && pod.Status.Phase == corev1.PodRunning:
			running[app] = true
		}
	}
	return append(all, count("apps with a pod that runs", len(running), size)...)
}

// expectOneEach expects that each delivery, each task of it and each Job of a task
// have been made once, ever.
func (w *world) expectOneEach(ctx context.Context) {
	GinkgoHelper()
	o, err := w.objects(ctx)
	Expect(err).NotTo(HaveOccurred())
	made := newCensus()
	Expect(made.read(w.auditLog)).To(Succeed())
	Expect(made.jobs).NotTo(BeEmpty(), "the audit log tells of no Job")
	apps, workloads, tasks := expected()
	for i := range o.apps.Items {
		made.add(&o.apps.Items[i])
	}
	for i := range o.workloads.Items {
		made.add(&o.workloads.Items[i])
	}
	var ran []string
	for i := range o.tasks.Items {
		made.add(&o.tasks.Items[i])
		ran = append(ran, string(o.tasks.Items[i].UID))
	}
	for i := range o.jobs.Items {
		made.add(&o.jobs.Items[i])
	}
	Expect(wrong("KeptnAppVersions", made.apps, apps)).To(BeEmpty())
	Expect(wrong("KeptnWorkloadVersions", made.workloads, workloads)).To(BeEmpty())
	Expect(wrong("KeptnTasks", made.tasks, tasks)).To(BeEmpty())
	Expect(wrong("Jobs", made.jobs, ran)).To(BeEmpty())
	AddReportEntry("run more than once by Kubernetes itself", fmt.Sprint(again(o.jobs.Items)))
	Expect(made.torn).To(BeNumerically("<=", rounds), "lines of the audit log that cannot be read")
}

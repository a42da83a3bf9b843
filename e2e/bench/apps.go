package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
)

const (
	// standstill is how long nothing has to happen for a measurement to be over, and
	// deliveryTimeout the longest that one may take.
	standstill      = 90 * time.Second
	deliveryTimeout = 20 * time.Minute
	// gatedTimeout bounds how long it may take until new pods are gated.
	gatedTimeout = 30 * time.Second
	// removeTimeout bounds how long it may take to remove a namespace.
	removeTimeout = 10 * time.Minute
	// workloadOfApp is the one workload that every app has.
	workloadOfApp = "web"
)

// A delivery is what became of so many apps that were applied at once.
type delivery struct {
	size int
	// bare: the namespace does not ask for checks, and no controller runs.
	bare    bool
	began   time.Time
	applied time.Duration // of kubectl apply
	reached reached
	used    usage // by the controller, from began on; its memory is that at the end
	audit   audit
	// rest is how long the controller is measured once all is delivered: for events, and
	// requests still to be logged.
	rest time.Duration
	// told is who is told of it; nil: nobody.
	told *audience
}

// deliveries measures what it takes to deliver so many annotated apps at once.
func deliveries(ctx context.Context, b *bench) ([]table, error) {
	if err := b.kubectl(ctx, nil, "apply", "-k", filepath.Join(b.root, "config", "admission")); err != nil {
		return nil, err
	}
	var all []delivery
	for _, size := range b.sizes {
		for _, measure := range []func(context.Context, int) (delivery, error){b.deliverBare, b.deliver} {
			d, err := measure(ctx, size)
			if err != nil {
				return deliveryTables(all), fmt.Errorf("%d apps: %w", size, err)
			}
			all = append(all, d)
			b.progress.Printf("apps: %s", strings.Join(d.row(), ", "))
		}
	}
	return deliveryTables(all), nil
}

// within makes a namespace, and removes it when what is done in it is done.
func (b *bench) within(ctx context.Context, namespace *corev1.Namespace, do func() error) error {
	if err := b.kube.Create(ctx, namespace); err != nil {
		return fmt.Errorf("make the namespace: %w", err)
	}
	return errors.Join(do(), b.removeNamespace(ctx, namespace))
}

// deliverBare measures one number of apps that nobody gates or follows.
func (b *bench) deliverBare(ctx context.Context, size int) (d delivery, err error) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("bare-%d", size)}}
	d = delivery{size: size, bare: true}
	return d, b.within(ctx, namespace, func() error { return b.followDelivery(ctx, &d, namespace.Name) })
}

// deliver measures one number of apps, in a namespace and with a controller of their
// own.
func (b *bench) deliver(ctx context.Context, size int) (d delivery, err error) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: fmt.Sprintf("apps-%d", size), Annotations: map[string]string{lifecyclev1.NamespaceEnabledAnnotation: "enabled"},
	}}
	d = delivery{size: size, rest: time.Second}
	return d, b.within(ctx, namespace, func() error { return b.deliverIn(ctx, namespace.Name, &d) })
}

func (b *bench) deliverIn(ctx context.Context, namespace string, d *delivery) (err error) {
	running, keptn, err := b.startControllerWith(ctx, namespace, d.told.settings())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keptn.stop()) }()
	if err := b.awaitGates(running, namespace); err != nil {
		return err
	}
	defer d.told.scrape(running, keptn)()
	logged, err := logSize(b.bed.auditLog)
	if err != nil {
		return err
	}
	before, err := keptn.usage(ctx)
	if err != nil {
		return err
	}
	if err := b.followDelivery(running, d, namespace); err != nil {
		return err
	}
	if err := pause(ctx, d.rest); err != nil {
		return err
	}
	if d.used, err = keptn.usage(ctx); err != nil {
		return err
	}
	d.used.cpu -= before.cpu
	if err := d.told.account(ctx, keptn); err != nil {
		return err
	}
	d.audit, err = readAudit(b.bed.auditLog, logged)
	return err
}

// followDelivery applies the apps and follows them until all are delivered, or
// nothing happens any more. kubectl neither validates them, for which it would read
// the whole schema of their kind for each of them, nor reads them first.
func (b *bench) followDelivery(ctx context.Context, d *delivery, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, deliveryTimeout)
	defer cancel()
	applied := make(chan struct{})
	arrived, err := b.follow(ctx, applied, namespace, d)
	if err != nil {
		return err
	}
	d.began = time.Now()
	if err := b.apply(ctx, deployments(namespace, d.size), "--server-side", "--validate=ignore"); err != nil {
		return err
	}
	d.applied = time.Since(d.began)
	close(applied)
	result := <-arrived
	d.reached = result.reached
	return result.err
}

// deployments are the apps: one annotated Deployment each, of one replica.
func deployments(namespace string, size int) []byte {
	var text bytes.Buffer
	for i := range size {
		fmt.Fprintf(&text, `---
apiVersion: apps/v1
kind: Deployment
metadata: {namespace: %[1]s, name: %[2]s}
spec:
  selector: {matchLabels: {app: %[2]s}}
  template:
    metadata:
      labels: {app: %[2]s}
      annotations: {%[3]s: %[2]s, %[4]s: %[6]s, %[5]s: "1"}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: main, image: "busybox:1.36"}
`, namespace, fmt.Sprintf("app-%04d", i), lifecyclev1.AppAnnotation, lifecyclev1.WorkloadAnnotation, lifecyclev1.VersionAnnotation, workloadOfApp)
	}
	return text.Bytes()
}

// awaitGates waits until the API server gates the pods of a namespace: it takes a
// moment to heed a new policy.
func (b *bench) awaitGates(ctx context.Context, namespace string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, gatedTimeout, errors.New("the policy of config/admission gates no pod"))
	defer cancel()
	controlled := true
	probe := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: "probe",
			Annotations: map[string]string{
				lifecyclev1.AppAnnotation: "probe", lifecyclev1.WorkloadAnnotation: workloadOfApp, lifecyclev1.VersionAnnotation: "1",
			},
			OwnerReferences: []metav1.OwnerReference{
				{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "probe", UID: "00000000-0000-0000-0000-000000000001", Controller: &controlled},
			},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "busybox:1.36"}}},
	}
	for {
		pod := probe.DeepCopy()
		if err := b.kube.Create(ctx, pod, client.DryRunAll); err != nil && !apierrors.IsForbidden(err) { // the namespace's account is still to come
			return fmt.Errorf("ask whether pods are gated: %w", err)
		}
		if gated(pod) {
			return nil
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

func gated(pod *corev1.Pod) bool {
	for _, gate := range pod.Spec.SchedulingGates {
		if gate.Name == lifecyclev1.SchedulingGate {
			return true
		}
	}
	return false
}

// removeNamespace removes a namespace with all that is in it.
func (b *bench) removeNamespace(ctx context.Context, namespace *corev1.Namespace) error {
	ctx, cancel := context.WithTimeoutCause(ctx, removeTimeout, fmt.Errorf("the namespace %s was not gone after %s", namespace.Name, removeTimeout))
	defer cancel()
	err := b.kube.Delete(ctx, namespace)
	for ; err == nil; err = b.kube.Get(ctx, client.ObjectKeyFromObject(namespace), namespace) {
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove the namespace: %w", err)
	}
	return nil
}

// kubectl runs kubectl in the testbed's cluster.
func (b *bench) kubectl(ctx context.Context, stdin []byte, args ...string) error {
	cmd := exec.CommandContext(ctx, "kubectl", args...)
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+b.bed.kubeconfig)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl %s: %w\n%s", args[0], err, out)
	}
	return nil
}

// reached is when the apps' pods ran, and when their delivery had succeeded, by app.
type reached struct{ running, succeeded map[string]time.Time }

// A following is how a rollout was seen to end.
type following struct {
	reached reached
	err     error
}

// follow tells when all apps are delivered, or when nothing has happened for long
// since they were applied.
func (b *bench) follow(ctx context.Context, applied <-chan struct{}, namespace string, d *delivery) (<-chan following, error) {
	pods, err := b.kube.Watch(ctx, &corev1.PodList{}, client.InNamespace(namespace))
	if err != nil {
		return nil, fmt.Errorf("watch the pods: %w", err)
	}
	versions, err := b.kube.Watch(ctx, &lifecyclev1.KeptnAppVersionList{}, client.InNamespace(namespace))
	if err != nil {
		pods.Stop()
		return nil, fmt.Errorf("watch the KeptnAppVersions: %w", err)
	}
	ended := make(chan following, 1)
	go func() {
		defer pods.Stop()
		defer versions.Stop()
		r, err := arrivals(ctx, applied, pods.ResultChan(), versions.ResultChan(), d)
		ended <- following{r, err}
	}()
	return ended, nil
}

// arrivals reads watches until all apps are delivered, or nothing has happened for
// long since they were applied.
func arrivals(ctx context.Context, applied <-chan struct{}, pods, versions <-chan watch.Event, d *delivery) (reached, error) {
	r := reached{map[string]time.Time{}, map[string]time.Time{}}
	still := time.NewTimer(deliveryTimeout)
	defer still.Stop()
	for len(r.running) < d.size || !d.bare && len(r.succeeded) < d.size {
		var event watch.Event
		var watching bool
		select {
		case <-applied:
			applied = nil
			still.Reset(standstill)
			continue
		case event, watching = <-pods:
		case event, watching = <-versions:
		case <-still.C:
			return r, nil
		case <-ctx.Done():
			return r, context.Cause(ctx)
		}
		if !watching {
			return r, errors.New("the API server ended a watch")
		}
		if r.note(event, time.Now()) && applied == nil {
			still.Reset(standstill)
		}
	}
	return r, nil
}

// note takes what a watch tells into account, and says whether it is what one waits
// for.
func (r reached) note(event watch.Event, at time.Time) bool {
	switch o := event.Object.(type) {
	case *corev1.Pod:
		return o.Status.Phase == corev1.PodRunning && first(r.running, o.Labels["app"], at)
	case *lifecyclev1.KeptnAppVersion:
		return o.Status.Status == lifecyclev1.StateSucceeded && first(r.succeeded, o.Spec.AppName, at)
	default:
		return false
	}
}

// first notes when something was seen, if it was not seen before.
func first(seen map[string]time.Time, name string, at time.Time) bool {
	if _, again := seen[name]; again {
		return false
	}
	seen[name] = at
	return true
}

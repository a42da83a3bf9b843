package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/gate"
)

// How the API server is asked whether it still gates pods. Of several API servers one
// answers: gates are looked for again when the others have had time as well.
const (
	probeInterval = 200 * time.Millisecond
	probeTimeout  = 30 * time.Second
)

// canary is a pod that is gated as things are, or nil where none is found. It is never
// created.
func (u *uninstaller) canary(ctx context.Context) (*corev1.Pod, error) {
	var found *corev1.Pod
	err := u.eachNamespace(ctx, func(ns *corev1.Namespace) error {
		if found != nil || !ns.DeletionTimestamp.IsZero() {
			return nil
		}
		pod := probe(ns)
		if pod == nil {
			return nil
		}
		if is, err := u.gates(ctx, pod); err == nil && is { // where pods are refused, as by a quota, the next namespace does
			found = pod
		}
		return nil
	})
	return found, err
}

// gates says whether a pod would be gated, if it were created now.
func (u *uninstaller) gates(ctx context.Context, pod *corev1.Pod) (bool, error) {
	tried := pod.DeepCopy()
	err := u.Create(ctx, tried, client.DryRunAll)
	return gated(tried), err
}

// awaitOpen waits until the canary would not be gated any more, and says how that
// ended.
func (u *uninstaller) awaitOpen(ctx context.Context, canary *corev1.Pod) (string, error) {
	if canary == nil {
		return "no namespace was found in which pods are gated", nil
	}
	var refused error
	waited := wait.PollUntilContextTimeout(ctx, probeInterval, probeTimeout, true, func(ctx context.Context) (bool, error) {
		var is bool
		is, refused = u.gates(ctx, canary)
		return refused == nil && !is, nil
	})
	switch {
	case waited == nil:
		return "a pod in " + canary.Namespace + " would not be gated any more", nil
	case ctx.Err() != nil || refused == nil:
		return "", fmt.Errorf("pods in %s are gated still: %w", canary.Namespace, waited)
	default:
		return fmt.Sprintf("waited %s: whether pods are gated could not be tried in %s: %v", probeTimeout, canary.Namespace, refused), nil
	}
}

// probe is a pod that the policy gates in a namespace, unless its binding leaves the
// namespace out, and that nothing else is known to refuse. It is nil where the
// namespace asks for no gates.
func probe(ns *corev1.Namespace) *corev1.Pod {
	const hash = "keptnuninstall"
	kind, name := "ReplicaSet", hash
	var labels map[string]string
	if ns.Annotations[lifecyclev1.NamespaceEnabledAnnotation] != "enabled" {
		first := strings.FieldsFunc(ns.Annotations[gate.GatedAnnotation], func(c rune) bool { return c == ',' })
		if len(first) == 0 {
			return nil
		}
		if kind, name, _ = strings.Cut(first[0], "/"); kind == "Deployment" {
			kind, name = "ReplicaSet", name+"-"+hash
			labels = map[string]string{appsv1.DefaultDeploymentUniqueLabelKey: hash}
		}
	}
	yes, no := true, false
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: ns.Name, GenerateName: "keptn-uninstall-", Labels: labels,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: kind, Name: name, UID: "00000000-0000-0000-0000-000000000000", Controller: &yes,
			}},
		},
		Spec: corev1.PodSpec{
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "probe", Image: "probe",
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}

func gated(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool {
		return g.Name == lifecyclev1.SchedulingGate
	})
}

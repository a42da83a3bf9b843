package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/gate"
)

// uninstaller takes Keptn out of a cluster. Each of its steps can be repeated.
type uninstaller struct {
	client.Client

	// namespace of the controller.
	namespace string
	// crds says whether custom resource definitions go too.
	crds bool
}

// uninstallStep is one step; done says what it did, also where it fails in between.
type uninstallStep struct {
	name string
	do   func(*uninstaller, context.Context) (done []string, err error)
}

// uninstallSteps are all steps, first to last: nothing may gate a pod again once its
// gate is gone, and the controller's rights go after the controller.
func uninstallSteps() []uninstallStep {
	return []uninstallStep{
		{"gate no pod any more", (*uninstaller).removePolicy},
		{"remove the gates of pods", (*uninstaller).openGates},
		{"remove the annotations of namespaces", (*uninstaller).removeAnnotations},
		{"remove the controller", (*uninstaller).removeController},
		{"remove what it was allowed to do", (*uninstaller).removeRights},
		{"remove the custom resource definitions", (*uninstaller).removeCRDs},
		{"remove the namespace", (*uninstaller).removeNamespace},
	}
}

// page is how many objects are listed at a time.
const page = 500

// partOf marks all that config/default installs.
var partOf = client.MatchingLabels{"app.kubernetes.io/part-of": "keptn"}

// refusal is an error as a person has to read it: what is not allowed can be mended
// by whom it is allowed to.
func refusal(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	if apierrors.IsForbidden(err) {
		text += " (run it as somebody who may: a cluster administrator)"
	}
	return text
}

func admission(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "admissionregistration.k8s.io", Version: "v1", Kind: kind}
}

// removePolicy deletes the admission policy and waits until the API server has taken
// it in: a pod that was gated after its like were let go would wait for ever.
func (u *uninstaller) removePolicy(ctx context.Context) ([]string, error) {
	var done []string
	var errs []error
	for _, kind := range []string{"MutatingAdmissionPolicyBinding", "MutatingAdmissionPolicy"} {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(admission(kind))
		object.SetName(gate.PolicyName)
		deleted, err := u.remove(ctx, object)
		done, errs = append(done, deleted...), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil || len(done) == 0 {
		return done, err
	}
	seen, err := u.awaitOpen(ctx)
	return append(done, seen), err
}

// How the API server is asked whether it gates pods. Of several API servers only one
// is: the gates of pods are looked for more than once.
const (
	probeInterval = 200 * time.Millisecond
	probeTimeout  = 30 * time.Second
)

// awaitOpen waits until a pod of a namespace that was gated would get no gate.
func (u *uninstaller) awaitOpen(ctx context.Context) (string, error) {
	namespace := ""
	err := u.eachNamespace(ctx, func(ns *corev1.Namespace) error {
		if ns.DeletionTimestamp.IsZero() && ns.Annotations[lifecyclev1.NamespaceEnabledAnnotation] == "enabled" {
			namespace = ns.Name
		}
		return nil
	})
	if err != nil || namespace == "" {
		return "no namespace asked for gates", err
	}
	open := false
	var refused error
	waited := wait.PollUntilContextTimeout(ctx, probeInterval, probeTimeout, true, func(ctx context.Context) (bool, error) {
		pod := probe(namespace)
		refused = u.Create(ctx, pod, client.DryRunAll)
		open = refused == nil && !gated(pod)
		return open, nil
	})
	if open {
		return "a pod in " + namespace + " would not be gated", nil
	}
	if refused == nil {
		return "", fmt.Errorf("pods in %s are gated still: %w", namespace, waited)
	}
	return fmt.Sprintf("waited %s: whether pods are gated could not be tried in %s: %v", probeTimeout, namespace, refused), ctx.Err()
}

// probe is a pod that the policy would gate, and no other rule refuses. It is never
// created.
func probe(namespace string) *corev1.Pod {
	yes, no := true, false
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, GenerateName: "keptn-uninstall-",
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "keptn-uninstall", UID: "00000000-0000-0000-0000-000000000000", Controller: &yes,
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

// How often pods are looked through for gates, until none is found, and how many
// gates are removed at a time.
const (
	gateRounds   = 5
	gateParallel = 16
)

// openGates removes our gate from all pods, until there is none.
func (u *uninstaller) openGates(ctx context.Context) ([]string, error) {
	var done []string
	for range gateRounds {
		opened, found, err := u.openGatesOnce(ctx)
		done = append(done, opened...)
		if err != nil || found == 0 {
			return done, err
		}
	}
	return done, fmt.Errorf("pods with the gate still turned up in round %d: run it again", gateRounds)
}

func (u *uninstaller) openGatesOnce(ctx context.Context) (opened []string, found int, err error) {
	var mu sync.Mutex
	var errs []error
	var group errgroup.Group
	group.SetLimit(gateParallel)
	list := &corev1.PodList{}
	err = u.eachPage(ctx, "pods of all namespaces", list, func() error {
		for i := range list.Items {
			pod := &list.Items[i]
			if !gated(pod) {
				continue
			}
			found++
			key, uid := client.ObjectKeyFromObject(pod), pod.UID
			group.Go(func() error {
				err := gate.Open(ctx, u, key, uid)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					errs = append(errs, err)
				} else {
					opened = append(opened, "pod "+key.String())
				}
				return nil
			})
		}
		return nil
	}, client.MatchingFields{"spec.nodeName": ""}) // a gated pod is on no node
	_ = group.Wait() // errs has them all
	slices.Sort(opened)
	return opened, found, errors.Join(append(errs, err)...)
}

// removeAnnotations removes our annotations from all namespaces.
func (u *uninstaller) removeAnnotations(ctx context.Context) ([]string, error) {
	var done []string
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{%q:null,%q:null}}}`, gate.GatedAnnotation, gate.ReleasedAnnotation))
	err := u.eachNamespace(ctx, func(ns *corev1.Namespace) error {
		_, isGated := ns.Annotations[gate.GatedAnnotation]
		_, isReleased := ns.Annotations[gate.ReleasedAnnotation]
		if !isGated && !isReleased {
			return nil
		}
		err := u.Patch(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns.Name}}, patch)
		if err == nil {
			done = append(done, "namespace "+ns.Name)
		}
		return client.IgnoreNotFound(err)
	})
	return done, err
}

// eachNamespace goes through all namespaces.
func (u *uninstaller) eachNamespace(ctx context.Context, do func(*corev1.Namespace) error) error {
	list := &corev1.NamespaceList{}
	return u.eachPage(ctx, "namespaces", list, func() error {
		var errs []error
		for i := range list.Items {
			errs = append(errs, do(&list.Items[i]))
		}
		return errors.Join(errs...)
	})
}

// eachPage lists objects page by page; what names them in errors.
func (u *uninstaller) eachPage(ctx context.Context, what string, list client.ObjectList, do func() error, options ...client.ListOption) error {
	var errs []error
	for next := ""; ; {
		err := u.List(ctx, list, append(options, client.Limit(page), client.Continue(next))...)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("list the %s: %w", what, err))...)
		}
		errs = append(errs, do())
		if next = list.GetContinue(); next == "" {
			return errors.Join(errs...)
		}
	}
}

// remove deletes an object, and says so; one that is not there is no error.
func (u *uninstaller) remove(ctx context.Context, object *unstructured.Unstructured) ([]string, error) {
	err := u.Delete(ctx, object, client.PropagationPolicy(metav1.DeletePropagationBackground))
	name := object.GetKind() + " " + strings.TrimPrefix(client.ObjectKeyFromObject(object).String(), "/")
	switch {
	case apierrors.IsNotFound(err), apimeta.IsNoMatchError(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("delete %s: %w", name, err)
	default:
		return []string{name}, nil
	}
}

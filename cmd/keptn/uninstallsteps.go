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
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/keptn/gitops/controllers/gate"
)

// uninstaller takes Keptn out of a cluster. Each of its steps can be repeated.
type uninstaller struct {
	client.Client

	// namespace of the controller.
	namespace string
	// crds says whether custom resource definitions go too.
	crds bool
	// settle is how long API servers are given to take in that no pod is gated any more.
	settle time.Duration
}

// uninstallStep is one step; done says what it did, also where it fails in between.
type uninstallStep struct {
	name string
	do   func(*uninstaller, context.Context) (done []string, err error)
	// first says that nothing after the step is begun where it fails: pods would wait for
	// checks that nobody runs.
	first bool
}

// uninstallSteps are all steps, first to last: nothing may gate a pod again once its
// gate is gone, and the controller's rights go after the controller.
func uninstallSteps() []uninstallStep {
	return []uninstallStep{
		{"gate no pod any more", (*uninstaller).removePolicy, true},
		{"remove the gates of pods", (*uninstaller).openGates, true},
		{"remove the annotations of namespaces", (*uninstaller).removeAnnotations, false},
		{"remove the controller", (*uninstaller).removeController, false},
		{"remove what it was allowed to do", (*uninstaller).removeRights, false},
		{"remove the custom resource definitions", (*uninstaller).removeCRDs, false},
		{"remove the namespace", (*uninstaller).removeNamespace, false},
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
	canary, err := u.canary(ctx)
	if err != nil {
		return nil, err
	}
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
	seen, err := u.awaitOpen(ctx, canary)
	if seen != "" {
		done = append(done, seen)
	}
	return done, err
}

// How often pods are looked through for gates, until none is found, and how many
// gates are removed at a time.
const (
	gateRounds   = 5
	gateParallel = 16
)

// openGates removes our gate from all pods, until there is none, also when all API
// servers have had time to take in that there are to be none.
func (u *uninstaller) openGates(ctx context.Context) ([]string, error) {
	var done []string
	for round := range gateRounds {
		if round > 0 {
			if err := pause(ctx, u.settle); err != nil {
				return done, err
			}
		}
		opened, found, err := u.openGatesOnce(ctx)
		done = append(done, opened...)
		if err != nil || found == 0 && round > 0 {
			return done, err
		}
	}
	return done, fmt.Errorf("pods with the gate still turned up in round %d: run it again", gateRounds)
}

// pause waits for a while, and fails where it is interrupted.
func pause(ctx context.Context, length time.Duration) error {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
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

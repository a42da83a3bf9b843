package gate

import (
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// PolicyName is the name of the MutatingAdmissionPolicy, and of its binding, that
// gates pods.
const PolicyName = "keptn-gate"

// Why nothing is gated.
const (
	notServed    = "pods are not gated: the API server does not serve MutatingAdmissionPolicy of admissionregistration.k8s.io/v1, which Kubernetes does from 1.36 on"
	notInstalled = "pods are not gated: the MutatingAdmissionPolicy keptn-gate or its binding is missing, which config/admission installs"
	notKnown     = "pods are perhaps not gated: the admission policy has not been looked for yet"
)

// Supported says whether the API server gates pods: it serves
// MutatingAdmissionPolicies, and ours and its binding are there. Where it does not,
// reason says why.
func Supported(ctx context.Context, r client.Reader) (supported bool, reason string) {
	for _, object := range []client.Object{&admissionv1.MutatingAdmissionPolicy{}, &admissionv1.MutatingAdmissionPolicyBinding{}} {
		err := r.Get(ctx, types.NamespacedName{Name: PolicyName}, object)
		switch {
		case apimeta.IsNoMatchError(err):
			return false, notServed
		case apierrors.IsNotFound(err):
			return false, notInstalled
		case err != nil:
			return false, fmt.Sprintf("pods are perhaps not gated: %v", err)
		}
	}
	return true, ""
}

// Observing says why pods are not gated, so that checks run and hold nothing back;
// it is empty where they are.
func (r *Reconciler) Observing() string {
	if reason := r.observing.Load(); reason != nil {
		return *reason
	}
	return notKnown
}

// look looks for the policy, and says in the log whether pods are gated where that
// is news.
func (r *Reconciler) look(ctx context.Context, reader client.Reader) {
	_, reason := Supported(ctx, reader)
	if was := r.observing.Swap(&reason); was != nil && *was == reason {
		return
	}
	if reason == "" {
		ctrl.LoggerFrom(ctx).Info("Pods of workloads that are delivered with checks are gated")
		return
	}
	ctrl.LoggerFrom(ctx).Info("Observing only", "reason", reason)
}

// policies returns a cache of our policy and its binding, or nil where the API
// server does not serve such.
func (r *Reconciler) policies(mgr ctrl.Manager) (cache.Cache, error) {
	kind := admissionv1.SchemeGroupVersion.WithKind("MutatingAdmissionPolicyBinding")
	_, err := mgr.GetRESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
	if apimeta.IsNoMatchError(err) {
		return nil, mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
			r.look(ctx, r.APIReader)
			return nil
		}))
	}
	if err != nil {
		return nil, fmt.Errorf("find out whether MutatingAdmissionPolicies are served: %w", err)
	}
	ours := cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", PolicyName)}
	policies, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		ByObject: map[client.Object]cache.ByObject{
			&admissionv1.MutatingAdmissionPolicy{}: ours, &admissionv1.MutatingAdmissionPolicyBinding{}: ours,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("watch the admission policy: %w", err)
	}
	if err := mgr.Add(policies); err != nil {
		return nil, fmt.Errorf("watch the admission policy: %w", err)
	}
	return policies, mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		if policies.WaitForCacheSync(ctx) {
			r.look(ctx, policies)
		}
		return nil
	}))
}

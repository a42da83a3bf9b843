package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// removeController deletes what runs, and what leads to it: an API that nobody
// serves any more would keep namespaces from being deleted.
func (u *uninstaller) removeController(ctx context.Context) ([]string, error) {
	return u.removeAll(ctx,
		labelled{schema.GroupVersionKind{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"}, "", u.serves},
		labelled{schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, u.namespace, nil},
		labelled{schema.GroupVersionKind{Version: "v1", Kind: "Service"}, u.namespace, nil},
	)
}

// serves says whether an APIService leads to the controller's namespace.
func (u *uninstaller) serves(api *unstructured.Unstructured) bool {
	namespace, _, _ := unstructured.NestedString(api.Object, "spec", "service", "namespace")
	return namespace == u.namespace
}

// authentication is the namespace of the role by which the controller knows the API
// server.
const authentication = "kube-system"

// removeRights deletes roles, their bindings, and the account that they are bound to.
func (u *uninstaller) removeRights(ctx context.Context) ([]string, error) {
	rbac := func(kind, namespace string) labelled {
		return labelled{rbacv1.SchemeGroupVersion.WithKind(kind), namespace, nil}
	}
	return u.removeAll(ctx,
		rbac("ClusterRoleBinding", ""), rbac("RoleBinding", u.namespace), rbac("RoleBinding", authentication),
		rbac("ClusterRole", ""), rbac("Role", u.namespace),
		labelled{schema.GroupVersionKind{Version: "v1", Kind: "ServiceAccount"}, u.namespace, nil},
		labelled{admission("ValidatingAdmissionPolicyBinding"), "", nil},
		labelled{admission("ValidatingAdmissionPolicy"), "", nil},
	)
}

// removeCRDs deletes the definitions of our kinds, where that is asked for.
func (u *uninstaller) removeCRDs(ctx context.Context) ([]string, error) {
	if !u.crds {
		return []string{"left, with all objects of theirs: --crds deletes them"}, nil
	}
	definitions := labelled{
		schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}, "",
		func(crd *unstructured.Unstructured) bool {
			group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
			return isOurs(group)
		},
	}
	done, err := u.removeAll(ctx, definitions)
	if err != nil {
		return done, err
	}
	return done, u.awaitNone(ctx, definitions)
}

func isOurs(group string) bool { return strings.HasSuffix(group, ".keptn.sh") }

// removeNamespace deletes the controller's namespace, unless somebody else made it,
// or objects in it would be lost that were to stay.
func (u *uninstaller) removeNamespace(ctx context.Context) ([]string, error) {
	ns := &unstructured.Unstructured{}
	ns.SetGroupVersionKind(schema.GroupVersionKind{Version: "v1", Kind: "Namespace"})
	err := u.Get(ctx, client.ObjectKey{Name: u.namespace}, ns)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read namespace %s: %w", u.namespace, err)
	}
	for name, value := range partOf {
		if ns.GetLabels()[name] != value {
			return []string{fmt.Sprintf("left %s: it does not carry the label %s: %s", u.namespace, name, value)}, nil
		}
	}
	if !u.crds {
		kept, err := u.keeps(ctx)
		if err != nil {
			return nil, err
		}
		if kept != "" {
			return []string{fmt.Sprintf("left %s: it holds objects of kind %s, which were to stay", u.namespace, kept)}, nil
		}
	}
	done, err := u.remove(ctx, ns)
	if err != nil {
		return done, err
	}
	return done, u.awaitNone(ctx, labelled{ns.GroupVersionKind(), "", func(other *unstructured.Unstructured) bool {
		return other.GetName() == u.namespace
	}})
}

// keeps is a kind of ours of which there are objects in the controller's namespace,
// or empty.
func (u *uninstaller) keeps(ctx context.Context) (string, error) {
	var kinds []schema.GroupVersionKind
	for kind := range u.Scheme().AllKnownTypes() {
		if isOurs(kind.Group) && strings.HasSuffix(kind.Kind, "List") {
			kinds = append(kinds, kind)
		}
	}
	slices.SortFunc(kinds, func(a, b schema.GroupVersionKind) int { return strings.Compare(a.String(), b.String()) })
	for _, kind := range kinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		err := u.List(ctx, list, client.InNamespace(u.namespace), client.Limit(1))
		if apimeta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("look for what is in namespace %s: %w", u.namespace, err)
		}
		if len(list.Items) > 0 {
			return strings.TrimSuffix(kind.Kind, "List"), nil
		}
	}
	return "", nil
}

// labelled are all objects of a kind, in one namespace where it has some, that carry
// our label, of them those that are asked for.
type labelled struct {
	kind      schema.GroupVersionKind
	namespace string
	asked     func(*unstructured.Unstructured) bool
}

// find reads all of them; a kind that the cluster does not know has none.
func (u *uninstaller) find(ctx context.Context, of labelled) ([]unstructured.Unstructured, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(of.kind)
	err := u.List(ctx, list, client.InNamespace(of.namespace), partOf)
	if apimeta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list objects of kind %s: %w", of.kind.Kind, err)
	}
	return slices.DeleteFunc(list.Items, func(object unstructured.Unstructured) bool {
		return of.asked != nil && !of.asked(&object)
	}), nil
}

// removeAll deletes objects kind by kind, whatever becomes of each.
func (u *uninstaller) removeAll(ctx context.Context, all ...labelled) ([]string, error) {
	var done []string
	var errs []error
	for _, of := range all {
		found, err := u.find(ctx, of)
		errs = append(errs, err)
		for i := range found {
			deleted, err := u.remove(ctx, &found[i])
			done, errs = append(done, deleted...), append(errs, err)
		}
	}
	return done, errors.Join(errs...)
}

// How it is waited for what is gone only once all that is in it has gone.
const (
	goneInterval = 500 * time.Millisecond
	goneTimeout  = 2 * time.Minute
)

// awaitNone waits until none of them is left.
func (u *uninstaller) awaitNone(ctx context.Context, of labelled) error {
	var left []unstructured.Unstructured
	waited := wait.PollUntilContextTimeout(ctx, goneInterval, goneTimeout, true, func(ctx context.Context) (bool, error) {
		var err error
		left, err = u.find(ctx, of)
		return len(left) == 0, err
	})
	if waited == nil || len(left) == 0 {
		return waited
	}
	return fmt.Errorf("%s %s is not gone yet, its status says why: %w", of.kind.Kind, left[0].GetName(), waited)
}

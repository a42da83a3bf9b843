package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
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
	return u.removeAll(ctx, labelled{
		schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}, "",
		func(crd *unstructured.Unstructured) bool {
			group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
			return isOurs(group)
		},
	})
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
	return u.remove(ctx, ns)
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

// removeAll deletes objects kind by kind, whatever becomes of each.
func (u *uninstaller) removeAll(ctx context.Context, all ...labelled) ([]string, error) {
	var done []string
	var errs []error
	for _, of := range all {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(of.kind)
		err := u.List(ctx, list, client.InNamespace(of.namespace), partOf)
		if apimeta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("list objects of kind %s: %w", of.kind.Kind, err))
			continue
		}
		for i := range list.Items {
			if of.asked != nil && !of.asked(&list.Items[i]) {
				continue
			}
			deleted, err := u.remove(ctx, &list.Items[i])
			done, errs = append(done, deleted...), append(errs, err)
		}
	}
	return done, errors.Join(errs...)
}

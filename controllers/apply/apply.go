// Package apply writes objects by server-side apply, so that each controller
// owns the fields it says and no others. It decides nothing and never deletes.
package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// DigestAnnotation identifies what was applied last, so that nothing is applied
// twice.
const DigestAnnotation = "gitops.keptn.sh/digest"

// Changed applies the object as Object does, unless the cluster holds it as it
// was last applied. It marks the object with DigestAnnotation.
func Changed(ctx context.Context, c client.Client, obj client.Object, owner string) error {
	digest, err := digestOf(obj)
	if err != nil {
		return err
	}
	annotations := maps.Clone(obj.GetAnnotations())
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[DigestAnnotation] = digest
	obj.SetAnnotations(annotations)
	live := obj.DeepCopyObject().(client.Object) //nolint:forcetypeassert // a copy has the type of its original
	err = c.Get(ctx, client.ObjectKeyFromObject(obj), live)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("apply: %w", err)
	}
	if err == nil && holds(live, obj) {
		return nil
	}
	return Object(ctx, c, obj, owner)
}

// holds says whether a live object has all that another says, and the same mark.
func holds(live, said client.Object) bool {
	has, err := content(live)
	if err != nil {
		return false
	}
	wanted, err := content(said)
	return err == nil && equality.Semantic.DeepDerivative(wanted, has)
}

// content is what an object says of itself: all but its status, and what the API
// server adds to its metadata.
func content(obj client.Object) (map[string]any, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, fmt.Errorf("convert %T %s: %w", obj, obj.GetName(), err)
	}
	unstructured.RemoveNestedField(fields, "status")
	for _, added := range []string{"creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"} {
		unstructured.RemoveNestedField(fields, "metadata", added)
	}
	return fields, nil
}

func digestOf(obj client.Object) (string, error) {
	text, err := json.Marshal(obj)
	if err != nil {
		return "", fmt.Errorf("apply %s: %w", client.ObjectKeyFromObject(obj), err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

// Object applies the object's metadata and spec in the name of owner, taking
// fields over from other managers, and reads back what the cluster then holds.
// The status is left alone. Applying what is there already changes nothing.
func Object(ctx context.Context, c client.Client, obj client.Object, owner string) error {
	gvk, err := c.GroupVersionKindFor(obj)
	if err != nil {
		return fmt.Errorf("apply %T: %w", obj, err)
	}
	fields, err := content(obj)
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	said := &unstructured.Unstructured{Object: fields}
	said.SetGroupVersionKind(gvk)
	patch, err := Patch(said)
	if err == nil {
		err = c.Patch(ctx, obj, patch, client.FieldOwner(owner), client.ForceOwnership)
	}
	if err != nil {
		return fmt.Errorf("apply %s %s: %w", gvk.Kind, client.ObjectKeyFromObject(obj), err)
	}
	return nil
}

// Patch is a server-side apply of what is said, to be sent for an object with a type:
// client.Apply of what has none would have the cache hold all of the kind twice, and reads
// of the typed one would not wait for it.
func Patch(said *unstructured.Unstructured) (client.Patch, error) {
	text, err := said.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("write %s as JSON: %w", said.GetName(), err)
	}
	return client.RawPatch(types.ApplyPatchType, text), nil
}

// Own makes owner the controller of obj, so that obj goes when owner goes. It
// does not block the owner's deletion: that would take a right to its finalizers.
func Own(owner, obj client.Object, scheme *runtime.Scheme) error {
	unblocked := controllerutil.WithBlockOwnerDeletion(false)
	if err := controllerutil.SetControllerReference(owner, obj, scheme, unblocked); err != nil {
		return fmt.Errorf("own %T %s: %w", obj, obj.GetName(), err)
	}
	return nil
}

package evidence_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/keptn/gitops/controllers/workload"
)

// world is an API server that holds documents, and those kinds only that it has one of.
type world struct {
	t       *testing.T
	objects []*unstructured.Unstructured
	// fails is what it answers instead.
	fails error
	// before is called before an object is asked for, if set.
	before func(kind string)
	// asked are the kinds of the objects that were asked for.
	asked []string
}

// worldOf holds the documents of files, changed by merge patches: each is given as
// "Kind name: patch", or "Kind name: null" for none.
func worldOf(t *testing.T, files []string, patches ...string) *world {
	t.Helper()
	w := &world{t: t}
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
		for {
			u := &unstructured.Unstructured{}
			if err := decoder.Decode(u); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			w.objects = append(w.objects, u)
		}
	}
	for _, p := range patches {
		w.patch(p)
	}
	for _, u := range w.objects {
		validate(t, u)
	}
	return w
}

// patch changes one document.
func (w *world) patch(p string) {
	w.t.Helper()
	of, change, _ := strings.Cut(p, ": ")
	for i, u := range w.objects {
		if u.GetKind()+" "+u.GetNamespace()+"/"+u.GetName() != of {
			continue
		}
		if change == "null" {
			w.objects = append(w.objects[:i:i], w.objects[i+1:]...)
			return
		}
		before, err := u.MarshalJSON()
		if err != nil {
			w.t.Fatal(err)
		}
		patch, err := yaml.YAMLToJSON([]byte(change))
		if err != nil {
			w.t.Fatalf("%s: %v", p, err)
		}
		after, err := jsonpatch.MergePatch(before, patch)
		if err != nil {
			w.t.Fatalf("%s: %v", p, err)
		}
		if err := u.UnmarshalJSON(after); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	w.t.Fatalf("no document for %q", of)
}

// workload is a Deployment as the controllers see it.
func (w *world) workload(namespace, name string) *workload.Workload {
	w.t.Helper()
	for _, u := range w.objects {
		if u.GetKind() != "Deployment" || u.GetNamespace() != namespace || u.GetName() != name {
			continue
		}
		var d appsv1.Deployment
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &d); err != nil {
			w.t.Fatal(err)
		}
		seen, err := workload.Observe(workload.Deployment, &d)
		if err != nil {
			w.t.Fatal(err)
		}
		return seen
	}
	w.t.Fatalf("no Deployment %s/%s", namespace, name)
	return nil
}

// Get implements client.Reader.
func (w *world) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	gvk := obj.GetObjectKind().GroupVersionKind()
	if w.before != nil {
		w.before(gvk.Kind)
	}
	w.asked = append(w.asked, gvk.Kind)
	if w.fails != nil {
		return w.fails
	}
	known := false
	for _, u := range w.objects {
		if gvk.Kind != "" && u.GroupVersionKind() != gvk || gvk.Kind == "" && !strings.HasSuffix(fmt.Sprintf("%T", obj), "."+u.GetKind()) {
			continue
		}
		known = true
		if client.ObjectKeyFromObject(u) == key {
			content, err := u.MarshalJSON()
			if err != nil {
				return err
			}
			return json.Unmarshal(content, obj)
		}
	}
	if !known {
		return &apimeta.NoKindMatchError{GroupKind: gvk.GroupKind()}
	}
	return apierrors.NewNotFound(schema.GroupResource{Group: gvk.Group, Resource: gvk.Kind}, key.Name)
}

// List implements client.Reader for Applications by name.
func (w *world) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	into, ok := list.(*unstructured.UnstructuredList)
	if !ok {
		return fmt.Errorf("%T is not listed here", list)
	}
	if w.fails != nil {
		return w.fails
	}
	gvk := into.GroupVersionKind()
	gvk.Kind = strings.TrimSuffix(gvk.Kind, "List")
	w.asked = append(w.asked, gvk.Kind)
	var options client.ListOptions
	options.ApplyOptions(opts)
	name, _ := options.FieldSelector.RequiresExactMatch("metadata.name")
	known := false
	for _, u := range w.objects {
		if u.GroupVersionKind() != gvk {
			continue
		}
		known = true
		if u.GetName() == name && (options.Namespace == "" || options.Namespace == u.GetNamespace()) {
			into.Items = append(into.Items, *u.DeepCopy())
		}
	}
	if !known {
		return &apimeta.NoKindMatchError{GroupKind: gvk.GroupKind()}
	}
	return nil
}

// definition is what the API server checks documents of a kind against.
type definition struct {
	validator  validation.SchemaValidator
	structural *structuralschema.Structural
}

// definitions are those of the real CRDs, read once.
var definitions = sync.OnceValues(func() (map[schema.GroupVersionKind]definition, error) {
	files, err := filepath.Glob("testdata/crds/*.yaml.gz")
	if err != nil {
		return nil, err
	}
	all := map[schema.GroupVersionKind]definition{}
	for _, file := range files {
		if err := readDefinitions(file, all); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return all, nil
})

func readDefinitions(file string, into map[schema.GroupVersionKind]definition) error {
	compressed, err := os.Open(file)
	if err != nil {
		return err
	}
	defer compressed.Close()
	content, err := gzip.NewReader(compressed)
	if err != nil {
		return err
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := utilyaml.NewYAMLOrJSONDecoder(content, 4096).Decode(&crd); err != nil {
		return err
	}
	for _, version := range crd.Spec.Versions {
		props := &apiextensions.JSONSchemaProps{}
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, props, nil); err != nil {
			return err
		}
		var of definition
		if of.validator, _, err = validation.NewSchemaValidator(props); err != nil {
			return err
		}
		if of.structural, err = structuralschema.NewStructural(props); err != nil {
			return err
		}
		into[schema.GroupVersionKind{Group: crd.Spec.Group, Version: version.Name, Kind: crd.Spec.Names.Kind}] = of
	}
	return nil
}

// validate refuses a document that the real API server would refuse, or of which it
// would drop a field.
func validate(t *testing.T, u *unstructured.Unstructured) {
	t.Helper()
	all, err := definitions()
	if err != nil {
		t.Fatal(err)
	}
	of, ours := all[u.GroupVersionKind()]
	if !ours {
		if strings.Contains(u.GroupVersionKind().Group, ".") {
			t.Fatalf("no CRD for %s", u.GroupVersionKind())
		}
		return
	}
	for _, problem := range validation.ValidateCustomResource(nil, u.Object, of.validator) {
		t.Errorf("%s %s: %v", u.GetKind(), u.GetName(), problem)
	}
	dropped := pruning.PruneWithOptions(u.DeepCopy().Object, of.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, field := range dropped {
		t.Errorf("%s %s: field %s is not known", u.GetKind(), u.GetName(), field)
	}
}

package convert

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

// A source is the kind of an object in an older version.
type source struct{ group, kind string }

// A conversion changes an object of an older version into those of today that stand
// for it, and returns what has to be known about it.
type conversion func(object map[string]any) (today []map[string]any, notes []string, err error)

// conversions are all kinds that have older versions, and what has to be done but
// renaming the version.
var conversions = map[source]conversion{
	{"metrics.keptn.sh", "KeptnMetric"}:               toMetrics,
	{"metrics.keptn.sh", "KeptnMetricsProvider"}:      toProvider,
	{"metrics.keptn.sh", "Analysis"}:                  toMetrics,
	{"metrics.keptn.sh", "AnalysisDefinition"}:        toMetrics,
	{"metrics.keptn.sh", "AnalysisValueTemplate"}:     toMetrics,
	{"lifecycle.keptn.sh", "KeptnEvaluationProvider"}: toProvider,

	{"lifecycle.keptn.sh", "KeptnApp"}:                  toApp,
	{"lifecycle.keptn.sh", "KeptnAppContext"}:           toLifecycle,
	{"lifecycle.keptn.sh", "KeptnTaskDefinition"}:       toTaskDefinition,
	{"lifecycle.keptn.sh", "KeptnEvaluationDefinition"}: toEvaluationDefinition,

	{"lifecycle.keptn.sh", "KeptnAppCreationRequest"}: leaveOut,
	{"lifecycle.keptn.sh", "KeptnAppVersion"}:         leaveOut,
	{"lifecycle.keptn.sh", "KeptnWorkload"}:           leaveOut,
	{"lifecycle.keptn.sh", "KeptnWorkloadInstance"}:   leaveOut,
	{"lifecycle.keptn.sh", "KeptnWorkloadVersion"}:    leaveOut,
	{"lifecycle.keptn.sh", "KeptnTask"}:               leaveOut,
	{"lifecycle.keptn.sh", "KeptnEvaluation"}:         leaveOut,
}

// olderVersions are those that Keptn served before, and v1 itself.
var olderVersions = []string{"v1alpha1", "v1alpha2", "v1alpha3", "v1alpha4", "v1beta1", "v1"}

// Resources converts the resources in YAML documents, or in lists, to the API
// versions of today, in the order they are written in. What the cluster wrote into
// them, as status and uid, is removed, so that they can be applied.
//
// Objects of other kinds are left as they are; a note says so.
func Resources(data []byte) ([]map[string]any, []string, error) {
	if len(data) > maxBytes {
		return nil, nil, fmt.Errorf("read resources: %d bytes are too long: at most %d are read", len(data), maxBytes)
	}
	var objects []map[string]any
	var notes []string
	for reader := kubeyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data))); ; {
		document, err := reader.Read()
		switch {
		case errors.Is(err, io.EOF) && len(objects) == 0:
			return nil, nil, errEmpty
		case errors.Is(err, io.EOF):
			return objects, append(notes, doubles(objects)...), nil
		case err != nil:
			return nil, nil, fmt.Errorf("read resources: %w", err)
		}
		var object map[string]any
		if err := read(document, &object); err != nil {
			return nil, nil, fmt.Errorf("read resources: %w", err)
		}
		for _, one := range items(object) {
			said := title(one)
			made, told, err := today(one)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", said, err)
			}
			for _, note := range told {
				notes = append(notes, said+": "+note)
			}
			objects = append(objects, made...)
		}
	}
}

// items are the objects of a list, or the one object that is no list. A document
// of comments has none.
func items(object map[string]any) []map[string]any {
	if len(object) == 0 {
		return nil
	}
	listed, ok := object["items"].([]any)
	if kind, _ := object["kind"].(string); !ok || !strings.HasSuffix(kind, "List") {
		return []map[string]any{object}
	}
	var all []map[string]any
	for _, item := range listed {
		one, _ := item.(map[string]any)
		all = append(all, items(one)...)
	}
	return all
}

// today converts one object.
func today(object map[string]any) ([]map[string]any, []string, error) {
	apiVersion, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	if apiVersion == "" || kind == "" {
		return nil, nil, errors.New("it has no apiVersion or no kind: it is no Kubernetes resource")
	}
	group, version, _ := strings.Cut(apiVersion, "/")
	change, known := conversions[source{group, kind}]
	switch {
	case !known:
		return only(object), []string{"it is left as it is"}, nil
	case !slices.Contains(olderVersions, version):
		return nil, nil, fmt.Errorf("version %q is not known: it has to be one of %s", version, strings.Join(olderVersions, ", "))
	}
	removeWhatTheClusterWrote(object)
	return change(object)
}

// toMetrics renames the version: the fields are the same.
func toMetrics(object map[string]any) ([]map[string]any, []string, error) {
	object["apiVersion"] = metricsv1.GroupVersion.String()
	return only(object), nil, nil
}

func only(object map[string]any) []map[string]any { return []map[string]any{object} }

// keptnsTypes are the types of providers that Keptn has.
var keptnsTypes = []metricsv1.ProviderType{
	metricsv1.Cortex, metricsv1.Datadog, metricsv1.DQL, metricsv1.Dynatrace, metricsv1.Elastic, metricsv1.Prometheus, metricsv1.Thanos,
}

// toProvider makes a KeptnMetricsProvider. Before v1alpha3 its type was its name,
// and in v1alpha1 it named a Secret with the key apiToken.
func toProvider(object map[string]any) ([]map[string]any, []string, error) {
	object["apiVersion"], object["kind"] = metricsv1.GroupVersion.String(), "KeptnMetricsProvider"
	spec, ok := object["spec"].(map[string]any)
	if !ok {
		return nil, nil, errors.New("it has no spec")
	}
	if secret, ok := spec["secretName"].(string); ok {
		delete(spec, "secretName")
		if secret != "" {
			spec["secretKeyRef"] = map[string]any{"name": secret, "key": "apiToken"}
		}
	}
	given, _ := spec["type"].(string)
	if given == "" {
		given = name(object)
	}
	kind := metricsv1.ProviderType(strings.ToLower(given))
	if !slices.Contains(keptnsTypes, kind) {
		return nil, nil, fmt.Errorf("type %q is not one of %q: name it in spec.type", given, keptnsTypes)
	}
	spec["type"] = string(kind)
	if _, secret := spec["secretKeyRef"]; secret && kind == metricsv1.Elastic {
		return only(object), []string{"secretKeyRef.key is the key in the Secret here, while Keptn took it for the API key itself: put the API key into the Secret"}, nil
	}
	return only(object), nil, nil
}

// removeWhatTheClusterWrote leaves what a person would write.
func removeWhatTheClusterWrote(object map[string]any) {
	delete(object, "status")
	metadata, _ := object["metadata"].(map[string]any)
	for _, field := range []string{"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"} {
		delete(metadata, field)
	}
	annotations, _ := metadata["annotations"].(map[string]any)
	delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
	if annotations != nil && len(annotations) == 0 {
		delete(metadata, "annotations")
	}
}

func name(object map[string]any) string {
	metadata, _ := object["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	return name
}

// doubles tells of objects of which another has the name: as where both a KeptnApp had
// checks and there was a KeptnAppContext.
func doubles(objects []map[string]any) []string {
	var notes []string
	seen := map[string]bool{}
	for _, object := range objects {
		metadata, _ := object["metadata"].(map[string]any)
		named := fmt.Sprint(object["apiVersion"], object["kind"], metadata["namespace"], metadata["name"])
		if seen[named] {
			notes = append(notes, title(object)+": there are several of this name, of which the last would count: join them")
		}
		seen[named] = true
	}
	return notes
}

// title is what an object is called in errors and notes.
func title(object map[string]any) string {
	return fmt.Sprintf("%v %q", object["kind"], name(object))
}

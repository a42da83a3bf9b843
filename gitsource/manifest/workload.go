package manifest

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// Workload is a Deployment, StatefulSet or DaemonSet that a folder deploys.
type Workload struct {
	// Kind is Deployment, StatefulSet or DaemonSet, of apps/v1.
	Kind string
	// Namespace is empty where the manifests leave it to whoever applies them.
	Namespace string
	// Name in its namespace.
	Name string
	// Replicas are nil for a DaemonSet, and where the manifests do not say.
	Replicas *int32
	// Template of its pods, without the defaults of the API server.
	Template corev1.PodTemplateSpec
}

// Digest identifies the workload and its template: it differs between two
// commits exactly if the later one changes what runs. The number of replicas
// has no part in it.
func (w Workload) Digest() string {
	return digest(w.Kind, w.Namespace, w.Name, w.Template)
}

// TemplateHash identifies the pod template of a running workload, without the
// annotation by which kubectl rollout restart changes it.
func TemplateHash(live corev1.PodTemplateSpec) string {
	return digest(withoutRestart(live))
}

// digest is the SHA-256 of the parts as JSON, in hex. JSON writes maps in the
// order of their keys and quantities in their canonical form.
func digest(parts ...any) string {
	data, err := json.Marshal(parts)
	if err != nil {
		data = fmt.Appendf(nil, "%v", err) // no type of these parts can fail
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// identity is what an object says of itself.
type identity struct {
	APIVersion string `json:"apiVersion" yaml:"apiVersion"`
	Kind       string `json:"kind" yaml:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
}

// endless is a quantity whose exponent Kubernetes' parser counts through: it takes
// minutes for 1e-999999999.
var endless = regexp.MustCompile(`"[+-]?[0-9.]+[eE][+-]?[0-9]{3,}"`)

// refuseEndless refuses JSON with a quantity that could not be read in time.
func refuseEndless(data []byte) error {
	if found := endless.Find(data); found != nil {
		return fmt.Errorf("%s is no quantity: its exponent can have two digits at most", found)
	}
	return nil
}

// workloadOf reads an object; ok is false if it is no workload.
func workloadOf(id identity, data []byte) (w Workload, ok bool, err error) {
	if id.APIVersion != appsv1.SchemeGroupVersion.String() {
		return Workload{}, false, nil
	}
	w = Workload{Kind: id.Kind, Namespace: id.Metadata.Namespace, Name: id.Metadata.Name}
	if err := refuseEndless(data); err != nil {
		return w, false, err
	}
	switch id.Kind {
	case "Deployment":
		var o appsv1.Deployment
		err = json.Unmarshal(data, &o)
		w.Template, w.Replicas = o.Spec.Template, o.Spec.Replicas
	case "StatefulSet":
		var o appsv1.StatefulSet
		err = json.Unmarshal(data, &o)
		w.Template, w.Replicas = o.Spec.Template, o.Spec.Replicas
	case "DaemonSet":
		var o appsv1.DaemonSet
		err = json.Unmarshal(data, &o)
		w.Template = o.Spec.Template
	default:
		return Workload{}, false, nil
	}
	return w, true, err
}

// objects are those that matter of what a folder renders to.
type objects struct {
	workloads []Workload
	releases  []helmRelease
	values    []valueSource
}

// collect adds those that matter among objects, those in a List as well.
func (found *objects) collect(data []byte) error {
	var id identity
	if err := json.Unmarshal(data, &id); err != nil {
		return nil //nolint:nilerr // what has no kind and name is no object
	}
	if id.APIVersion != "v1" || id.Kind != "List" {
		return found.add(id, data)
	}
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("List: %w", err)
	}
	for _, item := range list.Items {
		if err := found.collect(item); err != nil {
			return err
		}
	}
	return nil
}

// add adds an object, if it is one that matters.
func (found *objects) add(id identity, data []byte) error {
	switch {
	case id.APIVersion == "v1" && (id.Kind == "ConfigMap" || id.Kind == "Secret"):
		found.values = append(found.values, valueSource{id.Kind, id.Metadata.Name, data})
		return nil
	case strings.HasPrefix(id.APIVersion, helmGroup) && id.Kind == "HelmRelease":
		hr, ok, err := helmReleaseOf(id, data)
		if ok && err == nil {
			found.releases = append(found.releases, hr)
		}
		return err
	}
	w, ok, err := workloadOf(id, data)
	switch {
	case err != nil:
		return err
	case ok && w.Name == "":
		return fmt.Errorf("%s without a name: metadata.name is required", w.Kind)
	case ok:
		found.workloads = append(found.workloads, w)
	}
	return nil
}

// isManifest says whether a text can hold objects at all, so that other files
// in a folder need not even be valid YAML.
func isManifest(data []byte) bool {
	return bytes.Contains(data, []byte("apiVersion")) && bytes.Contains(data, []byte("kind"))
}

// same says whether both are one object.
func (w Workload) same(o Workload) bool {
	return w.Kind == o.Kind && w.Namespace == o.Namespace && w.Name == o.Name
}

func sortWorkloads(ws []Workload) {
	slices.SortFunc(ws, func(a, b Workload) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
}

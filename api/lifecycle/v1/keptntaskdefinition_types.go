package v1

import (
	"encoding/json"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RuntimeSpec is a script, and what it is given. The script is one of inline,
// httpRef, functionRef and configMapRef; empty ones, as Keptn's own Go types write them,
// do not count. Of a configMapRef and an httpRef the configMapRef is taken.
//
// +kubebuilder:validation:XValidation:rule="[has(self.inline) && has(self.inline.code) && size(self.inline.code) > 0, has(self.functionRef) && has(self.functionRef.name) && size(self.functionRef.name) > 0, has(self.httpRef) && has(self.httpRef.url) && size(self.httpRef.url) > 0 || has(self.configMapRef) && has(self.configMapRef.name) && size(self.configMapRef.name) > 0].filter(given, given).size() <= 1",message="only one of inline, httpRef, functionRef and configMapRef can be the script"
type RuntimeSpec struct {
	// FunctionReference takes the script of another KeptnTaskDefinition, with its
	// parameters.
	// +optional
	FunctionReference FunctionReference `json:"functionRef,omitzero"`

	// Inline is the script itself.
	// +optional
	Inline Inline `json:"inline,omitzero"`

	// HTTPReference is where the script is fetched from when it runs.
	// +optional
	HTTPReference HTTPReference `json:"httpRef,omitzero"`

	// ConfigMapReference is a ConfigMap that holds the script under the key code.
	// +optional
	ConfigMapReference ConfigMapReference `json:"configMapRef,omitzero"`

	// Parameters that the script reads, as a JSON object, from the environment
	// variable DATA.
	// +optional
	Parameters TaskParameters `json:"parameters,omitzero"`

	// SecureParameters that the script reads from the environment variable
	// SECURE_DATA.
	// +optional
	SecureParameters SecureParameters `json:"secureParameters,omitzero"`

	// CmdParameters are options of python3 or of deno run, divided by spaces. The script
	// can read them from the environment variable CMD_ARGS.
	// +optional
	CmdParameters string `json:"cmdParameters,omitempty"`
}

// Inline is a script.
type Inline struct {
	// Code of the script.
	// +optional
	// +kubebuilder:validation:MaxLength=262144
	Code string `json:"code,omitempty"`
}

// HTTPReference is where a script can be fetched.
type HTTPReference struct {
	// URL of the script.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	URL string `json:"url,omitempty"`
}

// FunctionReference names a KeptnTaskDefinition.
type FunctionReference struct {
	// Name of the KeptnTaskDefinition.
	// +optional
	Name string `json:"name,omitempty"`
}

// ConfigMapReference names a ConfigMap.
type ConfigMapReference struct {
	// Name of the ConfigMap.
	// +optional
	Name string `json:"name,omitempty"`
}

// ContainerSpec is a container as a pod has it.
type ContainerSpec struct {
	corev1.Container `json:",inline"`
}

// endless is a quantity whose exponent takes for ever to be read, as 1e-999999999.
var endless = regexp.MustCompile(`"[+-]?[0-9.]+[eE][+-]?[0-9]{3,}"`)

// UnmarshalJSON reads a container. One that cannot be read is left out and no
// error, since it would keep all others of its kind from being listed.
func (in *ContainerSpec) UnmarshalJSON(data []byte) error {
	*in = ContainerSpec{}
	var container corev1.Container
	if !endless.Match(data) && json.Unmarshal(data, &container) == nil {
		in.Container = container
	}
	return nil
}

// Executable is what is run: exactly one of deno, python and container.
//
// +kubebuilder:validation:XValidation:rule="[has(self.deno), has(self.python), has(self.container)].filter(given, given).size() <= 1",message="a task is one of deno, python and container"
type Executable struct {
	// Deno runs a script in TypeScript or JavaScript.
	// +optional
	Deno *RuntimeSpec `json:"deno,omitempty"`

	// Python runs a script in Python 3.
	// +optional
	Python *RuntimeSpec `json:"python,omitempty"`

	// Container runs a container.
	// +optional
	Container *ContainerSpec `json:"container,omitempty"`
}

// Step is one of several executables that a task runs in sequence. They share
// the directory /workspace.
//
// +kubebuilder:validation:XValidation:rule="[has(self.deno), has(self.python), has(self.container)].filter(given, given).size() == 1",message="a step is one of deno, python and container"
type Step struct {
	// Name of the step.
	// +required
	// +kubebuilder:validation:Pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
	// +kubebuilder:validation:MaxLength=50
	Name string `json:"name"`

	Executable `json:",inline"`
}

// ServiceAccountSpec names a service account.
type ServiceAccountSpec struct {
	// Name of the service account, in the namespace of the task.
	// +optional
	Name string `json:"name,omitempty"`
}

// AutomountServiceAccountTokenSpec says whether a task gets the token of its
// service account.
type AutomountServiceAccountTokenSpec struct {
	// Type is true or false.
	// +optional
	Type *bool `json:"type,omitempty"`
}

// KeptnTaskDefinitionSpec is what a task runs: exactly one of deno, python,
// container and steps.
//
// +kubebuilder:validation:XValidation:rule="[has(self.deno), has(self.python), has(self.container), has(self.steps)].filter(given, given).size() == 1",message="a task is exactly one of deno, python, container and steps"
type KeptnTaskDefinitionSpec struct {
	Executable `json:",inline"`

	// Steps are run one after the other; the task fails at the first that fails.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Steps []Step `json:"steps,omitempty"`

	// Volumes that containers mount. A mount of a container that names none of
	// them gets an empty volume in memory.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Volumes []Volume `json:"volumes,omitempty"`

	// Retries is how often the task is run again after it failed. Default 10.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Retries *int32 `json:"retries,omitempty"`

	// Timeout of the task with all its retries. Default 5m.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^(0|([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h')",message="timeout has to be at most 8760h, which is a year: write it in h, m and s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// TTLSecondsAfterFinished is how long the Job of the task is kept once the
	// result is recorded. Default 300.
	// +optional
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=0
	TTLSecondsAfterFinished *int32 `json:"ttlSecondsAfterFinished,omitempty"`

	// ServiceAccount that the task runs as.
	// +optional
	ServiceAccount *ServiceAccountSpec `json:"serviceAccount,omitempty"`

	// AutomountServiceAccountToken says whether the task gets its token.
	// +optional
	AutomountServiceAccountToken *AutomountServiceAccountTokenSpec `json:"automountServiceAccountToken,omitempty"`

	// ImagePullSecrets of the task's images.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
}

// Volume is a volume as a pod has it.
//
// +kubebuilder:validation:Type=object
// +kubebuilder:pruning:PreserveUnknownFields
type Volume struct {
	corev1.Volume `json:",inline"`
}

// MarshalJSON writes the volume.
func (in Volume) MarshalJSON() ([]byte, error) { return json.Marshal(in.Volume) }

// UnmarshalJSON reads a volume. One that cannot be read is left out and no error,
// since it would keep all others of its kind from being listed.
func (in *Volume) UnmarshalJSON(data []byte) error {
	*in = Volume{}
	var volume corev1.Volume
	if !endless.Match(data) && json.Unmarshal(data, &volume) == nil {
		in.Volume = volume
	}
	return nil
}

// FrozenTaskDefinition is a definition as it was when a delivery began.
//
// +kubebuilder:validation:Type=object
// +kubebuilder:pruning:PreserveUnknownFields
type FrozenTaskDefinition struct {
	KeptnTaskDefinitionSpec `json:",inline"`
}

// MarshalJSON writes the definition.
func (in FrozenTaskDefinition) MarshalJSON() ([]byte, error) {
	return json.Marshal(in.KeptnTaskDefinitionSpec)
}

// UnmarshalJSON reads a definition. One that cannot be read is left out and no
// error, since it would keep all others of its kind from being listed.
func (in *FrozenTaskDefinition) UnmarshalJSON(data []byte) error {
	*in = FrozenTaskDefinition{}
	var spec KeptnTaskDefinitionSpec
	if json.Unmarshal(data, &spec) == nil {
		in.KeptnTaskDefinitionSpec = spec
	}
	return nil
}

// KeptnTaskDefinitionStatus is what was made of a definition.
type KeptnTaskDefinitionStatus struct {
	// Function is where the script is kept.
	// +optional
	Function FunctionStatus `json:"function,omitzero"`
}

// FunctionStatus is where a script is kept.
type FunctionStatus struct {
	// ConfigMap that holds the script.
	// +optional
	ConfigMap string `json:"configMap,omitempty"`
}

// KeptnTaskDefinition is what a task runs.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=keptntaskdefinitions,categories=keptn
// +kubebuilder:printcolumn:name="ConfigMap",type=string,JSONPath=`.status.function.configMap`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:storageversion
type KeptnTaskDefinition struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec KeptnTaskDefinitionSpec `json:"spec"`
	// +optional
	Status KeptnTaskDefinitionStatus `json:"status,omitempty"`
}

// KeptnTaskDefinitionList is a list of definitions.
//
// +kubebuilder:object:root=true
type KeptnTaskDefinitionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnTaskDefinition `json:"items"`
}

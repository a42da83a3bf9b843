package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// KeptnConfigSpec is what the whole installation goes by.
type KeptnConfigSpec struct {
	// OTelCollectorURL is the host:port of the OpenTelemetry collector.
	// +optional
	OTelCollectorURL string `json:"OTelCollectorUrl,omitempty"`

	// KeptnAppCreationRequestTimeoutSeconds is how long an app may take at most to
	// be discovered from the annotations of its workloads. It is known sooner where
	// no new workload shows up for a while. Default 30.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	KeptnAppCreationRequestTimeoutSeconds uint `json:"keptnAppCreationRequestTimeoutSeconds,omitempty"`

	// CloudEventsEndpoint is the URL that CloudEvents are sent to.
	// +optional
	CloudEventsEndpoint string `json:"cloudEventsEndpoint,omitempty"`

	// BlockDeployment says whether a check that fails stops what follows. Where it
	// is false a failure is a warning. Default true.
	// +optional
	// +kubebuilder:default=true
	BlockDeployment *bool `json:"blockDeployment,omitempty"`

	// ObservabilityTimeout is how long a rollout may take before it has failed.
	// Default 5m.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^(0|([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h')",message="observabilityTimeout has to be at most 8760h, which is a year: write it in h, m and s"
	ObservabilityTimeout *metav1.Duration `json:"observabilityTimeout,omitempty"`

	// CheckTimeout is how long the tasks, or the evaluations, of one phase may take
	// before the phase has failed, also where they wait for a definition. Default:
	// as long as they take.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^(0|([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('8760h')",message="checkTimeout has to be at most 8760h, which is a year: write it in h, m and s"
	CheckTimeout *metav1.Duration `json:"checkTimeout,omitempty"`

	// RestAPIEnabled has no effect.
	// +optional
	RestAPIEnabled bool `json:"restApiEnabled,omitempty"`
}

// KeptnConfigStatus is empty.
type KeptnConfigStatus struct{}

// KeptnConfig is what the whole installation goes by. Where there are several the
// oldest counts.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=keptnconfigs,categories=keptn
// +kubebuilder:printcolumn:name="Blocking",type=boolean,JSONPath=`.spec.blockDeployment`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type KeptnConfig struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec KeptnConfigSpec `json:"spec,omitempty"`
	// +optional
	Status KeptnConfigStatus `json:"status,omitempty"`
}

// KeptnConfigList is a list of configurations.
//
// +kubebuilder:object:root=true
type KeptnConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnConfig `json:"items"`
}

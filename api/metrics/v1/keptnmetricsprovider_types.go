package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// KeptnMetricsProviderSpec is a server that answers metric queries.
type KeptnMetricsProviderSpec struct {
	// Type of the server: prometheus, or thanos and cortex, which speak the same
	// API.
	// +required
	// +kubebuilder:validation:Enum=prometheus;thanos;cortex
	Type string `json:"type"`

	// TargetServer is the server's address, as http://prometheus.monitoring:9090.
	// +required
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^@]+$')",message="targetServer has to be an http:// or https:// address without credentials: put those in a Secret and name it in secretKeyRef"
	TargetServer string `json:"targetServer"`

	// SecretKeyRef names a Secret in the same namespace with the keys user and
	// password, or with a bearer token at the given key.
	// +optional
	SecretKeyRef corev1.SecretKeySelector `json:"secretKeyRef,omitempty"`

	// InsecureSkipTLSVerify accepts any certificate of the server. Default false.
	// +optional
	InsecureSkipTLSVerify bool `json:"insecureSkipTlsVerify,omitempty"`
}

// KeptnMetricsProvider is a server that answers metric queries of its namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=keptnmetricsproviders,shortName=kmp,categories=keptn
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="Server",type=string,JSONPath=`.spec.targetServer`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type KeptnMetricsProvider struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec KeptnMetricsProviderSpec `json:"spec"`
}

// KeptnMetricsProviderList is a list of providers.
//
// +kubebuilder:object:root=true
type KeptnMetricsProviderList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnMetricsProvider `json:"items"`
}

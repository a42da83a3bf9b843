package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ProviderType is the API that a metrics provider speaks.
//
// +kubebuilder:validation:Enum=prometheus;thanos;cortex;mimir;victoriametrics;datadog;dynatrace;dql;elastic;loki;cloudwatch;googlecloud;azuremonitor;http
type ProviderType string

// The types of providers.
const (
	Prometheus      ProviderType = "prometheus"
	Thanos          ProviderType = "thanos"
	Cortex          ProviderType = "cortex"
	Mimir           ProviderType = "mimir"
	VictoriaMetrics ProviderType = "victoriametrics"
	Datadog         ProviderType = "datadog"
	Dynatrace       ProviderType = "dynatrace"
	DQL             ProviderType = "dql"
	Elastic         ProviderType = "elastic"
	Loki            ProviderType = "loki"
	CloudWatch      ProviderType = "cloudwatch"
	GoogleCloud     ProviderType = "googlecloud"
	AzureMonitor    ProviderType = "azuremonitor"
	HTTP            ProviderType = "http"
)

// KeptnMetricsProviderSpec is a server that answers metric queries.
//
// +kubebuilder:validation:XValidation:rule="has(self.targetServer) || self.type in ['cloudwatch', 'googlecloud', 'azuremonitor']",message="targetServer is required: give the server's address, as http://prometheus.monitoring:9090"
// +kubebuilder:validation:XValidation:rule="has(self.cloudWatch) == (self.type == 'cloudwatch')",message="cloudWatch.region goes with type cloudwatch, and only with it"
// +kubebuilder:validation:XValidation:rule="has(self.googleCloud) == (self.type == 'googlecloud')",message="googleCloud.project goes with type googlecloud, and only with it"
// +kubebuilder:validation:XValidation:rule="!has(self.http) || self.type == 'http'",message="http goes with type http only"
type KeptnMetricsProviderSpec struct {
	// Type of the server. thanos, cortex, mimir and victoriametrics speak the API
	// of prometheus; dynatrace is its metrics API, and dql its query language.
	// +required
	Type ProviderType `json:"type"`

	// TargetServer is the server's address, as http://prometheus.monitoring:9090.
	// The types cloudwatch, googlecloud and azuremonitor have the cloud's own by
	// default.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^@]+$')",message="targetServer has to be an http:// or https:// address without credentials: put those in a Secret and name it in secretKeyRef"
	TargetServer string `json:"targetServer,omitempty"`

	// SecretKeyRef names a Secret in the same namespace that holds the
	// credentials. By type: user and password, or clientID and clientSecret with
	// spec.oauth2, or a bearer token at the given key (prometheus and its kin,
	// loki, http); DD_CLIENT_API_KEY and DD_CLIENT_APP_KEY (datadog); an
	// API token at the given key (dynatrace); JSON with token and authUrl at the
	// given key (dql); an API key at the given key, or user and password (elastic);
	// accessKeyID,
	// secretAccessKey and, if there is one, sessionToken (cloudwatch); a service
	// account's JSON at the given key (googlecloud); tenantID, clientID and
	// clientSecret (azuremonitor).
	// +optional
	SecretKeyRef corev1.SecretKeySelector `json:"secretKeyRef,omitempty"`

	// InsecureSkipTLSVerify accepts any certificate of the server. Default false.
	// +optional
	InsecureSkipTLSVerify bool `json:"insecureSkipTlsVerify,omitempty"`

	// CertSecretRef names a Secret in the same namespace with PEM at the keys
	// ca.crt, to verify the server by, and tls.crt and tls.key, to authenticate
	// with. All are optional, but the last two go together.
	// +optional
	CertSecretRef *corev1.LocalObjectReference `json:"certSecretRef,omitempty"`

	// OAuth2 asks for a token by client credentials (RFC 6749, section 4.4), with
	// the keys clientID and clientSecret of the Secret in secretKeyRef.
	// +optional
	OAuth2 *OAuth2 `json:"oauth2,omitempty"`

	// Headers are sent with every request, as X-Scope-OrgID: a tenant of Mimir or
	// Loki. Credentials belong into secretKeyRef.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="!self.exists(name, name.lowerAscii() in ['authorization', 'cookie', 'host', 'content-length'])",message="headers cannot set Authorization, Cookie, Host or Content-Length: put credentials in a Secret and name it in secretKeyRef"
	Headers map[string]string `json:"headers,omitempty"`

	// Timeout of one query, retries included, at most 2m. Default 20s.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('2m') && (duration(self) >= duration('1ms') || duration(self) == duration('0s'))",message="timeout of one query, retries included, has to be between 1ms and 2m: write one as 20s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// Limits are how much the provider is asked at most.
	// +optional
	Limits *ProviderLimits `json:"limits,omitempty"`

	// CloudWatch is where Amazon CloudWatch is asked.
	// +optional
	CloudWatch *CloudWatchProvider `json:"cloudWatch,omitempty"`

	// GoogleCloud is what Google Cloud Monitoring is asked about.
	// +optional
	GoogleCloud *GoogleCloudProvider `json:"googleCloud,omitempty"`

	// HTTP says how a generic HTTP API is asked.
	// +optional
	HTTP *HTTPProvider `json:"http,omitempty"`
}

// OAuth2 is where a token is asked for.
type OAuth2 struct {
	// TokenURL is the token endpoint.
	// +required
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern="^https?://[^@]+$"
	TokenURL string `json:"tokenURL"`

	// Scopes that are asked for.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=256
	Scopes []string `json:"scopes,omitempty"`
}

// ProviderLimits bound the load on a provider. Queries above them wait.
type ProviderLimits struct {
	// ConcurrentQueries is how many queries are asked at a time; the controller asks
	// no provider more than half of what it asks in all, which is 32. Default 16,
	// and 4 for the types datadog, dynatrace, dql, cloudwatch, googlecloud and
	// azuremonitor.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=32
	ConcurrentQueries int32 `json:"concurrentQueries,omitempty"`

	// QueriesPerSecond is how many queries are begun per second. Default 1000, and
	// 10 for the types named above.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	QueriesPerSecond int32 `json:"queriesPerSecond,omitempty"`
}

// CloudWatchProvider is where Amazon CloudWatch is asked.
type CloudWatchProvider struct {
	// Region, as eu-central-1.
	// +required
	// +kubebuilder:validation:Pattern="^[a-z0-9-]{2,64}$"
	Region string `json:"region"`
}

// GoogleCloudProvider is what Google Cloud Monitoring is asked about.
type GoogleCloudProvider struct {
	// Project is the ID of the project whose metrics are read.
	// +required
	// +kubebuilder:validation:Pattern="^[a-z0-9:.-]{2,128}$"
	Project string `json:"project"`
}

// HTTPProvider says how a generic HTTP API is asked, and where in its JSON the
// number is.
type HTTPProvider struct {
	// Method of the request. Default GET.
	// +optional
	// +kubebuilder:validation:Enum=GET;POST
	Method string `json:"method,omitempty"`

	// Path is a Go template of what follows targetServer. It can read .Query,
	// escaped for a URL's query, and .From and .To, in seconds since 1970.
	// Default "?query={{.Query}}".
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Path string `json:"path,omitempty"`

	// Body is a Go template of a POST's JSON. It can read .Query, escaped for a
	// JSON string, and .From and .To.
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	Body string `json:"body,omitempty"`

	// Value is a CEL expression over body, the answer's JSON. It yields a number,
	// or a list of series, each {"labels": {…}, "value": n}.
	// Default "body.value".
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Value string `json:"value,omitempty"`
}

// KeptnMetricsProvider is a server that answers metric queries of its namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
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

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Deployment is the record of one deployment that has ended.
type Deployment struct {
	// Commit that was deployed, by its full SHA.
	Commit string `json:"commit"`

	// StartedAt is when the rollout began.
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	StartedAt metav1.Time `json:"startedAt"`

	// FinishedAt is when the rollout and the checks after it were done.
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	FinishedAt metav1.Time `json:"finishedAt"`

	// Result is success or failure.
	// +kubebuilder:validation:Enum=success;failure
	Result string `json:"result"`

	// FailedBy says why it failed: rollout or verdict.
	// +optional
	FailedBy string `json:"failedBy,omitempty"`

	// Code are the commits of other repositories that it brought, in which the app's
	// images are built.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Code []CodeCommit `json:"code,omitempty"`

	// Cluster that it was recorded in.
	// +optional
	Cluster string `json:"cluster,omitempty"`

	// Kind is baseline, which is the first one, forward, rollback, redeployment, failed,
	// or unknown where the repository does not have the commit any more.
	// +optional
	Kind string `json:"kind,omitempty"`

	// Delivered is how many commits of the app it delivered.
	// +optional
	Delivered int32 `json:"delivered,omitempty"`

	// Causes are all reasons for which it counts as failed: result, rollout, verdict,
	// burn, rollback, revert and incident.
	// +optional
	// +listType=atomic
	Causes []string `json:"causes,omitempty"`

	// Problem says why it is not known what it delivered.
	// +optional
	Problem string `json:"problem,omitempty"`
}

// DORAMetrics are the five metrics of DORA, as docs/dora.md defines them.
type DORAMetrics struct {
	// Windows are the spans that are summed up, which end now.
	// +optional
	// +listType=map
	// +listMapKey=days
	Windows []DORAWindow `json:"windows,omitempty"`
}

// CodeCommit is a commit of another repository.
type CodeCommit struct {
	// Source is the GitSource that reads the repository, in the same namespace.
	Source string `json:"source"`

	// Commit by its full SHA.
	Commit string `json:"commit"`
}

// DORAWindow is the metrics of some days. A number that nothing is known of is absent.
type DORAWindow struct {
	// Days that it spans: 7, 30 or 90.
	Days int32 `json:"days"`

	// Deployments that finished, but for those of what ran already.
	Deployments int32 `json:"deployments"`

	// FailedDeployments are those of them that failed.
	FailedDeployments int32 `json:"failedDeployments"`

	// DeploymentsPerDay is a decimal number.
	DeploymentsPerDay string `json:"deploymentsPerDay"`

	// LeadTimes is how many commits were delivered whose lead time is known.
	LeadTimes int32 `json:"leadTimes"`

	// InvalidLeadTimes is how many were delivered whose lead time cannot be known.
	// +optional
	InvalidLeadTimes int32 `json:"invalidLeadTimes,omitempty"`

	// LeadTimeP50 is the median of the change lead times.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('1000000h')",message="leadTimeP50 has to be at most 1000000h"
	LeadTimeP50 *metav1.Duration `json:"leadTimeP50,omitempty"`

	// LeadTimeP90 is their 90th percentile.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('1000000h')",message="leadTimeP90 has to be at most 1000000h"
	LeadTimeP90 *metav1.Duration `json:"leadTimeP90,omitempty"`

	// CodeLeadTimes is how many commits of other repositories were delivered, in which
	// the app's images are built, and whose lead time is known.
	// +optional
	CodeLeadTimes int32 `json:"codeLeadTimes,omitempty"`

	// CodeLeadTimeP50 is the median of their lead times.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('1000000h')",message="codeLeadTimeP50 has to be at most 1000000h"
	CodeLeadTimeP50 *metav1.Duration `json:"codeLeadTimeP50,omitempty"`

	// CodeLeadTimeP90 is their 90th percentile.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('1000000h')",message="codeLeadTimeP90 has to be at most 1000000h"
	CodeLeadTimeP90 *metav1.Duration `json:"codeLeadTimeP90,omitempty"`

	// ChangeFailRate is the failed part of the deployments, a decimal number from 0 to 1.
	// +optional
	ChangeFailRate string `json:"changeFailRate,omitempty"`

	// Recoveries is how many failed deployments were mended.
	Recoveries int32 `json:"recoveries"`

	// RecoveryP50 is the median of the times that this took.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) <= duration('1000000h')",message="recoveryP50 has to be at most 1000000h"
	RecoveryP50 *metav1.Duration `json:"recoveryP50,omitempty"`

	// ReworkRate is the part of the deployments that were made to mend something, a
	// decimal number from 0 to 1.
	// +optional
	ReworkRate string `json:"reworkRate,omitempty"`
}

// Incident is a failure in an environment that somebody told of, as Alertmanager does
// by an alert.
type Incident struct {
	// ID is what its source calls the incident, and when it began, as
	// 1a30ba71cca2921f@2026-11-23T09:00:00Z: what fails again is another incident.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ID string `json:"id"`

	// Source that told of it.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Source string `json:"source,omitempty"`

	// Summary in one line.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Summary string `json:"summary,omitempty"`

	// StartedAt is when it began. Where its source only told of its end, that.
	// +required
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	StartedAt metav1.Time `json:"startedAt"`

	// ResolvedAt is when it ended; absent while it goes on.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	ResolvedAt *metav1.Time `json:"resolvedAt,omitempty"`

	// Commit that its source holds responsible, by its SHA, which may be abbreviated;
	// empty where it did not say.
	// +optional
	// +kubebuilder:validation:Pattern="^[0-9a-f]{7,64}$"
	Commit string `json:"commit,omitempty"`
}

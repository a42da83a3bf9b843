package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
)

// Verdict is the result of a policy.
//
// +kubebuilder:validation:Enum=pass;warning;fail;inconclusive
type Verdict string

// The verdicts.
const (
	VerdictPass         Verdict = "pass"
	VerdictWarning      Verdict = "warning"
	VerdictFail         Verdict = "fail"
	VerdictInconclusive Verdict = "inconclusive"
)

// KeptnEvaluationSpec is one evaluation of one policy for one delivery.
type KeptnEvaluationSpec struct {
	// AppName is the app that is evaluated.
	// +optional
	AppName string `json:"appName,omitempty"`

	// AppVersion is the version that is evaluated.
	// +optional
	AppVersion string `json:"appVersion,omitempty"`

	// Workload that is evaluated; empty for an app's evaluation.
	// +optional
	Workload string `json:"workload,omitempty"`

	// WorkloadVersion that is evaluated; empty for an app's evaluation.
	// +optional
	WorkloadVersion string `json:"workloadVersion"`

	// EvaluationDefinition is the name of the KeptnEvaluationDefinition that is
	// evaluated, that of the namespace, else that of Keptn's own; or the name of the
	// policy or of the AnalysisDefinition.
	// +required
	EvaluationDefinition string `json:"evaluationDefinition"`

	EvaluationRetries `json:",inline"`

	// AnalysisDefinition that is evaluated in place of a KeptnEvaluationDefinition.
	// +optional
	AnalysisDefinition *AnalysisDefinitionReference `json:"analysisDefinition,omitempty"`

	// Type says when the evaluation runs.
	// +optional
	Type CheckType `json:"checkType,omitempty"`

	// Policy is the SLOPolicy to evaluate, as it was at the delivered commit.
	// +optional
	Policy *gitopsv1alpha1.SLOPolicySpec `json:"policy,omitempty"`

	// Previous is the previous good delivery, which metrics are compared with.
	// +optional
	Previous *PreviousDelivery `json:"previous,omitempty"`

	// Commit that is evaluated.
	// +optional
	Commit *Commit `json:"commit,omitempty"`

	// Commits that the delivery brings, newest first. They are there only where
	// the policy reads them.
	// +optional
	// +listType=map
	// +listMapKey=sha
	// +kubebuilder:validation:MaxItems=50
	Commits []Commit `json:"commits,omitempty"`

	// CommitsTruncated says that there are more commits than are listed, or that it is
	// not known which there are.
	// +optional
	CommitsTruncated bool `json:"commitsTruncated,omitempty"`

	// Rollout that is evaluated.
	// +optional
	Rollout *Rollout `json:"rollout,omitempty"`

	// Params of the policy that the lifecycle sets.
	// +optional
	Params map[string]string `json:"params,omitempty"`
}

// AnalysisDefinitionReference names an AnalysisDefinition.
type AnalysisDefinitionReference struct {
	// Name of the AnalysisDefinition.
	// +required
	Name string `json:"name"`
	// Namespace of the AnalysisDefinition.
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

// PreviousDelivery is the previous good delivery of an app.
type PreviousDelivery struct {
	// Commit of the delivery.
	// +optional
	Commit string `json:"commit,omitempty"`

	// RolloutFinishedAt is when its rollout was complete.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	RolloutFinishedAt *metav1.Time `json:"rolloutFinishedAt,omitempty"`

	// EvaluatedAt is when its metrics were asked for: the same questions are asked
	// again as of then.
	// +required
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	EvaluatedAt metav1.Time `json:"evaluatedAt"`

	// Measurements of then, of the metrics that are defined as they were. They
	// count where the provider has forgotten.
	// +optional
	// +listType=map
	// +listMapKey=name
	Measurements []BaselineValue `json:"measurements,omitempty"`
}

// BaselineValue is a metric as it was measured once.
type BaselineValue struct {
	// Name of the metric.
	Name string `json:"name"`
	// Value in decimal.
	Value string `json:"value"`
}

// Rollout is what is evaluated.
type Rollout struct {
	// Environment that is rolled out to.
	// +optional
	Environment string `json:"environment,omitempty"`

	// PreviousVersion is the version that ran before.
	// +optional
	PreviousVersion string `json:"previousVersion,omitempty"`

	// StartedAt is when the rollout began.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	StartedAt *metav1.Time `json:"startedAt,omitempty"`

	// FinishedAt is when it was complete.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
}

// Measurement is one question as it was asked, and what came of it.
type Measurement struct {
	// Name is what the policy calls it: a metric's name, baseline.<metric>, or
	// slo.<objective> with what was counted.
	Name string `json:"name"`

	// Provider that was asked.
	// +optional
	Provider string `json:"provider,omitempty"`

	// Query as it was sent to the provider.
	// +optional
	Query string `json:"query,omitempty"`

	// From is the begin of the window that was asked about. It is absent where an
	// instant was.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	From *metav1.Time `json:"from,omitempty"`

	// At is the instant that was asked about, and the end of the window.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	At *metav1.Time `json:"at,omitempty"`

	// Step between two samples of the window.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern="^([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="step has to be a duration of 292 years at most"
	Step *metav1.Duration `json:"step,omitempty"`

	// Value in decimal, or NaN; absent where there was no data, or several series
	// and no reducer.
	// +optional
	Value string `json:"value,omitempty"`

	// Series is the number of series that the query yielded.
	// +optional
	Series int32 `json:"series,omitempty"`

	// Reason is why there is no value, in one word.
	// +optional
	Reason string `json:"reason,omitempty"`

	// Message says why there is no value.
	// +optional
	Message string `json:"message,omitempty"`

	// Lines are the newest log lines behind the value, newest first.
	// +optional
	// +listType=atomic
	Lines []string `json:"lines,omitempty"`

	// Warnings are the provider's own remarks, such as that an answer is partial.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=5
	Warnings []string `json:"warnings,omitempty"`
}

// SLOStatus is what was found of an objective.
type SLOStatus struct {
	// Name of the objective.
	Name string `json:"name"`

	// ErrorRatio of the objective's window, as a percentage.
	// +optional
	ErrorRatio string `json:"errorRatio,omitempty"`

	// BudgetRemaining of the error budget, as a percentage; negative once it is
	// used up.
	// +optional
	BudgetRemaining string `json:"budgetRemaining,omitempty"`

	// BudgetBurned is how much of the error budget was used up since the rollout began,
	// as a percentage of the whole budget. It is absent before the rollout, and where
	// that is not known.
	// +optional
	BudgetBurned string `json:"budgetBurned,omitempty"`

	// BurnRates by the windows that the policy reads.
	// +optional
	BurnRates map[string]string `json:"burnRates,omitempty"`

	// Message says why there is no data.
	// +optional
	Message string `json:"message,omitempty"`
}

// RepeatedVerdict is one of several measurements.
type RepeatedVerdict struct {
	// At is when was measured.
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	At metav1.Time `json:"at"`
	// Verdict of the measurement.
	Verdict Verdict `json:"verdict"`
	// Summary is the decisive rule in one line.
	// +optional
	Summary string `json:"summary,omitempty"`
}

// EvaluationStatusItem is the result of one rule.
type EvaluationStatusItem struct {
	// Value that decided, as text.
	Value string `json:"value"`
	// Status of the rule.
	Status KeptnState `json:"status"`
	// Message says what was compared.
	// +optional
	Message string `json:"message,omitempty"`
	// Explain are the values of the rule's sub-expressions.
	// +optional
	// +listType=atomic
	Explain []ExpressionValue `json:"explain,omitempty"`
}

// ExpressionValue is a sub-expression and its value.
type ExpressionValue struct {
	// Expr in CEL.
	Expr string `json:"expr"`
	// Value as text.
	Value string `json:"value"`
}

// KeptnEvaluationStatus is the result of an evaluation.
type KeptnEvaluationStatus struct {
	// ObservedGeneration is the generation that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Conditions: Ready, Reconciling and Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// RetryCount is how often the evaluation was tried.
	// +optional
	// +kubebuilder:default=0
	RetryCount int `json:"retryCount"`

	// OverallStatus of the evaluation.
	// +optional
	// +kubebuilder:default=Pending
	OverallStatus KeptnState `json:"overallStatus,omitempty"`

	// AnalysisName is the Analysis that the evaluation follows.
	// +optional
	AnalysisName string `json:"analysisName,omitempty"`

	// Verdict of the policy, once there is one.
	// +optional
	Verdict Verdict `json:"verdict,omitempty"`

	// Score that was reached, as text.
	// +optional
	Score string `json:"score,omitempty"`

	// MaxScore is the sum of the weights.
	// +optional
	MaxScore string `json:"maxScore,omitempty"`

	// Summary is the decisive rule in one line.
	// +optional
	Summary string `json:"summary,omitempty"`

	// EvaluationStatus is one entry per rule.
	// +optional
	EvaluationStatus map[string]EvaluationStatusItem `json:"evaluationStatus,omitempty"`

	// SLOs are the objectives that the verdict was reached with.
	// +optional
	// +listType=map
	// +listMapKey=name
	SLOs []SLOStatus `json:"slos,omitempty"`

	// Repeated are the verdicts of the measurements so far, oldest first, where
	// the policy measures several times.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	Repeated []RepeatedVerdict `json:"repeated,omitempty"`

	// Measurements are the questions that the verdict was reached with.
	// +optional
	// +listType=atomic
	Measurements []Measurement `json:"measurements,omitempty"`

	// EvaluatedAt is the time that the metrics were asked for.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	EvaluatedAt *metav1.Time `json:"evaluatedAt,omitempty"`

	// StartTime of the evaluation.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	StartTime metav1.Time `json:"startTime,omitempty"`

	// EndTime of the evaluation.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self > timestamp('0100-01-01T00:00:00Z') && self < timestamp('9900-01-01T00:00:00Z')",message="a time is written as 2026-05-05T05:05:05Z, and its year is from 100 to 9899"
	EndTime metav1.Time `json:"endTime,omitempty"`
}

// KeptnEvaluation is the record of one evaluation.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=keptnevaluations,shortName=ke,categories=keptn
// +kubebuilder:printcolumn:name="AppName",type=string,JSONPath=`.spec.appName`
// +kubebuilder:printcolumn:name="AppVersion",type=string,JSONPath=`.spec.appVersion`
// +kubebuilder:printcolumn:name="WorkloadName",type=string,JSONPath=`.spec.workload`
// +kubebuilder:printcolumn:name="WorkloadVersion",type=string,JSONPath=`.spec.workloadVersion`
// +kubebuilder:printcolumn:name="RetryCount",type=string,JSONPath=`.status.retryCount`
// +kubebuilder:printcolumn:name="EvaluationStatus",priority=1,type=string,JSONPath=`.status.evaluationStatus`
// +kubebuilder:printcolumn:name="OverallStatus",type=string,JSONPath=`.status.overallStatus`
// +kubebuilder:printcolumn:name="Verdict",type=string,JSONPath=`.status.verdict`
// +kubebuilder:printcolumn:name="Summary",type=string,JSONPath=`.status.summary`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:storageversion
type KeptnEvaluation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec KeptnEvaluationSpec `json:"spec"`
	// +optional
	Status KeptnEvaluationStatus `json:"status,omitempty"`
}

// GetConditions returns the conditions of the evaluation.
func (in *KeptnEvaluation) GetConditions() []metav1.Condition { return in.Status.Conditions }

// SetConditions replaces the conditions of the evaluation.
func (in *KeptnEvaluation) SetConditions(c []metav1.Condition) { in.Status.Conditions = c }

// KeptnEvaluationList is a list of evaluations.
//
// +kubebuilder:object:root=true
type KeptnEvaluationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeptnEvaluation `json:"items"`
}

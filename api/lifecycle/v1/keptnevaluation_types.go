package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
)

// CheckType says when a check runs.
type CheckType string

// PostDeploymentEvaluationCheckType is an evaluation after a rollout.
const PostDeploymentEvaluationCheckType CheckType = "post-eval"

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

	// EvaluationDefinition is the name of the policy.
	// +required
	EvaluationDefinition string `json:"evaluationDefinition"`

	// Type says when the evaluation runs.
	// +optional
	Type CheckType `json:"checkType,omitempty"`

	// Policy is the SLOPolicy to evaluate, as it was at the delivered commit.
	// +optional
	Policy *gitopsv1alpha1.SLOPolicySpec `json:"policy,omitempty"`

	// Baseline are the metrics as they were measured for the previous good
	// delivery.
	// +optional
	// +listType=map
	// +listMapKey=name
	Baseline []Measurement `json:"baseline,omitempty"`

	// Commit that is evaluated.
	// +optional
	Commit *Commit `json:"commit,omitempty"`
}

// Measurement is one metric as it was measured.
type Measurement struct {
	// Name of the metric.
	Name string `json:"name"`

	// Query as it was sent to the provider.
	// +optional
	Query string `json:"query,omitempty"`

	// Value in decimal, or NaN; absent where there was no data, or several series.
	// +optional
	Value string `json:"value,omitempty"`

	// Series is the number of series that the query yielded.
	// +optional
	Series int32 `json:"series,omitempty"`

	// Message says why there is no value.
	// +optional
	Message string `json:"message,omitempty"`
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

	// Measurements are the metrics that the verdict was reached with.
	// +optional
	// +listType=map
	// +listMapKey=name
	Measurements []Measurement `json:"measurements,omitempty"`

	// EvaluatedAt is the time that the metrics were asked for.
	// +optional
	EvaluatedAt *metav1.Time `json:"evaluatedAt,omitempty"`

	// StartTime of the evaluation.
	// +optional
	StartTime metav1.Time `json:"startTime,omitempty"`

	// EndTime of the evaluation.
	// +optional
	EndTime metav1.Time `json:"endTime,omitempty"`
}

// KeptnEvaluation is the record of one evaluation.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=keptnevaluations,shortName=ke,categories=keptn
// +kubebuilder:printcolumn:name="AppName",type=string,JSONPath=`.spec.appName`
// +kubebuilder:printcolumn:name="AppVersion",type=string,JSONPath=`.spec.appVersion`
// +kubebuilder:printcolumn:name="RetryCount",type=integer,JSONPath=`.status.retryCount`
// +kubebuilder:printcolumn:name="OverallStatus",type=string,JSONPath=`.status.overallStatus`
// +kubebuilder:printcolumn:name="Verdict",type=string,JSONPath=`.status.verdict`
// +kubebuilder:printcolumn:name="Summary",type=string,JSONPath=`.status.summary`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
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

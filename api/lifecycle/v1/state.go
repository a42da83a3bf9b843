package v1

// KeptnState is where a phase, or a whole object, stands.
//
// +kubebuilder:validation:Enum=Pending;Progressing;Succeeded;Failed;Unknown;Deprecated;Warning
type KeptnState string

// The states, as Keptn has them.
const (
	StatePending     KeptnState = "Pending"
	StateProgressing KeptnState = "Progressing"
	StateSucceeded   KeptnState = "Succeeded"
	StateFailed      KeptnState = "Failed"
	// StateUnknown: it ended, and nothing could be decided.
	StateUnknown KeptnState = "Unknown"
	// StateDeprecated: it never ran, or was given up, since something before it
	// failed or something newer took its place.
	StateDeprecated KeptnState = "Deprecated"
	StateWarning    KeptnState = "Warning"
)

// Completed says whether the state is final.
func (s KeptnState) Completed() bool {
	switch s {
	case StateSucceeded, StateFailed, StateUnknown, StateDeprecated, StateWarning:
		return true
	default:
		return false
	}
}

// Passed says whether the next phase may begin.
func (s KeptnState) Passed() bool { return s == StateSucceeded || s == StateWarning }

package v1alpha1

// Period is a span of time, as 90m, 1h30m, 7d or 4w. A day has 24 hours. There are at
// most 999w, 9999d, 99999h, 9999999m and 99999999s in it, which is far from what a
// number of nanoseconds can hold.
//
// +kubebuilder:validation:Pattern="^([0-9]{1,3}w)?([0-9]{1,4}d)?([0-9]{1,5}h)?([0-9]{1,7}m)?([0-9]{1,8}s)?$"
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=32
type Period string

// SLO is a service level objective: how much of what happens has to be good, over
// a window.
//
// +kubebuilder:validation:XValidation:rule="[has(self.ratio), has(self.threshold), has(self.composite), has(self.openSLO)].filter(x, x).size() == 1",message="an slo has exactly one of ratio, threshold, composite and openSLO"
// +kubebuilder:validation:XValidation:rule="has(self.openSLO) ? !has(self.objective) && !has(self.window) : has(self.objective) && has(self.window)",message="an slo has an objective and a window; with openSLO those are in the OpenSLO document"
// +kubebuilder:validation:XValidation:rule="!has(self.timeslices) || has(self.ratio) || has(self.threshold)",message="timeslices go with ratio or threshold"
type SLO struct {
	// Name is what expressions call the objective: slo.<name>.
	// +required
	// +kubebuilder:validation:Pattern="^[a-zA-Z_][a-zA-Z0-9_]*$"
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// Objective is the percentage that has to be good, as 99.9. The rest is the
	// error budget.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +kubebuilder:validation:ExclusiveMinimum=true
	// +kubebuilder:validation:ExclusiveMaximum=true
	Objective float64 `json:"objective,omitempty"`

	// Window over which the error budget is counted.
	// +optional
	Window *SLOWindow `json:"window,omitempty"`

	// Ratio counts events.
	// +optional
	Ratio *RatioIndicator `json:"ratio,omitempty"`

	// Threshold counts the samples, or the slices of time, in which a value is as
	// it should be.
	// +optional
	Threshold *ThresholdIndicator `json:"threshold,omitempty"`

	// Timeslices counts slices of time instead of events or samples.
	// +optional
	Timeslices *Timeslices `json:"timeslices,omitempty"`

	// Composite joins other objectives of this policy, which stand above it.
	// +optional
	// +listType=map
	// +listMapKey=slo
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Composite []SLOPart `json:"composite,omitempty"`

	// OpenSLO is the name of an OpenSLO v1 SLO in the policy's file, or in another
	// YAML file of its folder.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	OpenSLO string `json:"openSLO,omitempty"`
}

// SLOWindow is the time over which an error budget is counted.
//
// +kubebuilder:validation:XValidation:rule="has(self.rolling) != has(self.calendar)",message="a window is either rolling or a calendar's: give exactly one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.timeZone) || has(self.calendar)",message="timeZone goes with calendar"
type SLOWindow struct {
	// Rolling is a window that ends now, as 30d.
	// +optional
	Rolling Period `json:"rolling,omitempty"`

	// Calendar is the current day, week (from Monday), month, quarter or year.
	// +optional
	// +kubebuilder:validation:Enum=day;week;month;quarter;year
	Calendar string `json:"calendar,omitempty"`

	// TimeZone in which the calendar's window begins, as Europe/Vienna. Default
	// UTC.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`
}

// RatioIndicator counts good, or bad, and all events. Its queries are Go templates
// that can read what a metric's query can. One that reads .window (30d, 5m, in
// Prometheus's notation) has to yield the number of events in it; else counter says
// what its samples are.
//
// +kubebuilder:validation:XValidation:rule="has(self.good) != has(self.bad)",message="a ratio has either good or bad events, and the total"
type RatioIndicator struct {
	// Provider is the KeptnMetricsProvider that is asked.
	// +required
	Provider ProviderReference `json:"provider"`

	// Good is the query for good events.
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	Good string `json:"good,omitempty"`

	// Bad is the query for bad events.
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	Bad string `json:"bad,omitempty"`

	// Total is the query for all events.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	Total string `json:"total"`

	// Counter says that the samples of queries without .window are those of
	// counters, which only grow until they are reset. Otherwise each sample is the
	// number of events since the one before.
	// +optional
	Counter bool `json:"counter,omitempty"`
}

// ThresholdIndicator says how a value should be.
type ThresholdIndicator struct {
	// Provider is the KeptnMetricsProvider that is asked.
	// +required
	Provider ProviderReference `json:"provider"`

	// Query for the value. It is a Go template that can read what a metric's query
	// can. Where it yields several series, each of them counts.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	Query string `json:"query"`

	// Op is how the value compares with Value where it is good: lt, lte, gt or
	// gte.
	// +required
	// +kubebuilder:validation:Enum=lt;lte;gt;gte
	Op string `json:"op"`

	// Value that is compared with.
	// +required
	Value float64 `json:"value"`
}

// Timeslices are slices of time that are good or bad as a whole.
type Timeslices struct {
	// Duration of a slice. Default 1m.
	// +optional
	// +kubebuilder:default="1m"
	Duration Period `json:"duration,omitempty"`

	// Target is the percentage of a slice's events, or samples, that have to be
	// good for the slice to be. Default: the SLO's objective.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Target *float64 `json:"target,omitempty"`
}

// SLOPart is an objective within a composite one.
type SLOPart struct {
	// SLO is the name of the objective.
	// +required
	SLO string `json:"slo"`

	// Weight of its error budget among the others. Default 1.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:ExclusiveMinimum=true
	Weight *float64 `json:"weight,omitempty"`
}

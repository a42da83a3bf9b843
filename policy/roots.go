package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
)

// The names of roots that mean more to the compiler than their row says.
const (
	rootMetrics   = "metrics"
	rootBaseline  = "baseline"
	rootSLO       = "slo"
	rootParams    = "params"
	rootVariables = "variables"
	rootCommit    = "commit"
	rootCommits   = "commits"
	rootRollout   = "rollout"
	rootNow       = "now"
)

// presencePrefix marks the hidden variable that says whether a name has data,
// and unknownName stands for a name that does not exist, so that the rest of its
// expression can be checked. The @ keeps both out of an author's reach.
const (
	presencePrefix = "@has."
	unknownName    = "@unknown"
)

// A root is a name that expressions begin with: one that is followed by names of
// its own, as metrics.<name>, or a value by itself, as now.
type root struct {
	name string
	// one and several say what the names are, in messages.
	one, several string
	names        []string
	// fields are those of what each name stands for, where one can ask for the
	// presence of each: slo.<name>.<field>.
	fields []objectField
	// typeOf is the CEL type of a name, or of the root that is a value. It is nil
	// for variables, whose types become known as they are compiled.
	typeOf func(name string) *cel.Type
	// read is the value of a name in an evaluation, or an error that says why there
	// is none.
	read func(r *run, s *symbol) any
	// present says whether there is data by a name. Without it has() is a mistake.
	present func(r *run, s *symbol) bool
}

// roots are all roots of a policy, in the order in which messages list them; one is
// added here and nowhere else.
func roots(spec v1alpha1.SLOPolicySpec) []*root {
	metrics := namesOf(spec.Metrics, func(m v1alpha1.Metric) string { return m.Name })
	slos := namesOf(spec.SLOs, func(s v1alpha1.SLO) string { return s.Name })
	params := namesOf(spec.Params, func(p v1alpha1.Param) string { return p.Name })
	variables := namesOf(spec.Variables, func(v v1alpha1.Variable) string { return v.Name })
	return []*root{
		{
			name: rootMetrics, one: "metric", several: "metrics", names: metrics,
			typeOf: always(cel.DoubleType), read: (*run).metric, present: (*run).hasMetric,
		},
		{
			name: rootBaseline, one: "metric", several: "metrics", names: metrics,
			typeOf: always(cel.DoubleType), read: (*run).baseline, present: (*run).hasBaseline,
		},
		{
			name: "series", one: "metric", several: "metrics", names: metrics,
			typeOf: always(cel.ListType(seriesObjects.celType)), read: (*run).series, present: (*run).hasMetric,
		},
		{
			name: rootSLO, one: "slo", several: "slos", names: slos, fields: sloObjects.fields,
			typeOf: always(sloObjects.celType), read: (*run).slo, present: (*run).hasSLO,
		},
		{
			name: rootParams, one: "param", several: "params", names: params,
			typeOf: always(cel.StringType), read: (*run).param, present: (*run).hasParam,
		},
		{name: rootVariables, one: "variable", several: "variables", names: variables, read: (*run).variable},
		{
			name: rootCommit, one: "field of a commit", several: "fields of a commit", names: commitObjects.names(),
			typeOf: commitObjects.typeOf, read: (*run).commitField, present: (*run).hasCommitField,
		},
		{
			name: rootCommits, typeOf: always(cel.ListType(commitObjects.celType)), read: (*run).commits,
		},
		{
			name: rootRollout, one: "field of a rollout", several: "fields of a rollout", names: rolloutObjects.names(),
			typeOf: rolloutObjects.typeOf, read: (*run).rolloutField, present: (*run).hasRolloutField,
		},
		{name: rootNow, typeOf: always(cel.TimestampType), read: (*run).now},
	}
}

func always(t *cel.Type) func(string) *cel.Type {
	return func(string) *cel.Type { return t }
}

// typeOf is the type of a field.
func (t *objectType) typeOf(name string) *cel.Type { return t.field(name).celType }

// namesOf are the names of a list, in its order.
func namesOf[T any](list []T, name func(T) string) []string {
	names := make([]string, len(list))
	for i, item := range list {
		names[i] = name(item)
	}
	return names
}

// isValue says whether the root is a value by itself.
func (r *root) isValue() bool { return r.one == "" && r.typeOf != nil }

// A symbol is what a name means in an evaluation.
type symbol struct {
	*root
	full     string       // as an expression reads it
	name     string       // below the root
	presence bool         // whether there is data, and not the data
	index    int          // of the name below the root
	field    *objectField // whose presence it is; nil for that of the name itself
}

// A namespace are the roots by their names.
type namespace map[string]*root

// newNamespace collects what a policy can read.
func newNamespace(all []*root) namespace {
	n := namespace{}
	for _, r := range all {
		n[r.name] = r
	}
	return n
}

// symbols are all names and their presence, as the evaluation looks them up.
func (n namespace) symbols() map[string]*symbol {
	table := map[string]*symbol{}
	for _, r := range n {
		if r.isValue() {
			table[r.name] = &symbol{root: r, full: r.name}
		}
		for i, name := range r.names {
			if slices.Index(r.names, name) < i {
				continue
			}
			full := r.name + "." + name
			table[full] = &symbol{root: r, full: full, name: name, index: i}
			table[presencePrefix+full] = &symbol{root: r, full: full, name: name, index: i, presence: true}
			for f := range r.fields {
				field := &r.fields[f]
				table[presencePrefix+full+"."+field.name] = &symbol{root: r, full: full, name: name, index: i, presence: true, field: field}
			}
		}
	}
	return table
}

// declarations are the names with their types.
func (n namespace) declarations() []cel.EnvOption {
	opts := []cel.EnvOption{cel.Variable(unknownName, cel.DynType)}
	for name, s := range n.symbols() {
		switch {
		case s.typeOf == nil:
		case s.presence:
			opts = append(opts, cel.Variable(name, cel.BoolType))
		default:
			opts = append(opts, cel.Variable(name, s.typeOf(s.name)))
		}
	}
	return opts
}

// unknown says of a name that does not exist what there is instead.
func (r *root) unknown(name string) string {
	switch near := didYouMean(name, r.names); {
	case near != "":
		return fmt.Sprintf("no %s `%s`%s", r.one, name, near)
	case len(r.names) == 0:
		return fmt.Sprintf("%s.%s is not declared: the policy has no %s", r.name, name, r.several)
	default:
		return fmt.Sprintf("%s.%s is not declared: the %s are %s", r.name, name, r.several, strings.Join(r.names, ", "))
	}
}

// readable lists the roots for a message.
func readable(all []*root) string {
	names := rootNames(all)
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

func rootNames(all []*root) []string {
	return namesOf(all, func(r *root) string { return r.name })
}

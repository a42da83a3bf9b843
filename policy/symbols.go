package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
)

// The names that expressions read. All but now are read as <root>.<name>.
const (
	rootMetrics   = "metrics"
	rootBaseline  = "baseline"
	rootSeries    = "series"
	rootVariables = "variables"
	rootCommit    = "commit"
	rootNow       = "now"
)

// presencePrefix marks the hidden variable that says whether a name has data,
// and unknownName stands for a name that does not exist, so that the rest of its
// expression can be checked. The @ keeps both out of an author's reach.
const (
	presencePrefix = "@has."
	unknownName    = "@unknown"
)

// A symbol is what a name means in an evaluation.
type symbol struct {
	root     string
	name     string
	presence bool // whether there is data, and not the data
	index    int  // of a variable
}

// A namespace are the names below each root, in the order of the policy.
type namespace map[string][]string

// commitFields are the types of commit's fields.
func commitFields() map[string]*cel.Type {
	return map[string]*cel.Type{
		"sha": cel.StringType, "author": cel.StringType, "email": cel.StringType,
		"message": cel.StringType, "time": cel.TimestampType,
	}
}

// newNamespace collects what a policy with these metrics and variables can read.
func newNamespace(metrics, variables []string) namespace {
	metrics = unique(metrics)
	fields := make([]string, 0, len(commitFields()))
	for f := range commitFields() {
		fields = append(fields, f)
	}
	slices.Sort(fields)
	return namespace{
		rootMetrics:   metrics,
		rootBaseline:  metrics,
		rootSeries:    metrics,
		rootVariables: variables,
		rootCommit:    fields,
	}
}

// unique is names without repetitions.
func unique(names []string) []string {
	var kept []string
	for _, name := range names {
		if !slices.Contains(kept, name) {
			kept = append(kept, name)
		}
	}
	return kept
}

// symbols are all names and their presence, as the evaluation looks them up.
func (n namespace) symbols() map[string]symbol {
	table := map[string]symbol{rootNow: {root: rootNow}}
	for root, names := range n {
		for i, name := range names {
			full := root + "." + name
			table[full] = symbol{root: root, name: name, index: i}
			table[presencePrefix+full] = symbol{root: root, name: name, presence: true}
		}
	}
	return table
}

// unknown says of a name that does not exist what there is instead.
func (n namespace) unknown(root, name string) string {
	what := map[string]string{rootVariables: "variables", rootCommit: "fields of a commit"}[root]
	if what == "" {
		what = "metrics"
	}
	if len(n[root]) == 0 {
		return fmt.Sprintf("%s.%s is not declared: the policy has no %s", root, name, what)
	}
	return fmt.Sprintf("%s.%s is not declared: the %s are %s", root, name, what, strings.Join(n[root], ", "))
}

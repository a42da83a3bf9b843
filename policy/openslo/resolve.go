package openslo

import (
	"fmt"
	"regexp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
)

// maxSLOs is how many SLOs a policy can hold, and maxName how long their names are.
const (
	maxSLOs = 16
	maxName = 63
)

// A Resolution is a policy in which SLOs stand in the place of the references to
// them.
type Resolution struct {
	Spec v1alpha1.SLOPolicySpec
	// Origins tell of each SLO of the Spec where it is written.
	Origins []Origin
	// Unresolved are the references that could not be followed, and why; they stand
	// in the Spec as they were.
	Unresolved []Unresolved
}

// An Unresolved is a reference that could not be followed.
type Unresolved struct {
	// Index of the SLO in the policy as it was given.
	Index int
	// Message says why, and what to do, in one line.
	Message string
}

// An Origin is where an SLO of a resolved policy is written.
type Origin struct {
	// Index in the policy as it was given.
	Index int
	// SLO of the set; nil if it is in the policy itself.
	SLO *SLO

	places map[string]Place
}

// Place is where a field of the SLO, as ratio.good, is written in the documents, or
// what it comes from; ok is false if the SLO is in the policy itself.
func (o Origin) Place(path string) (at Place, ok bool) {
	if o.SLO == nil {
		return Place{}, false
	}
	for ; path != ""; path = path[:max(strings.LastIndexByte(path, '.'), 0)] {
		if at, ok := o.places[path]; ok {
			return at, true
		}
	}
	if at, ok := o.places[""]; ok {
		return at, true
	}
	return o.SLO.At, true
}

// Resolve puts the SLOs of the set in the place of the references to them. An SLO of
// several objectives becomes several: <name>_1, <name>_2 and so on, and <name>,
// which joins them by their compositeWeight. The objective of that one is the mean
// of theirs by the same weights.
func (s *Set) Resolve(spec v1alpha1.SLOPolicySpec) Resolution {
	r := Resolution{Spec: spec}
	taken := map[string]bool{}
	for _, given := range spec.SLOs {
		taken[given.Name] = true
	}
	r.Spec.SLOs = nil
	for i, given := range spec.SLOs {
		if given.OpenSLO == "" {
			r.add(given, Origin{Index: i})
			continue
		}
		made, reason := s.named(given.OpenSLO)
		if reason == "" {
			reason = made.fits(given.Name, taken, len(spec.SLOs)-i-1+len(r.Spec.SLOs))
		}
		if reason != "" {
			r.Unresolved = append(r.Unresolved, Unresolved{i, reason})
			r.add(given, Origin{Index: i})
			continue
		}
		made.addTo(&r, given.Name, i)
	}
	return r
}

func (r *Resolution) add(s v1alpha1.SLO, from Origin) {
	r.Spec.SLOs = append(r.Spec.SLOs, s)
	r.Origins = append(r.Origins, from)
}

// named is the SLO of that name, or why there is none to use.
func (s *Set) named(name string) (made *SLO, reason string) {
	switch made = s.SLO(name); {
	case made == nil:
		return nil, fmt.Sprintf("there is no OpenSLO SLO %q%s: write it in this file, or in another *.yaml beside it", name, didYouMean(name, s.Names()))
	case !made.Valid:
		return nil, fmt.Sprintf("the OpenSLO SLO %q has errors: mend them", name)
	default:
		return made, ""
	}
}

// fits says why the SLO cannot be in a policy under a name.
func (s *SLO) fits(name string, taken map[string]bool, others int) string {
	if len(s.objectives) == 1 {
		return ""
	}
	for i := range s.objectives {
		switch part := partName(name, i); {
		case taken[part]:
			return fmt.Sprintf("the OpenSLO SLO %q has an objective that is called %q here, as another slo is: give that another name", s.Name, part)
		case len(part) > maxName:
			return fmt.Sprintf("the OpenSLO SLO %q has an objective that would be called %q, which is longer than %d characters: take a shorter name", s.Name, part, maxName)
		}
	}
	if n := others + len(s.objectives) + 1; n > maxSLOs {
		return fmt.Sprintf("with the %d objectives of the OpenSLO SLO %q the policy has %d slos, and %d are the limit: split it", len(s.objectives), s.Name, n, maxSLOs)
	}
	return ""
}

// partName is what one of several objectives is called.
func partName(name string, i int) string { return fmt.Sprintf("%s_%d", name, i+1) }

// addTo adds the SLO to a policy.
func (s *SLO) addTo(r *Resolution, name string, index int) {
	if len(s.objectives) == 1 {
		only := s.objectives[0].DeepCopy()
		only.Name = name
		r.add(*only, Origin{index, s, s.objectives[0].places})
		return
	}
	joint := v1alpha1.SLO{Name: name, Window: s.objectives[0].Window.DeepCopy()}
	var sum, weights float64
	for i, o := range s.objectives {
		part := o.DeepCopy()
		part.Name = partName(name, i)
		r.add(*part, Origin{index, s, o.places})
		weight := 1.0
		if o.weight != nil {
			weight = *o.weight
		}
		sum, weights = sum+weight*o.Objective, weights+weight
		joint.Composite = append(joint.Composite, v1alpha1.SLOPart{SLO: part.Name, Weight: o.weight})
	}
	joint.Objective = percentOf(sum / weights / 100)
	r.add(joint, Origin{index, s, nil})
}

// Policy is a policy of one SLO, named as the document: it fails once the error
// budget is used up. Of an SLO with several objectives on one indicator none may
// have used up its budget; one whose objectives have indicators of their own counts
// as a whole. The message says why there is none.
func (s *Set) Policy(name string) (p *v1alpha1.SLOPolicy, reason string) {
	made, reason := s.named(name)
	if reason != "" {
		return nil, reason
	}
	id := Identifier(name)
	if len(partName(id, len(made.objectives))) > maxName {
		return nil, fmt.Sprintf("the name of the OpenSLO SLO %q is too long for an expression: write an SLOPolicy with slos[].openSLO", name)
	}
	p = &v1alpha1.SLOPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.SLOPolicyKind},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.SLOPolicySpec{SLOs: []v1alpha1.SLO{{Name: id, OpenSLO: name}}},
	}
	budget := func(rule, slo string) {
		p.Spec.Rules = append(p.Spec.Rules, v1alpha1.Rule{Name: rule, Expression: "slo." + slo + ".budgetRemaining > 0"})
	}
	if len(made.objectives) == 1 || made.composed {
		budget("error-budget", id)
		return p, ""
	}
	for i := range made.objectives {
		budget(fmt.Sprintf("error-budget-%d", i+1), partName(id, i))
	}
	return p, ""
}

// notInIdentifier is what a name in an expression cannot hold.
var notInIdentifier = regexp.MustCompile(`[^a-zA-Z0-9_]`)

// Identifier is a name as expressions can write it: what they cannot is an
// underscore, as is put before a digit at its begin.
func Identifier(name string) string {
	id := notInIdentifier.ReplaceAllString(name, "_")
	if id == "" || id[0] >= '0' && id[0] <= '9' {
		id = "_" + id
	}
	return id
}

package policy

import (
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"github.com/keptn/gitops/policy/metric"
)

// The readers of the roots: what each name is in a run.

func (r *run) metric(s *symbol) any { return r.number(s, r.current(s)) }

func (r *run) hasMetric(s *symbol) bool { return r.input.Metrics[s.name].state != stateNoData }

func (r *run) baseline(s *symbol) any { return r.number(s, r.input.Baseline[s.name]) }

func (r *run) hasBaseline(s *symbol) bool { return r.input.Baseline[s.name].state != stateNoData }

// current is a metric's value, as far as it is young enough.
func (r *run) current(s *symbol) Value {
	v := r.input.Metrics[s.name]
	if maxAge := r.policy.readings[s.index].maxAge; maxAge > 0 {
		v = v.limited(maxAge, r.input.Now)
	}
	return v
}

// number is a value as one number. What a reducer makes of many samples is kept.
func (r *run) number(s *symbol, v Value) any {
	reducer := r.policy.readings[s.index].reducer
	if reducer == "" {
		return numberOrWhy(s, v, reducer)
	}
	return r.once(s, func() ref.Val { return numberOrWhy(s, v, reducer) })
}

func numberOrWhy(s *symbol, v Value, reducer metric.Reducer) ref.Val {
	number, why := v.scalar(reducer)
	if why != "" {
		return undecided(noID, "%s %s", s.full, why)
	}
	return types.Double(number)
}

func (r *run) series(s *symbol) any {
	return r.once(s, func() ref.Val {
		v := r.current(s)
		if v.state == stateNoData || v.state == stateStale {
			return undecided(noID, "%s %s", s.full, v.absence())
		}
		reducer := r.policy.readings[s.index].reducer
		return objects(r.policy.env.CELTypeAdapter(), seriesObjects, v.measured(reducer))
	})
}

func (r *run) slo(s *symbol) any {
	return r.once(s, func() ref.Val {
		state, known := r.input.SLOs[s.name]
		switch {
		case !known:
			return undecided(noID, "%s has no data", s.full)
		case state.Missing != "" && len(state.Burn) == 0:
			return undecided(noID, "%s has no data: %s", s.full, state.Missing)
		default:
			return &object{sloObjects, r.namedSLO(s.name, state)}
		}
	})
}

// hasSLO is whether there is an SLO's state, or a field of it.
func (r *run) hasSLO(s *symbol) bool {
	if s.field != nil {
		o, known := r.slo(s).(*object)
		return known && isSet(s.field, o.of)
	}
	state, known := r.input.SLOs[s.name]
	return known && state.Missing == ""
}

func (r *run) param(s *symbol) any {
	if text, ok := r.input.Params[s.name]; ok {
		return types.String(text)
	}
	if text, ok := r.policy.defaults[s.name]; ok {
		return types.String(text)
	}
	return undecided(noID, "%s has no data: it is not set, and has no default", s.full)
}

func (r *run) hasParam(s *symbol) bool {
	_, set := r.input.Params[s.name]
	_, defaulted := r.policy.defaults[s.name]
	return set || defaulted
}

func (r *run) commitField(s *symbol) any {
	if r.input.Commit == nil {
		return undecided(noID, "%s has no value: no commit is judged", s.full)
	}
	return fieldOrWhy(commitObjects, s, r.commitView())
}

func (r *run) hasCommitField(s *symbol) bool {
	return r.input.Commit != nil && isPresent(commitObjects, s, r.commitView())
}

// commitView is the judged commit. It is made once.
func (r *run) commitView() *commitView {
	if r.commit == nil {
		r.commit = &commitView{Commit: r.input.Commit}
	}
	return r.commit
}

func (r *run) rolloutField(s *symbol) any {
	if r.input.Rollout == nil {
		return undecided(noID, "%s has no value: no rollout is judged", s.full)
	}
	return fieldOrWhy(rolloutObjects, s, r.input.Rollout)
}

func (r *run) hasRolloutField(s *symbol) bool {
	return r.input.Rollout != nil && isPresent(rolloutObjects, s, r.input.Rollout)
}

func fieldOrWhy(t *objectType, s *symbol, of any) any {
	value, err := t.fields[s.index].get(of)
	if err != nil {
		return types.LabelErrNode(noID, types.WrapErr(err))
	}
	return value
}

func isPresent(t *objectType, s *symbol, of any) bool { return isSet(&t.fields[s.index], of) }

func isSet(f *objectField, of any) bool {
	_, err := f.get(of)
	return err == nil
}

func (r *run) commits(s *symbol) any {
	if r.input.Commits == nil {
		return undecided(noID, "commits has no data: it is not known what the rollout delivers")
	}
	return r.once(s, func() ref.Val {
		views := make([]commitView, len(r.input.Commits))
		for i := range views {
			views[i].Commit = &r.input.Commits[i]
		}
		list := objects(r.policy.env.CELTypeAdapter(), commitObjects, views)
		if !r.input.CommitsTruncated {
			return list
		}
		return openList{Lister: list.(traits.Lister), rest: undecided(noID, "commits holds only the newest %d: there are more", len(views))}
	})
}

func (r *run) now(*symbol) any {
	if r.input.Now.IsZero() {
		return undecided(noID, "now has no value: no time of the evaluation was given")
	}
	return types.Timestamp{Time: r.input.Now}
}

// once keeps the value of a name that takes time to find out.
func (r *run) once(s *symbol, find func() ref.Val) any {
	if v, ok := r.found[s]; ok {
		return v
	}
	if r.found == nil {
		r.found = map[*symbol]ref.Val{}
	}
	v := find()
	r.found[s] = v
	return v
}

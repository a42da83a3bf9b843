package evaluation

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/policy"
	"github.com/keptn/gitops/policy/measure"
	"github.com/keptn/gitops/policy/metric"
)

// maxAsking is how long all questions of one try may take. How long one query may is
// the provider's own limit, which is shorter.
const maxAsking = 5 * time.Minute

// measure asks for all that the policy reads.
func (r *Reconciler) measure(ctx context.Context, e *lifecyclev1.KeptnEvaluation, p *policy.Policy, now time.Time) measure.Measured {
	subject := measure.Subject{
		Spec:        *e.Spec.Policy,
		BurnWindows: p.BurnWindows(),
		Query: policy.QueryData{
			App:       e.Spec.AppName,
			Version:   e.Spec.AppVersion,
			Namespace: e.Namespace,
			Params:    policy.Params(*e.Spec.Policy, e.Spec.Params),
		},
		Now: now,
	}
	if rollout := e.Spec.Rollout; rollout != nil {
		subject.Query.Environment = rollout.Environment
		subject.RolloutStarted, subject.RolloutFinished = timeOf(rollout.StartedAt), timeOf(rollout.FinishedAt)
	}
	if commit := e.Spec.Commit; commit != nil {
		subject.Query.Commit = commit.SHA
	}
	if previous := e.Spec.Previous; previous != nil {
		subject.Previous = &measure.Previous{Evaluated: previous.EvaluatedAt.Time, Finished: timeOf(previous.RolloutFinishedAt)}
	}
	ctx, cancel := context.WithTimeout(ctx, maxAsking)
	defer cancel()
	return measure.All(ctx, subject, measure.Sources{
		Ask: func(ctx context.Context, name string, q metric.Query) (metric.Result, error) {
			return r.Providers.Query(ctx, types.NamespacedName{Namespace: e.Namespace, Name: name}, q)
		},
		KeptnMetric: func(ctx context.Context, name string) (float64, time.Time, error) {
			return r.keptnMetric(ctx, types.NamespacedName{Namespace: e.Namespace, Name: name})
		},
		Timeout: maxAsking,
	})
}

// keptnMetric is the newest value of a KeptnMetric. One whose newest query failed is
// stale.
func (r *Reconciler) keptnMetric(ctx context.Context, key types.NamespacedName) (float64, time.Time, error) {
	value, err := r.Metrics.Get(ctx, key)
	switch {
	case apierrors.IsNotFound(err):
		return 0, time.Time{}, fmt.Errorf("%w: no KeptnMetric %q in namespace %q: create it there", metric.ErrNoData, key.Name, key.Namespace)
	case err != nil:
		return 0, time.Time{}, fmt.Errorf("KeptnMetric %s: %w", key, err)
	case !value.HasValue && value.Reason != "":
		return 0, time.Time{}, fmt.Errorf("%w: KeptnMetric %q: %s", metric.ErrNoData, key.Name, value.Reason)
	case !value.HasValue:
		return 0, time.Time{}, fmt.Errorf("%w: KeptnMetric %q has not been measured yet", metric.ErrNoData, key.Name)
	case value.Reason != "":
		return 0, time.Time{}, fmt.Errorf("%w: KeptnMetric %q has no newer value than that of %s: %s", metric.ErrStale, key.Name, value.Time.UTC().Format(time.RFC3339), value.Reason)
	}
	return value.Value, value.Time, nil
}

// input is what the policy judges.
func input(e *lifecyclev1.KeptnEvaluation, measured measure.Measured) policy.Input {
	in := policy.Input{
		Metrics:          measured.Metrics,
		Baseline:         measured.Baseline,
		SLOs:             measured.SLOs,
		Params:           e.Spec.Params,
		CommitsTruncated: e.Spec.CommitsTruncated,
		Now:              measured.At,
	}
	remember(in.Baseline, e.Spec.Previous, measured.Records)
	if e.Spec.Commit != nil {
		commit := commitOf(e.Spec.Commit)
		in.Commit = &commit
		in.Commits = make([]policy.Commit, len(e.Spec.Commits))
		for i := range e.Spec.Commits {
			in.Commits[i] = commitOf(&e.Spec.Commits[i])
		}
	}
	if rollout := e.Spec.Rollout; rollout != nil {
		in.Rollout = &policy.Rollout{
			App:             e.Spec.AppName,
			Environment:     rollout.Environment,
			Namespace:       e.Namespace,
			Version:         e.Spec.AppVersion,
			PreviousVersion: rollout.PreviousVersion,
			StartedAt:       timeOf(rollout.StartedAt),
			FinishedAt:      timeOf(rollout.FinishedAt),
		}
	}
	return in
}

// remember fills in what was measured for the previous good delivery, where its
// provider does not have it any more.
func remember(baseline map[string]policy.Value, previous *lifecyclev1.PreviousDelivery, asked []measure.Record) {
	if previous == nil {
		return
	}
	had := map[string]bool{}
	for _, r := range asked {
		if r.For == measure.Baseline {
			had[r.Name] = r.Reason == ""
		}
	}
	for _, m := range previous.Measurements {
		if v, err := strconv.ParseFloat(m.Value, 64); err == nil && !had[m.Name] {
			baseline[m.Name] = policy.Number(v)
		}
	}
}

// commitOf is a commit as a policy reads it. Files that are not all there are
// unknown.
func commitOf(c *lifecyclev1.Commit) policy.Commit {
	commit := policy.Commit{SHA: c.SHA, Author: c.Author, Email: c.Email, Message: c.Message, Time: c.AuthoredAt.Time}
	if !c.FilesTruncated {
		commit.Files = append([]string{}, c.Files...)
	}
	commit.Trailers = map[string][]string{}
	for key, values := range c.Trailers {
		commit.Trailers[key] = values
	}
	return commit
}

// maxPolicies is how many compiled policies are kept.
const maxPolicies = 256

// policies are compiled policies by what they are compiled from.
type policies struct {
	once sync.Once
	kept *lru.Cache[[sha256.Size]byte, *policy.Policy]
}

// compile returns the compiled policy, which may have been compiled before.
func (c *policies) compile(name string, spec gitopsv1alpha1.SLOPolicySpec) (*policy.Policy, error) {
	c.once.Do(func() {
		c.kept, _ = lru.New[[sha256.Size]byte, *policy.Policy](maxPolicies) // it fails only for a size below 1
	})
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("policy %q: %w", name, err)
	}
	key := sha256.Sum256(append([]byte(name+"\x00"), text...))
	if p, ok := c.kept.Get(key); ok {
		return p, nil
	}
	p, err := policy.Compile(name, spec)
	if err != nil {
		return nil, err
	}
	c.kept.Add(key, p)
	return p, nil
}

package gitops

import (
	"context"
	"errors"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/gitsource"
)

// firstRetry is the pause after the first look that failed for a while; it
// doubles with each further one, up to the interval.
const firstRetry = time.Second

// errUnread: a suspended source has no revision that stands.
var errUnread = errors.New("suspended before it was read")

// look is how the last look at a remote went.
type look struct {
	at       time.Time
	revision gitsource.Revision
	// err is why the remote could not be read, failures how often in a row.
	err      error
	failures int
}

// wait is the time until the next look: the interval, or less where trying again
// can help.
func (l look) wait(interval time.Duration) time.Duration {
	if l.err == nil || explained(l.err).Status != metav1.ConditionUnknown {
		return interval
	}
	wait := firstRetry
	for range l.failures - 1 {
		if wait *= 2; wait >= interval {
			break
		}
	}
	return min(wait, interval)
}

// fetch looks at the remote if it is time to; else what the last look found
// stands, be it an error.
func (r *Reconciler) fetch(ctx context.Context, s *scope) error {
	if s.source.Spec.Suspend {
		return s.standStill()
	}
	last, left := r.last(s.source)
	if left <= 0 {
		revision, err := r.ask(ctx, s)
		if err != nil {
			return r.failed(s, err)
		}
		last = look{at: r.Clock.Now(), revision: revision}
		left = last.wait(intervalOf(s.source))
		r.remember(s.source, last)
	}
	s.recheck, s.scheduled = left, last.err != nil
	if last.err != nil {
		return last.err
	}
	s.revision = last.revision
	s.source.Status.ObservedRevision = s.revision.String()
	return nil
}

// standStill goes on with the revision that was observed last.
func (s *scope) standStill() error {
	observed, err := gitsource.ParseRevision(s.source.Status.ObservedRevision)
	if err != nil {
		s.scheduled = true
		return errUnread
	}
	s.revision = observed
	return nil
}

// ask asks the remote for its revision.
func (r *Reconciler) ask(ctx context.Context, s *scope) (gitsource.Revision, error) {
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(s.source))
	defer cancel()
	if request, ok := meta.ReconcileAnnotationValue(s.source.Annotations); ok {
		s.source.Status.SetLastHandledReconcileRequest(request)
	}
	return s.repo.Fetch(ctx, refOf(s.source.Spec.Ref))
}

// last returns the last look at a remote, and how long it is until the next one
// is due.
func (r *Reconciler) last(source *gitopsv1alpha1.GitSource) (look, time.Duration) {
	name := client.ObjectKeyFromObject(source)
	request, _ := meta.ReconcileAnnotationValue(source.Annotations)
	ready := condition.Of(source, meta.ReadyCondition)
	edited := ready == nil || ready.ObservedGeneration != source.Generation
	r.mu.Lock()
	defer r.mu.Unlock()
	last, looked := r.looks[name]
	wanted := r.wanted[name] || request != source.Status.LastHandledReconcileAt
	delete(r.wanted, name)
	if !looked || wanted || edited {
		return last, 0
	}
	return last, last.at.Add(last.wait(intervalOf(source))).Sub(r.Clock.Now())
}

func (r *Reconciler) remember(source *gitopsv1alpha1.GitSource, l look) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looks[client.ObjectKeyFromObject(source)] = l
}

// failed remembers that the remote could not be read, and says when it is tried
// again.
func (r *Reconciler) failed(s *scope, err error) error {
	r.mu.Lock()
	last := r.looks[client.ObjectKeyFromObject(s.source)]
	r.mu.Unlock()
	last.at, last.err, last.failures = r.Clock.Now(), err, last.failures+1
	r.remember(s.source, last)
	s.recheck, s.scheduled = last.wait(intervalOf(s.source)), true
	return err
}

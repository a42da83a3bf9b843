package gitops

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/remote"
	"github.com/keptn/gitops/gitsource"
)

// firstRetry is the pause after the first look that failed for a while; it
// doubles with each further one, up to the interval.
const firstRetry = time.Second

// Waits of rounded and longer end on a tick: looks that are due together share a wake-up of
// the process, which costs more than a look does.
const (
	tick    = 250 * time.Millisecond
	rounded = 10 * time.Second
)

// errUnread: a suspended source has no revision that stands.
var errUnread = errors.New("suspended before it was read")

// look is how the last look at a remote went.
type look struct {
	at time.Time
	// asked is what was looked at.
	asked    string
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

// due is when the next look is.
func (l look) due(interval time.Duration) time.Time {
	wait := l.wait(interval)
	due := l.at.Add(wait)
	if wait < rounded {
		return due
	}
	return due.Add(-time.Duration(due.UnixNano() % int64(tick)))
}

// fetch looks at the remote if it is time to; else what the last look found
// stands, be it an error.
func (r *Reconciler) fetch(ctx context.Context, s *scope) error {
	if s.source.Spec.Suspend {
		return s.standStill()
	}
	last, left := r.last(s)
	if left <= 0 {
		revision, err := r.ask(ctx, s)
		var busy *remote.BusyError
		if errors.As(err, &busy) {
			return err
		}
		if err != nil {
			return r.failed(s, err)
		}
		last = look{at: r.Clock.Now(), asked: s.origin.Looks(), revision: revision}
		left = last.due(remote.Interval(s.source)).Sub(last.at)
		r.remember(s.source, last)
	}
	s.recheck, s.scheduled = left, last.err != nil
	if last.err != nil {
		return last.err
	}
	s.revision = last.revision
	if s.revision.String() != s.source.Status.ObservedRevision {
		r.expect(ctx, s)
	}
	s.source.Status.ObservedRevision, s.source.Status.ObservedTag = s.revision.String(), s.revision.Tag
	s.source.Status.FetchMode = string(s.repo.Mode())
	return nil
}

// standStill goes on with the revision that was observed last.
func (s *scope) standStill() error {
	observed, err := gitsource.ParseRevision(s.source.Status.ObservedRevision)
	if err != nil {
		s.scheduled = true
		return errUnread
	}
	s.revision, s.revision.Tag = observed, s.source.Status.ObservedTag
	return nil
}

// ask asks the remote for its revision. Its turn ends with the reconcile, for what is read
// then comes from the server, too.
func (r *Reconciler) ask(ctx context.Context, s *scope) (gitsource.Revision, error) {
	done, err := r.turns.Take(s.origin.Server())
	if err != nil {
		return gitsource.Revision{}, err
	}
	s.done = done
	r.mu.Lock()
	delete(r.wanted, client.ObjectKeyFromObject(s.source))
	r.mu.Unlock()
	timeout := remote.Timeout(s.source)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w: the remote took more than %s, which is spec.timeout", gitsource.ErrUnreachable, timeout))
	defer cancel()
	if request, ok := meta.ReconcileAnnotationValue(s.source.Annotations); ok {
		s.source.Status.SetLastHandledReconcileRequest(request)
	}
	revision, err := s.origin.Fetch(ctx, s.repo)
	s.silent = err != nil && ctx.Err() != nil
	return revision, s.withSecret(err)
}

// withSecret says of refused credentials whose they were.
func (s *scope) withSecret(err error) error {
	switch {
	case !errors.Is(err, gitsource.ErrUnauthorized):
		return err
	case s.origin.Secret.Name == "":
		return fmt.Errorf("%w: name a Secret in spec.secretRef", err)
	}
	return fmt.Errorf("%w: it was asked with Secret %q", err, s.origin.Secret.Name)
}

// last returns the last look at a remote, and how long it is until the next one
// is due.
func (r *Reconciler) last(s *scope) (look, time.Duration) {
	source := s.source
	name := client.ObjectKeyFromObject(source)
	request, _ := meta.ReconcileAnnotationValue(source.Annotations)
	ready := condition.Of(source, meta.ReadyCondition)
	edited := ready == nil || ready.ObservedGeneration != source.Generation
	r.mu.Lock()
	defer r.mu.Unlock()
	last, looked := r.looks[name]
	wanted := r.wanted[name] || request != source.Status.LastHandledReconcileAt
	if !looked || wanted || edited || last.asked != s.origin.Looks() {
		return last, 0
	}
	return last, last.due(remote.Interval(source)).Sub(r.Clock.Now())
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
	if last.asked != s.origin.Looks() {
		last = look{asked: s.origin.Looks()}
	}
	last.at, last.err, last.failures = r.Clock.Now(), err, last.failures+1
	r.remember(s.source, last)
	s.recheck, s.scheduled = last.due(remote.Interval(s.source)).Sub(last.at), true
	return err
}

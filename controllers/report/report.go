// Package report brings what objects want commits to show to their forges, and
// what became of it back to the objects. It compares and records; what a commit
// should show is its callers' to say.
package report

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource/forge"
)

// firstRetry and lastRetry are the shortest and the longest time after which a status that
// has failed is put again, with the credentials of that moment; it doubles from the one to
// the other. The queue knows whether there is any use in trying.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// reportedReason is the reason of a condition that all is reported.
const reportedReason = "Reported"

// Reporter sends statuses through one queue per forge host, and keeps their
// results until the objects have recorded them. It is safe for concurrent use.
type Reporter struct {
	queues *forge.Queues
	clock  clock.PassiveClock
	told   func(host string, outcome forge.Outcome)

	mu      sync.Mutex
	owners  map[string]*owner
	stopped chan struct{}
}

// owner is an object with statuses under way.
type owner struct {
	object client.Object
	wake   chan<- event.GenericEvent
	// results of statuses that the object has not recorded yet.
	results map[key]result
}

// result is what became of a status; after an error it also says when to try
// again, and after which pause that is.
type result struct {
	forge.Result
	retryAt time.Time
	pause   time.Duration
}

// key is one context of one commit at one destination.
type key struct{ destination, commit, context string }

// New returns a Reporter whose queues have the given options. It has told called with what
// became of each attempt; nil is told nothing.
func New(c clock.PassiveClock, told func(host string, outcome forge.Outcome), options ...forge.Option) *Reporter {
	r := &Reporter{clock: c, told: told, owners: map[string]*owner{}, stopped: make(chan struct{})}
	r.queues = forge.NewQueues(r.handle, options...)
	return r
}

// Start delivers statuses until ctx is done. It implements manager.Runnable, and
// runs where the controllers run.
func (r *Reporter) Start(ctx context.Context) error {
	context.AfterFunc(ctx, func() { close(r.stopped) })
	return r.queues.Run(ctx)
}

// Destination is a place where statuses go, and those that it is to show.
type Destination struct {
	repository.Destination
	// Wanted are its statuses. One with a Line is for a place of notes alone; its
	// Context is that of no other.
	Wanted []forge.Status
}

// To has all destinations show the same.
func To(destinations []repository.Destination, wanted []forge.Status) []Destination {
	all := make([]Destination, len(destinations))
	for i, d := range destinations {
		all[i] = Destination{d, wanted}
	}
	return all
}

// Sync puts into the queue what is wanted and not yet reported, and returns what is
// reported now, with an outcome for the condition Reported: that of the destination
// which stands worst. It never waits for a forge, and one that fails delays no other:
// object is sent through wake once there is news.
func (r *Reporter) Sync(ctx context.Context, object client.Object, wake chan<- event.GenericEvent, to []Destination, reported []gitopsv1alpha1.ReportedStatus) ([]gitopsv1alpha1.ReportedStatus, condition.Outcome) {
	recorded := make(map[key]gitopsv1alpha1.ReportedStatus, len(reported))
	for _, s := range reported {
		recorded[key{s.Destination, s.Commit, s.Context}] = s
	}
	r.drop(nameOf(object), to)
	now := make([]gitopsv1alpha1.ReportedStatus, 0, len(reported))
	worst := shown()
	for _, d := range to {
		var b batch
		for _, status := range d.Wanted {
			k := key{d.Name, status.Commit, status.Context}
			last := r.take(nameOf(object), k, recorded[k])
			if last.Outcome != "" && last.Err == nil {
				// One that was superseded counts too: the commit shows what is newer.
				recorded[k] = entry(d.Name, last.Item.Status)
			}
			was, ok := recorded[k]
			if ok {
				now = append(now, was)
			}
			if !ok || !says(was, status) {
				b.add(status, last, r.clock.Now())
			}
		}
		if len(d.Wanted) > 0 {
			worst = worse(worst, r.send(ctx, object, wake, d, b))
		}
	}
	return now, worst
}

// Expect has what destinations hold of a context of a commit read, so that a status which is
// known soon can be sent at once. It never waits for a forge, and what goes wrong is for Sync to
// say. Git notes are left alone: to read them is to fetch from the repository that is being read.
func (r *Reporter) Expect(ctx context.Context, to []repository.Destination, commit, statusContext string) {
	for _, d := range to {
		if d.Notes {
			continue
		}
		if destination, err := d.Open(ctx); err == nil {
			r.queues.Expect(destination, commit, statusContext)
		}
	}
}

// worse is the worse of two outcomes, which is looked at again as soon as either is to be.
func worse(a, b condition.Outcome) condition.Outcome {
	rank := map[metav1.ConditionStatus]int{metav1.ConditionTrue: 0, metav1.ConditionUnknown: 1, metav1.ConditionFalse: 2}
	soonest := a.Recheck
	if soonest == 0 || b.Recheck > 0 && b.Recheck < soonest {
		soonest = b.Recheck
	}
	if rank[b.Status] > rank[a.Status] {
		a = b
	}
	return a.In(soonest)
}

// batch is what there is to report.
type batch struct {
	// open are the statuses to send now.
	open []forge.Status
	// failure is the forge's last answer where it failed, with the time until the next
	// status that it refused is to be put again; else empty.
	failure condition.Outcome
}

// add takes in a status whose last result, if any, was another, or a failure. What is in the
// queue is not looked at again before there is a result.
func (b *batch) add(status forge.Status, last result, now time.Time) {
	if last.Err == nil {
		b.open = append(b.open, status)
		return
	}
	wait := last.retryAt.Sub(now)
	if wait <= 0 || last.Outcome == forge.Retrying || !last.Item.Status.Same(status) {
		b.open, wait = append(b.open, status), 0
	}
	if soonest := b.failure.Recheck; wait <= 0 || soonest > 0 && soonest < wait {
		wait = soonest
	}
	b.failure = condition.Failed(gitopsv1alpha1.ForgeFailedReason, "%s on %.7s: %v", status.Context, status.Commit, last.Err).In(wait)
}

// send puts statuses into the queue, and says how reporting to a destination stands.
func (r *Reporter) send(ctx context.Context, object client.Object, wake chan<- event.GenericEvent, to Destination, b batch) condition.Outcome {
	if len(b.open) > 0 {
		destination, err := to.Open(ctx)
		if err != nil {
			return unable(err)
		}
		for _, status := range b.open {
			r.put(object, wake, forge.Item{Owner: nameOf(object), Destination: destination, Status: status})
		}
	}
	switch {
	case b.failure.Status != "":
		return b.failure
	case len(b.open) > 0:
		return condition.Waiting("Reporting", "%s on %.7s is on its way", b.open[0].Context, b.open[0].Commit)
	default:
		return shown()
	}
}

func shown() condition.Outcome {
	return condition.Ready(reportedReason, "commits show all that is known")
}

// put hands one status to the queue of its host.
func (r *Reporter) put(object client.Object, wake chan<- event.GenericEvent, item forge.Item) {
	r.mu.Lock()
	if r.owners[item.Owner] == nil {
		r.owners[item.Owner] = &owner{object: object.DeepCopyObject().(client.Object), wake: wake, results: map[key]result{}} //nolint:forcetypeassert // a copy has the type of its original
	}
	r.mu.Unlock()
	r.queues.Put(item)
}

// take returns the last result for a context, and drops it once the object has
// recorded it: a result that was read but not written down is read again.
func (r *Reporter) take(name string, k key, recorded gitopsv1alpha1.ReportedStatus) result {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.owners[name]
	if o == nil {
		return result{}
	}
	last, ok := o.results[k]
	if ok && last.Err == nil && says(recorded, last.Item.Status) {
		delete(o.results, k)
		return result{}
	}
	return last
}

// drop forgets results of contexts that the object no longer wants.
func (r *Reporter) drop(name string, to []Destination) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o := r.owners[name]; o != nil {
		maps.DeleteFunc(o.results, func(k key, _ result) bool {
			return !slices.ContainsFunc(to, func(d Destination) bool {
				return d.Name == k.destination && slices.ContainsFunc(d.Wanted, func(s forge.Status) bool {
					return s.Commit == k.commit && s.Context == k.context
				})
			})
		})
	}
}

// Forget drops what is kept for an object that is gone.
func (r *Reporter) Forget(object client.Object) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.owners, nameOf(object))
}

// handle keeps a result and wakes its owner.
func (r *Reporter) handle(res forge.Result) {
	if r.told != nil {
		r.told(res.Item.Destination.Host, res.Outcome)
	}
	r.mu.Lock()
	o := r.owners[res.Item.Owner]
	if o != nil {
		k := key{res.Item.Destination.Name, res.Item.Status.Commit, res.Item.Status.Context}
		o.results[k] = r.follow(o.results[k], res)
	}
	r.mu.Unlock()
	if o == nil {
		return
	}
	select {
	case o.wake <- event.GenericEvent{Object: o.object}:
	case <-r.stopped:
	}
}

// follow returns the result that comes after another one of the same context.
func (r *Reporter) follow(was result, res forge.Result) result {
	now := result{Result: res}
	if res.Err != nil {
		now.pause = min(max(2*was.pause, firstRetry), lastRetry)
		now.retryAt = r.clock.Now().Add(now.pause)
	}
	return now
}

// says tells whether a record says the same as a status.
func says(was gitopsv1alpha1.ReportedStatus, s forge.Status) bool {
	return was.State == string(s.State) && was.Description == description(s) && was.Commit == s.Commit
}

// description of a status, or what tells a line from others.
func description(s forge.Status) string {
	if s.Line == "" {
		return s.Description
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(s.Line)))
}

func entry(destination string, s forge.Status) gitopsv1alpha1.ReportedStatus {
	return gitopsv1alpha1.ReportedStatus{
		Destination: destination,
		Commit:      s.Commit,
		Context:     s.Context,
		State:       string(s.State),
		Description: description(s),
		Time:        metav1.NewTime(s.Time.UTC().Truncate(time.Second)),
	}
}

func nameOf(object client.Object) string {
	return fmt.Sprintf("%T/%s", object, client.ObjectKeyFromObject(object))
}

// unable is the outcome that there is no way to report.
func unable(err error) condition.Outcome {
	reason := gitopsv1alpha1.ForgeFailedReason
	if errors.Is(err, repository.ErrNoCredentials) || errors.Is(err, repository.ErrSecret) {
		reason = gitopsv1alpha1.NoCredentialsReason
	}
	return condition.Failed(reason, "%v", err).In(lastRetry)
}

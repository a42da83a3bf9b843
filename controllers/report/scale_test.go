package report_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/event"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/report"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource/forge"
)

// A step is what a context is to show from a moment on.
type step struct {
	after time.Duration
	state forge.State
}

// A change is a commit with contexts that go from step to step, and an object that reports
// them as a reconciler does: now and then of what it read a while ago, and now and then what
// it records is lost.
type change struct {
	host, repo, sha string
	contexts        map[string][]step
	object          *gitopsv1alpha1.Lifecycle
	shown           atomic.Bool
	random          *rand.Rand
}

// A world is forges, and what is to be shown there.
type world struct {
	began   time.Time
	forges  map[string]*limitedForge
	clients map[string]*http.Client
	changes []*change
	pauses  *forge.Pauses

	mu sync.Mutex
	// What is wrong with statuses that were taken in.
	doubled, disordered, outdated []string
	// written is how many statuses a host has taken in, slowest the time after which the last
	// one of all was.
	written map[string]int
	slowest map[string]time.Duration
	// looks is how often objects were reconciled.
	looks atomic.Int64
}

// contextsOf makes scripts for the contexts of a change: a wait that begins somewhere in the
// first ten minutes and a verdict a few seconds later; every fifth is evaluated anew.
func contextsOf(random *rand.Rand, n int) map[string][]step {
	verdicts := []forge.State{forge.Success, forge.Warning, forge.Failure, forge.Error}
	contexts := map[string][]step{}
	for i := range n {
		at := time.Duration(random.Int64N(int64(10 * time.Minute)))
		var steps []step
		for range 1 + max(0, random.IntN(5)-3) {
			steps = append(steps, step{at, forge.Pending}, step{at + time.Second, forge.Pending}, step{at + 3*time.Second, verdicts[random.IntN(4)]})
			at += time.Duration(random.Int64N(int64(20*time.Minute))) + 4*time.Second
		}
		contexts[fmt.Sprint("keptn/prod/app/", i)] = steps
	}
	return contexts
}

// newWorld has a host with 5,000 contexts in 20 repositories, which fails now and then and
// keeps to its limits, and one with 100 contexts.
func newWorld(t *testing.T) *world {
	w := &world{
		began: time.Now(), forges: map[string]*limitedForge{}, clients: map[string]*http.Client{},
		written: map[string]int{}, slowest: map[string]time.Duration{},
	}
	random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // scripts need no secret dice
	for host, commits := range map[string]int{"busy.example.com": 500, "quick.example.com": 10} {
		f := newLimitedForge(time.Now, func(at string, before, now posted) { w.took(host, at, before, now) })
		client, stop := serve(f.handler())
		t.Cleanup(stop)
		w.forges[host], w.clients[host] = f, client
		for i := range commits {
			c := &change{
				host: host, repo: fmt.Sprint("shop", i%20), sha: fmt.Sprintf("%040x", i), contexts: contextsOf(random, 10),
				object: &gitopsv1alpha1.Lifecycle{ObjectMeta: metav1.ObjectMeta{Namespace: host, Name: fmt.Sprint("app", i)}},
				random: rand.New(rand.NewPCG(5, uint64(i))), //nolint:gosec // as above
			}
			w.changes = append(w.changes, c)
		}
	}
	w.forges["busy.example.com"].rude, w.forges["busy.example.com"].faults = true, 30
	return w
}

// at is what a context is to show so long after the beginning, by number; -1 is nothing yet.
func at(steps []step, after time.Duration) int {
	i, _ := slices.BinarySearchFunc(steps, after, func(s step, after time.Duration) int {
		if s.after <= after {
			return -1
		}
		return 1
	})
	return i - 1
}

// took checks a status that a host takes in.
func (w *world) took(host, where string, before, now posted) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written[host]++
	what := fmt.Sprintf("%s %s: %q after %q", where, now.Context, now.Description, before.Description)
	i := slices.IndexFunc(w.changes, func(c *change) bool { return c.host == host && "acme/"+c.repo+"/"+c.sha == where })
	steps, since := w.changes[i].contexts[now.Context], time.Since(w.began)
	is, was := stepOf(now), stepOf(before)
	switch {
	case is == was:
		w.doubled = append(w.doubled, what)
	case is < was:
		w.disordered = append(w.disordered, what)
	case is+1 < len(steps) && steps[is+1].after < since:
		w.outdated = append(w.outdated, what)
	}
	w.slowest[host] = max(w.slowest[host], since-steps[is].after)
}

// stepOf is the number of the step that a status tells of; -1 if there is none.
func stepOf(s posted) int {
	n := -1
	_, _ = fmt.Sscanf(s.Description, "Warning: step %d", &n)
	if n < 0 {
		_, _ = fmt.Sscanf(s.Description, "step %d", &n)
	}
	return n
}

// wanted are the statuses that a change is to show so long after the beginning.
func (c *change) wanted(w *world, after time.Duration) []forge.Status {
	var wanted []forge.Status
	for _, name := range slices.Sorted(maps.Keys(c.contexts)) {
		steps := c.contexts[name]
		if i := at(steps, after); i >= 0 {
			wanted = append(wanted, forge.Status{
				Commit: c.sha, Context: name, State: steps[i].state, Description: fmt.Sprint("step ", i), Time: w.began.Add(steps[i].after),
			})
		}
	}
	return wanted
}

// next is when there is something else to show.
func (c *change) next(after time.Duration) time.Duration {
	next := time.Hour
	for _, steps := range c.contexts {
		if i := at(steps, after); i+1 < len(steps) {
			next = min(next, steps[i+1].after-after)
		}
	}
	return next
}

// ends is when the last of its contexts changes.
func (c *change) ends() time.Duration {
	var ends time.Duration
	for _, steps := range c.contexts {
		ends = max(ends, steps[len(steps)-1].after)
	}
	return ends
}

// reconcile reports the statuses of a change until ctx is done.
func (c *change) reconcile(ctx context.Context, w *world, reporter *report.Reporter) {
	place := repository.Destination{Name: placeName, Open: func(context.Context) (forge.Destination, error) {
		return open(w.clients[c.host], nil, w.pauses, c.host, c.repo)
	}}
	news := make(chan event.GenericEvent)
	for first := true; ; first = false {
		now := time.Since(w.began)
		w.looks.Add(1)
		if !first && c.random.IntN(20) == 0 {
			_, _ = reporter.Sync(ctx, c.object, news, report.To([]repository.Destination{place}, c.wanted(w, now-10*time.Second)), c.object.Status.Reported)
		}
		reported, outcome := reporter.Sync(ctx, c.object, news, report.To([]repository.Destination{place}, c.wanted(w, now)), c.object.Status.Reported)
		written := c.random.IntN(10) > 0
		if written {
			c.object.Status.Reported = reported
		}
		c.shown.Store(written && outcome.Status == metav1.ConditionTrue && now >= c.ends())
		wait := c.next(now)
		if outcome.Recheck > 0 {
			wait = min(wait, outcome.Recheck)
		}
		if !written {
			wait = min(wait, time.Second) // the write is tried again
		}
		select {
		case <-ctx.Done():
			return
		case <-news:
		case <-time.After(wait):
		}
	}
}

// process is a controller with an empty memory, which runs until it is over.
func (w *world) process(t *testing.T, over func() bool) {
	t.Helper()
	reporter := report.New(clock.RealClock{}, nil)
	w.pauses = forge.NewPauses(time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() {
		if err := reporter.Start(ctx); err != nil {
			t.Error(err)
		}
	})
	for _, c := range w.changes {
		running.Go(func() { c.reconcile(ctx, w, reporter) })
	}
	for !over() {
		if time.Since(w.began) > 12*time.Hour {
			t.Error("not all is shown after half a day")
			break
		}
		time.Sleep(time.Second)
	}
	cancel()
	running.Wait()
}

func TestFiveThousandStatusesReachAForgeThatLimitsItsCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		busy := w.forges["busy.example.com"]
		// The first process ends while an answer is outstanding, in the middle of the work.
		w.process(t, func() bool {
			busy.mu.Lock()
			defer busy.mu.Unlock()
			return time.Since(w.began) > 12*time.Minute && busy.hangs()
		})
		w.process(t, func() bool {
			return !slices.ContainsFunc(w.changes, func(c *change) bool { return !c.shown.Load() })
		})
		w.check(t)
	})
}

// check looks at what the forges hold in the end, and at how they were asked.
func (w *world) check(t *testing.T) {
	t.Helper()
	contexts := 0
	for _, c := range w.changes {
		contexts += len(c.contexts)
		held := w.forges[c.host].newest("acme/" + c.repo + "/" + c.sha)
		for name, steps := range c.contexts {
			if s := held[name]; stepOf(s) != len(steps)-1 || (s.State == "pending") {
				t.Errorf("lost: %s %.7s %s shows %+v, want step %d", c.repo, c.sha, name, s, len(steps)-1)
			}
		}
	}
	for kind, found := range map[string][]string{"twice": w.doubled, "out of order": w.disordered, "no longer the newest": w.outdated} {
		if len(found) > 0 {
			t.Errorf("%d statuses were sent %s, among them %s", len(found), kind, found[0])
		}
	}
	if looks := int(w.looks.Load()); looks > 10*contexts {
		t.Errorf("the objects of %d contexts were reconciled %d times", contexts, looks)
	}
	for host, f := range w.forges {
		f.check(t, host, w.written[host], time.Since(w.began))
	}
	if slowest := w.slowest["quick.example.com"]; slowest > 10*time.Second {
		t.Errorf("the host that nothing is wrong with had to wait %s", slowest)
	}
}

// check looks at how a forge was asked.
func (f *limitedForge) check(t *testing.T, host string, written int, within time.Duration) {
	t.Helper()
	t.Logf("%s: %d statuses in %s; requests by code of the answer: %v", host, written, within, f.requests)
	refused, counted := f.requests[http.StatusForbidden]+f.requests[http.StatusTooManyRequests], 0
	for code, n := range f.requests {
		if code != http.StatusNotModified {
			counted += n
		}
	}
	if minutes := int(within/time.Minute) + 1; f.early > 0 || refused > minutes {
		t.Errorf("%s: %d requests in pauses that it had asked for, and %d over its limits in %d minutes", host, f.early, refused, minutes)
	}
	if 2*counted > 5*written {
		t.Errorf("%s: %d requests that count for %d statuses", host, counted, written)
	}
}

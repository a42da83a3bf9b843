package forge_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/time/rate"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/keptn/gitops/gitsource/forge"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// A host is a forge with several repositories that notes what it is asked.
type host struct {
	mu      sync.Mutex
	calls   []string
	held    map[string]forge.Status
	answers []error       // of the next requests, in order; then nil
	lost    bool          // a request that fails had its effect
	gate    chan struct{} // if not nil, a request waits for it
	part    bool          // it shows too much of a commit to tell of all
	ahead   time.Duration // if not 0, its clock, which then tells the time of what it holds
}

// A repository is the part of a host that one Reporter speaks to.
type repository struct {
	host *host
	name string
}

func (r repository) request(ctx context.Context, call string) error {
	r.host.mu.Lock()
	r.host.calls = append(r.host.calls, call)
	gate := r.host.gate
	var err error
	if len(r.host.answers) > 0 {
		err, r.host.answers = r.host.answers[0], r.host.answers[1:]
	}
	r.host.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func (r repository) Set(ctx context.Context, s forge.Status) error {
	err := r.request(ctx, "set "+r.name+" "+s.Context+" "+string(s.State))
	r.host.mu.Lock()
	defer r.host.mu.Unlock()
	if err == nil || r.host.lost {
		r.host.held[r.name+s.Context] = s
	}
	return err
}

func (r repository) Latest(ctx context.Context, _, name string) (forge.Status, bool, error) {
	if err := r.request(ctx, "ask "+r.name+" "+name); err != nil {
		return forge.Status{}, false, err
	}
	r.host.mu.Lock()
	defer r.host.mu.Unlock()
	s, found := r.host.held[r.name+name]
	if r.host.ahead != 0 {
		s.Time = s.Time.Add(r.host.ahead)
	}
	return s, found, nil
}

// showing is a repository of which all contexts are read at once.
type showing struct{ repository }

func (r showing) Shown(ctx context.Context, _, _ string) (func(string) (forge.Status, bool), bool, error) {
	if err := r.request(ctx, "show "+r.name); err != nil {
		return nil, false, err
	}
	r.host.mu.Lock()
	defer r.host.mu.Unlock()
	held := maps.Clone(r.host.held)
	return func(name string) (forge.Status, bool) {
		s, found := held[r.name+name]
		return s, found
	}, !r.host.part, nil
}

// Fit cuts to three letters, as a forge with a tight limit.
func (repository) Fit(s forge.Status) forge.Status {
	s.Description = s.Description[:min(3, len(s.Description))]
	return s
}

// A stage is one queue at work, for one test.
type stage struct {
	*host
	queue   *forge.Queue
	clock   *clocktesting.FakeClock
	results []string
	last    forge.Result
	stop    context.CancelFunc
}

// play runs a test against a queue whose time only the test moves.
func play(t *testing.T, test func(t *testing.T, s *stage), options ...forge.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{host: &host{held: map[string]forge.Status{}}, clock: clocktesting.NewFakeClock(noon)}
		options = append([]forge.Option{forge.WithClock(s.clock), forge.WithRate(rate.Inf, 1)}, options...)
		s.queue = forge.NewQueue(func(r forge.Result) {
			s.last = r
			s.results = append(s.results, fmt.Sprintf("%s %s %s", r.Outcome, r.Item.Status.Context, r.Item.Status.State))
		}, options...)
		ctx, cancel := context.WithCancel(t.Context())
		s.stop = cancel
		ended := make(chan error)
		go func() { ended <- s.queue.Run(ctx) }()
		synctest.Wait()
		test(t, s)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// put puts a status of the repository "shop", decided so many seconds after
// noon.
func (s *stage) put(name string, state forge.State, second int) {
	s.queue.Put(item(s.host, "shop", name, state, second))
	synctest.Wait()
}

func item(h *host, repo, name string, state forge.State, second int) forge.Item {
	return forge.Item{
		Owner:       "default/shop",
		Destination: forge.Destination{Reporter: repository{h, repo}, Host: "git.example.com", Repository: repo},
		Status: forge.Status{
			Commit: knownCommit, Context: name, State: state,
			Time: noon.Add(time.Duration(second) * time.Second),
		},
	}
}

// step lets time pass.
func (s *stage) step(d time.Duration) {
	s.clock.Step(d)
	synctest.Wait()
}

// want compares what the forge was asked, and what became of the statuses,
// since the last call of want.
func (s *stage) want(t *testing.T, reason string, calls, results []string) {
	t.Helper()
	if diff := cmp.Diff(calls, s.calls); diff != "" {
		t.Errorf("%s\nrequests (-want +got):\n%s", reason, diff)
	}
	if diff := cmp.Diff(results, s.results); diff != "" {
		t.Errorf("%s\nresults (-want +got):\n%s", reason, diff)
	}
	s.calls, s.results = nil, nil
}

// hold makes puts meet an idle queue, one that is busy with something else, or
// one that sends the first of them.
func (s *stage) hold(when string) (release func()) {
	if when == "sent" {
		return func() {}
	}
	s.gate = make(chan struct{})
	if when == "waiting" {
		s.put("busy", forge.Success, 0)
	}
	return func() {
		close(s.gate)
		synctest.Wait()
	}
}

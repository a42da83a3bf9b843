package report_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/event"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/report"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource/forge"
)

// A hastyClock is of a queue that is the only one to wait: the time for which it waits passes
// at once. An hour is for how long a queue sleeps that has nothing to do.
type hastyClock struct{ *clocktesting.FakeClock }

func (c hastyClock) NewTimer(d time.Duration) clock.Timer {
	timer := c.FakeClock.NewTimer(d)
	if d < time.Hour {
		c.Step(d)
	}
	return timer
}

// BenchmarkStatuses has 500 objects report ten verdicts each, all at once, after they have
// wanted to say that they wait for them, to a forge with the limits of GitHub. The time that
// passes is that of the queue's and the forge's clock.
func BenchmarkStatuses(b *testing.B) {
	for _, tc := range []struct {
		name   string
		hourly int
		faults int
	}{
		{"900 points a minute", 1 << 30, 0},
		{"900 points a minute, 3 of 100 requests fail", 1 << 30, 30},
		{"900 points a minute and 5,000 requests an hour, 3 of 100 requests fail", 5000, 30},
	} {
		b.Run(tc.name, func(b *testing.B) {
			for b.Loop() {
				r := newRush(hastyClock{clocktesting.NewFakeClock(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))})
				r.forge.hourly.most, r.forge.faults = tc.hourly, tc.faults
				r.run(b)
				r.measure(b)
			}
		})
	}
}

// A rush is many statuses at once.
type rush struct {
	clock   hastyClock
	forge   *limitedForge
	changes []*gitopsv1alpha1.Lifecycle
	began   time.Time
	ended   time.Time // when the forge took in the last status

	doubled, disordered int
}

func newRush(c hastyClock) *rush {
	r := &rush{clock: c, began: c.Now()}
	r.forge = newLimitedForge(c.Now, func(_ string, before, now posted) {
		r.ended = c.Now()
		switch {
		case before.Description == now.Description:
			r.doubled++
		case before.State != "" && before.State != "pending":
			r.disordered++
		}
	})
	for i := range 500 {
		r.changes = append(r.changes, &gitopsv1alpha1.Lifecycle{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%040x", i)}})
	}
	return r
}

// statuses of a change are ten.
func (r *rush) statuses(change *gitopsv1alpha1.Lifecycle, state forge.State, after time.Duration) []forge.Status {
	all := make([]forge.Status, 10)
	for i := range all {
		all[i] = forge.Status{
			Commit: change.Name, Context: fmt.Sprint("keptn/prod/app/", i), State: state,
			Description: fmt.Sprint("it is ", state), Time: r.began.Add(after),
		}
	}
	return all
}

// run reports until all is recorded.
func (r *rush) run(b *testing.B) {
	b.Helper()
	client, stop := serve(r.forge.handler())
	defer stop()
	answers := forge.NewAnswers()
	place := repository.Destination{Name: placeName, Open: func(context.Context) (forge.Destination, error) {
		return open(client, answers, nil, "github.example.com", "shop")
	}}
	ctx, cancel := context.WithCancel(b.Context())
	reporter := report.New(r.clock, nil, forge.WithClock(r.clock))
	var left, running sync.WaitGroup
	put := func(change *gitopsv1alpha1.Lifecycle, news chan event.GenericEvent, state forge.State, after time.Duration) bool {
		to := report.To([]repository.Destination{place}, r.statuses(change, state, after))
		reported, outcome := reporter.Sync(ctx, change, news, to, change.Status.Reported)
		change.Status.Reported = reported
		return outcome.Status == metav1.ConditionTrue
	}
	for _, change := range r.changes {
		news := make(chan event.GenericEvent)
		put(change, news, forge.Pending, 0)
		put(change, news, forge.Success, time.Second)
		left.Add(1)
		running.Go(func() {
			for open := true; ; {
				select {
				case <-news:
				case <-ctx.Done():
					return
				}
				if put(change, news, forge.Success, time.Second) && open {
					left.Done()
					open = false
				}
			}
		})
	}
	running.Go(func() { _ = reporter.Start(ctx) })
	left.Wait()
	cancel()
	running.Wait()
}

// measure compares what was done with the least that the limits allow.
func (r *rush) measure(b *testing.B) {
	b.Helper()
	wanted, shown, asked := 0, 0, 0
	for _, change := range r.changes {
		wanted += len(r.statuses(change, forge.Success, 0))
		for _, s := range r.forge.newest("acme/shop/" + change.Name) {
			if s.State == "success" {
				shown++
			}
		}
	}
	for _, n := range r.forge.requests {
		asked += n
	}
	least := max(r.forge.hourly.least(wanted), r.forge.minutely.least(5*wanted))
	took := r.ended.Sub(r.began)
	b.ReportMetric(took.Minutes(), "minutes")
	b.ReportMetric(least.Minutes(), "minutes-at-least")
	b.ReportMetric(took.Minutes()/least.Minutes(), "minutes/minutes-at-least")
	b.ReportMetric(float64(asked)/float64(wanted), "requests/status")
	b.ReportMetric(float64(r.forge.requests[403]+r.forge.requests[429]), "over-limits")
	b.ReportMetric(float64(r.forge.early), "in-pauses")
	b.ReportMetric(float64(wanted-shown), "lost")
	b.ReportMetric(float64(r.doubled), "doubled")
	b.ReportMetric(float64(r.disordered), "out-of-order")
}

// least is how long it takes at least to do so much.
func (l limit) least(cost int) time.Duration { return time.Duration((cost-1)/l.most) * l.per }

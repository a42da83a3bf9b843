package poll_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/poll"
)

// An asked is a question that came, and when.
type asked struct {
	target string
	query  metric.Query
	when   time.Time
}

// A world is what a Poller asks and tells.
type world struct {
	answer func(ctx context.Context, target string, q metric.Query) (metric.Result, error)
	onTell func(id string)

	mu             sync.Mutex
	asked          []asked
	told           map[string]int
	open, mostOpen int
}

func (w *world) ask(ctx context.Context, target string, q metric.Query) (metric.Result, error) {
	w.mu.Lock()
	w.asked = append(w.asked, asked{target, q, time.Now()})
	w.open++
	w.mostOpen = max(w.mostOpen, w.open)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.open--
		w.mu.Unlock()
	}()
	if w.answer == nil {
		return number(1), nil
	}
	return w.answer(ctx, target, q)
}

func (w *world) openNow() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open
}

// tells is how often each id was told.
func (w *world) tells() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.told)
}

func (w *world) tell(id string) {
	w.mu.Lock()
	if w.told == nil {
		w.told = map[string]int{}
	}
	w.told[id]++
	w.mu.Unlock()
	if w.onTell != nil {
		w.onTell(id)
	}
}

func (w *world) asks() []asked {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.asked)
}

// poller is a Poller in this world.
func (w *world) poller() *poll.Poller[string, string] { return poll.New(w.ask, w.tell) }

func number(n float64) metric.Result {
	return metric.Result{Series: []metric.Series{{Samples: []metric.Sample{{Value: n}}}}}
}

// run runs a Poller until the returned function is called.
func run(t *testing.T, p *poll.Poller[string, string]) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	synctest.Wait()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run returns %v, want nil", err)
		}
	}
}

// up is a subject that is asked each minute.
func up() poll.Subject[string] {
	return poll.Subject[string]{Target: "prometheus", Expr: "up", Window: time.Hour, Step: time.Minute, Interval: time.Minute}
}

// wait is a question that takes d.
func wait(d time.Duration) func(context.Context, string, metric.Query) (metric.Result, error) {
	return func(ctx context.Context, _ string, _ metric.Query) (metric.Result, error) {
		select {
		case <-time.After(d):
			return number(1), nil
		case <-ctx.Done():
			return metric.Result{}, ctx.Err()
		}
	}
}

func TestAllWhoFollowASubjectShareItsQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		p := w.poller()
		for i := range 100 {
			p.Follow(fmt.Sprint(i), up(), time.Time{})
			p.Follow(fmt.Sprint(i), up(), time.Time{})
		}
		time.Sleep(time.Hour)
		if n := len(w.asks()); n != 0 {
			t.Fatalf("asked %d times before it runs", n)
		}
		defer run(t, p)()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		got := w.asks()
		if len(got) != 11 {
			t.Errorf("asked %d times, want at once and then each minute of 10", len(got))
		}
		newest := got[len(got)-1]
		want := metric.Query{Expr: "up", At: newest.query.At, Window: time.Hour, Step: time.Minute}
		if diff := cmp.Diff(want, newest.query); diff != "" || newest.target != "prometheus" {
			t.Errorf("asked of %q (-want +got):\n%s", newest.target, diff)
		}
		for i := range 100 {
			id := fmt.Sprint(i)
			r, ok := p.Latest(id)
			if diff := cmp.Diff(poll.Reading{At: newest.query.At, Result: number(1)}, r); !ok || diff != "" || w.tells()[id] != 11 {
				t.Errorf("%s is told %d times, want 11; reading (-want +got):\n%s", id, w.tells()[id], diff)
			}
		}
	})
}

func TestReadingsAreFreshAndAnIntervalApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: func(ctx context.Context, target string, q metric.Query) (metric.Result, error) {
			var interval time.Duration
			_, _ = fmt.Sscan(target, (*int64)(&interval))
			part := float64(q.At.UnixMilli()%11) / 100 // 0 to a tenth of the interval
			return wait(time.Duration(float64(interval)*part))(ctx, target, q)
		}}
		p := w.poller()
		stop := run(t, p)
		intervals := map[string]time.Duration{}
		for i := range 20 {
			interval := time.Duration(i+10)*time.Second + time.Duration(i)*time.Millisecond
			id := fmt.Sprint(i)
			intervals[id] = interval
			p.Follow(id, poll.Subject[string]{Target: fmt.Sprint(int64(interval)), Expr: id, Interval: interval}, time.Time{})
		}
		time.Sleep(5 * time.Second)
		for range 7200 {
			time.Sleep(500 * time.Millisecond)
			for id, interval := range intervals {
				r, ok := p.Latest(id)
				if age := time.Since(r.At); !ok || age > interval*12/10 {
					t.Fatalf("the reading of %s is %s old, and the interval %s", id, age, interval)
				}
			}
		}
		stop()
		byID := map[string][]asked{}
		for _, one := range w.asks() {
			byID[one.query.Expr] = append(byID[one.query.Expr], one)
		}
		for id, all := range byID {
			for i := 2; i < len(all); i++ { // the first is at once, and the second aligned
				if got := all[i].query.At.Sub(all[i-1].query.At); got != intervals[id] || !all[i].when.Equal(all[i].query.At) {
					t.Fatalf("question %d of %s is %s after the one before, at %s about %s; the interval is %s", i, id, got, all[i].when, all[i].query.At, intervals[id])
				}
			}
			if want := int(time.Hour / intervals[id]); len(all) < want {
				t.Errorf("%s is asked %d times, want %d at least", id, len(all), want)
			}
		}
	})
}

func TestSubjectsAreSpreadOverTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		p := w.poller()
		const n, parts = 1000, 10
		for i := range n {
			s := up()
			s.Expr = fmt.Sprintf("up{app=%q}", fmt.Sprint(i))
			p.Follow(fmt.Sprint(i), s, time.Now())
		}
		began := time.Now()
		defer run(t, p)()
		time.Sleep(time.Minute)
		synctest.Wait()
		var got [parts]int
		for _, one := range w.asks() {
			got[int(one.when.Sub(began)*parts/time.Minute)%parts]++
		}
		for i, in := range got {
			if in < n/parts*6/10 || in > n/parts*14/10 { // four standard deviations
				t.Errorf("%d are asked in part %d of the interval, want about %d: %v", in, i, n/parts, got)
			}
		}
	})
}

func TestARestartGoesOnWithTheSchedule(t *testing.T) {
	cases := map[string]struct {
		reason string
		down   time.Duration
		last   func(time.Time) time.Time
		after  time.Duration // the start
	}{
		"Fresh":  {"A reading that is fresh is not asked again before its time.", 20 * time.Second, func(t time.Time) time.Time { return t }, 40 * time.Second},
		"Exact":  {"One as old as the interval is due by the schedule.", time.Minute, func(t time.Time) time.Time { return t }, 0},
		"Stale":  {"One that is older is asked again at once.", 90 * time.Second, func(t time.Time) time.Time { return t }, 0},
		"None":   {"So is one that there is not.", 20 * time.Second, func(time.Time) time.Time { return time.Time{} }, 0},
		"Future": {"A clock that was ahead changes nothing.", 20 * time.Second, func(t time.Time) time.Time { return t.Add(time.Hour) }, 40 * time.Second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				before := &world{}
				p := before.poller()
				p.Follow("a", up(), time.Now())
				stop := run(t, p)
				time.Sleep(time.Minute)
				stop()
				r, ok := p.Latest("a")
				if !ok {
					t.Fatal("there is no reading after an interval")
				}
				time.Sleep(time.Until(r.At.Add(time.Minute))) // at an aligned instant
				r.At = time.Now()

				time.Sleep(tc.down)
				w := &world{}
				p = w.poller()
				p.Follow("a", up(), tc.last(r.At))
				began := time.Now()
				defer run(t, p)()
				time.Sleep(59 * time.Second)
				synctest.Wait()
				got := w.asks()
				if len(got) == 0 {
					t.Fatal("nothing is asked")
				}
				if after := got[0].when.Sub(began); after != tc.after {
					t.Errorf("%s Asked after %s, want %s", tc.reason, after, tc.after)
				}
				if tc.after > 0 && !got[0].query.At.Equal(r.At.Add(time.Minute)) {
					t.Errorf("asked about %s, want an interval after %s", got[0].query.At, r.At)
				}
				if at := got[0].query.At; tc.after == 0 && (at.Nanosecond() != 0 && !at.Equal(began) || began.Sub(at) >= time.Second || at.After(began)) {
					t.Errorf("at %s asked about %s, want that or its second", began, at)
				}
			})
		})
	}
}

func TestWhoForgetsIsToldNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cancelled atomic.Int64
		w := &world{answer: func(ctx context.Context, target string, q metric.Query) (metric.Result, error) {
			r, err := wait(5*time.Second)(ctx, target, q)
			if errors.Is(err, context.Canceled) {
				cancelled.Add(1)
			}
			return r, err
		}}
		p := w.poller()
		defer run(t, p)()
		p.Follow("a", up(), time.Time{})
		p.Follow("b", up(), time.Time{})
		p.Forget("nobody")
		time.Sleep(time.Second)
		p.Forget("a")
		time.Sleep(10 * time.Second)
		if cancelled.Load() != 0 || w.tells()["a"] != 0 || w.tells()["b"] == 0 {
			t.Errorf("%d questions cancelled, told %v; want none, and b only", cancelled.Load(), w.tells())
		}
		if _, ok := p.Latest("a"); ok {
			t.Error("there is a reading for who forgot")
		}
		if _, ok := p.Latest("b"); !ok {
			t.Error("there is none for who follows yet")
		}
		for w.openNow() == 0 {
			time.Sleep(time.Second)
		}
		before := len(w.asks())
		p.Forget("b")
		synctest.Wait()
		if cancelled.Load() != 1 {
			t.Errorf("%d questions cancelled, want that of the last follower", cancelled.Load())
		}
		time.Sleep(time.Hour)
		if after := len(w.asks()); after != before {
			t.Errorf("asked %d times when nobody follows", after-before)
		}
		p.Follow("b", up(), time.Time{})
		time.Sleep(6 * time.Second)
		if _, ok := p.Latest("b"); !ok {
			t.Error("who follows again gets no reading")
		}
	})
}

func TestAChangedSubjectIsAskedAtOnce(t *testing.T) {
	base := up()
	cases := map[string]func(*poll.Subject[string]){
		"Target":   func(s *poll.Subject[string]) { s.Target = "other" },
		"Expr":     func(s *poll.Subject[string]) { s.Expr = "down" },
		"Window":   func(s *poll.Subject[string]) { s.Window *= 2 },
		"Step":     func(s *poll.Subject[string]) { s.Step *= 2 },
		"Interval": func(s *poll.Subject[string]) { s.Interval *= 2 },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{answer: wait(time.Second)}
				p := w.poller()
				defer run(t, p)()
				p.Follow("a", base, time.Time{})
				time.Sleep(2 * time.Minute)
				before := len(w.asks())
				changed := base
				change(&changed)
				p.Follow("a", changed, time.Now())
				if _, ok := p.Latest("a"); ok {
					t.Error("the reading of the old subject is there for the new one")
				}
				time.Sleep(1500 * time.Millisecond)
				if _, ok := p.Latest("a"); !ok {
					t.Error("there is no reading of the new subject")
				}
				time.Sleep(10 * time.Minute)
				for i, one := range w.asks()[before:] {
					got := poll.Subject[string]{Target: one.target, Expr: one.query.Expr, Window: one.query.Window, Step: one.query.Step, Interval: changed.Interval}
					if diff := cmp.Diff(changed, got); diff != "" {
						t.Errorf("question %d (-want +got):\n%s", i, diff)
					}
				}
			})
		})
	}
}

func TestWhoJoinsWithoutAReadingDoesNotWaitForTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: wait(10 * time.Millisecond)}
		p := w.poller()
		defer run(t, p)()
		p.Follow("restarted", up(), time.Now())
		synctest.Wait()
		if len(w.asks()) != 0 {
			t.Fatal("a fresh reading is asked again")
		}
		p.Follow("new", up(), time.Time{})
		synctest.Wait()
		p.Follow("newer", up(), time.Time{}) // while the question is under way
		time.Sleep(20 * time.Millisecond)
		p.Follow("newest", up(), time.Time{})
		time.Sleep(20 * time.Millisecond)
		if len(w.asks()) != 1 {
			t.Errorf("asked %d times, want once for all", len(w.asks()))
		}
		for _, id := range []string{"restarted", "new", "newer", "newest"} {
			if _, ok := p.Latest(id); !ok {
				t.Errorf("%s has no reading", id)
			}
		}
		if diff := cmp.Diff(map[string]int{"restarted": 1, "new": 1, "newer": 1}, w.tells()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

func TestASlowQuestionSkipsInstantsAndDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: func(ctx context.Context, target string, q metric.Query) (metric.Result, error) {
			if target == "slow" {
				return wait(150*time.Second)(ctx, target, q)
			}
			return number(1), nil
		}, onTell: func(id string) {
			if id == "deaf" {
				time.Sleep(10 * time.Minute)
			}
		}}
		p := w.poller()
		for _, name := range []string{"slow", "deaf", "fast"} {
			s := up()
			s.Target = name
			p.Follow(name, s, time.Now())
		}
		stop := run(t, p)
		time.Sleep(30 * time.Minute)
		stop()
		byTarget := map[string][]asked{}
		for _, one := range w.asks() {
			byTarget[one.target] = append(byTarget[one.target], one)
		}
		if n := len(byTarget["fast"]); n != 30 {
			t.Errorf("the fast one is asked %d times in 30 minutes", n)
		}
		for i, one := range byTarget["slow"] {
			if i > 0 && one.when.Sub(byTarget["slow"][i-1].when) != 3*time.Minute || !one.query.At.Equal(one.when) {
				t.Errorf("question %d of the slow one is at %s about %s, want each third minute", i, one.when, one.query.At)
			}
		}
		if n := len(byTarget["slow"]); n != 10 {
			t.Errorf("the slow one is asked %d times, want 10", n)
		}
		if n := len(byTarget["deaf"]); n < 2 || n > 4 {
			t.Errorf("the one that waits for its follower is asked %d times, want each 10 or 11 minutes", n)
		}
	})
}

func TestAQuestionAsLongAsItsIntervalMissesNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: wait(time.Minute)}
		p := w.poller()
		p.Follow("a", up(), time.Now())
		stop := run(t, p)
		time.Sleep(10*time.Minute - time.Nanosecond)
		stop()
		if n := len(w.asks()); n != 10 || w.mostOpen != 1 {
			t.Errorf("asked %d times, %d at a time; want 10 and 1", n, w.mostOpen)
		}
	})
}

func TestTheScheduleGoesOnAfterAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mended atomic.Bool
		w := &world{answer: func(context.Context, string, metric.Query) (metric.Result, error) {
			if !mended.Load() {
				return metric.Result{}, metric.ErrUnreachable
			}
			return number(2), nil
		}}
		p := w.poller()
		defer run(t, p)()
		p.Follow("a", up(), time.Time{})
		time.Sleep(5 * time.Minute)
		if r, ok := p.Latest("a"); !ok || !errors.Is(r.Err, metric.ErrUnreachable) || w.tells()["a"] < 5 {
			t.Errorf("reading %v, told %d times; want the error each time", r, w.tells()["a"])
		}
		mended.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		r, _ := p.Latest("a")
		if diff := cmp.Diff(number(2), r.Result); diff != "" || r.Err != nil {
			t.Errorf("error %v (-want +got):\n%s", r.Err, diff)
		}
	})
}

func TestOfManySeriesOnlyTheNumberIsKept(t *testing.T) {
	cases := map[string]struct {
		reason  string
		reducer metric.Reducer
		want    float64
		err     error
	}{
		"Reducer": {"The reducer makes one number of them.", metric.Max, 9999, nil},
		"None":    {"Without one they are too many.", "", 0, metric.ErrTooManySeries},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{answer: func(context.Context, string, metric.Query) (metric.Result, error) {
					var r metric.Result
					for i := range 10_000 {
						r.Series = append(r.Series, metric.Series{Samples: []metric.Sample{{Value: float64(i)}}})
					}
					return r, nil
				}}
				p := w.poller()
				defer run(t, p)()
				subject := up()
				subject.Reducer = tc.reducer
				p.Follow("a", subject, time.Time{})
				synctest.Wait()
				r, ok := p.Latest("a")
				if !ok || !errors.Is(r.Err, tc.err) || len(r.Result.Samples()) > 1 {
					t.Fatalf("%s kept %d samples, error %v", tc.reason, len(r.Result.Samples()), r.Err)
				}
				if tc.err == nil && r.Result.Series[0].Last().Value != tc.want {
					t.Errorf("%s %v, want %v", tc.reason, r.Result, tc.want)
				}
			})
		})
	}
}

func TestOfALargeRawAnswerTheFirstMiBIsKept(t *testing.T) {
	for size, kept := range map[int]int{1000: 1000, 1 << 20: 1 << 20, 1<<20 + 1: 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{answer: func(context.Context, string, metric.Query) (metric.Result, error) {
				r := number(1)
				r.Raw = make([]byte, size)
				return r, nil
			}}
			p := w.poller()
			defer run(t, p)()
			p.Follow("a", up(), time.Time{})
			synctest.Wait()
			r, ok := p.Latest("a")
			if !ok || len(r.Result.Raw) != kept || len(r.Result.Series) != 1 {
				t.Errorf("of %d bytes %d are kept, and %d series", size, len(r.Result.Raw), len(r.Result.Series))
			}
		})
	}
}

func TestAnIntervalIsASecondAtLeast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		p := w.poller()
		for i, interval := range []time.Duration{-time.Hour, 0, time.Millisecond, time.Second} {
			s := up()
			s.Interval = interval
			p.Follow(fmt.Sprint(i), s, time.Now())
		}
		stop := run(t, p)
		time.Sleep(10*time.Second - time.Nanosecond)
		stop()
		if n := len(w.asks()); n != 10 {
			t.Errorf("asked %d times in 10 s, want 10 by all together", n)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: func(context.Context, string, metric.Query) (metric.Result, error) {
			time.Sleep(30 * time.Second) // it does not look at the context
			return number(1), nil
		}}
		p := w.poller()
		p.Follow("a", up(), time.Time{})
		stop := run(t, p)
		if err := p.Run(t.Context()); err == nil {
			t.Error("a second Run at the same time is no error")
		}
		began := time.Now()
		stop()
		if took := time.Since(began); took != 30*time.Second || w.openNow() != 0 || len(w.tells()) != 0 {
			t.Errorf("Run ends after %s, %d questions are open, told %v; want 30s, 0 and nobody", took, w.openNow(), w.tells())
		}
		other := up()
		other.Expr = "down"
		p.Follow("b", other, time.Time{})
		time.Sleep(time.Hour)
		if n := len(w.asks()); n != 1 {
			t.Errorf("asked %d times after the end", n-1)
		}
		stop = run(t, p)
		time.Sleep(2 * time.Minute)
		stop()
		for _, id := range []string{"a", "b"} {
			if _, ok := p.Latest(id); !ok {
				t.Errorf("%s has no reading after another Run", id)
			}
		}
	})
}

func TestFollowersComeAndGoFromEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{answer: wait(100 * time.Millisecond)}
		p := w.poller()
		w.onTell = func(id string) {
			if _, ok := p.Latest(id); ok && id[0] == '7' {
				p.Forget(id)
			}
		}
		stop := run(t, p)
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				for j := range 200 {
					id := fmt.Sprint(i*j%23, "x")
					s := up()
					s.Expr, s.Interval = fmt.Sprint(j%5), time.Second
					p.Follow(id, s, time.Now())
					time.Sleep(time.Duration(i+j) * time.Millisecond)
					p.Latest(id)
					if j%3 == 0 {
						p.Forget(id)
					}
				}
			})
		}
		all.Wait()
		for i := range 23 {
			p.Forget(fmt.Sprint(i, "x"))
		}
		before := len(w.asks())
		time.Sleep(time.Minute)
		if after := len(w.asks()); before == 0 || after != before {
			t.Errorf("asked %d times, and %d more when all are gone", before, after-before)
		}
		stop()
	})
}

// BenchmarkARefresh begins with 1,000 ids, of which half follow one subject, and
// goes on until each has been told its first reading.
func BenchmarkARefresh(b *testing.B) {
	const ids = 1000
	b.ReportAllocs()
	asks := atomic.Int64{}
	for b.Loop() {
		told := make(chan int, ids)
		p := poll.New(func(context.Context, string, metric.Query) (metric.Result, error) {
			asks.Add(1)
			return number(1), nil
		}, func(id int) { told <- id })
		for id := range ids {
			s := poll.Subject[string]{Target: "prometheus", Expr: fmt.Sprint(max(id, ids/2)), Interval: time.Hour}
			p.Follow(id, s, time.Time{})
		}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		for range ids {
			<-told
		}
		cancel()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(asks.Load())/float64(b.N), "asks/op")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/ids, "ns/refresh")
}

// BenchmarkTheMemoryOfASubject waits with 10,000 subjects for their instants.
func BenchmarkTheMemoryOfASubject(b *testing.B) {
	const subjects = 10_000
	for b.Loop() {
		before := inUse()
		p := poll.New(func(context.Context, string, metric.Query) (metric.Result, error) { return number(1), nil }, func(int) {})
		for id := range subjects {
			s := poll.Subject[string]{Target: "prometheus", Expr: fmt.Sprintf("sum(rate(http_requests_total{app=\"%d\"}[5m]))", id), Interval: 24 * time.Hour}
			p.Follow(id, s, time.Now())
		}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		for runtime.NumGoroutine() < subjects {
			runtime.Gosched()
		}
		b.ReportMetric(float64(inUse()-before)/subjects, "bytes/subject")
		cancel()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

// inUse is the memory of heap and stacks in bytes.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

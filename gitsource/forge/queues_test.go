package forge_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/time/rate"

	"github.com/keptn/gitops/gitsource/forge"
)

func TestHostsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var sent []string
		queues := forge.NewQueues(func(r forge.Result) {
			mu.Lock()
			defer mu.Unlock()
			sent = append(sent, r.Item.Destination.Host)
		})
		put := func(at *host, name string) {
			i := item(at, "shop", "a", forge.Success, 0)
			i.Destination.Host = name
			queues.Put(i)
		}
		hanging := &host{held: map[string]forge.Status{}, gate: make(chan struct{})}
		early, late := &host{held: map[string]forge.Status{}}, &host{held: map[string]forge.Status{}}
		put(hanging, "hanging.example.com")
		put(early, "early.example.com")

		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- queues.Run(ctx) }()
		synctest.Wait()
		put(late, "late.example.com")
		synctest.Wait()
		if diff := cmp.Diff([]string{"early.example.com", "late.example.com"}, sent); diff != "" {
			t.Errorf("put before and while running (-want +got):\n%s", diff)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		put(late, "too-late.example.com")
		synctest.Wait()
	})
}

func TestManyReportersAtOnceLoseNothing(t *testing.T) {
	const hosts, repositories, contexts = 3, 4, 25
	var done sync.WaitGroup
	done.Add(hosts * repositories * contexts)
	queues := forge.NewQueues(func(r forge.Result) {
		if r.Outcome == forge.Sent && r.Item.Status.State == forge.Success {
			done.Done()
		}
	}, forge.WithRate(rate.Inf, 1))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- queues.Run(ctx) }()

	all := make([]*host, hosts)
	for h := range all {
		all[h] = &host{held: map[string]forge.Status{}}
		for r := range repositories {
			go func() {
				for c := range contexts {
					for second, state := range []forge.State{forge.Pending, forge.Success} {
						i := item(all[h], fmt.Sprint("repo", r), fmt.Sprint("context", c), state, second)
						i.Destination.Host = fmt.Sprint("host", h)
						queues.Put(i)
					}
				}
			}()
		}
	}
	done.Wait()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, h := range all {
		if len(h.held) != repositories*contexts {
			t.Errorf("the host holds %d statuses, want %d", len(h.held), repositories*contexts)
		}
		slices.Sort(h.calls)
		if asked := len(slices.Compact(h.calls)); asked > 3*repositories*contexts {
			t.Errorf("%d different requests", asked)
		}
	}
}

func BenchmarkQueuePutWhileTenThousandWait(b *testing.B) {
	q := forge.NewQueue(func(forge.Result) {})
	h := &host{held: map[string]forge.Status{}}
	for i := range 10000 {
		q.Put(item(h, fmt.Sprint("repo", i%100), fmt.Sprint(i), forge.Success, 0))
	}
	for i := 0; b.Loop(); i++ {
		q.Put(item(h, fmt.Sprint("repo", i%100), fmt.Sprint(i%10000), forge.Success, int(time.Duration(i))))
	}
}

package forge

import (
	"context"
	"sync"
)

// Queues is one Queue for each host, made when the first status for it comes.
// What happens at one host has no effect on another.
type Queues struct {
	handle  func(Result)
	options []Option

	mu     sync.Mutex
	queues map[string]*Queue
	start  func(*Queue) // nil unless Run runs
}

// NewQueues returns queues that hand every Result to handle. It is called by
// one goroutine per host, so by several at once. The options are those of each
// Queue.
func NewQueues(handle func(Result), options ...Option) *Queues {
	return &Queues{handle: handle, options: options, queues: map[string]*Queue{}}
}

// Put accepts a status for the host of its destination, see [Queue.Put].
func (qs *Queues) Put(item Item) { qs.of(item.Destination.Host).Put(item) }

// Expect has read what the host of a destination holds, see [Queue.Expect].
func (qs *Queues) Expect(destination Destination, commit, context string) {
	qs.of(destination.Host).Expect(destination, commit, context)
}

// of returns the queue of a host.
func (qs *Queues) of(host string) *Queue {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	q := qs.queues[host]
	if q == nil {
		q = NewQueue(qs.handle, qs.options...)
		qs.queues[host] = q
		if qs.start != nil {
			qs.start(q)
		}
	}
	return q
}

// Run delivers until ctx is done, and returns nil when all queues have ended.
func (qs *Queues) Run(ctx context.Context) error {
	var running sync.WaitGroup
	qs.mu.Lock()
	qs.start = func(q *Queue) { running.Go(func() { _ = q.Run(ctx) }) }
	for _, q := range qs.queues {
		qs.start(q)
	}
	qs.mu.Unlock()

	<-ctx.Done()
	qs.mu.Lock()
	qs.start = nil
	qs.mu.Unlock()
	running.Wait()
	return nil
}

package fabric

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/provider"
)

// A client is a server with its connections, its limits and its health.
type client struct {
	server connect.Server
	limits provider.Limits
	open   func(connect.Server) (metric.Querier, error)
	now    func() time.Time

	joining sync.Mutex          // makes a query count those before it
	asking  atomic.Int64        // queries that wait or are asked
	slots   *semaphore.Weighted // of this server
	rate    *rate.Limiter
	own     room // of one query, which no other server can take
	rooms   rooms
	health  health

	mu      sync.Mutex
	querier metric.Querier // nil until it is opened

	users int         // flights; this and the next two are guarded by Fabric.mu
	used  time.Time   // when users became 0
	idle  *time.Timer // runs while users is 0
}

// querierOf opens the server, unless it is open.
func (c *client) querierOf() (metric.Querier, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.querier != nil {
		return c.querier, nil
	}
	q, err := c.open(c.server)
	if err != nil {
		return nil, err
	}
	c.querier = q
	return q, nil
}

// close ends the connections of a client that nobody uses, where its Querier lets
// them be ended. The others end by themselves once they are idle.
func (c *client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch q := c.querier.(type) {
	case interface{ CloseIdleConnections() }:
		q.CloseIdleConnections()
	case io.Closer:
		_ = q.Close() // nobody is left who could be told
	}
}

// take returns the server's client, and keeps it until it is given back.
func (f *Fabric) take(id digest, s connect.Server, limits provider.Limits) *client {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.clients[id]
	if !ok {
		c = f.newClient(s, limits)
		f.clients[id] = c
	}
	c.users++
	if c.idle != nil {
		c.idle.Stop()
	}
	return c
}

func (f *Fabric) newClient(s connect.Server, limits provider.Limits) *client {
	limits.Concurrent = min(limits.Concurrent, shareOf(f.options.concurrent))
	return &client{
		server: s,
		limits: limits,
		open:   f.open,
		now:    f.now,
		slots:  semaphore.NewWeighted(int64(limits.Concurrent)),
		rate:   rate.NewLimiter(rate.Limit(limits.PerSecond), max(1, limits.PerSecond/10)), // a tenth of a second's at once
		own:    make(room, 1),
		rooms:  f.rooms,
	}
}

// giveBack lets the client go after a while, and the one that was not used the
// longest at once if there are too many.
func (f *Fabric) giveBack(id digest, c *client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.users--
	if c.users > 0 {
		return
	}
	c.used = f.now()
	if c.idle == nil {
		c.idle = time.AfterFunc(f.options.idle, func() { f.retire(id, c) })
	} else {
		c.idle.Reset(f.options.idle)
	}
	f.bound()
}

// retire drops a client that has been idle for long enough.
func (f *Fabric) retire(id digest, c *client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.users == 0 && f.clients[id] == c && f.now().Sub(c.used) >= f.options.idle {
		f.drop(id)
	}
}

// bound drops a client if more are idle than are kept. The caller holds f.mu.
func (f *Fabric) bound() {
	if len(f.clients) <= f.options.maxClients {
		return
	}
	idle := 0
	var oldest digest
	for id, c := range f.clients {
		if c.users > 0 {
			continue
		}
		if idle++; idle == 1 || c.used.Before(f.clients[oldest].used) {
			oldest = id
		}
	}
	if idle > f.options.maxClients {
		f.drop(oldest)
	}
}

// drop forgets a client. The caller holds f.mu.
func (f *Fabric) drop(id digest) {
	c := f.clients[id]
	delete(f.clients, id)
	c.idle.Stop()
	go c.close()
}

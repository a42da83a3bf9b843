package fabric

import (
	"context"
	"sync"
)

// A room has a place for each query that may be open at a time.
type room chan struct{}

// leave gives a place back.
func (r room) leave() { <-r }

// rooms are the places that servers share. A server has one place of its own
// besides, so that no other can keep it from being asked.
type rooms struct {
	// trusted is for servers that answered the last time.
	trusted room
	// doubted is for those that failed since, or have not answered yet: if all of
	// them hang, the places in trusted are not touched.
	doubted room
	// large is for answers that are large, until they are decoded.
	large room
}

// maxLarge is how many large answers are read and decoded at a time.
const maxLarge = 4

// newRooms has n places for servers that answer, and a quarter more for the others.
func newRooms(n int) rooms {
	return rooms{trusted: make(room, n), doubted: make(room, (n+3)/4), large: make(room, maxLarge)}
}

// An admission lets one query's answer be large, while there is room for it.
type admission struct {
	large room

	mu         sync.Mutex // guards the rest
	held, over bool
}

// admit waits for a place.
func (a *admission) admit(ctx context.Context) error {
	select {
	case a.large <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held || a.over {
		a.large.leave() // the query has one already, or has ended
		return nil
	}
	a.held = true
	return nil
}

// end gives the place back.
func (a *admission) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	if a.held {
		a.held = false
		a.large.leave()
	}
}

// shareOf is how many of n places one server has at most: half of them.
func shareOf(n int) int { return (n + 1) / 2 }

// enter waits for a place, and returns the room that it is in, or nil where ctx
// ends before.
func (c *client) enter(ctx context.Context) room {
	shared := c.rooms.doubted
	if c.health.trusted() {
		shared = c.rooms.trusted
	}
	select {
	case c.own <- struct{}{}:
		return c.spare()
	default:
	}
	select {
	case c.own <- struct{}{}:
		return c.spare()
	case shared <- struct{}{}:
		return shared
	case <-ctx.Done():
		return nil
	}
}

// spare makes the server's own place, which is taken, free for its next query where
// there is room elsewhere. It returns the room of the place that is kept.
func (c *client) spare() room {
	if !c.health.trusted() {
		return c.own
	}
	select {
	case c.rooms.trusted <- struct{}{}:
		c.own.leave()
		return c.rooms.trusted
	default:
		return c.own
	}
}

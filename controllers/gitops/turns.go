package gitops

import (
	"sync"
	"time"
)

// NextTurn is when a source asks again for a turn at its server, and silentTurn that at one
// which did not answer in time.
const (
	NextTurn   = time.Second
	silentTurn = 10 * time.Second
)

// Turns counts how many sources of each server are being looked at: fewer than are worked
// on at a time, and of a server that does not answer one, so that such servers hold up no
// other. It is safe for concurrent use.
type Turns struct {
	// Most is how many of one server there may be.
	Most int

	mu      sync.Mutex
	servers map[string]turns
}

// turns are those of one server.
type turns struct {
	now int
	// silent says that it did not answer in time when it was asked last.
	silent bool
}

// Take takes a turn at a server; where there is none left, done is nil, and wait the time
// after which to ask again. done gives it back, and says whether the server answered in time.
func (t *Turns) Take(server string) (done func(answered bool), wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.servers[server]
	switch {
	case of.silent && of.now > 0:
		return nil, silentTurn
	case of.now >= t.Most:
		return nil, NextTurn
	}
	of.now++
	t.keep(server, of)
	return func(answered bool) {
		t.mu.Lock()
		defer t.mu.Unlock()
		of := t.servers[server]
		of.now--
		of.silent = !answered
		t.keep(server, of)
	}, 0
}

func (t *Turns) keep(server string, of turns) {
	if t.servers == nil {
		t.servers = map[string]turns{}
	}
	t.servers[server] = of
	if of == (turns{}) {
		delete(t.servers, server)
	}
}

package remote

import (
	"fmt"
	"sync"
	"time"
)

// nextTurn is when one asks again for a turn at a server, and silentTurn at one which did
// not answer in time.
const (
	nextTurn   = time.Second
	silentTurn = 10 * time.Second
)

// waiting is how many times as many as other objects are worked on at a time that wait for
// a server for most of it.
const waiting = 4

// Turns counts how many wait for each server: fewer than are worked on at a time, and for
// one that does not answer a single one, so that such servers hold up no other. It is safe
// for concurrent use.
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

// A BusyError says that a server has no turn left.
type BusyError struct {
	// Wait is the time after which to ask again.
	Wait   time.Duration
	server string
}

// Error implements error.
func (e *BusyError) Error() string { return fmt.Sprintf("the server %q is busy with others", e.server) }

// Among sets how many turns a server has, and returns how many are to be worked on at a
// time where so many other objects are.
func (t *Turns) Among(others int) int {
	workers := max(1, others) * waiting
	t.Most = workers / 2
	return workers
}

// Take takes a turn at a server; where there is none left, the error is a [BusyError]. done
// gives it back, and says whether the server answered in time.
func (t *Turns) Take(server string) (done func(answered bool), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.servers[server]
	switch {
	case of.silent && of.now > 0:
		return nil, &BusyError{silentTurn, server}
	case of.now >= t.Most:
		return nil, &BusyError{nextTurn, server}
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
	}, nil
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

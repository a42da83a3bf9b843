package gittest

import (
	"net"
	"sync"
)

// Traffic is what a server saw, HTTP headers included and TCP headers not.
type Traffic struct {
	// Requests is the number of HTTP requests.
	Requests int
	// Sent is how many bytes the server sent.
	Sent int64
	// Received is how many bytes the server received.
	Received int64
}

type traffic struct {
	mu  sync.Mutex
	now Traffic
}

func (t *traffic) request()          { t.add(Traffic{Requests: 1}) }
func (t *traffic) sent(n int)        { t.add(Traffic{Sent: int64(n)}) }
func (t *traffic) received(n int)    { t.add(Traffic{Received: int64(n)}) }
func (t *traffic) snapshot() Traffic { t.mu.Lock(); defer t.mu.Unlock(); return t.now }
func (t *traffic) reset()            { t.mu.Lock(); defer t.mu.Unlock(); t.now = Traffic{} }

func (t *traffic) add(d Traffic) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.Requests += d.Requests
	t.now.Sent += d.Sent
	t.now.Received += d.Received
}

type countingListener struct {
	net.Listener
	traffic *traffic
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countingConn{c, l.traffic}, err
}

type countingConn struct {
	net.Conn
	traffic *traffic
}

func (c countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.traffic.received(n)
	return n, err
}

func (c countingConn) Write(p []byte) (int, error) {
	c.traffic.sent(len(p)) // before whoever reads it can look at the sum
	return c.Conn.Write(p)
}

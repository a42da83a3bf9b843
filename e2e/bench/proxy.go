package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A proxy stands between clients and an HTTP server, and
// notes what passes. It changes nothing.
type proxy struct {
	url      string
	server   *http.Server
	up, down atomic.Int64

	mu        sync.Mutex
	exchanges []exchange
}

// An exchange is one request, and when it came and its answer was out.
type exchange struct {
	// what is the method and what tells the request from others, as "GET info/refs".
	what         string
	began, ended time.Time
}

// traffic is what clients sent and received, HTTP's headers included.
type traffic struct {
	exchanges []exchange
	up, down  int64 // bytes
}

// startProxy serves until close is called, also when ctx has ended.
func startProxy(ctx context.Context, target string) (*proxy, error) {
	return startProxyAt(ctx, "127.0.0.1:0", target)
}

// startProxyAt is startProxy at an address of one's own.
func startProxyAt(ctx context.Context, address, target string) (*proxy, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("start the counting proxy: %w", err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("start the counting proxy: %w", err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // it is one
	transport.MaxIdleConnsPerHost = 64
	transport.DisableCompression = true
	transport.Proxy = nil
	onward := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
	}
	p := &proxy{url: "http://" + listener.Addr().String()}
	p.server = &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer p.note(whatOf(r), time.Now()) // also when the client hangs up, which is a panic
			onward.ServeHTTP(w, r)
		}),
	}
	go func() { _ = p.server.Serve(counting{listener, p}) }()
	return p, nil
}

// note keeps an exchange that is over.
func (p *proxy) note(what string, began time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exchanges = append(p.exchanges, exchange{what: what, began: began, ended: time.Now()})
}

// close ends what is idle, and soon after what is under way.
func (p *proxy) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := p.server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("stop the counting proxy: %w", err), p.server.Close())
	}
	return nil
}

// take returns what has passed since the last time.
func (p *proxy) take() traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := traffic{exchanges: p.exchanges, up: p.up.Swap(0), down: p.down.Swap(0)}
	p.exchanges = nil
	return t
}

// count is how many requests were of a kind.
func (t traffic) count(what string) int {
	n := 0
	for _, x := range t.exchanges {
		if x.what == what {
			n++
		}
	}
	return n
}

// whatOf names a request of Git or of Gitea's API by what is done with it.
func whatOf(r *http.Request) string {
	last := path.Base(r.URL.Path)
	switch above := path.Base(path.Dir(r.URL.Path)); {
	case above == "info":
		last = "info/refs"
	case strings.HasPrefix(r.URL.Path, "/api/") && above == "statuses":
		last = "statuses"
	}
	return r.Method + " " + last
}

// counting counts the bytes of the connections that a proxy accepts.
type counting struct {
	net.Listener
	p *proxy
}

func (c counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countedConn{conn, c.p}, nil
}

type countedConn struct {
	net.Conn
	p *proxy
}

func (c countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.p.up.Add(int64(n))
	return n, err
}

func (c countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.p.down.Add(int64(n))
	return n, err
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

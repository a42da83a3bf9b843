// Package guard stands before what is served over HTTP: who may call, how often, and how
// much may be sent is said of each route, and checked here alone. No secret that a
// caller shows is ever logged or answered. What a route is for the guard does not know.
package guard

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-logr/logr"
)

// Route is one thing that is served. What is asked of callers is checked before the
// handler sees the request.
type Route struct {
	// Pattern is what http.ServeMux takes, with the method: "GET /metrics".
	Pattern string
	// Handler answers. The body that it reads is whole, and no longer than MaxBody.
	Handler http.Handler
	// Auth says what callers have to know. Nil lets anyone in.
	Auth Auth
	// Scheme is how they show it. The zero value is a bearer token, or a signature in
	// SignatureHeader.
	Scheme Scheme
	// MaxBody is how many bytes a body may have; a longer one is answered 413. At 0
	// no body is read, whatever is sent.
	MaxBody int64
	// ContentTypes are the media types that a body may have; another one is answered
	// 415. Empty: any.
	ContentTypes []string
	// Rate is how often the route may be called. The zero value sets no limit.
	Rate Rate
	// AtOnce is how many requests are read and handled at once; others wait for their
	// turn, a little while. It bounds what bodies take of the memory. 0 sets no limit.
	AtOnce int
	// TooMany is the status that more calls than Rate or AtOnce allow are answered with,
	// and when to come back. 0 is 429; callers that repeat nothing but 5xx want 503.
	TooMany int
}

// turn is how long a request waits for its turn: less than a server waits for a body.
const turn = 2 * time.Second

// A guard lets through to a route's handler what may get there.
type guard struct {
	route   Route
	limiter *limiter
	// turns holds what is read and handled; nil sets no limit.
	turns chan struct{}
	log   logr.Logger
}

// Handler returns the handler of all routes, where now tells the time. Each pattern may
// be there once: http.ServeMux panics for two that are the same.
func Handler(routes []Route, now func() time.Time, log logr.Logger) http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		if r.Scheme.Signed == nil {
			r.Scheme = ownScheme()
		}
		g := &guard{route: r, limiter: newLimiter(r.Rate, now), log: log.WithValues("route", r.Pattern)}
		if r.AtOnce > 0 {
			g.turns = make(chan struct{}, r.AtOnce)
		}
		mux.Handle(r.Pattern, g)
	}
	return mux
}

// ServeHTTP implements http.Handler. The cheapest check comes first. What all callers
// share is taken last, so that nobody who is not let in takes it from those who are.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.limited(w, g.limiter.wait(r.RemoteAddr)) {
		return
	}
	if g.turns != nil {
		if !g.takeTurn(r.Context()) {
			g.limited(w, turn)
			return
		}
		defer func() { <-g.turns }()
	}
	body, ok := g.letIn(w, r)
	if !ok || g.limited(w, g.limiter.waitOfAll()) {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	g.route.Handler.ServeHTTP(w, r)
}

// takeTurn waits until the request may be read, and says whether it came to that.
func (g *guard) takeTurn(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, turn)
	defer cancel()
	select {
	case g.turns <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// limited answers a caller who has to wait.
func (g *guard) limited(w http.ResponseWriter, wait time.Duration) bool {
	if wait <= 0 {
		return false
	}
	w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	http.Error(w, "too many requests", cmp.Or(g.route.TooMany, http.StatusTooManyRequests))
	return true
}

// letIn returns the body of a caller who may call. No body is read of one who shows a
// token that does not count.
func (g *guard) letIn(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	credentials, ok := g.credentials(w, r)
	if !ok {
		return nil, false
	}
	scheme := g.route.Scheme
	signed := g.route.Auth != nil && scheme.Signed(r.Header)
	if g.route.Auth != nil && !signed && !scheme.shown(r.Header, credentials) {
		g.unauthorized(w)
		return nil, false
	}
	body, ok := g.body(w, r)
	if !ok {
		return nil, false
	}
	if signed && !scheme.signedBy(r.Header, body, credentials) {
		g.unauthorized(w)
		return nil, false
	}
	return body, true
}

// credentials let the caller in. Where they cannot be told the caller is to come back.
func (g *guard) credentials(w http.ResponseWriter, r *http.Request) ([]Credential, bool) {
	if g.route.Auth == nil {
		return nil, true
	}
	credentials, err := g.route.Auth(r)
	if err != nil {
		g.log.Error(err, "It cannot be told who may call")
		w.Header().Set("Retry-After", "10")
		http.Error(w, "it cannot be told at the moment who may call: try again", http.StatusServiceUnavailable)
		return nil, false
	}
	return credentials, true
}

// body reads the body, if it may be read.
func (g *guard) body(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	if g.route.MaxBody <= 0 {
		return nil, true
	}
	if types := g.route.ContentTypes; len(types) > 0 {
		sent, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || !slices.Contains(types, sent) {
			http.Error(w, "Content-Type has to be "+oneOf(types), http.StatusUnsupportedMediaType)
			return nil, false
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, g.route.MaxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		http.Error(w, "the body has more than "+strconv.FormatInt(g.route.MaxBody, 10)+" bytes", http.StatusRequestEntityTooLarge)
		return nil, false
	}
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return nil, false
	}
	return body, true
}

// oneOf is a list in words.
func oneOf(names []string) string {
	var list string
	for i, name := range names {
		switch {
		case i == 0:
		case i == len(names)-1:
			list += " or "
		default:
			list += ", "
		}
		list += name
	}
	return cmp.Or(list, "none")
}

// unauthorized answers who may not call, with the same words whatever was wrong.
func (g *guard) unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", "Bearer")
	http.Error(w, "unauthorized: "+g.route.Scheme.Hint, http.StatusUnauthorized)
}

package report_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"

	"github.com/keptn/gitops/gitsource/forge"
)

// A limit is how much a client may do in a span of time, which begins with the first that it
// does.
type limit struct {
	most int
	per  time.Duration

	began time.Time
	used  int
}

// take uses up some of the limit, or says when there is more of it.
func (l *limit) take(now time.Time, cost int) (until time.Time, ok bool) {
	if !now.Before(l.began.Add(l.per)) {
		l.began, l.used = now, 0
	}
	if l.used+cost > l.most {
		return l.began.Add(l.per), false
	}
	l.used += cost
	return time.Time{}, true
}

// A limitedForge is a GitHub Enterprise Server as its statuses are documented
// (https://docs.github.com/rest/commits/statuses), with its limits
// (https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api): so many
// requests an hour, of which those do not count that are answered with 304, and so many points
// a minute, one for a read and five for a write. Who asks during a pause that it was told to
// make is noted. It can fail: before or after it has taken a status in.
type limitedForge struct {
	now      func() time.Time
	hourly   limit
	minutely limit
	// rude has every third answer to a limit leave out how long it lasts, and some of the
	// requests that fail get no answer at all.
	rude bool
	// faults is how many requests of a thousand fail.
	faults int
	random *rand.Rand
	// took is told of each status that was taken in, with the one before it in its context.
	took func(at string, before, now posted)

	mu       sync.Mutex
	held     map[string][]posted // by commit, in the order of arrival
	quiet    time.Time           // when the pause ends that was asked for
	hang     chan struct{}       // if not nil, the next write is not answered, and closes it
	requests map[int]int         // by status code; 0 is no answer
	early    int                 // requests during a pause
}

// A posted status is one as it was taken in.
type posted struct {
	State       string    `json:"state"`
	Context     string    `json:"context"`
	Description string    `json:"description"`
	TargetURL   string    `json:"target_url,omitempty"`
	Created     time.Time `json:"created_at"`
}

func newLimitedForge(now func() time.Time, took func(at string, before, now posted)) *limitedForge {
	return &limitedForge{
		now: now, took: took,
		hourly: limit{most: 5000, per: time.Hour}, minutely: limit{most: 900, per: time.Minute},
		random: rand.New(rand.NewPCG(1, 2)), //nolint:gosec // faults need no secret dice
		held:   map[string][]posted{}, requests: map[int]int{},
	}
}

// handler serves the API.
func (f *limitedForge) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v3/repos/{owner}/{repo}/statuses/{sha}", f.create)
	mux.HandleFunc("GET /api/v3/repos/{owner}/{repo}/commits/{sha}/status", f.combined)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		w.Header().Set("Date", f.now().UTC().Format(http.TimeFormat))
		if r.Header.Get("Authorization") != "Bearer "+token {
			refuse(w, http.StatusUnauthorized, "Bad credentials")
			return
		}
		recorded := httptest.NewRecorder()
		if f.limited(recorded, r) {
			f.answer(w, recorded)
			return
		}
		switch fault := f.fault(r); fault {
		case "":
			mux.ServeHTTP(recorded, r)
			f.answer(w, recorded)
		case "refused":
			recorded.WriteHeader(http.StatusBadGateway)
			f.answer(w, recorded)
		case "refused after all":
			mux.ServeHTTP(recorded, r)
			f.answer(w, &httptest.ResponseRecorder{Code: http.StatusBadGateway})
		default:
			if fault != "cut" {
				mux.ServeHTTP(recorded, r)
			}
			f.requests[0]++
			if fault == "silence" {
				f.mu.Unlock()
				<-r.Context().Done()
				f.mu.Lock()
			}
			panic(http.ErrAbortHandler)
		}
	})
}

// fault is what goes wrong with a request, if anything.
func (f *limitedForge) fault(r *http.Request) string {
	if f.hang != nil && !f.hangs() && r.Method == http.MethodPost {
		close(f.hang)
		return "silence"
	}
	if f.random.IntN(1000) >= f.faults {
		return ""
	}
	if all := []string{"refused", "refused after all", "cut", "cut after all"}; !f.rude || f.random.IntN(20) > 0 {
		return all[f.random.IntN(len(all))]
	}
	return "silence"
}

// limited answers a request that the limits do not allow.
func (f *limitedForge) limited(w http.ResponseWriter, r *http.Request) bool {
	now := f.now()
	if now.Before(f.quiet) {
		f.early++
	}
	points := 1
	if r.Method == http.MethodPost {
		points = 5
	}
	if until, ok := f.hourly.take(now, 1); !ok {
		f.quiet = until
		w.Header().Set("X-Ratelimit-Remaining", "0")
		w.Header().Set("X-Ratelimit-Reset", strconv.FormatInt(until.Add(time.Second-1).Unix(), 10))
		refuse(w, http.StatusForbidden, "API rate limit exceeded for user ID 1.")
		return true
	}
	until, ok := f.minutely.take(now, points)
	if ok {
		return false
	}
	f.quiet = until
	how := f.random.IntN(3)
	if how == 0 && f.rude {
		f.quiet = now.Add(time.Minute) // as the documentation has it, where nothing is said
	} else {
		w.Header().Set("Retry-After", strconv.Itoa(int((until.Sub(now)+time.Second-1)/time.Second)))
	}
	code := http.StatusForbidden
	if how == 1 {
		code = http.StatusTooManyRequests
	}
	refuse(w, code, "You have exceeded a secondary rate limit.")
	return true
}

// answer is sent, and counted.
func (f *limitedForge) answer(w http.ResponseWriter, recorded *httptest.ResponseRecorder) {
	for name, values := range recorded.Header() {
		w.Header()[name] = values
	}
	f.requests[recorded.Code]++
	if recorded.Code == http.StatusNotModified {
		f.hourly.used--
	}
	w.WriteHeader(recorded.Code)
	if recorded.Body != nil {
		_, _ = w.Write(recorded.Body.Bytes())
	}
}

func (f *limitedForge) create(w http.ResponseWriter, r *http.Request) {
	var s posted
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil || len(s.Description) > 140 || s.Context == "" {
		refuse(w, http.StatusUnprocessableEntity, fmt.Sprintf("%+v: %v", s, err))
		return
	}
	s.Created = f.now().UTC().Truncate(time.Second)
	at := r.PathValue("owner") + "/" + r.PathValue("repo") + "/" + r.PathValue("sha")
	f.took(at, f.newest(at)[s.Context], s)
	f.held[at] = append(f.held[at], s)
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(s)
}

// newest are the statuses that a commit shows, by their context.
func (f *limitedForge) newest(at string) map[string]posted {
	newest := map[string]posted{}
	for _, s := range f.held[at] {
		newest[s.Context] = s
	}
	return newest
}

func (f *limitedForge) combined(w http.ResponseWriter, r *http.Request) {
	at := r.PathValue("owner") + "/" + r.PathValue("repo") + "/" + r.PathValue("sha")
	all := []posted{}
	for _, s := range f.newest(at) {
		all = append(all, s)
	}
	if len(all) > 100 {
		refuse(w, http.StatusInternalServerError, "more than a page")
		return
	}
	body, _ := json.Marshal(map[string]any{"statuses": f.newest(at)}) //nolint:errchkjson // a map is in order
	tag := fmt.Sprintf(`W/"%x"`, sha256.Sum256(body))
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"statuses": all})
}

func refuse(w http.ResponseWriter, code int, message string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
}

// token is the one that the forges in these tests take.
const token = "s3cret"

// A link is a network that has one server, and no time passes on it.
type link struct {
	conns  chan net.Conn
	closed chan struct{}
}

// serve has a server at the other end of a client's link, until it is stopped.
func serve(handler http.Handler) (client *http.Client, stop func()) {
	l := &link{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Hour}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l)
	}()
	transport := &http.Transport{DialContext: l.dial}
	return &http.Client{Transport: transport}, func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		<-ended
	}
}

func (l *link) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept implements net.Listener.
func (l *link) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *link) Close() error {
	close(l.closed)
	return nil
}

// Addr implements net.Listener.
func (*link) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// placeName is what each place for statuses is called in these tests, for an object has one.
const placeName = "github"

// open opens a repository of the forge, as a place for statuses.
func open(client *http.Client, answers *forge.Answers, pauses *forge.Pauses, host, repo string) (forge.Destination, error) {
	to, err := forge.New(forge.GitHub, forge.Target{
		Repository: "http://" + host + "/acme/" + repo + ".git", Token: token, Client: client, Answers: answers, Pauses: pauses,
	})
	to.Name = placeName
	return to, err
}

// hangs has the next write hang, and says whether it does.
func (f *limitedForge) hangs() bool {
	if f.hang == nil {
		f.hang = make(chan struct{})
	}
	select {
	case <-f.hang:
		return true
	default:
		return false
	}
}

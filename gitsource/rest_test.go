package gitsource

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/keptn/gitops/gitsource/gittest"
)

// handleBytes is what a handle may take in memory while nothing happens, its share of what
// all have in common included.
const handleBytes = 100_000

func TestAThousandHandlesOnTwoHundredRepositoriesRestInLittleMemory(t *testing.T) {
	const repositories, handlesEach = 200, 5
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	files := map[string]string{}
	for i := range 10 {
		files[fmt.Sprintf("apps/a%02d/lifecycle.yaml", i)] = noise(uint64(i), 1000)
	}
	head := repo.Commit("main", "one", files)
	url := serve(t, &sameForAll{real: srv, repository: "/app.git", said: map[string]*httptest.ResponseRecorder{}})
	s := newStore(t)
	before, goroutines := heapInUse(), runtime.NumGoroutine()
	handles := make([]*Repository, 0, repositories*handlesEach)
	for i := range repositories {
		for range handlesEach {
			handles = append(handles, open(t, s, fmt.Sprintf("%s/%d/app.git", url, i)))
		}
	}
	use := func(r *Repository) error {
		_, err := r.Fetch(t.Context(), Ref{})
		return errors.Join(err, r.Prefetch(t.Context(), head, "."))
	}
	slots, failed := make(chan struct{}, 16), make(chan error, len(handles))
	var wg sync.WaitGroup
	for i := range repositories { // one handle of each fetches, and the others find it here
		wg.Go(func() {
			slots <- struct{}{}
			failed <- use(handles[i*handlesEach])
			<-slots
		})
	}
	wg.Wait()
	close(failed)
	for err := range failed {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := (heapInUse() - before) / int64(len(handles)); got > handleBytes {
		t.Errorf("a handle takes %d bytes, want at most %d", got, handleBytes)
	} else {
		t.Logf("a handle takes %d bytes", got)
	}
	// A connection has two goroutines on each side.
	const most = 4 * 2 * 16
	if got := runtime.NumGoroutine() - goroutines; got > most {
		t.Errorf("%d goroutines are left of %d repositories, want at most %d", got, repositories, most)
	}
	runtime.KeepAlive(handles)
}

func TestTheConnectionsToAHostAreBounded(t *testing.T) {
	t.Parallel()
	const most, callers = 32, 120
	var mu sync.Mutex
	now, peak := 0, 0
	arrived, proceed := make(chan struct{}, callers), make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-proceed
		http.NotFound(w, r)
	}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		switch state {
		case http.StateNew:
			now++
			peak = max(peak, now)
		case http.StateClosed:
			now--
		default:
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	s := newStore(t)
	var wg sync.WaitGroup
	for i := range callers {
		r := open(t, s, fmt.Sprintf("%s/%d.git", srv.URL, i))
		wg.Go(func() {
			if _, err := r.Fetch(t.Context(), Ref{}); !errors.Is(err, ErrNotFound) {
				t.Error(err)
			}
		})
	}
	for range most {
		<-arrived
	}
	close(proceed)
	wg.Wait()
	if mu.Lock(); peak > most {
		t.Errorf("%d connections at once, want at most %d", peak, most)
	}
	mu.Unlock()
}

// sameForAll serves one repository under many names, and remembers what Git answered.
type sameForAll struct {
	real       http.Handler
	repository string
	mu         sync.Mutex
	said       map[string]*httptest.ResponseRecorder
}

func (s *sameForAll) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	_, rest, _ := strings.Cut(r.URL.Path, s.repository)
	r.URL.Path, r.Body = s.repository+rest, io.NopCloser(bytes.NewReader(body))
	key := rest + string(body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.said[key] == nil {
		s.said[key] = httptest.NewRecorder()
		s.real.ServeHTTP(s.said[key], r)
	}
	w.Header().Set("Content-Type", s.said[key].Header().Get("Content-Type"))
	_, _ = w.Write(s.said[key].Body.Bytes())
}

// heapInUse is how much memory is in use after what is not was given back.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // no machine has so much
}

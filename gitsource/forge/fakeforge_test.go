package forge_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/keptn/gitops/gitsource/forge"
)

// A fakeForge is what the servers in these tests have in common: they note what they are
// asked, meet the fault that a test wants, ask for a credential, and answer a GET with an
// ETag.
type fakeForge struct {
	*httptest.Server
	// unauthorized is what is answered to a wrong credential.
	unauthorized http.HandlerFunc

	mu       sync.Mutex
	requests []string
	broken   *fault
}

// serve starts the server. Its routes run one at a time.
func (f *fakeForge) serve(t *testing.T, authorized func(*http.Request) bool, routes http.Handler) {
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.requests = append(f.requests, r.Method+" "+r.URL.EscapedPath())
		broken := f.broken
		f.mu.Unlock()
		switch {
		case broken != nil:
			broken.meet(w, r)
		case !authorized(r):
			f.unauthorized(w, r)
		default:
			f.mu.Lock()
			defer f.mu.Unlock()
			tagged(routes, w, r)
		}
	}))
	t.Cleanup(f.Close)
}

// meet is what happens to a request in place of an answer.
func (f fault) meet(w http.ResponseWriter, r *http.Request) {
	switch {
	case f.cut:
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte(`{"id":`))
		panic(http.ErrAbortHandler)
	case f.hang:
		<-r.Context().Done()
	default:
		for k, v := range f.header {
			w.Header()[k] = v
		}
		credential := r.Header.Get("Authorization")
		_, pair, _ := strings.Cut(credential, " ")
		if plain, err := base64.StdEncoding.DecodeString(pair); err == nil {
			credential += " " + string(plain)
		}
		refuse(w, f.code, "no, "+credential+"\n"+strings.Repeat("because ", 500))
	}
}

// tagged answers, and a GET that has the answer already with 304.
func tagged(routes http.Handler, w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		routes.ServeHTTP(w, r)
		return
	}
	recorded := httptest.NewRecorder()
	routes.ServeHTTP(recorded, r)
	for k, v := range recorded.Header() {
		w.Header()[k] = v
	}
	sum := sha256.Sum256(recorded.Body.Bytes())
	tag := `W/"` + hex.EncodeToString(sum[:8]) + `"`
	if recorded.Code == http.StatusOK {
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.WriteHeader(recorded.Code)
	_, _ = w.Write(recorded.Body.Bytes())
}

// fail makes every following request meet a fault.
func (f *fakeForge) fail(broken fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = &broken
}

// asked returns the requests since it was last called.
func (f *fakeForge) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.requests
	f.requests = nil
	return all
}

// withBearer asks for the token as RFC 6750 says it.
func withBearer(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer "+secret }

// withBasic asks for the token as RFC 7617 says it.
func withBasic(user string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		got, password, ok := r.BasicAuth()
		return ok && got == user && password == secret
	}
}

// decoded reads a request's body strictly: a field that the documented API does not have
// is a mistake of the client's.
func decoded(w http.ResponseWriter, r *http.Request, into any) bool {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return false
	}
	return true
}

func longerThan(text string, limit int) bool { return utf8.RuneCountInString(text) > limit }

// mustSet sets statuses, and fails the test if one is refused.
func mustSet(t *testing.T, reporter forge.Reporter, statuses ...forge.Status) {
	t.Helper()
	for _, s := range statuses {
		if err := reporter.Set(t.Context(), s); err != nil {
			t.Fatalf("setting %s: %v", s.State, err)
		}
	}
}

// wantLatest compares what the forge holds with what was set.
func wantLatest(t *testing.T, reporter forge.Reporter, want forge.Status) {
	t.Helper()
	got, found, err := reporter.Latest(t.Context(), want.Commit, want.Context)
	if err != nil || !found || !got.Same(want) {
		t.Errorf("got %+v, found %t, %v; want %+v", got, found, err, want)
	}
}

// wantRefused asks with a wrong token.
func wantRefused(t *testing.T, open func(forge.Token) forge.Reporter) {
	t.Helper()
	err := open("wrong").Set(t.Context(), status(knownCommit, forge.Success, ""))
	if !errors.Is(err, forge.ErrUnauthorized) || bytes.Contains([]byte(err.Error()), []byte("wrong")) {
		t.Errorf("got %v, want ErrUnauthorized", err)
	}
}

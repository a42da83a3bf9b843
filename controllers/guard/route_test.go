package guard_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/controllers/guard"
)

func TestARouteSaysHowItsCallersShowWhatTheyKnow(t *testing.T) {
	auth := func(*http.Request) ([]guard.Credential, error) {
		return []guard.Credential{{}, {Token: "known", HMACKey: []byte("key")}}, nil
	}
	scheme := guard.Scheme{
		Signed: func(h http.Header) bool { return h.Get("X-Sealed") != "" },
		Signs:  func(h http.Header, body, key []byte) bool { return h.Get("X-Sealed") == string(key)+string(body) },
		Shows:  func(h http.Header, token string) bool { return h.Get("X-Token") == token },
		Hint:   "send X-Token",
	}
	cases := map[string]struct {
		reason, header, value string
		want                  int
	}{
		"Token":     {"The header of the route.", "X-Token", "known", 200},
		"Signature": {"Its signature.", "X-Sealed", "keybody", 200},
		"Other":     {"Another body was signed.", "X-Sealed", "keyother", 401},
		"Bearer":    {"What other routes take does not count.", "Authorization", "Bearer known", 401},
		"Default":   {"Nor does their signature.", "X-Signature", signature("key", "body"), 401},
		"NoToken":   {"A credential without a token lets nobody in.", "X-Token", "", 401},
		"NoKey":     {"Nor does one without a key.", "X-Sealed", "body", 401},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			handler := guard.Handler([]guard.Route{{Pattern: "POST /x", Handler: echo, MaxBody: 100, Auth: auth, Scheme: scheme}}, noon, logr.Discard())
			r := httptest.NewRequest(http.MethodPost, "/x", strings.NewReader("body"))
			r.Header.Set(tc.header, tc.value)
			got := serve(t, handler, r)
			if got.Status != tc.want {
				t.Errorf("%s\ngot %d %s, want %d", tc.reason, got.Status, got.Body, tc.want)
			}
			if tc.want == 401 && got.Body != "unauthorized: send X-Token\n" {
				t.Errorf("it is answered %q", got.Body)
			}
		})
	}
}

func TestOnlySoManyRequestsAreHandledAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		slow := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })
		route := guard.Route{Pattern: "GET /x", Handler: slow, AtOnce: 2, TooMany: http.StatusServiceUnavailable}
		handler := guard.Handler([]guard.Route{route}, noon, logr.Discard())
		call := func(ctx context.Context) chan int {
			answered := make(chan int, 1)
			go func() {
				recorder := httptest.NewRecorder()
				handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/x", nil).WithContext(ctx))
				answered <- recorder.Code
			}()
			synctest.Wait()
			return answered
		}
		first, second, third := call(t.Context()), call(t.Context()), call(t.Context())
		if got := <-third; got != 503 { // which takes its time
			t.Errorf("who waited in vain is answered %d", got)
		}
		patient := call(t.Context())
		left, leave := context.WithCancel(t.Context())
		gone := call(left)
		leave()
		<-gone
		close(release)
		if got := []int{<-first, <-second, <-patient}; !cmp.Equal(got, []int{200, 200, 200}) {
			t.Errorf("the others are answered %v", got)
		}
	})
}

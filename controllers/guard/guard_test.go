package guard_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/keptn/gitops/controllers/guard"
)

// noon is when all tests are.
func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

// answer is what a server says.
type answer struct {
	Status            int
	ContentType, Body string
}

// echo answers with the body that got through.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	_, _ = fmt.Fprintf(w, "got %q %v", body, err)
})

// secrets has a Secret in each of two namespaces.
func secrets(t *testing.T, reader client.Reader, now func() time.Time) guard.Auth {
	t.Helper()
	s, err := guard.NewSecrets(reader, "keptn-webhooks", "keptn-system", now)
	if err != nil {
		t.Fatal(err)
	}
	return s.Auth
}

func secretIn(namespace string, data map[string]string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "keptn-webhooks"}, Data: map[string][]byte{}}
	for key, value := range data {
		s.Data[key] = []byte(value)
	}
	return s
}

// serve answers one request.
func serve(t *testing.T, handler http.Handler, r *http.Request) answer {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, r)
	contentType, _, _ := strings.Cut(recorder.Header().Get("Content-Type"), ";")
	return answer{recorder.Code, contentType, recorder.Body.String()}
}

func signature(key, body string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return fmt.Sprintf("sha256=%x", mac.Sum(nil))
}

func TestOnlyWhoKnowsASecretOfTheNamespaceIsLetIn(t *testing.T) {
	reader := fake.NewClientBuilder().WithObjects(
		secretIn("keptn-system", map[string]string{"token": "everywhere"}),
		secretIn("shop", map[string]string{"token": "shop's\n", "hmac-key": "key"}),
		secretIn("empty", map[string]string{"token": "", "hmac-key": ""}),
	).Build()
	const body = `{"a":1}`
	cases := map[string]struct {
		reason        string
		namespace     string
		header, value string
		body          string
		want          int
	}{
		"Token":             {"The token of the namespace.", "shop", "Authorization", "Bearer shop's", body, 200},
		"AnyCase":           {"Schemes are compared without case (RFC 9110, 11.1).", "shop", "Authorization", "bearer shop's", body, 200},
		"Own":               {"Keptn's own counts everywhere.", "shop", "Authorization", "Bearer everywhere", body, 200},
		"OwnElsewhere":      {"Also where a namespace has none.", "other", "Authorization", "Bearer everywhere", body, 200},
		"Signature":         {"What generic-hmac of Flux sends.", "shop", "X-Signature", signature("key", body), body, 200},
		"Nothing":           {"Nobody is let in for nothing.", "shop", "", "", body, 401},
		"WrongToken":        {"Nor for something else.", "shop", "Authorization", "Bearer shop", body, 401},
		"Basic":             {"A password is no token.", "shop", "Authorization", "Basic shop's", body, 401},
		"OtherNamespace":    {"One team's token opens nothing of another's.", "other", "Authorization", "Bearer shop's", body, 401},
		"EmptyToken":        {"An empty token would be known to all.", "empty", "Authorization", "Bearer ", body, 401},
		"EmptyKey":          {"So would an empty key.", "empty", "X-Signature", signature("", body), body, 401},
		"OtherBody":         {"A signature is of one body.", "shop", "X-Signature", signature("key", body), `{"a":2}`, 401},
		"OtherHash":         {"Only one hash function is known.", "shop", "X-Signature", "sha512=" + strings.Repeat("0", 128), body, 401},
		"Truncated":         {"Half a signature is none.", "shop", "X-Signature", signature("key", body)[:39], body, 401},
		"NotHexadecimal":    {"It is no signature.", "shop", "X-Signature", "sha256=zz", body, 401},
		"TokenAsSignature":  {"A token is no key.", "shop", "X-Signature", signature("shop's", body), body, 401},
		"StrangeNamespace":  {"No Secret of such a namespace is asked for.", "Not_A_Namespace", "Authorization", "Bearer shop's", body, 401},
		"SignatureAndToken": {"Who signs is judged by the signature: the header says that the body is whole.", "shop", "X-Signature", "sha256=00", body, 401},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			handler := guard.Handler([]guard.Route{{Pattern: "POST /x/{namespace}", Handler: echo, MaxBody: 100, Auth: secrets(t, reader, noon)}}, noon, logr.Discard())
			r := httptest.NewRequest(http.MethodPost, "/x/"+tc.namespace, strings.NewReader(tc.body))
			r.Header.Set(tc.header, tc.value)
			if name == "SignatureAndToken" {
				r.Header.Set("Authorization", "Bearer shop's")
			}
			got := serve(t, handler, r)
			if got.Status != tc.want {
				t.Errorf("%s\ngot %d %s, want %d", tc.reason, got.Status, got.Body, tc.want)
			}
			if want := fmt.Sprintf("got %q <nil>", tc.body); tc.want == 200 && got.Body != want {
				t.Errorf("the handler read %s, want %s", got.Body, want)
			}
		})
	}
}

func TestWhatIsSentIsChecked(t *testing.T) {
	route := guard.Route{Pattern: "POST /x", Handler: echo, MaxBody: 4, ContentTypes: []string{"application/json", "application/cloudevents+json"}}
	plain := guard.Route{Pattern: "POST /x", Handler: echo}
	cases := map[string]struct {
		reason       string
		route        guard.Route
		method, kind string
		body         io.Reader
		want         answer
	}{
		"Fits":      {"As long as it may be.", route, "POST", "application/json; charset=utf-8", strings.NewReader("1234"), answer{200, "text/plain", `got "1234" <nil>`}},
		"TooLong":   {"One byte more.", route, "POST", "application/json", strings.NewReader("12345"), answer{413, "text/plain", "the body has more than 4 bytes\n"}},
		"Endless":   {"It is not read to its end.", route, "POST", "application/json", endless{}, answer{413, "text/plain", "the body has more than 4 bytes\n"}},
		"Broken":    {"The client left.", route, "POST", "application/json", io.MultiReader(strings.NewReader("1"), failing{}), answer{400, "text/plain", "the body cannot be read\n"}},
		"Kind":      {"It could not be read.", route, "POST", "text/xml", strings.NewReader("1"), answer{415, "text/plain", "Content-Type has to be application/json or application/cloudevents+json\n"}},
		"NoKind":    {"A guess is none.", route, "POST", "", strings.NewReader("1"), answer{415, "text/plain", "Content-Type has to be application/json or application/cloudevents+json\n"}},
		"Method":    {"Nothing is to be had.", route, "GET", "", nil, answer{405, "text/plain", "Method Not Allowed\n"}},
		"NoBody":    {"What is not asked for is not read.", plain, "POST", "", endless{}, answer{200, "text/plain", `got "" <nil>`}},
		"NothingAt": {"Elsewhere is nothing.", guard.Route{Pattern: "POST /y", Handler: echo}, "POST", "", nil, answer{404, "text/plain", "404 page not found\n"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(tc.method, "/x", tc.body)
			r.Header.Set("Content-Type", tc.kind)
			if diff := cmp.Diff(tc.want, serve(t, guard.Handler([]guard.Route{tc.route}, noon, logr.Discard()), r)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// failing is a body that cannot be read.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestCallersAreHeldToTheRate(t *testing.T) {
	at := noon()
	route := guard.Route{Pattern: "GET /x", Handler: echo, Rate: guard.Rate{Each: 1, All: 100, Burst: 2}}
	handler := guard.Handler([]guard.Route{route}, func() time.Time { return at }, logr.Discard())
	call := func(from string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/x", nil)
		r.RemoteAddr = from
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, r)
		return recorder
	}
	expect := func(reason, from string, want int) {
		t.Helper()
		got := call(from)
		if got.Code != want {
			t.Errorf("%s\ngot %d, want %d", reason, got.Code, want)
		}
		if want == 429 && got.Header().Get("Retry-After") != "1" {
			t.Errorf("Retry-After is %q", got.Header().Get("Retry-After"))
		}
	}
	expect("The first of a burst.", "10.0.0.1:1000", 200)
	expect("The second, over another connection.", "10.0.0.1:1001", 200)
	expect("One too many.", "10.0.0.1:1002", 429)
	expect("A neighbour does not pay for it.", "10.0.0.2:1000", 200)
	expect("That goes for IPv6, too.", "[fd00::1]:1000", 200)
	at = at.Add(time.Second)
	expect("A second later there is one more.", "10.0.0.1:1000", 200)
	expect("But not two.", "10.0.0.1:1000", 429)
}

func TestWhoIsNotLetInTakesNothingFromThoseWhoAre(t *testing.T) {
	auth := func(*http.Request) ([]guard.Credential, error) {
		return []guard.Credential{{Token: "known", HMACKey: []byte("key")}}, nil
	}
	const body = "b"
	cases := map[string]struct{ reason, header, value string }{
		"Nothing":   {"Who shows nothing is not one of all.", "X-Nothing", ""},
		"Token":     {"Nor is who shows something else.", "Authorization", "Bearer other"},
		"Signature": {"Nor who signs with another key, though the body has to be read for it.", "X-Signature", signature("other", body)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			route := guard.Route{Pattern: "POST /x", Handler: echo, Auth: auth, MaxBody: 10, Rate: guard.Rate{Each: 1, All: 2, Burst: 2}}
			handler := guard.Handler([]guard.Route{route}, noon, logr.Discard())
			call := func(from, header, value string) int {
				r := httptest.NewRequest(http.MethodPost, "/x", strings.NewReader(body))
				r.RemoteAddr = from
				r.Header.Set(header, value)
				return serve(t, handler, r).Status
			}
			for i := range 10 {
				if got := call(fmt.Sprintf("10.0.1.%d:1000", i), tc.header, tc.value); got != 401 {
					t.Errorf("%s\nit is answered %d", tc.reason, got)
				}
			}
			got := []int{
				call("10.0.0.1:1000", "Authorization", "Bearer known"), call("10.0.0.2:1000", "X-Signature", signature("key", body)),
				call("10.0.0.3:1000", "Authorization", "Bearer known"),
			}
			if diff := cmp.Diff([]int{200, 200, 429}, got); diff != "" {
				t.Errorf("%s\nwho is known is answered (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAGuessCostsTheAddressItsOwnRate(t *testing.T) {
	auth := func(*http.Request) ([]guard.Credential, error) { return []guard.Credential{{Token: "known"}}, nil }
	route := guard.Route{Pattern: "GET /x", Handler: echo, Auth: auth, Rate: guard.Rate{Each: 1, All: 100, Burst: 2}}
	handler := guard.Handler([]guard.Route{route}, noon, logr.Discard())
	var got []int
	for range 3 {
		r := httptest.NewRequest(http.MethodGet, "/x", nil)
		r.Header.Set("Authorization", "Bearer guess")
		got = append(got, serve(t, handler, r).Status)
	}
	if diff := cmp.Diff([]int{401, 401, 429}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestARouteSaysHowTooManyRequestsAreAnswered(t *testing.T) {
	cases := map[string]struct {
		reason string
		rate   guard.Rate
	}{
		"Each": {"The limit of an address.", guard.Rate{Each: 0.1, All: 100, Burst: 1}},
		"All":  {"The limit of all.", guard.Rate{Each: 100, All: 0.1, Burst: 1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			route := guard.Route{Pattern: "GET /x", Handler: echo, Rate: tc.rate, TooMany: http.StatusServiceUnavailable}
			handler := guard.Handler([]guard.Route{route}, noon, logr.Discard())
			var last *httptest.ResponseRecorder
			for i := range 2 {
				last = httptest.NewRecorder()
				r := httptest.NewRequest(http.MethodGet, "/x", nil)
				if name == "All" {
					r.RemoteAddr = fmt.Sprintf("10.0.0.%d:1", i)
				}
				handler.ServeHTTP(last, r)
			}
			if last.Code != 503 || last.Header().Get("Retry-After") != "10" {
				t.Errorf("%s\ngot %d, Retry-After %q", tc.reason, last.Code, last.Header().Get("Retry-After"))
			}
		})
	}
}

func TestManyAddressesDoNotEscapeTheRate(t *testing.T) {
	at := noon()
	route := guard.Route{Pattern: "GET /x", Handler: echo, Rate: guard.Rate{Each: 1, All: 1e6, Burst: 2}}
	all := guard.Route{Pattern: "GET /all", Handler: echo, Rate: guard.Rate{Each: 1, All: 1, Burst: 5}}
	handler := guard.Handler([]guard.Route{route, all}, func() time.Time { return at }, logr.Discard())
	// through counts how many of so many addresses get through with one request.
	through := func(path string, addresses int) (n int) {
		for i := range addresses {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.RemoteAddr = fmt.Sprintf("10.1.%d.%d:1000", i/256, i%256)
			if serve(t, handler, r).Status == 200 {
				n++
			}
			if path == "/x" {
				at = at.Add(time.Nanosecond) // the rate of all recovers; that of each does not
			}
		}
		return n
	}
	if got := through("/all", 100); got != 5 {
		t.Errorf("%d of 100 addresses got through, want the burst of all, which is 5", got)
	}
	if got := through("/x", 3000); got > 1024+5 {
		t.Errorf("%d of 3000 addresses got through at once", got)
	}
	at = at.Add(time.Minute)
	if got := through("/x", 500); got != 500 {
		t.Errorf("once the others are idle %d of 500 addresses got through", got)
	}
}

func TestWhoMayCallIsReadAgainAfterAWhile(t *testing.T) {
	at := noon()
	secret := secretIn("shop", map[string]string{"token": "old"})
	reads := 0
	c := interceptor.NewClient(fake.NewClientBuilder().WithObjects(secret).Build(), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			reads++
			return c.Get(ctx, key, obj, opts...)
		},
	})
	handler := guard.Handler([]guard.Route{{Pattern: "GET /x/{namespace}", Handler: echo, Auth: secrets(t, c, func() time.Time { return at })}}, noon, logr.Discard())
	call := func(token string) int {
		r := httptest.NewRequest(http.MethodGet, "/x/shop", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		return serve(t, handler, r).Status
	}
	if got := []int{call("old"), call("new"), reads}; !cmp.Equal(got, []int{200, 401, 2}) {
		t.Errorf("got %v: the Secrets of two namespaces are read once", got)
	}
	secret.Data["token"] = []byte("new")
	if err := c.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	at = at.Add(10 * time.Second)
	if got := []int{call("old"), call("new"), reads}; !cmp.Equal(got, []int{401, 200, 4}) {
		t.Errorf("after ten seconds: got %v", got)
	}
}

func TestWhereSecretsCannotBeReadNobodyIsLetInAndNothingIsTold(t *testing.T) {
	c := interceptor.NewClient(fake.NewClientBuilder().Build(), interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errors.New("the API server is down")
		},
	})
	var logged strings.Builder
	log := funcr.New(func(prefix, args string) { logged.WriteString(prefix + args + "\n") }, funcr.Options{Verbosity: 9})
	handler := guard.Handler([]guard.Route{{Pattern: "POST /x/{namespace}", Handler: echo, MaxBody: 100, Auth: secrets(t, c, noon)}}, noon, log)
	r := httptest.NewRequest(http.MethodPost, "/x/shop", strings.NewReader("body-secret"))
	r.Header.Set("Authorization", "Bearer shown-secret")
	got := serve(t, handler, r)
	if want := (answer{503, "text/plain", "it cannot be told at the moment who may call: try again\n"}); got != want {
		t.Errorf("got %+v", got)
	}
	if !strings.Contains(logged.String(), "the API server is down") || strings.Contains(logged.String(), "-secret") {
		t.Errorf("logged %s", logged.String())
	}
}

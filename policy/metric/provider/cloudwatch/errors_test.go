package cloudwatch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"

	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
	"github.com/keptn/gitops/policy/metric/provider/cloudwatch"
)

// failure answers with an error as CloudWatch does: its code is that of the Query
// protocol, in a header.
func failure(status int, code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Amzn-Query-Error", code+";Sender")
		answer(status, cbor.Map{"__type": cbor.String("com.amazonaws.cloudwatch#" + code), "message": cbor.String(message)})(w, r)
	}
}

func plain(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}
}

func TestErrorsAreToldApart(t *testing.T) {
	many := results(result("q1", "a", []int{1}, 1), result("q1", "b", []int{1}, 1), result("q1", "c", []int{1}, 1))
	good := cbor.Encode(results(result("q1", "a", []int{1}, 1)))
	cases := map[string]struct {
		reason  string
		handler http.HandlerFunc
		want    error
		says    string
	}{
		"NoResult":      {"No result is no data, never a zero.", answer(200, results()), metric.ErrNoData, "no sample"},
		"NoValue":       {"Nor is one without values.", answer(200, results(result("q1", "a", nil))), metric.ErrNoData, "no sample"},
		"Validation":    {"A query that CloudWatch cannot read is its author's, in CloudWatch's words.", failure(400, "ValidationError", "Error in expression 'q1': Unmatched parenthesis"), metric.ErrBadQuery, "Unmatched parenthesis"},
		"Modelled":      {"So is one with a modelled error.", failure(400, "InvalidParameterValueException", "period must be positive"), metric.ErrBadQuery, "period must be positive"},
		"AccessDenied":  {"A missing permission says which; CloudWatch may say so with 400.", failure(400, "AccessDeniedException", "User: u is not authorized to perform: cloudwatch:GetMetricData"), metric.ErrUnauthorized, "cloudwatch:GetMetricData"},
		"BadToken":      {"An access key that does not exist.", failure(400, "InvalidClientTokenId", "The security token included in the request is invalid"), metric.ErrUnauthorized, "InvalidClientTokenId"},
		"Unrecognized":  {"The same in the words of the other protocols.", failure(400, "UnrecognizedClientException", "invalid"), metric.ErrUnauthorized, "UnrecognizedClientException"},
		"BadSignature":  {"A wrong secret key. The message repeats what was signed.", failure(400, "SignatureDoesNotMatch", "The Canonical String should have been x-amz-security-token:hunter3"), metric.ErrUnauthorized, "SignatureDoesNotMatch"},
		"Forbidden":     {"The usual status of both.", failure(403, "SignatureDoesNotMatch", "hunter3"), metric.ErrUnauthorized, "403"},
		"Unauthorized":  {"A proxy's.", plain(401, "hunter3"), metric.ErrUnauthorized, "401"},
		"SeriesDenied":  {"A metric of another account that may not be read.", answer(200, results(with(result("q1", "a", nil), "StatusCode", cbor.String("Forbidden")))), metric.ErrUnauthorized, "q1"},
		"SeriesFailed":  {"A metric that CloudWatch failed to read.", answer(200, results(with(result("q1", "a", nil), "StatusCode", cbor.String("InternalError")))), metric.ErrUnreachable, "q1"},
		"Throttling":    {"AWS answers 400 where others answer 429.", failure(400, "Throttling", "Rate exceeded"), metric.ErrRateLimited, "rate limited"},
		"TooMany":       {"A proxy's.", plain(429, ""), metric.ErrRateLimited, "rate limited"},
		"Internal":      {"A server error is no answer.", failure(500, "InternalServiceFault", "oops"), metric.ErrUnreachable, "500"},
		"Unavailable":   {"Nor is that of a proxy.", plain(503, "no healthy upstream"), metric.ErrUnreachable, "503"},
		"NotFound":      {"A wrong path is a wrong address.", plain(404, "404 page not found"), metric.ErrBadResponse, "targetServer"},
		"UnknownCode":   {"An error that is none of CloudWatch's.", failure(400, "UnknownOperation", "hm"), metric.ErrBadResponse, "UnknownOperation"},
		"Page":          {"A page is no answer.", plain(200, "<html>Sign in</html>"), metric.ErrBadResponse, "targetServer"},
		"Truncated":     {"Half an answer is none.", func(w http.ResponseWriter, _ *http.Request) { write(w, 200, good[:len(good)/2]) }, metric.ErrBadResponse, "targetServer"},
		"Unequal":       {"A value without a time cannot be placed.", answer(200, results(result("q1", "a", []int{1}, 1, 2))), metric.ErrBadResponse, "2 values"},
		"TooManySeries": {"A query without aggregation must not fill the memory.", answer(200, many), metric.ErrTooManySeries, "2"},
		"TooLarge":      {"Nor must a huge answer.", func(w http.ResponseWriter, _ *http.Request) { write(w, 200, bytes.Repeat([]byte{0x80}, 5000)) }, metric.ErrTooManySeries, "4000 bytes"},
		"EndlessPages":  {"Nor must one without an end.", answer(200, with(results(), "NextToken", cbor.String("again"))), metric.ErrTooManySeries, "100 pages"},
		"CutConnection": {"An answer that breaks off can be asked for again.", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			write(w, 200, good)
		}, metric.ErrUnreachable, "reading the answer"},
		"RedirectedAway": {"A redirect could hand the signature to another host.", http.RedirectHandler("http://127.0.0.1:1/x", http.StatusFound).ServeHTTP, metric.ErrBadResponse, "redirects"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked++
				tc.handler(w, r)
			}))
			defer server.Close()
			s := reach(server.URL)
			s.MaxSeries, s.MaxBytes = 2, 4000
			_, err := open(t, s).Query(t.Context(), metric.Query{Expr: "x", At: at()})
			if !errors.Is(err, tc.want) {
				t.Fatalf("%s: error %v, want %v", tc.reason, err, tc.want)
			}
			if !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hunter") {
				t.Errorf("%s: error %q, want it to say %q and no secret", tc.reason, err, tc.says)
			}
			if asked != 1 && name != "EndlessPages" {
				t.Errorf("%s: asked %d times, want once", tc.reason, asked)
			}
		})
	}
}

func TestARateLimitSaysHowLongToWait(t *testing.T) {
	q := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	_, err := q.Query(t.Context(), metric.Query{Expr: "x", At: at()})
	var limited *metric.RateLimitedError
	if !errors.As(err, &limited) || limited.RetryAfter != 7*time.Second {
		t.Errorf("error %v, want to retry after 7s", err)
	}
}

func TestAQueryEndsWithItsContext(t *testing.T) {
	release := make(chan struct{})
	q := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(release) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := q.Query(ctx, metric.Query{Expr: "x", At: at()}); !errors.Is(err, metric.ErrTimeout) {
		t.Errorf("error %v, want ErrTimeout", err)
	}
}

func TestWrongQueriesAreNotAsked(t *testing.T) {
	cases := map[string]struct{ reason, expr, says string }{
		"Empty":        {"There is nothing to ask.", " ", "empty"},
		"NotJSON":      {"An array that cannot be read.", `[{"id":`, "MetricDataQuery"},
		"Typo":         {"A field that CloudWatch does not know would be lost.", `[{"id":"a","expresion":"x"}]`, "expresion"},
		"Trailing":     {"What follows would be lost as well.", `[{"id":"a","expression":"x"}] or`, "follows"},
		"None":         {"No query yields anything.", `[]`, "0 MetricDataQueries"},
		"NoID":         {"Results are told apart by id.", `[{"expression":"x"}]`, "no id"},
		"SameID":       {"So two cannot have the same.", `[{"id":"a","expression":"x"},{"id":"a","expression":"y"}]`, `"a"`},
		"Neither":      {"A query needs what to ask.", `[{"id":"a"}]`, "metricStat"},
		"Both":         {"And not two things.", `[{"id":"a","expression":"x","metricStat":{}}]`, "not both"},
		"NoneReturned": {"Queries that return nothing yield nothing.", `[{"id":"a","expression":"x","returnData":false}]`, "returnData"},
		"NoMetric":     {"A metric needs a name; the SDK says so.", `[{"id":"a","metricStat":{"stat":"Sum"}}]`, "Metric"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			q := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was asked") })
			_, err := q.Query(t.Context(), metric.Query{Expr: tc.expr, At: at()})
			if !errors.Is(err, metric.ErrBadQuery) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: error %v, want ErrBadQuery that says %q", tc.reason, err, tc.says)
			}
		})
	}
}

func TestAProviderThatCannotBeIsRefused(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*connect.Server)
		says   string
	}{
		"NoRegion":  {"Metrics live in a region.", func(s *connect.Server) { s.Spec.CloudWatch = nil }, "cloudWatch.region"},
		"NoSecret":  {"The controller's own identity is not the namespace's.", func(s *connect.Server) { s.Secret = nil }, "accessKeyID"},
		"NoID":      {"Half the credentials are none.", func(s *connect.Server) { delete(s.Secret, "accessKeyID") }, `"accessKeyID"`},
		"NoKey":     {"Nor is the other half.", func(s *connect.Server) { delete(s.Secret, "secretAccessKey") }, `"secretAccessKey"`},
		"EmptyKey":  {"An empty one signs nothing.", func(s *connect.Server) { s.Secret["secretAccessKey"] = []byte("\n") }, `"secretAccessKey"`},
		"NoURL":     {"Only HTTP is spoken.", func(s *connect.Server) { s.Spec.TargetServer = "ftp://x" }, "targetServer"},
		"BadCACert": {"A certificate that cannot be read verifies nothing.", func(s *connect.Server) { s.Certificates = connect.Secret{"ca.crt": []byte("x")} }, "ca.crt"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := reach("http://127.0.0.1:1")
			tc.change(&s)
			_, err := cloudwatch.New(s)
			if !errors.Is(err, metric.ErrConfig) || !strings.Contains(fmt.Sprint(err), tc.says) || strings.Contains(fmt.Sprint(err), "hunter") {
				t.Errorf("%s: error %v, want ErrConfig that says %q and no secret", tc.reason, err, tc.says)
			}
		})
	}
}

func TestTheRegionsOwnEndpointIsAskedByDefault(t *testing.T) {
	s := reach("")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := open(t, s).Query(ctx, metric.Query{Expr: "x", At: at()}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestAForbiddenAddressIsNotAsked(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the server was asked") }))
	defer server.Close()
	s := reach(strings.Replace(server.URL, "127.0.0.1", "localhost", 1))
	s.Addresses = outbound.Addresses{}
	_, err := open(t, s).Query(t.Context(), metric.Query{Expr: "x", At: at()})
	if !errors.Is(err, metric.ErrForbiddenAddress) {
		t.Errorf("error %v, want ErrForbiddenAddress", err)
	}
}

func TestTheProcessIdentityIsUsedWhereItMay(t *testing.T) {
	for _, name := range []string{"AWS_PROFILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	var auth string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		auth = r.Header.Get("Authorization")
		answer(200, results(result("q1", "a", []int{5}, 1)))(w, r)
	}))
	defer server.Close()
	s := reach(server.URL)
	s.Secret, s.Ambient = nil, true
	q, err := cloudwatch.NewAnywhere(s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Query(t.Context(), metric.Query{Expr: "x", At: at()}); !errors.Is(err, metric.ErrUnauthorized) || !strings.Contains(err.Error(), "no identity in AWS") {
		t.Errorf("without an identity: error %v, want ErrUnauthorized", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDPROCESS")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter4")
	if _, err := q.Query(t.Context(), metric.Query{Expr: "x", At: at()}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(auth, "Credential=AKIDPROCESS/") {
		t.Errorf("Authorization = %q", auth)
	}
}

func TestTheProcessIdentityIsShownToCloudWatchOnly(t *testing.T) {
	cases := map[string]struct {
		reason, server string
		insecure, may  bool
	}{
		"Default":    {"The SDK knows where CloudWatch is.", "", false, true},
		"Region":     {"Its address may be written out.", "https://monitoring.eu-central-1.amazonaws.com", false, true},
		"FIPS":       {"There is one for authorities.", "https://monitoring-fips.eu-central-1.amazonaws.com", false, true},
		"China":      {"China has its own domain.", "https://monitoring.eu-central-1.amazonaws.com.cn/", false, true},
		"VPC":        {"A VPC has an endpoint of its own.", "https://vpce-0a-1b.monitoring.eu-central-1.vpce.amazonaws.com", false, true},
		"Other":      {"Another's server could read what is signed.", "https://monitoring.example.com", false, false},
		"Suffix":     {"A name that ends alike is another's.", "https://monitoring.eu-central-1.evilamazonaws.com", false, false},
		"APIGateway": {"Anybody can have an API at Amazon.", "https://abc.execute-api.eu-central-1.amazonaws.com", false, false},
		"Machine":    {"Or a machine.", "https://ec2-203-0-113-1.eu-central-1.compute.amazonaws.com", false, false},
		"HTTP":       {"Anybody on the way reads http.", "http://monitoring.eu-central-1.amazonaws.com", false, false},
		"Insecure":   {"Or is CloudWatch without a certificate.", "https://monitoring.eu-central-1.amazonaws.com", true, false},
		"Nobody":     {"Also where the SDK chooses the server.", "", true, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := reach(tc.server)
			s.Secret, s.Ambient, s.Spec.InsecureSkipTLSVerify = nil, true, tc.insecure
			_, err := cloudwatch.New(s)
			if tc.may && err != nil || !tc.may && !errors.Is(err, metric.ErrConfig) {
				t.Errorf("%s: error %v", tc.reason, err)
			}
		})
	}
}

func TestCertificatesAreVerifiedUnlessToldOtherwise(t *testing.T) {
	server := httptest.NewTLSServer(answer(200, results(result("q1", "a", []int{5}, 1))))
	defer server.Close()
	s := reach(server.URL)
	if _, err := open(t, s).Query(t.Context(), metric.Query{Expr: "x", At: at()}); !errors.Is(err, metric.ErrUnreachable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error %v, want one about the certificate", err)
	}
	s.Spec.InsecureSkipTLSVerify = true
	if _, err := open(t, s).Query(t.Context(), metric.Query{Expr: "x", At: at()}); err != nil {
		t.Errorf("with insecureSkipTlsVerify: %v", err)
	}
}

func FuzzAnswersOfAnyBytesAreAResultOrAKnownError(f *testing.F) {
	f.Add(200, cbor.Encode(results(result("q1", "a", []int{2, 1}, 1, 2))))
	f.Add(200, cbor.Encode(with(results(), "Messages", cbor.List{&cbor.Nil{}})))
	f.Add(400, cbor.Encode(cbor.Map{"__type": cbor.String("x#ValidationError"), "message": cbor.String("no")}))
	f.Add(200, []byte("<html>"))
	var status int
	var text []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { write(w, status, text) }))
	f.Cleanup(server.Close)
	q, err := cloudwatch.New(reach(server.URL))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, code int, body []byte) {
		status, text = 200+(code%400+400)%400, body
		got, err := q.Query(t.Context(), metric.Query{Expr: "x", At: at(), Window: time.Hour, Step: time.Minute})
		switch {
		case err != nil && metric.Reason(err) == "Failed":
			t.Errorf("error %v is none of package metric's", err)
		case err == nil && len(got.Samples()) == 0:
			t.Error("a result without a sample")
		}
	})
}

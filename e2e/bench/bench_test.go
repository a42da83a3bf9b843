package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuantilesLieBetweenTheNearestValues(t *testing.T) {
	cases := map[string]struct {
		reason string
		values []float64
		q      float64
		want   float64
	}{
		"One":     {"A single value is all of its quantiles.", []float64{7}, 0.99, 7},
		"Odd":     {"The middle one of an odd number is the median, whatever their order.", []float64{9, 1, 5}, 0.5, 5},
		"Even":    {"The median of an even number is in the middle of two.", []float64{4, 1, 2, 3}, 0.5, 2.5},
		"Tail":    {"p90 of 1 to 11 is the tenth.", []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 0.9, 10},
		"Between": {"p99 of two is almost the greater one.", []float64{0, 100}, 0.99, 99},
		"Most":    {"The 1-quantile is the greatest.", []float64{3, 8, 2}, 1, 8},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := quantile(c.values, c.q); got != c.want {
				t.Errorf("%s quantile(%v, %v) = %v, want %v", c.reason, c.values, c.q, got, c.want)
			}
		})
	}
}

func TestQuantilesLeaveTheirValuesAlone(t *testing.T) {
	values := []float64{3, 1, 2}
	quantile(values, 0.5)
	if diff := cmp.Diff([]float64{3, 1, 2}, values); diff != "" {
		t.Error(diff)
	}
}

const printed = `goos: linux
pkg: github.com/keptn/gitops/gitsource
BenchmarkBig/idle_poll-2         	     100	   3000000 ns/op	       620.0 B-received/op	         1.000 requests/op	    2000 B/op	      30 allocs/op
BenchmarkBig/idle_poll-2         	     120	   1000000 ns/op	       620.0 B-received/op	         1.000 requests/op	    2002 B/op	      30 allocs/op
BenchmarkBig/idle_poll-2         	     110	   2000000 ns/op	       620.0 B-received/op	         1.000 requests/op	    2001 B/op	      30 allocs/op
BenchmarkBig/git_clone_depth=1   	       1	4000000000 ns/op	 301100000 B-received/op	         3.000 requests/op	   25000 B/op	     100 allocs/op
Benchmark results may vary with load
PASS
ok  	github.com/keptn/gitops/gitsource	12.3s
`

func TestBenchmarksBecomeATableOfMediansWithTheirSpread(t *testing.T) {
	results, err := parseBenchmarks(strings.NewReader(printed))
	if err != nil {
		t.Fatal(err)
	}
	got := benchmarkTable(results)
	want := table{
		columns: []string{"benchmark", "time", "received", "allocated", "allocations", "requests"},
		rows: [][]string{
			{"Big/idle poll", "2.00 ms [1.00 ms – 3.00 ms]", "620 B", "2001 B [2000 B – 2002 B]", "30", "1"},
			{"Big/git clone depth=1", "4.00 s", "301.1 MB", "25.0 kB", "100", "3"},
		},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(table{})); diff != "" {
		t.Error(diff)
	}
}

func TestANumberThatIsNoneIsAnError(t *testing.T) {
	if _, err := parseBenchmarks(strings.NewReader("BenchmarkX-2 1 fast ns/op")); err == nil || !strings.Contains(err.Error(), "X") {
		t.Errorf("got %v, want an error that names the benchmark", err)
	}
}

func TestTheTestbedSaysHowItIsReached(t *testing.T) {
	const all = `export KUBECONFIG=/bed/admin.kubeconfig
export TESTBED_DIR=/bed
export TESTBED_HOST_IP=10.89.0.1
export TESTBED_GITEA_URL=http://10.89.0.2:3000
export TESTBED_GITEA_USER=keptn
export TESTBED_GITEA_PASSWORD='with space'
export TESTBED_GITEA_TOKEN=abc=
export TESTBED_GIT_URL=http://10.89.0.2:8418
export TESTBED_GIT_ROOT='/bed/my git'
`
	parts := []string{"api", "gitea", "git"}
	got, err := parseTestbed([]byte(all), parts)
	want := testbed{
		kubeconfig: "/bed/admin.kubeconfig",
		giteaURL:   "http://10.89.0.2:3000", giteaUser: "keptn", giteaToken: "abc=", hostIP: "10.89.0.1",
		gitURL: "http://10.89.0.2:8418", gitRoot: "/bed/my git",
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(testbed{})); diff != "" || err != nil {
		t.Error(err, diff)
	}
	some := []byte(strings.ReplaceAll(all, "TESTBED_GIT_ROOT", "OTHER"))
	if _, err = parseTestbed(some, parts); err == nil || !strings.Contains(err.Error(), "TESTBED_GIT_ROOT") {
		t.Errorf("got %v, want an error that says what is missing", err)
	}
	if _, err = parseTestbed(some, []string{"api", "gitea"}); err != nil {
		t.Errorf("what nobody needs is missed: %v", err)
	}
}

func TestTheProxyCountsWhatPassesAndChangesNothing(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Seen", r.Method+" "+r.URL.RequestURI())
		_, _ = w.Write(make([]byte, 5000))
	}))
	defer server.Close()
	p, err := startProxy(t.Context(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer p.server.Close()
	for _, path := range []string{
		"/a/r.git/info/refs?service=git-upload-pack",
		"/a/r.git/git-upload-pack",
		"/api/v1/repos/a/r/commits/0123/status?page=1",
		"/api/v1/repos/a/r/statuses/0123",
	} {
		response, err := http.Get(p.url + path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := response.Header.Get("Seen"); got != "GET "+path {
			t.Errorf("the server saw %q, want %q", got, "GET "+path)
		}
	}
	if err := p.close(); err != nil { // waits for what is under way
		t.Fatal(err)
	}
	got := p.take()
	for _, what := range []string{"GET info/refs", "GET git-upload-pack", "GET status", "GET statuses"} {
		if got.count(what) != 1 {
			t.Errorf("%s was counted %d times, want 1, in %v", what, got.count(what), got.exchanges)
		}
	}
	if got.down < 4*5000 || got.down > 4*6000 || got.up < 200 || got.up > 4000 {
		t.Errorf("counted %d bytes up and %d down", got.up, got.down)
	}
	if again := p.take(); again.up != 0 || again.down != 0 || len(again.exchanges) != 0 {
		t.Errorf("what was taken is counted again: %+v", again)
	}
}

func TestStepsAreSortedByWhenTheyBegin(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	one := pushed{began: at(-300), ended: at(0), asked: at(5), seen: at(60)}
	one.traffic.exchanges = []exchange{
		{"POST statuses", at(40), at(58)}, {"GET info/refs", at(10), at(20)}, {"GET info/refs", at(70), at(90)},
	}
	got := steps([]pushed{one, {began: at(-200), ended: at(0), asked: at(7), seen: at(78)}}).rows
	want := [][]string{
		{"annotation written", "2 of 2", "0.00 ms", "6.00 ms"},
		{"`GET info/refs`", "1 of 2", "10.0 ms", "10.0 ms"},
		{"`POST statuses`", "1 of 2", "40.0 ms", "18.0 ms"},
		{"status read by the author", "2 of 2", "69.0 ms", "0.00 ms"},
		{"`GET info/refs`, number 2", "1 of 2", "70.0 ms", "20.0 ms"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheTestbedHasThePartsThatAreNeededOnce(t *testing.T) {
	all := []measurement{{parts: []string{"api", "prometheus"}}, {}, {parts: []string{"api", "git"}}}
	if diff := cmp.Diff([]string{"api", "git", "prometheus"}, partsOf(all)); diff != "" {
		t.Error(diff)
	}
	if none := partsOf(all[1:2]); len(none) != 0 {
		t.Errorf("a measurement without a testbed brings up %v", none)
	}
}

func TestCountersAreAddedUpByALabel(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, "# TYPE asked counter\nasked{method=\"GET\",code=\"200\"} 3\nasked{method=\"GET\",code=\"404\"} 1\nasked{method=\"PUT\",code=\"200\"} 5\n")
	}))
	defer server.Close()
	told, err := scrape(t.Context(), server.Client(), server.URL+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]float64{"GET": 4, "PUT": 5}, told.by("asked", "method")); diff != "" {
		t.Error(diff)
	}
	if got := told.total("asked"); got != 9 {
		t.Errorf("the total is %v, want 9", got)
	}
	if _, err := scrape(t.Context(), server.Client(), server.URL); err == nil {
		t.Error("a page that is not there is taken for one without metrics")
	}
}

func TestRequestsAreToldPerMinuteAndMethod(t *testing.T) {
	before := map[string]float64{"GET": 5, "PATCH": 100}
	for want, after := range map[string]map[string]float64{
		"PATCH 50, POST 3": {"GET": 5, "PATCH": 200, "POST": 6},
		"0":                before,
	} {
		if got := byMethod(before, after, 2); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestHalfOfTheMetricsAskTheSame(t *testing.T) {
	const n = 1000
	asked, kinds := map[string]int{}, map[string]int{}
	for i := range n {
		kind, query := question(i)
		asked[query]++
		kinds[kind]++
	}
	if diff := cmp.Diff(map[string]int{identical: n / 2, constant: n / 4, changing: n / 4}, kinds); diff != "" {
		t.Error(diff)
	}
	if len(asked) != n/2+1 {
		t.Errorf("%d different queries are asked, want %d", len(asked), n/2+1)
	}
}

func TestTheAgeOfAServedValueIsReadFromIt(t *testing.T) {
	at := time.Unix(1_700_000_010, 0)
	c := crowd{size: 8}
	text := "# TYPE changing_00003 gauge\nchanging_00003{name=\"changing-00003\"} 1.700000005e+09\n" + // asked at 1,700,000,008
		"# TYPE changing_00007 gauge\nchanging_00007{name=\"changing-00007\"} 1.6999999935e+09\n" // asked at 1,700,000,000.5
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }))
	defer server.Close()
	told, err := scrape(t.Context(), server.Client(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.agesServed(told, at)
	if diff := cmp.Diff(ages{2, 9.5}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	delete(told, "changing_00007")
	if _, err := c.agesServed(told, at); err == nil || !strings.Contains(err.Error(), "changing-00007") {
		t.Errorf("got %v, want an error that names what is not served", err)
	}
}

func TestMeasurementsAreChosenByName(t *testing.T) {
	if all, err := choose(nil); len(all) != len(measurements()) || err != nil {
		t.Errorf("without a name %d are chosen (%v), want all", len(all), err)
	}
	if two, err := choose([]string{"policy", "push"}); err != nil || len(two) != 2 || two[0].name != "policy" || two[1].name != "push" {
		t.Errorf("got %v, %v", two, err)
	}
	if _, err := choose([]string{"pull"}); err == nil || !strings.Contains(err.Error(), "poll") {
		t.Errorf("got %v, want an error that says what there is", err)
	}
}

func TestATableIsMarkdown(t *testing.T) {
	var got strings.Builder
	table{title: "T", columns: []string{"a", "b"}, rows: [][]string{{"1", "2"}}, note: "N."}.print(&got)
	const want = "\n### T\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\nN.\n"
	if got.String() != want {
		t.Error(cmp.Diff(want, got.String()))
	}
}

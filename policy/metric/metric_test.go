package metric_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keptn/gitops/policy/metric"
)

func TestANumberIsTheNewestValueOfTheOnlySeries(t *testing.T) {
	overall := 2.5
	one := metric.Series{Samples: samples(1, 7)}
	cases := map[string]struct {
		reason string
		result metric.Result
		want   float64
		err    error
	}{
		"One":     {"The newest sample, not the oldest.", metric.Result{Series: []metric.Series{one}}, 7, nil},
		"OneOf":   {"A result of one series has no need of the provider's custom.", metric.Result{Series: []metric.Series{one}, Overall: &overall}, 7, nil},
		"Overall": {"Of several the provider's custom makes a number.", metric.Result{Series: []metric.Series{one, one}, Overall: &overall}, 2.5, nil},
		"Several": {"Without a custom none is taken at random.", metric.Result{Series: []metric.Series{one, one}}, 0, metric.ErrTooManySeries},
		"None":    {"No series is no zero.", metric.Result{}, 0, metric.ErrNoData},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := tc.result.Number()
			if got != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("%s: %v, %v, want %v, %v", tc.reason, got, err, tc.want, tc.err)
			}
		})
	}
}

func TestTheSamplesAreThoseOfAllSeries(t *testing.T) {
	r := metric.Result{Series: []metric.Series{{Samples: samples(1, 2)}, {Samples: samples(3)}}}
	if diff := cmp.Diff(append(samples(1, 2), samples(3)...), r.Samples()); diff != "" {
		t.Error(diff)
	}
}

func TestAWindowBeginsBeforeItsEnd(t *testing.T) {
	q := metric.Query{At: time.Unix(100, 0), Window: time.Minute}
	if got := q.From(); !got.Equal(time.Unix(40, 0)) {
		t.Errorf("a minute before 100 s is %v", got)
	}
	q.Window = 0
	if got := q.From(); !got.Equal(q.At) {
		t.Errorf("an instant begins at %v", got)
	}
}

func TestEveryErrorHasAReason(t *testing.T) {
	for err, want := range map[error]string{
		metric.ErrNoData: "NoData", metric.ErrStale: "Stale", metric.ErrBadQuery: "BadQuery",
		metric.ErrTooManySeries: "TooManySeries", metric.ErrUnauthorized: "Unauthorized",
		metric.ErrTimeout: "Timeout", metric.ErrUnreachable: "Unreachable",
		metric.ErrForbiddenAddress: "ForbiddenAddress", metric.ErrBadResponse: "BadResponse",
		metric.ErrConfig: "Misconfigured", errors.New("other"): "Failed",
	} {
		if got := metric.Reason(fmt.Errorf("asking: %w", err)); got != want {
			t.Errorf("the reason of %v is %s, want %s", err, got, want)
		}
	}
	if got := metric.Reason(&metric.RateLimitedError{}); got != "RateLimited" {
		t.Errorf("the reason of a limit is %s", got)
	}
}

func TestARateLimitNamesTheWait(t *testing.T) {
	for wait, want := range map[time.Duration]string{0: "rate limited", 7 * time.Second: "rate limited: retry after 7s"} {
		err := &metric.RateLimitedError{RetryAfter: wait}
		if err.Error() != want || !errors.Is(err, metric.ErrRateLimited) || errors.Is(err, metric.ErrTimeout) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

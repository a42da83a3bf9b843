package report_test

import (
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/keptn/gitops/controllers/report"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource/forge"
)

func TestWhatIsExpectedIsReadWhereThatIsARequest(t *testing.T) {
	cases := map[string]struct {
		reason string
		notes  bool
		noWay  error
		want   int
	}{
		"Forge":    {"The status then is sent at once.", false, nil, 1},
		"Notes":    {"To read them is to fetch.", true, nil, 0},
		"NoSecret": {"Who has a status will hear of it.", false, repository.ErrNoCredentials, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, o *object) {
				to := place("shop", o.host, tc.noWay)
				to.Notes = tc.notes
				o.reporter.Expect(o.ctx, []repository.Destination{to}, sha, "validate")
				synctest.Wait()
				if o.host.asked != tc.want || len(o.outcomes) > 0 || len(o.news) > 0 {
					t.Errorf("%s\nasked %d times, want %d; told %v", tc.reason, o.host.asked, tc.want, o.outcomes)
				}
				if tc.noWay == nil {
					o.syncTo(false, report.Destination{Destination: to, Wanted: []forge.Status{status("validate", forge.Success, "valid")}})
					if len(o.host.set) != 1 || o.host.asked != 1 {
						t.Errorf("%s\nasked %d times, told %v", tc.reason, o.host.asked, o.host.set)
					}
				}
			})
		})
	}
}

func TestAnObjectIsNotLookedAtAgainForWhatIsInTheQueue(t *testing.T) {
	cases := map[string]struct {
		reason string
		first  error
		wait   time.Duration
	}{
		"Retrying": {"The queue tries again by itself.", &forge.RateLimitedError{RetryAfter: time.Hour}, 0},
		"PutAgain": {"What was refused has been put again, and waits for its turn.", forge.ErrUnauthorized, time.Second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, o *object) {
				valid := status("validate", forge.Success, "valid")
				o.host.refuse = tc.first
				o.sync(false, valid)
				if got := o.sync(false, valid); got.Status != metav1.ConditionFalse || got.Recheck != tc.wait {
					t.Errorf("%s\nafter the first answer: %+v", tc.reason, got)
				}
				o.host.refuse = &forge.RateLimitedError{RetryAfter: time.Hour}
				other := status("other", forge.Success, "meets the limit")
				o.sync(false, valid, other)
				time.Sleep(time.Minute)
				for range 3 {
					if got := o.sync(false, valid, other); got.Status != metav1.ConditionFalse || got.Recheck != 0 {
						t.Errorf("%s\nin the queue: %+v", tc.reason, got)
					}
				}
			})
		})
	}
}

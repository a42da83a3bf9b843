package report_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"k8s.io/utils/clock"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/report"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource/forge"
)

const sha = "0123456789abcdef0123456789abcdef01234567"

// host is a forge with one repository that notes what it is told. It runs in the
// time of the test's bubble, so nothing of it is guarded.
type host struct {
	set    []string
	asked  int
	held   map[string]forge.Status
	refuse error
	// account is whose credentials it is opened with.
	account string
}

func (h *host) Set(_ context.Context, s forge.Status) error {
	if h.refuse != nil {
		return h.refuse
	}
	h.set = append(h.set, s.Context+" "+string(s.State)+" "+s.Description)
	h.held[s.Context] = s
	return nil
}

func (h *host) Latest(_ context.Context, _, name string) (forge.Status, bool, error) {
	h.asked++
	s, found := h.held[name]
	return s, found, h.refuse
}

func (h *host) Fit(s forge.Status) forge.Status { return s }

// object is a GitSource that reports as its reconciler does.
type object struct {
	*gitopsv1alpha1.GitSource
	reporter *report.Reporter
	host     *host
	news     chan event.GenericEvent
	ctx      context.Context
	noWay    error
	// at is the name of where statuses go.
	at string
	// outcomes are what the reporter told of, each host by itself.
	mu       sync.Mutex
	outcomes []string
}

// run runs a test with a Reporter at work, in a bubble with a time of its own.
func run(t *testing.T, test func(t *testing.T, o *object)) {
	synctest.Test(t, func(t *testing.T) {
		o := &object{
			GitSource: &gitopsv1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "shop"}},
			host:      &host{held: map[string]forge.Status{}},
			news:      make(chan event.GenericEvent, 100),
		}
		o.reporter = report.New(clock.RealClock{}, func(host string, outcome forge.Outcome) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.outcomes = append(o.outcomes, host+": "+string(outcome))
		})
		ctx, cancel := context.WithCancel(t.Context())
		o.ctx = ctx
		ended := make(chan error)
		go func() { ended <- o.reporter.Start(ctx) }()
		test(t, o)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Start: %v", err)
		}
	})
}

func status(context string, state forge.State, description string) forge.Status {
	return forge.Status{Commit: sha, Context: context, State: state, Description: description, Time: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
}

// sync does what a reconcile does: it records what is reported, unless the write
// is lost, and lets the queue work.
func (o *object) sync(lost bool, wanted ...forge.Status) condition.Outcome {
	return o.syncTo(lost, report.Destination{Destination: place(o.at, o.host, o.noWay), Wanted: wanted})
}

// place is where a host shows statuses, unless there is no way to it.
func place(name string, h *host, noWay error) repository.Destination {
	return repository.Destination{Name: name, Open: func(context.Context) (forge.Destination, error) {
		return forge.Destination{Name: name, Host: "host of " + name, Repository: "shop" + name, Reporter: h, Account: h.account}, noWay
	}}
}

func (o *object) syncTo(lost bool, to ...report.Destination) condition.Outcome {
	reported, outcome := o.reporter.Sync(o.ctx, o.GitSource, o.news, to, o.Status.Reported)
	if !lost {
		o.Status.Reported = reported
	}
	synctest.Wait()
	return outcome
}

func (o *object) recorded() []string {
	lines := []string{}
	for _, r := range o.Status.Reported {
		lines = append(lines, r.Context+" "+r.State+" "+r.Description)
	}
	return lines
}

func (o *object) want(t *testing.T, reason string, told, recorded []string) {
	t.Helper()
	if diff := cmp.Diff(told, o.host.set); diff != "" {
		t.Errorf("%s\ntold (-want +got):\n%s", reason, diff)
	}
	if diff := cmp.Diff(recorded, o.recorded()); diff != "" {
		t.Errorf("%s\nrecorded (-want +got):\n%s", reason, diff)
	}
}

func TestAStatusIsSentOnceAndThenRecorded(t *testing.T) {
	run(t, func(t *testing.T, o *object) {
		valid := status("validate", forge.Success, "valid")
		if got := o.sync(false, valid); got.Status != metav1.ConditionUnknown {
			t.Errorf("it is on its way, got %+v", got)
		}
		if len(o.news) != 1 {
			t.Errorf("the object was woken %d times", len(o.news))
		}
		for range 3 {
			if got := o.sync(false, valid); got.Status != metav1.ConditionTrue || got.Recheck != 0 {
				t.Errorf("it is reported, got %+v", got)
			}
		}
		o.want(t, "one status", []string{"validate success valid"}, []string{"validate success valid"})
	})
}

func TestASourceThatMovesIsReportedAnewToWhereItIs(t *testing.T) {
	run(t, func(t *testing.T, o *object) {
		valid := status("validate", forge.Success, "valid")
		o.at = "generic https://old"
		o.sync(false, valid)
		o.sync(false, valid)
		o.at, o.host.held = "gitea https://new", map[string]forge.Status{}
		for range 3 {
			o.sync(false, valid)
		}
		o.want(t, "once to each", []string{"validate success valid", "validate success valid"}, []string{"validate success valid"})
		if got := o.Status.Reported[0].Destination; got != o.at {
			t.Errorf("recorded as shown by %q", got)
		}
	})
}

func TestALostWriteLosesNoResult(t *testing.T) {
	run(t, func(t *testing.T, o *object) {
		valid := status("validate", forge.Success, "valid")
		o.sync(false, valid)
		o.sync(true, valid)
		o.sync(true, valid)
		o.sync(false, valid)
		o.want(t, "the result is kept until it is written", []string{"validate success valid"}, []string{"validate success valid"})
	})
}

func TestWhatChangesOnTheWayIsSentToo(t *testing.T) {
	run(t, func(t *testing.T, o *object) {
		o.sync(true, status("deploy", forge.Pending, "waiting"))
		o.sync(false, status("deploy", forge.Success, "done"))
		o.sync(false, status("deploy", forge.Success, "done"))
		o.want(t, "the verdict follows", []string{"deploy pending waiting", "deploy success done"}, []string{"deploy success done"})
	})
}

func TestARefusalIsToldAndTriedAgainMoreAndMoreSeldom(t *testing.T) {
	run(t, func(t *testing.T, o *object) {
		valid := status("validate", forge.Success, "valid")
		o.host.refuse = fmt.Errorf("%w: wrong token", forge.ErrUnauthorized)
		o.sync(false, valid)
		var waits []time.Duration
		for range 9 {
			got := o.sync(false, valid)
			if got.Status != metav1.ConditionFalse || got.Reason != gitopsv1alpha1.ForgeFailedReason {
				t.Fatalf("got %+v", got)
			}
			waits = append(waits, got.Recheck)
			time.Sleep(got.Recheck)
			o.sync(false, valid)
		}
		if diff := cmp.Diff([]time.Duration{1e9, 2e9, 4e9, 8e9, 16e9, 32e9, 60e9, 60e9, 60e9}, waits); diff != "" {
			t.Errorf("waits (-want +got):\n%s", diff)
		}
		o.host.refuse = nil
		time.Sleep(4 * time.Minute)
		o.sync(false, valid)
		if got := o.sync(false, valid); got.Status != metav1.ConditionTrue {
			t.Errorf("after it healed: %+v", got)
		}
		o.want(t, "it is sent once", []string{"validate success valid"}, []string{"validate success valid"})
	})
}

func TestAForgeIsLeftAloneWithATokenThatItRefusesUntilTheSecretHasAnother(t *testing.T) {
	run(t, func(t *testing.T, o *object) {
		all := make([]forge.Status, 10)
		for i := range all {
			all[i] = status(fmt.Sprint("app", i), forge.Success, "passed")
		}
		// reconcile is what happens for so long.
		reconcile := func(during time.Duration) (outcome condition.Outcome) {
			for until := time.Now().Add(during); time.Now().Before(until); {
				outcome = o.sync(false, all...)
				for len(o.news) > 0 {
					<-o.news
					outcome = o.sync(false, all...)
				}
				time.Sleep(max(outcome.Recheck, time.Second))
			}
			return outcome
		}
		o.host.account, o.host.refuse = "old", fmt.Errorf("%w: wrong token", forge.ErrUnauthorized)
		if got := reconcile(12 * time.Hour); got.Status != metav1.ConditionFalse || got.Recheck != time.Minute {
			t.Errorf("the object says so, and looks for another token: %+v", got)
		}
		if o.host.asked > 24 {
			t.Errorf("the forge was asked %d times in 12 hours", o.host.asked)
		}
		o.host.account, o.host.refuse = "new", nil
		if got := reconcile(2 * time.Minute); got.Status != metav1.ConditionTrue || len(o.host.set) != len(all) {
			t.Errorf("the new token: %+v, %d statuses", got, len(o.host.set))
		}
	})
}

func TestOneRefusedStatusHoldsUpNoOther(t *testing.T) {
	run(t, func(t *testing.T, o *object) {
		o.host.refuse = forge.ErrRejected
		o.sync(false, status("a", forge.Success, "1"))
		o.host.refuse = nil
		got := o.sync(false, status("a", forge.Success, "1"), status("b", forge.Success, "2"))
		if got.Status != metav1.ConditionFalse {
			t.Errorf("one is still refused: %+v", got)
		}
		o.sync(false, status("a", forge.Success, "1"), status("b", forge.Success, "2"))
		o.want(t, "the other one is there", []string{"b success 2"}, []string{"b success 2"})
	})
}

func TestWithoutAWayToReportTheReasonIsSaid(t *testing.T) {
	cases := map[string]struct {
		reason string
		err    error
		want   string
	}{
		"NoToken": {"The token is missing.", repository.ErrNoCredentials, gitopsv1alpha1.NoCredentialsReason},
		"Secret":  {"The Secret is missing.", repository.ErrSecret, gitopsv1alpha1.NoCredentialsReason},
		"Other":   {"The address is wrong.", errors.New("no address"), gitopsv1alpha1.ForgeFailedReason},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, o *object) {
				o.noWay = tc.err
				if got := o.sync(false, status("a", forge.Success, "1")); got.Status != metav1.ConditionFalse || got.Reason != tc.want || got.Recheck == 0 {
					t.Errorf("%s\ngot %+v", tc.reason, got)
				}
			})
		})
	}
}

func TestStoppingWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &object{
			GitSource: &gitopsv1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
			reporter:  report.New(clock.RealClock{}, nil),
			host:      &host{held: map[string]forge.Status{}},
			news:      make(chan event.GenericEvent), // nobody receives
		}
		ctx, cancel := context.WithCancel(t.Context())
		o.ctx = ctx
		ended := make(chan error)
		go func() { ended <- o.reporter.Start(ctx) }()
		o.sync(false, status("a", forge.Success, "1"))
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Start: %v", err)
		}
	})
}

func TestWhatBecameOfEachAttemptIsTold(t *testing.T) {
	run(t, func(t *testing.T, o *object) {
		o.at = "shop"
		o.host.refuse = forge.ErrRejected
		o.sync(false, status("a", forge.Success, "1"))
		o.host.refuse = nil
		o.sync(false, status("b", forge.Success, "1"))
		want := []string{"host of shop: Failed", "host of shop: Sent"}
		if diff := cmp.Diff(want, o.outcomes); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestAForgottenObjectIsNotWoken(t *testing.T) {
	run(t, func(t *testing.T, o *object) {
		o.host.refuse = forge.ErrRejected
		o.sync(false, status("a", forge.Success, "1"))
		<-o.news
		o.reporter.Forget(o.GitSource)
		o.host.refuse = nil
		time.Sleep(time.Second)
		o.sync(false, status("a", forge.Success, "1"))
		o.want(t, "it begins anew", []string{"a success 1"}, []string{})
	})
}

func TestOneDestinationDelaysNoOther(t *testing.T) {
	cases := map[string]struct {
		reason string
		refuse error // what the first one answers
		noWay  error // why there is no way to the first one
		want   string
	}{
		"Refuses":  {"Its own condition is the worst.", forge.ErrUnauthorized, nil, gitopsv1alpha1.ForgeFailedReason},
		"NoSecret": {"It cannot even be asked.", nil, repository.ErrNoCredentials, gitopsv1alpha1.NoCredentialsReason},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, o *object) {
				notes := &host{held: map[string]forge.Status{}}
				wanted := []forge.Status{status("validate", forge.Success, "valid")}
				sync := func() condition.Outcome {
					return o.syncTo(false, report.To([]repository.Destination{place("gitea", o.host, tc.noWay), place("notes", notes, nil)}, wanted)...)
				}
				o.host.refuse = tc.refuse
				sync()
				got := sync()
				if got.Status != metav1.ConditionFalse || got.Reason != tc.want || got.Recheck == 0 {
					t.Errorf("%s\ngot %+v", tc.reason, got)
				}
				if diff := cmp.Diff([]string{"validate success valid"}, notes.set); diff != "" {
					t.Errorf("notes (-want +got):\n%s", diff)
				}
				if n := len(o.Status.Reported); n != 1 || o.Status.Reported[0].Destination != "notes" {
					t.Errorf("recorded are %+v", o.Status.Reported)
				}
				o.host.refuse, tc.noWay = nil, nil
				time.Sleep(time.Minute)
				sync()
				if got := sync(); got.Status != metav1.ConditionTrue || got.Recheck != 0 {
					t.Errorf("after it healed: %+v", got)
				}
				o.want(t, "both show it, and each is recorded", []string{"validate success valid"}, []string{"validate success valid", "validate success valid"})
				if len(notes.set) != 1 {
					t.Errorf("notes were told %q", notes.set)
				}
			})
		})
	}
}

func TestEachDestinationShowsItsOwn(t *testing.T) {
	run(t, func(t *testing.T, o *object) {
		notes := &host{held: map[string]forge.Status{}}
		valid, record := status("validate", forge.Success, "valid"), status("record", forge.Success, "")
		record.Line = `{"app":"checkout"}`
		sync := func() condition.Outcome {
			return o.syncTo(false,
				report.Destination{Destination: place("gitea", o.host, nil), Wanted: []forge.Status{valid}},
				report.Destination{Destination: place("notes", notes, nil), Wanted: []forge.Status{record}},
				report.Destination{Destination: place("nothing", nil, errors.New("nobody is to open it"))})
		}
		for range 3 {
			sync()
		}
		if got := sync(); got.Status != metav1.ConditionTrue {
			t.Errorf("got %+v", got)
		}
		if diff := cmp.Diff([]string{"record success "}, notes.set); diff != "" {
			t.Errorf("a line is sent once (-want +got):\n%s", diff)
		}
		record.Line = `{"app":"checkout","result":"success"}`
		for range 3 {
			sync()
		}
		if diff := cmp.Diff([]string{"record success ", "record success "}, notes.set); diff != "" {
			t.Errorf("another line is sent too (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"validate success valid"}, o.host.set); diff != "" {
			t.Errorf("forge (-want +got):\n%s", diff)
		}
	})
}

package forge_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/keptn/gitops/gitsource/forge"
)

func TestANewEvaluationIsNotTakenForOlderThanAVerdictWhoseAnswerWasLost(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.lost, s.answers, s.gate = true, []error{nil, forge.ErrTemporary}, make(chan struct{})
		s.ahead = time.Hour
		s.put("a", forge.Failure, 0)
		s.gate <- struct{}{} // the question is answered
		synctest.Wait()
		s.put("a", forge.Pending, 1) // while the verdict is sent
		close(s.gate)
		synctest.Wait()
		s.step(2 * time.Second)
		s.want(t, "By the forge's clock, the verdict is of later: but it is the one that was sent.",
			[]string{"ask shop a", "set shop a failure", "ask shop a", "set shop a pending"}, []string{"Sent a pending"})
	})
}

func TestWhatIsExpectedIsReadBeforehand(t *testing.T) {
	expect := func(s *stage, repo string) {
		s.queue.Expect(item(s.host, repo, "a", "", 0).Destination, knownCommit, "a")
		synctest.Wait()
	}
	cases := map[string]struct {
		reason  string
		play    func(s *stage)
		calls   []string
		results []string
	}{
		"Before": {"The status is sent at once.", func(s *stage) {
			expect(s, "shop")
			expect(s, "shop")
			s.put("a", forge.Success, 0)
			expect(s, "shop")
		}, []string{"ask shop a", "set shop a success"}, []string{"Sent a success"}},
		"Same": {"The forge cut the text, and says the same.", func(s *stage) {
			s.held["shopa"] = forge.Status{Commit: knownCommit, Context: "a", State: forge.Success, Description: "rat"}
			expect(s, "shop")
			i := item(s.host, "shop", "a", forge.Success, 0)
			i.Status.Description = "ratio 0.1 %"
			s.queue.Put(i)
			synctest.Wait()
		}, []string{"ask shop a"}, []string{"Adopted a success"}},
		"StalePending": {"The verdict was sent by the process before.", func(s *stage) {
			s.held["shopa"] = forge.Status{Commit: knownCommit, Context: "a", State: forge.Failure, Time: noon.Add(time.Minute)}
			expect(s, "shop")
			s.put("a", forge.Pending, 0)
		}, []string{"ask shop a"}, []string{"Superseded a pending"}},
		"Meanwhile": {"The status comes while the forge is asked.", func(s *stage) {
			s.gate = make(chan struct{})
			expect(s, "shop")
			s.put("a", forge.Pending, 0)
			close(s.gate)
			synctest.Wait()
		}, []string{"ask shop a", "set shop a pending"}, []string{"Sent a pending"}},
		"Waiting": {"The status takes the place of the question.", func(s *stage) {
			s.gate = make(chan struct{})
			expect(s, "store")
			expect(s, "shop")
			s.put("a", forge.Pending, 0)
			close(s.gate)
			synctest.Wait()
		}, []string{"ask store a", "ask shop a", "set shop a pending"}, []string{"Sent a pending"}},
		"Failed": {"What failed is asked anew, and told of only then.", func(s *stage) {
			s.answers = []error{forge.ErrTemporary}
			expect(s, "shop")
			s.put("a", forge.Success, 0)
		}, []string{"ask shop a", "ask shop a", "set shop a success"}, []string{"Sent a success"}},
		"Limited": {"A pause that is asked for holds.", func(s *stage) {
			s.answers = []error{&forge.RateLimitedError{RetryAfter: time.Minute}}
			expect(s, "shop")
			s.put("a", forge.Success, 0)
			s.step(59 * time.Second)
		}, []string{"ask shop a"}, nil},
		"Full": {"It takes nobody's place, and gives its own.", func(s *stage) {
			s.gate = make(chan struct{})
			s.put("busy", forge.Success, 0)
			expect(s, "shop")
			expect(s, "store")
			s.put("b", forge.Success, 0)
			expect(s, "depot")
			s.put("c", forge.Success, 0)
			close(s.gate)
			synctest.Wait()
		}, []string{"ask shop busy", "set shop busy success", "ask shop b", "set shop b success", "ask shop c", "set shop c success"},
			[]string{"Sent busy success", "Sent b success", "Sent c success"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *stage) {
				tc.play(s)
				s.want(t, tc.reason, tc.calls, tc.results)
			}, forge.WithCapacity(2))
		})
	}
}

func TestAnAnswerAboutAllContextsOfACommitIsUsedForAMinute(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.held["shopc"] = forge.Status{Commit: knownCommit, Context: "c", State: forge.Success}
		put := func(repo, name string) {
			i := item(s.host, repo, name, forge.Success, 0)
			i.Destination.Reporter = showing{repository{s.host, repo}}
			s.queue.Put(i)
			synctest.Wait()
		}
		put("shop", "a")
		put("shop", "b")
		put("shop", "c")
		s.want(t, "One question tells of them all.", []string{"show shop", "set shop a success", "set shop b success"},
			[]string{"Sent a success", "Sent b success", "Adopted c success"})
		put("store", "a")
		s.want(t, "It tells of no other repository.", []string{"show store", "set store a success"}, []string{"Sent a success"})
		s.step(61 * time.Second)
		s.lost, s.answers = true, []error{nil, forge.ErrTemporary}
		put("shop", "d")
		s.step(2 * time.Second)
		s.want(t, "Others may have written meanwhile, and so has who got no answer.",
			[]string{"show shop", "set shop d success", "show shop"}, []string{"Retrying d success", "Adopted d success"})
		s.part = true
		put("depot", "a")
		put("depot", "b")
		s.want(t, "What is not the whole tells of one.",
			[]string{"show depot", "set depot a success", "show depot", "set depot b success"}, []string{"Sent a success", "Sent b success"})
	})
}

func TestWhatIsBeingSentIsNotPutASecondTime(t *testing.T) {
	play(t, func(t *testing.T, s *stage) {
		s.gate = make(chan struct{})
		s.put("a", forge.Success, 0)
		s.gate <- struct{}{} // the question is answered
		synctest.Wait()
		s.put("a", forge.Success, 0)
		close(s.gate)
		synctest.Wait()
		s.want(t, "Its owner is told once.", []string{"ask shop a", "set shop a success"}, []string{"Sent a success"})
		s.gate = make(chan struct{})
		s.put("a", forge.Failure, 1)
		s.put("a", forge.Success, 2)
		s.put("a", forge.Failure, 3)
		close(s.gate)
		synctest.Wait()
		s.want(t, "It is put for all that if something else was to be sent after it.",
			[]string{"set shop a failure"}, []string{"Sent a failure", "Adopted a failure"})
	})
}

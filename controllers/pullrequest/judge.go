package pullrequest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/check"
	"github.com/keptn/gitops/controllers/condition"
	"github.com/keptn/gitops/controllers/remote"
	"github.com/keptn/gitops/controllers/report"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/gitsource/manifest"
)

// A judgement is what was found of a head.
type judgement struct {
	head forge.Head
	// commit is the head in full.
	commit string
	// validity is whether what it holds is valid.
	validity forge.Status
	// dry are the verdicts of a dry evaluation, and undone says why there are none where
	// they are asked for.
	dry    []verdict
	undone string
	// unverified says that nothing of it was read.
	unverified bool
	// tried is when its comment was last refused.
	tried time.Time
}

// told is what was told to the pull request of a number; nil if nothing was.
func (s *scope) told(number int64) *gitopsv1alpha1.ToldPullRequest {
	all := s.source.Status.PullRequests
	i := slices.IndexFunc(all, func(t gitopsv1alpha1.ToldPullRequest) bool { return t.Number == number })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// isNews says whether a head, whose commit a forge may abbreviate, is to be judged: it was
// not told, is not judged already, and could be read as far as that was tried.
func (s *scope) isNews(head forge.Head) bool {
	told, j := s.told(head.Number), s.memory.judged[head.Number]
	switch {
	case !gitname.IsCommitish(head.Commit): // the forge does not know it yet
		return false
	case s.memory.unread[head.Number] != nil:
		return false
	case j != nil:
		return !strings.HasPrefix(j.commit, head.Commit)
	default:
		return told == nil || !strings.HasPrefix(told.Head, head.Commit) || s.lacks(told)
	}
}

// lacks says whether more is asked for now than a pull request was told.
func (s *scope) lacks(told *gitopsv1alpha1.ToldPullRequest) bool {
	return validates(&s.asked) && told.State == "" || s.asked.Evaluate && !told.Evaluated || s.asked.Comment && told.Comment == ""
}

// reconsider makes those news again that were refused for their signature and would not be
// today.
func (r *Reconciler) reconsider(ctx context.Context, s *scope) {
	ctx, cancel := context.WithTimeout(ctx, remote.Timeout(s.source))
	defer cancel()
	told := s.source.Status.PullRequests
	for i := range told {
		if !told[i].Unverified {
			continue
		}
		if _, err := r.Repositories.Verify(ctx, s.repo, s.origin, told[i].Head); err == nil {
			told[i].Head, told[i].Unverified = "", false
		}
	}
}

// unjudged is how many heads are yet to be judged.
func (s *scope) unjudged() int {
	n := 0
	for _, head := range s.memory.heads {
		if s.isNews(head) {
			n++
		}
	}
	return n
}

// judgeAll judges the heads that are news, a few at a time. One that cannot be read is
// left until the forge is asked again.
func (r *Reconciler) judgeAll(ctx context.Context, s *scope) error {
	judged := 0
	for i := range s.memory.heads {
		head := &s.memory.heads[i]
		switch {
		case !s.isNews(*head):
			continue
		case judged == atOnce:
			s.recheck = time.Millisecond
			continue
		}
		judged++
		if err := r.judge(ctx, s, head); err != nil {
			s.memory.unread[head.Number] = err
		}
	}
	for _, head := range s.memory.heads {
		if err := s.memory.unread[head.Number]; err != nil {
			s.problems = append(s.problems, fmt.Errorf("pull request %d cannot be read: %w", head.Number, err))
		}
	}
	return ctx.Err()
}

// judge reads a head as the watched branch is read, and has it name the commit that its
// ref is at, which may be newer than the one that the forge has listed.
func (r *Reconciler) judge(ctx context.Context, s *scope, head *forge.Head) error {
	fetching, cancel := context.WithTimeout(ctx, remote.Timeout(s.source))
	defer cancel()
	ref := gitsource.Ref{Name: head.Ref}
	if head.Ref == "" {
		ref = gitsource.Ref{Commit: head.Commit}
	}
	revision, err := s.repo.Fetch(fetching, ref)
	if err != nil {
		s.silent = fetching.Err() != nil
		return err
	}
	head.Commit = revision.Commit
	if !s.isNews(*head) {
		return nil
	}
	j := &judgement{head: *head, commit: revision.Commit}
	limited, cancel := context.WithTimeout(ctx, reading)
	defer cancel()
	found, err := r.examine(limited, s, j)
	s.silent = errors.Is(err, gitsource.ErrUnreachable)
	if ctx.Err() == nil && !s.silent && errors.Is(limited.Err(), context.DeadlineExceeded) {
		j.undone = "it was not read to its end"
		j.validity = forge.Status{State: forge.Error, Description: fmt.Sprintf("not read to its end within %s", reading)}
		err = nil
	}
	if err != nil {
		return err
	}
	if s.asked.Evaluate && j.undone == "" {
		r.dryRun(ctx, s, j, found)
	}
	s.memory.judged[head.Number] = j
	return nil
}

// examine says whether what a head holds is valid, and why it must not be evaluated, if so.
// Of one that is not signed by whom it should be nothing is read.
func (r *Reconciler) examine(ctx context.Context, s *scope, j *judgement) (*manifest.Found, error) {
	_, err := r.Repositories.Verify(ctx, s.repo, s.origin, j.commit)
	var refused *repository.Unverified
	switch {
	case errors.As(err, &refused):
		j.unverified, j.undone = true, "it is not signed by a known key"
		j.validity = forge.Status{State: forge.Failure, Description: refused.Error()}
		return nil, nil //nolint:nilnil // nothing is read
	case err != nil:
		return nil, err
	}
	found, err := check.Tree(ctx, s.repo.Tree(ctx, j.commit), s.origin.Paths)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", gitname.Short(j.commit), err)
	}
	j.validity = check.Validity(found)
	switch {
	case j.head.Fork:
		j.undone = "it comes from a fork"
	case j.validity.State != forge.Success:
		j.undone = "it is not valid"
	}
	return found, nil
}

// statuses are what the commit of a judgement is to show.
func (s *scope) statuses(j *judgement) []forge.Status {
	var all []forge.Status
	if validates(&s.asked) {
		validity := j.validity
		validity.Context = s.origin.ContextPrefix + "/" + check.ValidateContext
		validity.Report = s.text(j)
		all = append(all, validity)
	}
	if s.asked.Evaluate {
		all = append(all, dryStatuses(s.origin.ContextPrefix, j.dry)...)
	}
	for i := range all {
		all[i].Commit = j.commit
		if j.head.Fork { // the repository has it on no branch
			all[i].Ref = j.head.Ref
		}
	}
	return all
}

func validates(asked *gitopsv1alpha1.PullRequests) bool {
	return asked.Validate == nil || *asked.Validate
}

// yield leaves it to another source to say whether pull requests are valid, if that came
// first and does.
func (r *Reconciler) yield(ctx context.Context, s *scope) error {
	if !validates(&s.asked) {
		return nil
	}
	by, err := report.Writer(ctx, r, s.source, func(other *gitopsv1alpha1.GitSource) bool {
		into, err := gitsource.ParseRevision(other.Status.ObservedRevision)
		return !other.Spec.Suspend && other.Spec.PullRequests != nil && validates(other.Spec.PullRequests) &&
			report.TellsPullRequests(other) && (err != nil || into.Name == s.origin.Observed.Name)
	})
	if by == nil || err != nil {
		return err
	}
	s.asked.Validate = new(false)
	s.taken = new(report.Taken(s.source, by, s.origin.ContextPrefix+"/"+check.ValidateContext))
	return nil
}

// report has the commits show what was found of them, at the forge alone: Git notes are
// for what is delivered.
func (r *Reconciler) report(ctx context.Context, s *scope) error {
	var wanted []forge.Status
	for _, head := range s.memory.heads {
		if j := s.memory.judged[head.Number]; j != nil {
			wanted = append(wanted, s.statuses(j)...)
		}
	}
	var to []repository.Destination
	for _, d := range r.Repositories.Destinations(s.origin) {
		if !d.Notes {
			to = append(to, d)
		}
	}
	reported, outcome := r.Reporter.Sync(ctx, owned{s.source}, r.news, report.To(to, wanted), s.memory.reported)
	s.memory.reported = reported
	if outcome.Recheck > 0 {
		s.recheck = min(s.recheck, outcome.Recheck)
	}
	if outcome.Status == metav1.ConditionFalse {
		s.problems = append(s.problems, errors.New(outcome.Message))
	}
	return nil
}

// shows says whether a commit shows all that it is to show.
func (s *scope) shows(j *judgement) bool {
	for _, status := range s.statuses(j) {
		if !slices.ContainsFunc(s.memory.reported, func(r gitopsv1alpha1.ReportedStatus) bool {
			return r.Commit == status.Commit && r.Context == status.Context && r.State == string(status.State) && r.Description == status.Description
		}) {
			return false
		}
	}
	return true
}

// comment keeps the comments that are asked for, and notes which pull requests have been
// told all. After one that the forge refuses it is left alone for a while, and then others
// go first.
func (r *Reconciler) comment(ctx context.Context, s *scope) error {
	m := s.memory
	told := map[int64]*gitopsv1alpha1.ToldPullRequest{}
	var ready []*judgement
	for _, head := range m.heads {
		told[head.Number] = s.told(head.Number)
		if j := m.judged[head.Number]; j != nil && s.shows(j) {
			ready = append(ready, j)
		}
	}
	slices.SortStableFunc(ready, func(a, b *judgement) int { return a.tried.Compare(b.tried) })
	for _, j := range ready {
		number := j.head.Number
		if !r.Clock.Now().Before(m.quiet) {
			now, err := r.tell(ctx, s, j, told[number])
			if err == nil {
				told[number] = now
				delete(m.judged, number)
				continue
			}
			j.tried = r.Clock.Now()
			m.leave(err, j.tried)
		}
		s.problems = append(s.problems, m.refused)
		s.recheck = min(s.recheck, m.quiet.Sub(r.Clock.Now()))
		break
	}
	var keep []gitopsv1alpha1.ToldPullRequest
	for _, head := range m.heads {
		if one := told[head.Number]; one != nil {
			keep = append(keep, *one)
		}
	}
	s.source.Status.PullRequests = keep
	return ctx.Err()
}

// tell brings the comment up to date, if one is asked for, and returns what the pull
// request was told in all.
func (r *Reconciler) tell(ctx context.Context, s *scope, j *judgement, before *gitopsv1alpha1.ToldPullRequest) (*gitopsv1alpha1.ToldPullRequest, error) {
	now := &gitopsv1alpha1.ToldPullRequest{
		Destination: s.origin.ForgeName(), Number: j.head.Number, Head: j.commit, Fork: j.head.Fork, Unverified: j.unverified, Evaluated: s.asked.Evaluate,
	}
	if validates(&s.asked) {
		now.State = string(j.validity.State)
	}
	if before != nil {
		now.Comment = before.Comment
	}
	if !s.asked.Comment {
		return now, nil
	}
	to, err := r.Repositories.Forge(ctx, s.origin)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, remote.Timeout(s.source))
	defer cancel()
	now.Comment, err = to.Reviews.Comment(ctx, j.head.Number, forge.Comment{
		ID: now.Comment, Key: s.origin.ContextPrefix + "/" + s.source.Namespace + "/" + s.source.Name, Text: s.text(j),
	})
	now.Comment = condition.Bounded(now.Comment, 128)
	return now, err
}

// conclude says how it stands with all pull requests.
func (s *scope) conclude() {
	waiting := len(s.memory.judged) + s.unjudged()
	o := condition.Ready(gitopsv1alpha1.ToldReason, "%d open into %s", len(s.memory.heads), s.base)
	switch {
	case len(s.problems) > 0:
		o = condition.Failed(gitopsv1alpha1.ForgeFailedReason, "%v", s.problems[0])
	case waiting > 0:
		o = condition.Waiting(tellingReason, "%d of %d open into %s are yet to be told", waiting, len(s.memory.heads), s.base)
	}
	if s.taken != nil && o.Status == metav1.ConditionTrue {
		o = *s.taken
	}
	condition.Set(s.source, gitopsv1alpha1.PullRequestsCondition, o)
}

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/gitname"
	"github.com/keptn/gitops/gitsource"
)

// How much a record keeps of the commits that it delivers.
const (
	maxDelivered     = 50
	maxDeliveredSize = 128 << 10 // bytes, of all of them
	maxFiles         = 100
	maxTrailers      = 20
	maxCommitMessage = 4096 // bytes, of the delivered commit
	maxOtherMessage  = 512  // bytes, of those before it
	maxSignature     = 256  // bytes, of a name and of an address
)

// addCommits notes the delivered commit, and those of the app that came with it
// since the previous good delivery.
func (r *Reconciler) addCommits(ctx context.Context, s *scope, kav *lifecyclev1.KeptnAppVersion) error {
	delivered := kav.Spec.Commit
	own, err := s.app.Commit(ctx, delivered.SHA)
	if err != nil {
		return fmt.Errorf("read the delivered commit: %w", err)
	}
	evidence, repository := delivered.Evidence, delivered.Repository
	if *delivered, err = s.commitRecord(ctx, own, maxCommitMessage); err != nil {
		return err
	}
	delivered.Evidence, delivered.Repository = evidence, repository
	commits, truncated, err := s.broughtBy(ctx, delivered.SHA, s.lastGood())
	if errors.Is(err, gitsource.ErrCommitNotFound) {
		kav.Spec.CommitsTruncated = true // history was rewritten, and nobody knows any more what came since
		return nil
	}
	kav.Spec.Commits, kav.Spec.CommitsTruncated = commits, truncated
	return err
}

// lastGood is the commit of the newest delivery that passed, or empty.
func (s *scope) lastGood() string {
	for i := range s.deliveries {
		if d := &s.deliveries[i]; d.Spec.Commit != nil && d.Status.Status.Passed() {
			return d.Spec.Commit.SHA
		}
	}
	return ""
}

// broughtBy are the commits of the app that are in one commit's history and not
// in another's, newest first.
func (s *scope) broughtBy(ctx context.Context, sha, since string) (commits []lifecyclev1.Commit, truncated bool, err error) {
	limit := maxDelivered
	if since == "" {
		limit = 1
	}
	size := 0
	for c, err := range s.appCommits(ctx, sha, since) {
		if err != nil {
			return nil, false, fmt.Errorf("read the commits that it brings: %w", err)
		}
		if len(commits) == limit {
			return commits, since != "", nil
		}
		record, err := s.commitRecord(ctx, c, maxOtherMessage)
		if err != nil {
			return nil, false, err
		}
		if size += sizeOf(record); size > maxDeliveredSize {
			return commits, true, nil
		}
		commits = append(commits, record)
	}
	return commits, false, nil
}

// commitRecord is what a record keeps of a commit.
func (s *scope) commitRecord(ctx context.Context, c *gitsource.Commit, message int) (lifecyclev1.Commit, error) {
	files, err := s.app.ChangedPaths(ctx, c.SHA)
	if err != nil {
		return lifecyclev1.Commit{}, fmt.Errorf("read what %s changes: %w", gitname.Short(c.SHA), err)
	}
	trailers := c.Trailers()
	record := lifecyclev1.Commit{
		SHA:            c.SHA,
		Author:         head(c.Author.Name, maxSignature),
		Email:          head(c.Author.Email, maxSignature),
		Message:        head(c.Message, message),
		AuthoredAt:     metav1.NewTime(c.Author.When.UTC()),
		Files:          files[:min(len(files), maxFiles)],
		FilesTruncated: len(files) > maxFiles,
	}
	for _, t := range trailers[:min(len(trailers), maxTrailers)] {
		if record.Trailers == nil {
			record.Trailers = map[string][]string{}
		}
		key := strings.ToLower(head(t.Key, maxSignature))
		record.Trailers[key] = append(record.Trailers[key], head(t.Value, maxSignature))
	}
	return record, nil
}

// sizeOf is about how many bytes a record of a commit takes.
func sizeOf(c lifecyclev1.Commit) int {
	size := len(c.Message) + len(c.Author) + len(c.Email)
	for _, file := range c.Files {
		size += len(file)
	}
	for key, values := range c.Trailers {
		size += len(key) + len(strings.Join(values, ""))
	}
	return size
}

// head is the begin of a text, so many bytes at most, in whole runes.
func head(text string, n int) string {
	return strings.ToValidUTF8(text[:min(len(text), n)], "")
}

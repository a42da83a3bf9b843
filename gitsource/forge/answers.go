package forge

import (
	"crypto/sha256"
	"fmt"
	"net/http"

	"k8s.io/utils/lru"
)

const (
	// maxAnswers bounds how many answers are kept, and maxKept how long one may be, in
	// bytes: together at most 16 MiB.
	maxAnswers = 64
	maxKept    = 256 << 10
)

// Answers keeps what forges answered to reads with an ETag, so that asking again costs
// nothing of a limit as long as nothing has changed: the forge then says so in an answer
// without content (RFC 9110, section 13.1.2). Nothing is taken from here that the forge
// has not just confirmed to the same credential. It may be used by several goroutines at
// once, and by any number of targets.
type Answers struct{ kept *lru.Cache }

// NewAnswers returns an empty store of the last few answers.
func NewAnswers() *Answers { return &Answers{lru.New(maxAnswers)} }

// answerKey is the same for the same credential, asking the same.
type answerKey [sha256.Size]byte

func keyOfAnswer(request *http.Request, sent Token) answerKey {
	return sha256.Sum256(fmt.Appendf(nil, "%d %s %s", len(sent), string(sent), request.URL))
}

// offer adds to a read what the forge is asked to confirm, and returns it; nil if there
// is nothing.
func (a *Answers) offer(request *http.Request, sent Token) *answer {
	if request.Method != http.MethodGet {
		return nil
	}
	held, ok := a.kept.Get(keyOfAnswer(request, sent))
	if !ok {
		return nil
	}
	kept := held.(*answer) //nolint:forcetypeassert // nothing else is put in
	request.Header.Set("If-None-Match", kept.header.Get("Etag"))
	return kept
}

// keep remembers an answer that the forge can confirm later.
func (a *Answers) keep(request *http.Request, got answer) {
	if request.Method != http.MethodGet || got.code != http.StatusOK || got.header.Get("Etag") == "" || len(got.body) > maxKept {
		return
	}
	a.kept.Add(keyOfAnswer(request, got.sent), &got)
}

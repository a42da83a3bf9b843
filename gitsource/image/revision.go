package image

import (
	"regexp"
	"strings"

	"github.com/distribution/reference"
)

// revisionForm is a commit, alone or after what it was found by: main/<commit>,
// 6.1.8/<commit>, main@sha1:<commit>, refs/heads/main@sha1:<commit>.
var revisionForm = regexp.MustCompile(`^(?:.*[/@]|.*@?sha1:)?([0-9a-f]{7,40}|[0-9a-f]{64})$`)

// CommitIn is the commit that a revision names, in full or abbreviated to seven digits
// at least, in lower case; empty if it names none. The digest of an artifact
// (latest@sha256:…) is no commit.
func CommitIn(revision string) string {
	found := revisionForm.FindStringSubmatch(strings.ToLower(strings.TrimSpace(revision)))
	if found == nil {
		return ""
	}
	return found[1]
}

// A tag holds a commit as sha-<commit> (docker/metadata-action), as …-g<commit> (git
// describe), in full, or abbreviated among other parts (main-<commit>-<time>).
var (
	markedForm = regexp.MustCompile(`(?:^|[-_.])(?:sha-|sha_|g)([0-9a-f]{7,40})(?:$|[-_.])`)
	fullForm   = regexp.MustCompile(`(?:^|[-_.])([0-9a-f]{40})(?:$|[-_.])`)
	shortForm  = regexp.MustCompile(`[0-9a-f]+`)
)

// CommitInTag is the commit that the tag of an image reference holds, in full or
// abbreviated to seven digits at least; empty if it holds none. Digits that are not
// marked as a commit are taken for one only if there are letters and figures among
// them, so that neither a date nor a word is.
func CommitInTag(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	tagged, ok := named.(reference.Tagged)
	if !ok {
		return ""
	}
	return commitInTag(tagged.Tag())
}

func commitInTag(tag string) string {
	for _, form := range []*regexp.Regexp{markedForm, fullForm} {
		if found := form.FindStringSubmatch(tag); found != nil {
			return found[1]
		}
	}
	for _, part := range strings.FieldsFunc(tag, func(r rune) bool { return strings.ContainsRune("-_.", r) }) {
		if len(part) >= 7 && len(part) <= 40 && shortForm.FindString(part) == part &&
			strings.ContainsAny(part, "abcdef") && strings.ContainsAny(part, "0123456789") {
			return part
		}
	}
	return ""
}

package forge

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Token is a secret that formats and marshals as a placeholder.
type Token string

// redacted stands where a secret was.
const redacted = "(redacted)"

// Format implements fmt.Formatter for every verb.
func (Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText implements encoding.TextMarshaler.
func (Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// oneLine returns text as one line of printable runes: runs of white space
// become one blank, control characters and invalid UTF-8 are replaced.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " ")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, text)
}

// cut returns text in at most limit runes; the last is an ellipsis if some
// were left out.
func cut(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	return strings.TrimRight(string([]rune(text)[:limit-1]), " ") + "…"
}

// shortName returns name in at most limit runes. One that is too long ends in
// a hash of the whole, so that two long names never become one.
func shortName(name string, limit int) string {
	if utf8.RuneCountInString(name) <= limit {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	suffix := "~" + hex.EncodeToString(sum[:4])
	return string([]rune(name)[:limit-len(suffix)]) + suffix
}

// fit cuts the texts of a status to the limits of the forge.
func (r row) fit(s Status) Status {
	s.Context = shortName(oneLine(s.Context), r.context)
	s.Description = cut(oneLine(s.Description), r.description)
	s.TargetURL = oneLine(s.TargetURL)
	return s
}

// check refuses a status that no forge would take.
func (s Status) check() error {
	digits := strings.Trim(s.Commit, "0123456789abcdef") == ""
	switch {
	case !digits || len(s.Commit) != 40 && len(s.Commit) != 64:
		return fmt.Errorf("commit %q: not a full object name of 40 or 64 lower-case hexadecimal digits: %w", s.Commit, ErrRejected)
	case strings.TrimSpace(s.Context) == "":
		return fmt.Errorf("commit %s: a status needs a context: %w", s.Commit, ErrRejected)
	case !s.State.valid():
		return fmt.Errorf("commit %s: context %q: unknown state %q: %w", s.Commit, s.Context, s.State, ErrRejected)
	case s.Line != "":
		return s.checkLine()
	}
	return nil
}

// checkShown refuses what a forge that shows statuses cannot take.
func (s Status) checkShown() error {
	if s.Line != "" {
		return fmt.Errorf("commit %s: context %q: a record is kept in Git notes alone: %w", s.Commit, s.Context, ErrRejected)
	}
	return s.check()
}

// checkLine refuses a line that a note cannot hold, or that would be read as a status.
func (s Status) checkLine() error {
	if !utf8.ValidString(s.Line) || strings.ContainsFunc(s.Line, unicode.IsControl) || len(s.Line) > maxLine || strings.TrimSpace(s.Line) == "" {
		return fmt.Errorf("commit %s: context %q: its record is not one line of text of at most %d bytes: %w", s.Commit, s.Context, maxLine, ErrRejected)
	}
	if _, err := ParseNote(s.Commit, s.Line); err == nil {
		return fmt.Errorf("commit %s: context %q: its record would be read as a status: %w", s.Commit, s.Context, ErrRejected)
	}
	return nil
}

// maxLine is how many bytes a record in a note may have.
const maxLine = 64 << 10

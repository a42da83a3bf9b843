// Package gitname tells what names mean in Git: those of commits, and the URLs of
// repositories. It asks nobody, and imports nothing of this project.
package gitname

const (
	sha1Digits   = 40
	sha256Digits = 64
	// fewestDigits is what an abbreviation has at least, as Git prints it
	// (core.abbrev in git-config(1)).
	fewestDigits = 7
)

// IsCommit says whether s is the name of a commit in full: 40 lower-case hexadecimal
// digits, or 64 in a repository of SHA-256.
func IsCommit(s string) bool {
	return (len(s) == sha1Digits || len(s) == sha256Digits) && isHex(s)
}

// IsCommitish says whether s is the name of a commit in full, or abbreviated to no
// fewer than seven digits.
func IsCommitish(s string) bool {
	return len(s) >= fewestDigits && len(s) <= sha256Digits && isHex(s)
}

// Short is the name of a commit as people write it: its first seven digits.
func Short(commit string) string { return commit[:min(fewestDigits, len(commit))] }

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

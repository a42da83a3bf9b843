package lifecycle

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// The longest name that Kubernetes takes, and what is left at least of each
// part when a name is shortened. Both are Keptn's.
const (
	maxName     = 253
	minNamePart = 80
)

// resourceName joins the parts with dashes into a valid object name. A name that
// is too long loses the ends of its earlier parts first.
func resourceName(parts ...string) string {
	kept := make([]string, len(parts))
	length := len(parts) - 1
	for i, p := range parts {
		kept[i] = strings.ReplaceAll(strings.ToLower(p), "_", "-")
		length += len(kept[i])
	}
	for i := range kept {
		excess := min(length-maxName, len(kept[i])-minNamePart)
		if excess > 0 {
			kept[i] = strings.TrimRight(kept[i][:len(kept[i])-excess], "-.")
			length -= excess
		}
	}
	return strings.Join(kept, "-")
}

// digest is the first n hex digits of a hash over the parts; the same parts
// always give the same digits, and no two lists of parts run together.
func digest(n int, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])[:n]
}

// short is a commit as people write it.
func short(sha string) string {
	return sha[:min(7, len(sha))]
}

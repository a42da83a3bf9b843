package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// The longest name that Kubernetes takes, and what is left at least of each part
// when a name is shortened. Both are Keptn's.
const (
	maxName     = 253
	minNamePart = 80
)

// ResourceName joins the parts with dashes into a valid object name, as Keptn
// does: in lower case, with dashes for what a name cannot hold, and where it is
// too long without the ends of its earlier parts. A name of which nothing is left
// is a digest of the parts.
func ResourceName(parts ...string) string {
	kept := make([]string, len(parts))
	length := len(parts) - 1
	for i, p := range parts {
		kept[i] = strings.Map(allowed, strings.ToLower(p))
		length += len(kept[i])
	}
	least := minNamePart
	for least*len(parts)+len(parts)-1 > maxName {
		least /= 2
	}
	for i := range kept {
		if excess := min(length-maxName, len(kept[i])-least); excess > 0 {
			kept[i] = strings.TrimRight(kept[i][:len(kept[i])-excess], "-.")
			length -= excess
		}
	}
	if name := wellFormed(strings.Join(kept, "-")); name != "" {
		return name
	}
	return Digest(10, parts...)
}

// allowed turns what no name can hold into a dash.
func allowed(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' {
		return r
	}
	return '-'
}

// wellFormed drops the dashes and dots that are at no place for them: each part
// between two dots begins and ends with a letter or a digit.
func wellFormed(name string) string {
	var labels []string
	for label := range strings.SplitSeq(name, ".") {
		if label = strings.Trim(label, "-"); label != "" {
			labels = append(labels, label)
		}
	}
	return strings.Join(labels, ".")
}

// WithoutApp is the name by which an app lists a KeptnWorkload of the given name:
// without the name of the app before it, which may have been shortened.
func WithoutApp(app, name string) string {
	for n := len(app); n >= min(minNamePart, len(app)) && n > 0; n-- {
		rest, found := strings.CutPrefix(name, app[:n]+"-")
		if found && rest != "" && (n == len(app) || ResourceName(app, rest) == name) {
			return rest
		}
	}
	return name
}

// Digest is the first n hex digits of a hash over the parts; the same parts
// always give the same digits, and no two lists of parts run together.
func Digest(n int, parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])[:n]
}

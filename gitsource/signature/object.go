package signature

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"
)

// A Tag is an annotated tag as it was signed.
type Tag struct {
	Signed
	// Name that the tag has in itself, without refs/tags/: a reference may have another.
	Name string
	// Object is the name of the object that it is about, and Type its type: commit, or for
	// a tag of a tag tag.
	Object, Type string
}

// errNoTag: what should be an annotated tag does not begin as one.
var errNoTag = errors.New("not an annotated tag")

// OfCommit finds what is signed of a commit, and the signature, in the commit as Git
// stores it: https://git-scm.com/docs/gitformat-signature. Of several signatures all are
// returned, which [Keys.Verify] refuses.
func OfCommit(raw []byte) Signed {
	o := split(raw)
	return Signed{Payload: o.payload, Signature: strings.Join(o.signatures, ""), Time: timeOf(o.first["committer"])}
}

// OfTag finds what is signed of an annotated tag, and the signature, in the tag as Git
// stores it: the signature is the end of the message, from the last line on that begins
// one. An error says that it is no tag.
func OfTag(raw []byte) (Tag, error) {
	o := split(raw)
	t := Tag{Name: o.first["tag"], Object: o.first["object"], Type: o.first["type"]}
	if t.Name == "" || t.Object == "" || t.Type == "" {
		return Tag{}, errNoTag
	}
	at := beginOfSignature(o.payload)
	t.Signed = Signed{Payload: o.payload[:at], Signature: string(o.payload[at:]), Time: timeOf(o.first["tagger"])}
	return t, nil
}

// beginOfSignature is where the last line begins that begins a signature, or the end.
func beginOfSignature(text []byte) int {
	found := len(text)
	for at := 0; at < len(text); {
		line := text[at:]
		for _, begin := range []string{pgpBegin, pgpMessageBegin, sshBegin, x509Begin} {
			if bytes.HasPrefix(line, []byte(begin)) {
				found = at
			}
		}
		end := bytes.IndexByte(line, '\n')
		if end < 0 {
			break
		}
		at += end + 1
	}
	return found
}

// object is a commit or a tag, taken apart.
type object struct {
	// payload is all but the headers that hold signatures.
	payload []byte
	// signatures are the values of gpgsig, each line with its end.
	signatures []string
	// first are the first values of headers by their names.
	first map[string]string
}

// Headers that hold signatures: of the object as it is in a repository of SHA-1, and of
// what it is in one of SHA-256. Neither is part of what is signed.
const (
	signatureHeader = "gpgsig"
	sha256Header    = "gpgsig-sha256"
)

// split takes an object apart. Headers end at the first empty line; a line that begins
// with a space goes on with the header before it.
func split(raw []byte) object {
	o := object{payload: make([]byte, 0, len(raw)), first: map[string]string{}}
	name, rest := "", raw
	for len(rest) > 0 && rest[0] != '\n' {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		whole := rest[:len(rest)-len(after)]
		rest = after
		value, goesOn := bytes.CutPrefix(line, []byte(" "))
		if !goesOn {
			name, value = cutName(line)
		}
		switch {
		case name == signatureHeader && goesOn:
			o.signatures[len(o.signatures)-1] += string(value) + "\n"
		case name == signatureHeader:
			o.signatures = append(o.signatures, string(value)+"\n")
		case name == sha256Header:
		default:
			o.payload = append(o.payload, whole...)
			if _, known := o.first[name]; !known {
				o.first[name] = string(value)
			}
		}
	}
	o.payload = append(o.payload, rest...)
	return o
}

// cutName takes the name of a header off its line. A line without a space has none.
func cutName(line []byte) (name string, value []byte) {
	before, after, found := bytes.Cut(line, []byte(" "))
	if !found {
		return "", line
	}
	return string(before), after
}

// timeOf is when somebody did something: "Name <email> seconds zone".
func timeOf(person string) time.Time {
	_, after, found := strings.Cut(person[max(0, strings.LastIndexByte(person, '>')):], "> ")
	seconds, _, _ := strings.Cut(after, " ")
	at, err := strconv.ParseInt(seconds, 10, 64)
	if !found || err != nil || at < 0 || at > 1<<40 {
		return time.Time{}
	}
	return time.Unix(at, 0).UTC()
}

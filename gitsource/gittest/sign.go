package gittest

import (
	"strings"
)

// Sign replaces the newest commit of the branch by the same one with a signature, which
// sign makes of what is to be signed, and returns it.
func (r *Repo) Sign(branch string, sign func(payload string) string) string {
	r.t.Helper()
	payload := r.Git("cat-file", "commit", "refs/heads/"+branch) + "\n"
	header, message, _ := strings.Cut(payload, "\n\n")
	text := strings.ReplaceAll(strings.TrimSpace(sign(payload)), "\n", "\n ")
	signed := r.GitInput(header+"\ngpgsig "+text+"\n\n"+message, "hash-object", "-t", "commit", "-w", "--stdin")
	r.ForcePush(branch, signed)
	return signed
}

// SignedTag makes an annotated tag with a signature, which sign makes of what is to be
// signed, and returns the tag's own name as an object.
func (r *Repo) SignedTag(name, commit string, sign func(payload string) string) string {
	r.t.Helper()
	payload := "object " + commit + "\ntype commit\ntag " + name + "\ntagger Tess Ter <tess@example.com> 1704110400 +0000\n\n" + name + "\n"
	tag := r.GitInput(payload+sign(payload), "hash-object", "-t", "tag", "-w", "--stdin")
	r.Git("update-ref", "refs/tags/"+name, tag)
	return tag
}

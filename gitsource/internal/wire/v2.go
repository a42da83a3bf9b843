package wire

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
)

// maxPreambleBytes bounds what a remote says before a pack, and of what it can do.
const maxPreambleBytes = 1 << 20

// maxPrefix bounds the prefix asked for. No ref has a name so long.
const maxPrefix = 4096

// Features are what a remote of version 2 can do.
type Features struct {
	// Agent and ObjectFormat say whether it may be told ours, and Filter whether it sends
	// parts of a repository.
	Agent        bool `json:"agent,omitempty"`
	ObjectFormat bool `json:"objectFormat,omitempty"`
	Filter       bool `json:"filter,omitempty"`
}

// readFeatures reads a capability advertisement (gitprotocol-v2(5), "Capability
// Advertisement"), which over HTTP comes after a line with the name of the service.
func readFeatures(r io.Reader) (*Features, error) {
	in := packets{r: &strictReader{r, maxPreambleBytes, "a list of capabilities without an end"}}
	f, commands := &Features{}, map[string]bool{}
	for begun := false; ; {
		kind, line, err := in.next()
		if err != nil {
			return nil, err
		}
		if kind == flush && begun {
			break
		}
		begun = begun || string(line) == versionTwo
		key, value, _ := strings.Cut(string(line), "=")
		switch key {
		case "ls-refs", "fetch":
			commands[key] = true
			f.Filter = f.Filter || slices.Contains(strings.Fields(value), "filter")
		case "agent":
			f.Agent = true
		case "object-format":
			if f.ObjectFormat = true; value != sha1Format {
				return nil, fmt.Errorf("%w: it is %s", ErrObjectFormat, printable(value))
			}
		}
	}
	if len(commands) < 2 {
		return nil, fmt.Errorf("%w: the remote speaks version 2 and cannot do both ls-refs and fetch", ErrProtocol)
	}
	return f, nil
}

// command is a request: a command and its arguments ("Command Request").
func (f *Features) command(name string, arguments []string) []byte {
	out := appendLine(nil, "command="+name)
	if f.Agent {
		out = appendLine(out, "agent="+capability.DefaultAgent())
	}
	if f.ObjectFormat {
		out = appendLine(out, "object-format="+sha1Format)
	}
	out = append(out, delimPkt...)
	for _, a := range arguments {
		out = appendLine(out, a)
	}
	return append(out, flushPkt...)
}

// listRefs asks for the refs whose names begin with one of the prefixes, or for all if
// there are none ("ls-refs"), of which it reads at most so many as are wanted.
func (s *Session) listRefs(ctx context.Context, most int, prefixes []string) (Refs, error) {
	arguments := []string{"peel", "symrefs"}
	for _, p := range prefixes {
		arguments = append(arguments, "ref-prefix "+p[:min(len(p), maxPrefix)])
	}
	answer, err := s.link.ask(ctx, s.known.V2.command("ls-refs", arguments))
	if err != nil {
		return Refs{}, err
	}
	defer func() { _ = answer.Close() }() // it was read as far as it matters
	in := packets{r: &strictReader{answer, maxRefsBytes, fmt.Sprintf("the refs have more than %d bytes", maxRefsBytes)}}
	refs := newRefs()
	for len(refs.At) < most {
		kind, line, err := in.next()
		if err != nil {
			return Refs{}, err
		}
		if kind == flush {
			return refs, nil
		}
		if err := refs.add(string(line)); err != nil {
			return Refs{}, err
		}
	}
	s.spent = true
	return refs, nil
}

// add reads a line of ls-refs: an object name, the ref's name, and attributes. A name that
// no ref can have is left out, as Git does.
func (r *Refs) add(line string) error {
	fields := strings.Split(line, " ")
	if len(fields) < 2 {
		return fmt.Errorf("%w: %s is no ref", ErrProtocol, printable(line))
	}
	name := fields[1]
	if fields[0] == "unborn" || !isRef(name) {
		return nil
	}
	at, err := objectName(fields[0])
	if err != nil {
		return err
	}
	if _, twice := r.At[name]; twice {
		return fmt.Errorf("%w: the ref %s is listed twice", ErrProtocol, printable(name))
	}
	r.At[name] = at
	for _, attribute := range fields[2:] {
		if err := r.describe(name, attribute); err != nil {
			return err
		}
	}
	return nil
}

// describe reads an attribute of a ref.
func (r *Refs) describe(name, attribute string) (err error) {
	if target, ok := strings.CutPrefix(attribute, "symref-target:"); ok && name == headName && isRef(target) {
		r.Head = target
	}
	if tagged, ok := strings.CutPrefix(attribute, "peeled:"); ok {
		r.Peeled[name], err = objectName(tagged)
	}
	return err
}

// headName is the only name of a ref that is not below refs/.
const headName = "HEAD"

// isRef tells whether a ref can have the name.
func isRef(name string) bool {
	return name == headName || plumbing.ReferenceName(name).Validate() == nil
}

func objectName(s string) (h plumbing.Hash, err error) {
	if len(s) != hex.EncodedLen(len(h)) {
		return h, fmt.Errorf("%w: %s is no object name", ErrProtocol, printable(s))
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil {
		return h, fmt.Errorf("%w: %s is no object name", ErrProtocol, printable(s))
	}
	return h, nil
}

// askForPack requests a pack ("fetch"), and returns it as it comes.
func (s *Session) askForPack(ctx context.Context, r Request) (io.ReadCloser, error) {
	arguments := []string{"no-progress", "ofs-delta"}
	if r.Filter != "" {
		arguments = append(arguments, "filter "+r.Filter)
	}
	for _, h := range r.Wants {
		arguments = append(arguments, "want "+h.String())
	}
	for _, h := range r.Haves {
		arguments = append(arguments, "have "+h.String())
	}
	answer, err := s.link.ask(ctx, s.known.V2.command("fetch", append(arguments, "done")))
	if err != nil {
		return nil, err
	}
	if err := s.readPreamble(answer); err != nil {
		return nil, errors.Join(err, answer.Close())
	}
	// Each packet may hold as little as a byte of the pack, and there may be packets about
	// the progress although nobody asked for them.
	most := maxPreambleBytes + 2*r.Limit
	if r.Limit > maxPackBytes {
		most = r.Limit
	}
	all := &strictReader{answer, most, "a pack with more about it than in it"}
	return limitedBody{sideband.NewDemuxer(sideband.Sideband64k, all), answer}, nil
}

// maxPackBytes is half of what a count of bytes can be.
const maxPackBytes = 1 << 61

// readPreamble reads what comes before a pack.
func (s *Session) readPreamble(answer io.Reader) error {
	in := packets{r: &strictReader{answer, maxPreambleBytes, "an answer that never comes to its pack"}}
	s.shallow, s.fetched = nil, true
	for {
		kind, line, err := in.next()
		switch {
		case err != nil:
			return err
		case kind == flush:
			return fmt.Errorf("%w: an answer without a pack", ErrProtocol)
		case kind == lineOf && string(line) == "packfile":
			return nil
		case kind == lineOf && string(line) == "shallow-info":
			s.partlyShallow = true
		}
		if name, ok := strings.CutPrefix(string(line), "shallow "); ok {
			h, err := objectName(name)
			if err != nil {
				return err
			}
			s.shallow = append(s.shallow, h)
		}
	}
}

// printable shows what a remote said, and not all of it.
func printable(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}

package packs

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// A Commit is what a commit says, its signatures aside.
type Commit struct {
	Tree              plumbing.Hash
	Parents           []plumbing.Hash
	Author, Committer Person
	Message           string
}

// A Person did something to a commit at some time.
type Person struct {
	Name, Email string
	// Seconds are of Unix time, Zone is in seconds east of Greenwich. Without a time that
	// can be read they are those of the zero [time.Time].
	Seconds int64
	Zone    int
}

// When is the time, in the person's zone.
func (p Person) When() time.Time {
	if p.Zone == 0 {
		return time.Unix(p.Seconds, 0).UTC()
	}
	return time.Unix(p.Seconds, 0).In(time.FixedZone("", p.Zone))
}

// An Entry is what a tree says about one name.
type Entry struct {
	Name string
	Mode filemode.FileMode
	Hash plumbing.Hash
}

// decodeCommit reads a commit as Git does: the tree comes first, then the parents, the
// author and the committer; what is out of its place does not count.
func decodeCommit(data []byte) (*Commit, error) {
	header, message, _ := bytes.Cut(data, []byte("\n\n"))
	tree, header, err := nameIn(header, "tree ")
	if err != nil || tree == nil {
		return nil, errors.Join(errors.New("a commit without a tree"), err)
	}
	c := &Commit{Tree: *tree, Message: string(message)}
	for {
		var parent *plumbing.Hash
		if parent, header, err = nameIn(header, "parent "); err != nil {
			return nil, err
		}
		if parent == nil {
			break
		}
		c.Parents = append(c.Parents, *parent)
	}
	author, header := cutLine(header, "author ")
	committer, _ := cutLine(header, "committer ")
	c.Author, c.Committer = decodePerson(author), decodePerson(committer)
	return c, nil
}

// cutLine takes the first line off if it begins with key, and returns what comes after.
func cutLine(text []byte, key string) (value, rest []byte) {
	line, rest, _ := bytes.Cut(text, []byte("\n"))
	value, ok := bytes.CutPrefix(line, []byte(key))
	if !ok {
		return nil, text
	}
	return value, rest
}

// nameIn takes an object name off, nil if the first line has another key.
func nameIn(text []byte, key string) (*plumbing.Hash, []byte, error) {
	value, rest := cutLine(text, key)
	if value == nil {
		return nil, text, nil
	}
	var h plumbing.Hash
	if len(value) != hex.EncodedLen(len(h)) {
		return nil, text, fmt.Errorf("a commit whose %sis %d characters long", key, len(value))
	}
	if _, err := hex.Decode(h[:], value); err != nil {
		return nil, text, fmt.Errorf("a commit whose %sis no object name: %w", key, err)
	}
	return &h, rest, nil
}

// decodePerson reads "Name <email> seconds zone".
func decodePerson(line []byte) Person {
	p := Person{Seconds: time.Time{}.Unix()}
	open, end := bytes.LastIndexByte(line, '<'), bytes.LastIndexByte(line, '>')
	if open < 0 || end < open {
		return p
	}
	p.Name, p.Email = string(bytes.Trim(line[:open], " ")), string(line[open+1:end])
	if end+2 >= len(line) {
		return p
	}
	seconds, zone, _ := bytes.Cut(line[end+2:], []byte(" "))
	at, err := strconv.ParseInt(string(seconds), 10, 64)
	if err != nil {
		return p
	}
	p.Seconds, p.Zone = at, decodeZone(zone)
	return p
}

// decodeZone reads an offset such as -0730; what is none is 0.
func decodeZone(zone []byte) int {
	if len(zone) < 5 {
		return 0
	}
	n, err := strconv.Atoi(string(zone[:5]))
	if err != nil {
		return 0
	}
	return (n/100*60 + n%100) * 60
}

// eachEntry visits the entries of a tree until visit returns false.
func eachEntry(tree []byte, visit func(mode, name, hash []byte) bool) error {
	for len(tree) > 0 {
		mode, rest, ok := bytes.Cut(tree, []byte(" "))
		name, rest, terminated := bytes.Cut(rest, []byte{0})
		if !ok || !terminated || len(name) == 0 || len(rest) < len(plumbing.ZeroHash) {
			return errors.New("a tree that ends within an entry, or has one without a name")
		}
		if !visit(mode, name, rest[:len(plumbing.ZeroHash)]) {
			return nil
		}
		tree = rest[len(plumbing.ZeroHash):]
	}
	return nil
}

func decodeEntry(mode, name, hash []byte) (Entry, error) {
	m, err := strconv.ParseUint(string(mode), 8, 32)
	if err != nil {
		return Entry{}, fmt.Errorf("a tree with the mode %q: %w", mode, err)
	}
	return Entry{Name: string(name), Mode: canonical(uint32(m)), Hash: plumbing.Hash(hash)}, nil
}

// canonical is the mode that Git takes another for (canon_mode in its cache.h).
func canonical(mode uint32) filemode.FileMode {
	const kind, regular, link, folder = 0o170000, 0o100000, 0o120000, 0o040000
	switch {
	case mode&kind == regular && mode&0o100 != 0:
		return filemode.Executable
	case mode&kind == regular:
		return filemode.Regular
	case mode&kind == link:
		return filemode.Symlink
	case mode&kind == folder:
		return filemode.Dir
	}
	return filemode.Submodule
}

// decodeTree returns all entries of a tree.
func decodeTree(data []byte) ([]Entry, error) {
	var entries []Entry
	var bad error
	err := eachEntry(data, func(mode, name, hash []byte) bool {
		var e Entry
		e, bad = decodeEntry(mode, name, hash)
		entries = append(entries, e)
		return bad == nil
	})
	return entries, errors.Join(err, bad)
}

// findEntry returns the first entry of a name.
func findEntry(data []byte, name string) (e Entry, found bool, err error) {
	var bad error
	err = eachEntry(data, func(mode, n, hash []byte) bool {
		if string(n) != name {
			return true
		}
		found = true
		e, bad = decodeEntry(mode, n, hash)
		return false
	})
	return e, found, errors.Join(err, bad)
}

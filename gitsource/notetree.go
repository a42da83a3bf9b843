package gitsource

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"
)

// A noteTree is a tree as git-notes(1) reads it: the path of a note, its slashes
// aside, is the object name of the commit that it is about.
type noteTree struct {
	// notes maps a commit to the blobs of its note, usually one.
	notes map[string][]plumbing.Hash
	// others are entries that are no notes, by path. Git keeps them, and so do we.
	others map[string]entry
	// trees are the trees read, which the remote therefore has.
	trees map[plumbing.Hash]bool
}

// maxNotes bounds the notes of one ref, for the names of all of them are in memory at
// once.
const maxNotes = 1_000_000

func newNoteTree() *noteTree {
	return &noteTree{notes: map[string][]plumbing.Hash{}, others: map[string]entry{}, trees: map[plumbing.Hash]bool{}}
}

// notes reads the notes at the view's root.
func (v view) notes() (*noteTree, error) {
	t := newNoteTree()
	return t, v.walkNotes(noteVisitor{
		read:  func(tree plumbing.Hash) { t.trees[tree] = true },
		note:  func(commit string, blob plumbing.Hash) { t.notes[commit] = append(t.notes[commit], blob) },
		other: func(path string, e entry) { t.others[path] = e },
	})
}

// A noteVisitor is told what there is in a tree of notes.
type noteVisitor struct {
	// read is called for each tree that is read, note for each blob of a commit's note,
	// and other for what is no note.
	read  func(tree plumbing.Hash)
	note  func(commit string, blob plumbing.Hash)
	other func(path string, e entry)
}

// walkNotes visits the notes at the view's root, in the order of their paths.
func (v view) walkNotes(visitor noteVisitor) error {
	c, err := v.commit(v.root)
	if err != nil {
		return err
	}
	if err := v.fetchBelow(true, c.Tree); err != nil {
		return err
	}
	w := noteWalk{view: v, noteVisitor: visitor}
	return w.folder("", "", c.Tree)
}

// A noteWalk goes through a tree of notes.
type noteWalk struct {
	view
	noteVisitor
	// looked counts the entries read.
	looked int
}

// folder visits what is in a folder; digits are its path without the slashes.
func (w *noteWalk) folder(at, digits string, tree plumbing.Hash) error {
	entries, err := w.tree(tree)
	if err != nil {
		return err
	}
	w.read(tree)
	for _, e := range entries {
		if err := w.entry(at, digits, e); err != nil {
			return err
		}
	}
	return nil
}

// entry visits what is in a folder: a folder of notes, a note, or something else.
func (w *noteWalk) entry(at, digits string, e entry) error {
	if w.looked++; w.looked > maxNotes {
		return fmt.Errorf("%w: more than %d notes", ErrTooLarge, maxNotes)
	}
	isFolder, isFile := e.mode == filemode.Dir, writable(e.mode)
	named := strings.Trim(e.name, "0123456789abcdefABCDEF") == ""
	switch length := len(digits) + len(e.name); {
	case named && isFolder && len(e.name) == 2 && length < 40:
		return w.folder(below(at, e.name), digits+e.name, e.hash)
	case named && isFile && length == 40:
		w.note(strings.ToLower(digits+e.name), e.hash)
	default:
		w.other(below(at, e.name), e)
	}
	return nil
}

// entries lists the tree's files by path, one blob for a commit. Notes are spread over folders of two
// digits as soon as one folder would hold many, which Git does likewise.
func (t *noteTree) entries() map[string]entry {
	const flat = 256
	fanout := 0
	for n := len(t.notes); n > flat; n /= flat {
		fanout++
	}
	all := make(map[string]entry, len(t.notes)+len(t.others))
	for p, e := range t.others {
		all[p] = e
	}
	for commit, blobs := range t.notes {
		all[notePath(commit, fanout)] = entry{mode: filemode.Regular, hash: blobs[0]}
	}
	return all
}

func notePath(commit string, fanout int) string {
	var p strings.Builder
	for i := range fanout {
		p.WriteString(commit[2*i:2*i+2] + "/")
	}
	return p.String() + commit[2*fanout:]
}

// An objectSet holds objects that are made.
type objectSet struct {
	all map[plumbing.Hash]plumbing.EncodedObject
}

func newObjectSet() *objectSet {
	return &objectSet{all: map[plumbing.Hash]plumbing.EncodedObject{}}
}

func (s *objectSet) add(encode func(plumbing.EncodedObject) error) (plumbing.Hash, error) {
	o := &plumbing.MemoryObject{}
	if err := encode(o); err != nil {
		return plumbing.ZeroHash, fmt.Errorf("making Git objects: %w", err)
	}
	s.all[o.Hash()] = o
	return o.Hash(), nil
}

func (s *objectSet) blob(content string) (plumbing.Hash, error) {
	return s.add(func(o plumbing.EncodedObject) error {
		o.SetType(plumbing.BlobObject)
		w, err := o.Writer()
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, content)
		return errors.Join(err, w.Close())
	})
}

// tree makes a tree of files by path, and those below it.
func (s *objectSet) tree(files map[string]entry) (plumbing.Hash, error) {
	folders := map[string]map[string]entry{}
	t := &object.Tree{}
	for p, e := range files {
		name, rest, nested := strings.Cut(p, "/")
		if !nested {
			t.Entries = append(t.Entries, object.TreeEntry{Name: name, Mode: e.mode, Hash: e.hash})
			continue
		}
		if folders[name] == nil {
			folders[name] = map[string]entry{}
		}
		folders[name][rest] = e
	}
	for name, below := range folders {
		h, err := s.tree(below)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		t.Entries = append(t.Entries, object.TreeEntry{Name: name, Mode: filemode.Dir, Hash: h})
	}
	sort.Sort(object.TreeEntrySorter(t.Entries))
	return s.add(t.Encode)
}

func (s *objectSet) commit(tree, parent plumbing.Hash, by Signature, message string) (plumbing.Hash, error) {
	who := object.Signature{Name: by.Name, Email: by.Email, When: by.When}
	c := &object.Commit{Author: who, Committer: who, Message: message, TreeHash: tree}
	if !parent.IsZero() {
		c.ParentHashes = []plumbing.Hash{parent}
	}
	return s.add(c.Encode)
}

// pack writes the objects but those the remote is known to have.
func (s *objectSet) pack(has map[plumbing.Hash]bool) ([]byte, error) {
	storage := memory.NewStorage()
	var hashes []plumbing.Hash
	for h, o := range s.all {
		if has[h] {
			continue
		}
		if _, err := storage.SetEncodedObject(o); err != nil {
			return nil, err
		}
		hashes = append(hashes, h)
	}
	var pack bytes.Buffer
	_, err := packfile.NewEncoder(&pack, storage, false).Encode(unique(hashes), 0)
	return pack.Bytes(), err
}

// Package packs keeps Git objects on disk as packs in a bare repository.
//
// A [DB] takes in packs whole or not at all, answers for single objects, merges
// packs when they become many, and tells a missing object ([ErrMissing]) from a
// damaged store ([ErrCorrupt]). It never talks to a remote, never walks history and
// never deletes an object; what a damaged store needs is for its owner to decide.
package packs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// The errors that callers decide on.
var (
	// ErrMissing: there is no such object here.
	ErrMissing = errors.New("object is missing")
	// ErrCorrupt: files are damaged or gone.
	ErrCorrupt = errors.New("object store is corrupt")
	// ErrBadPack: a pack that came in is damaged or incomplete.
	ErrBadPack = errors.New("pack is damaged")
	// ErrTooLarge: an object exceeds the limit given.
	ErrTooLarge = errors.New("object is too large")
)

// A SizeError is ErrTooLarge of one object.
type SizeError struct {
	// Kind is what it is, as "a blob"; Name its name, if that is known.
	Kind, Name string
	// Size and Limit are in bytes.
	Size, Limit int64
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("%v: %s of %d bytes, and the limit is %d", ErrTooLarge, strings.TrimSpace(e.Kind+" "+e.Name), e.Size, e.Limit)
}

// Unwrap returns ErrTooLarge.
func (e *SizeError) Unwrap() error { return ErrTooLarge }

// A MissingError is [ErrMissing] of one object.
type MissingError struct{ Object plumbing.Hash }

// Error implements error.
func (e *MissingError) Error() string { return fmt.Sprintf("%v: %s", ErrMissing, e.Object) }

// Unwrap makes it ErrMissing.
func (e *MissingError) Unwrap() error { return ErrMissing }

// A DB is an object store in one directory, for one process. It is safe for
// concurrent use.
type DB struct {
	dir string // "" for a repository of somebody else's
	// reopen is set for a repository that others change, which is looked at anew
	// before an object counts as missing.
	reopen func() (*filesystem.Storage, error)

	mu sync.Mutex
	// storage reads what belongs to somebody else, and files what is ours; nil until
	// used, and after Reset.
	storage *filesystem.Storage
	files   *files
}

// Open returns the store in dir, a bare repository that is made if need be. What a
// process killed in the middle of a write left behind is removed.
func Open(dir string) (*DB, error) {
	db := &DB{dir: dir}
	return db, db.prepare()
}

// InPlace reads a repository that belongs to somebody else, and opens it by the
// function given. Ingest, Compact, Bytes and Reset are not for it.
func InPlace(open func() (*filesystem.Storage, error)) *DB { return &DB{reopen: open} }

func (db *DB) packDir() string { return filepath.Join(db.dir, "objects", "pack") }

func (db *DB) prepare() error {
	if err := os.MkdirAll(db.packDir(), 0o755); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(db.dir, "refs"), 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"HEAD":   "ref: refs/heads/main\n",
		"config": "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
	} {
		file := filepath.Join(db.dir, name)
		if there, err := os.ReadFile(file); err == nil && string(there) == text {
			continue
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return db.sweep()
}

// sweep removes temporary files, and indexes without their pack.
func (db *DB) sweep() error {
	files, err := os.ReadDir(db.packDir())
	if err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(db.packDir(), f.Name())
		orphan := false
		if pack, ok := strings.CutSuffix(path, ".idx"); ok {
			_, err := os.Stat(pack + ".pack")
			orphan = os.IsNotExist(err)
		}
		if orphan || strings.HasPrefix(f.Name(), "tmp_") {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// Reset deletes all objects.
func (db *DB) Reset() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	err := db.closeLocked()
	return errors.Join(err, os.RemoveAll(db.dir), db.prepare())
}

// Close releases the open files; the store opens them again when it is used.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.closeLocked()
}

func (db *DB) closeLocked() (err error) {
	if db.storage != nil {
		err = db.storage.ObjectStorage.Close()
	}
	if db.files != nil {
		err = errors.Join(err, db.files.close())
	}
	db.storage, db.files = nil, nil
	return err
}

// Bytes is how much disk the store takes.
func (db *DB) Bytes() (int64, error) {
	var sum int64
	files, err := os.ReadDir(db.packDir())
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			sum += info.Size()
		}
	}
	return sum, err
}

// Has tells whether the object is here.
func (db *DB) Has(h plumbing.Hash) (found bool, err error) {
	err = db.with(h, func(s *filesystem.Storage) error {
		_, err := sizeOf(s, h) // HasEncodedObject does not look into alternates
		found = err == nil
		return err
	}, func(f *files) error {
		p, _, err := f.find(h)
		found = p != nil
		return err
	})
	if errors.Is(err, ErrMissing) {
		return false, nil
	}
	return found && err == nil, err
}

// Commit returns a commit.
func (db *DB) Commit(h plumbing.Hash) (c *Commit, err error) {
	err = db.read(plumbing.CommitObject, h, func(data []byte) (err error) {
		c, err = decodeCommit(data)
		return err
	})
	return c, err
}

// Tree returns the entries of a tree, in Git's order.
func (db *DB) Tree(h plumbing.Hash) (entries []Entry, err error) {
	err = db.read(plumbing.TreeObject, h, func(data []byte) (err error) {
		entries, err = decodeTree(data)
		return err
	})
	return entries, err
}

// Entry returns what a tree says about a name.
func (db *DB) Entry(tree plumbing.Hash, name string) (e Entry, found bool, err error) {
	err = db.read(plumbing.TreeObject, tree, func(data []byte) (err error) {
		e, found, err = findEntry(data, name)
		return err
	})
	return e, found, err
}

// Blob returns a file's content, or ErrTooLarge if it has more than limit bytes, in
// which case it is not read.
func (db *DB) Blob(h plumbing.Hash, limit int64) (content []byte, err error) {
	if size, err := db.BlobSize(h); err != nil {
		return nil, err
	} else if size > limit {
		return nil, &SizeError{"a blob", h.String(), size, limit}
	}
	err = db.read(plumbing.BlobObject, h, func(data []byte) error {
		content = bytes.Clone(data)
		return nil
	})
	return content, err
}

// BlobSize returns how many bytes a file has.
func (db *DB) BlobSize(h plumbing.Hash) (size int64, err error) {
	err = db.with(h, func(s *filesystem.Storage) (err error) {
		size, err = sizeOf(s, h)
		return err
	}, func(f *files) (err error) {
		size, err = f.size(h)
		return err
	})
	return size, err
}

// sizeOf is the size of an object, which is not read unless it is in another repository that
// this one borrows from.
func sizeOf(s *filesystem.Storage, h plumbing.Hash) (int64, error) {
	size, err := s.EncodedObjectSize(h)
	if !errors.Is(err, plumbing.ErrObjectNotFound) {
		return size, err
	}
	o, err := s.EncodedObject(plumbing.AnyObject, h)
	if err != nil {
		return 0, err
	}
	return o.Size(), nil
}

// read hands an object over, which is only lent.
func (db *DB) read(t plumbing.ObjectType, h plumbing.Hash, use func(data []byte) error) error {
	return db.with(h, func(s *filesystem.Storage) error {
		o, err := s.EncodedObject(t, h)
		if err != nil {
			return err
		}
		r, err := o.Reader()
		if err != nil {
			return err
		}
		data, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
		return use(data)
	}, func(f *files) error {
		o, err := f.read(h)
		if err != nil {
			return err
		}
		if o.kind != t {
			return plumbing.ErrObjectNotFound
		}
		return use(o.data)
	})
}

// with uses what the objects are in while no other goroutine moves the files, and gives
// an error its kind. All but "not found" are damage here. After one they are opened
// anew, at once if others may have changed them.
func (db *DB) with(h plumbing.Hash, inPlace func(*filesystem.Storage) error, own func(*files) error) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	err := db.useLocked(inPlace, own)
	if err != nil && db.reopen != nil {
		err = errors.Join(db.closeLocked(), db.useLocked(inPlace, own))
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, plumbing.ErrObjectNotFound) && !db.promisedLocked(h):
		return &MissingError{h}
	}
	return errors.Join(Fault(fmt.Errorf("reading %s: %w", h, err)), db.closeLocked())
}

// promisedLocked tells whether an index in place names an object that no pack holds:
// go-git does not tell a truncated pack from a missing object.
func (db *DB) promisedLocked(h plumbing.Hash) bool {
	return db.useLocked(func(s *filesystem.Storage) error {
		if err := s.HasEncodedObject(h); err != nil {
			return err
		}
		if _, err := s.EncodedObject(plumbing.AnyObject, h); err == nil {
			return errors.New("it is here, if of another type")
		}
		return nil
	}, func(*files) error { return plumbing.ErrObjectNotFound }) == nil
}

func (db *DB) useLocked(inPlace func(*filesystem.Storage) error, own func(*files) error) (err error) {
	if db.reopen != nil {
		if db.storage == nil {
			if db.storage, err = db.reopen(); err != nil {
				return err
			}
		}
		return inPlace(db.storage)
	}
	if db.files == nil {
		all, err := db.packs()
		if err != nil {
			return err
		}
		if db.files, err = openFiles(all, db.path); err != nil {
			return err
		}
	}
	return own(db.files)
}

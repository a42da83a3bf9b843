// Package packs keeps Git objects on disk as packs in a bare repository.
//
// A [DB] takes in packs whole or not at all, answers for single objects, merges
// packs when they become many, and tells a missing object ([ErrMissing]) from a
// damaged store ([ErrCorrupt]). It never talks to a remote, never walks history and
// never deletes an object; what a damaged store needs is for its owner to decide.
package packs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// The errors that callers decide on.
var (
	// ErrMissing: there is no such object here.
	ErrMissing = errors.New("object is missing")
	// ErrCorrupt: files are damaged or gone.
	ErrCorrupt = errors.New("object store is corrupt")
	// ErrTooLarge: an object exceeds the limit given.
	ErrTooLarge = errors.New("object is too large")
)

// cacheBytes bounds the decoded objects that one DB keeps in memory.
const cacheBytes = 4 * cache.MiByte

// A DB is an object store in one directory, for one process. It is safe for
// concurrent use.
type DB struct {
	dir string // "" for a repository of somebody else's
	// reopen is set for a repository that others change, which is looked at anew
	// before an object counts as missing.
	reopen func() (*filesystem.Storage, error)

	mu      sync.Mutex
	storage *filesystem.Storage // nil until used, and after Reset
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
		if err := os.WriteFile(filepath.Join(db.dir, name), []byte(text), 0o644); err != nil {
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

func (db *DB) closeLocked() error {
	if db.storage == nil {
		return nil
	}
	err := db.storage.ObjectStorage.Close()
	db.storage = nil
	return err
}

func (db *DB) openLocked() (*filesystem.Storage, error) {
	switch {
	case db.storage != nil:
	case db.reopen != nil:
		storage, err := db.reopen()
		if err != nil {
			return nil, err
		}
		db.storage = storage
	default:
		db.storage = filesystem.NewStorageWithOptions(osfs.New(db.dir), cache.NewObjectLRU(cacheBytes),
			filesystem.Options{KeepDescriptors: true})
	}
	return db.storage, nil
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
func (db *DB) Has(h plumbing.Hash) (bool, error) {
	err := db.with(h, func(s *filesystem.Storage) error {
		if db.reopen != nil { // HasEncodedObject does not look into alternates
			_, err := s.EncodedObject(plumbing.AnyObject, h)
			return err
		}
		return s.HasEncodedObject(h)
	})
	if errors.Is(err, ErrMissing) {
		return false, nil
	}
	return err == nil, err
}

// Commit returns a commit.
func (db *DB) Commit(h plumbing.Hash) (*object.Commit, error) {
	c := &object.Commit{}
	return c, db.read(plumbing.CommitObject, h, c.Decode)
}

// Tree returns the entries of a tree, in Git's order.
func (db *DB) Tree(h plumbing.Hash) ([]object.TreeEntry, error) {
	t := &object.Tree{}
	err := db.read(plumbing.TreeObject, h, t.Decode)
	return t.Entries, err
}

// Tag returns an annotated tag.
func (db *DB) Tag(h plumbing.Hash) (*object.Tag, error) {
	t := &object.Tag{}
	return t, db.read(plumbing.TagObject, h, t.Decode)
}

// Blob returns a file's content, or ErrTooLarge if it has more than limit bytes, in
// which case it is not read.
func (db *DB) Blob(h plumbing.Hash, limit int64) ([]byte, error) {
	if size, err := db.BlobSize(h); err != nil {
		return nil, err
	} else if size > limit {
		return nil, fmt.Errorf("%w: blob %s has %d bytes, and the limit is %d", ErrTooLarge, h, size, limit)
	}
	var content []byte
	err := db.read(plumbing.BlobObject, h, func(o plumbing.EncodedObject) error {
		r, err := o.Reader()
		if err != nil {
			return err
		}
		content, err = io.ReadAll(r)
		return errors.Join(err, r.Close())
	})
	return content, err
}

// BlobSize returns how many bytes a file has.
func (db *DB) BlobSize(h plumbing.Hash) (size int64, err error) {
	err = db.with(h, func(s *filesystem.Storage) (err error) {
		if db.reopen == nil {
			size, err = s.EncodedObjectSize(h)
			return err
		}
		o, err := s.EncodedObject(plumbing.BlobObject, h)
		if err == nil {
			size = o.Size()
		}
		return err
	})
	return size, err
}

func (db *DB) read(t plumbing.ObjectType, h plumbing.Hash, decode func(plumbing.EncodedObject) error) error {
	return db.with(h, func(s *filesystem.Storage) error {
		o, err := s.EncodedObject(t, h)
		if err != nil {
			return err
		}
		return decode(o)
	})
}

// with uses the storage while no other goroutine moves the files, and gives an error
// its kind. All but "not found" are damage here. After one the storage is opened
// anew, at once if others may have changed it.
func (db *DB) with(h plumbing.Hash, use func(*filesystem.Storage) error) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	err := db.useLocked(use)
	if err != nil && db.reopen != nil {
		err = errors.Join(db.closeLocked(), db.useLocked(use))
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, plumbing.ErrObjectNotFound) && !db.promisedLocked(h):
		return fmt.Errorf("%w: %s", ErrMissing, h)
	}
	return errors.Join(fmt.Errorf("%w: reading %s: %w", ErrCorrupt, h, err), db.closeLocked())
}

// promisedLocked tells whether an index names an object that no pack holds: go-git
// does not tell a truncated pack from a missing object.
func (db *DB) promisedLocked(h plumbing.Hash) bool {
	return db.useLocked(func(s *filesystem.Storage) error {
		if err := s.HasEncodedObject(h); err != nil {
			return err
		}
		if _, err := s.EncodedObject(plumbing.AnyObject, h); err == nil {
			return errors.New("it is here, if of another type")
		}
		return nil
	}) == nil
}

func (db *DB) useLocked(use func(*filesystem.Storage) error) error {
	storage, err := db.openLocked()
	if err != nil {
		return err
	}
	return use(storage)
}

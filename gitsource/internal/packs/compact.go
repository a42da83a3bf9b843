package packs

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

const (
	// maxPacks is how many packs may pile up before some are merged.
	maxPacks = 16
	// maxMerge bounds the bytes of packs merged at once, for they are held in memory.
	maxMerge = 16 << 20
	// window is how many objects each is compared with for a delta; Git's default.
	window = 10
)

type pack struct {
	hash  plumbing.Hash
	bytes int64
}

// Compact merges the small packs into one if there are many. Packs are left alone
// that are more than twice as large as all smaller ones together, so that the work
// stays proportional to what came in (git repack --geometric=2 does the same). It
// reads no history: a partial clone, where that breaks off, is no obstacle. That the disk
// has no room for it is no error: many packs only take longer to read.
func (db *DB) Compact() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	all, err := db.packs()
	if err != nil || len(all) <= maxPacks {
		return err
	}
	small := mergeable(all)
	if len(small) < 2 {
		return nil
	}
	err = db.merge(small)
	if errors.Is(err, ErrDisk) {
		return db.closeLocked()
	}
	if err != nil {
		return errors.Join(Fault(fmt.Errorf("merging packs: %w", err)), db.closeLocked())
	}
	return nil
}

// mergeable returns the smaller packs that no longer grow geometrically.
func mergeable(all []pack) []pack {
	slices.SortFunc(all, func(a, b pack) int { return cmp.Compare(a.bytes, b.bytes) })
	var sum int64
	n := 0
	for i, p := range all {
		if sum+p.bytes > maxMerge {
			break
		}
		if p.bytes <= 2*sum || i == 0 {
			n = i + 1
		}
		sum += p.bytes
	}
	return all[:n]
}

func (db *DB) packs() ([]pack, error) {
	files, err := os.ReadDir(db.packDir())
	if err != nil {
		return nil, Fault(err)
	}
	var all []pack
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".pack")
		if !ok {
			continue
		}
		info, err := f.Info()
		if err != nil {
			return nil, Fault(err)
		}
		all = append(all, pack{plumbing.NewHash(strings.TrimPrefix(name, "pack-")), info.Size()})
	}
	return all, nil
}

func (db *DB) merge(small []pack) error {
	var hashes []plumbing.Hash
	for _, p := range small {
		in, err := db.objects(p.hash)
		if err != nil {
			return err
		}
		hashes = append(hashes, in...)
	}
	slices.SortFunc(hashes, func(a, b plumbing.Hash) int { return bytes.Compare(a[:], b[:]) })
	hashes = slices.Compact(hashes)

	storage := filesystem.NewStorageWithOptions(osfs.New(db.dir), cache.NewObjectLRU(cacheBytes), filesystem.Options{KeepDescriptors: true})
	var merged bytes.Buffer
	sum, err := packfile.NewEncoder(&merged, storage, false).Encode(hashes, window)
	if err := errors.Join(err, storage.Close()); err != nil {
		return err
	}
	if err := db.addLocked(&merged); err != nil {
		return err
	}
	for _, p := range small {
		if p.hash != sum {
			err = errors.Join(err, os.Remove(db.path(p.hash, "idx")), os.Remove(db.path(p.hash, "pack")))
		}
	}
	return err
}

func (db *DB) path(h plumbing.Hash, ext string) string {
	return filepath.Join(db.packDir(), "pack-"+h.String()+"."+ext)
}

// objects returns the names of all objects in a pack.
func (db *DB) objects(h plumbing.Hash) ([]plumbing.Hash, error) {
	f, err := os.Open(db.path(h, "idx"))
	if err != nil {
		return nil, err
	}
	index := idxfile.NewMemoryIndex()
	if err := errors.Join(idxfile.NewDecoder(f).Decode(index), f.Close()); err != nil {
		return nil, err
	}
	entries, err := index.Entries()
	if err != nil {
		return nil, err
	}
	hashes := make([]plumbing.Hash, 0, index.Fanout[255])
	for range index.Fanout[255] {
		e, err := entries.Next()
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, e.Hash)
	}
	return hashes, nil
}

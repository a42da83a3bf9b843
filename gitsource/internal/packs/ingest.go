package packs

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/filesystem/dotgit"
)

// Ingest adds a pack, which receive writes to the file it is given. Nothing is added
// if receive fails, with ErrBadPack if the pack is damaged or incomplete, or with
// a [SizeError] if one of its objects has more than limit bytes, which is also told of the
// first one in a pack that breaks off. Objects are checked before any is held in memory. A
// pack without objects is fine.
func (db *DB) Ingest(limit int64, receive func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(db.packDir(), "tmp_pack_")
	if err != nil {
		return Fault(err)
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if gone := os.Remove(f.Name()); !errors.Is(gone, fs.ErrNotExist) { // it is swept after a failure
			err = errors.Join(err, gone)
		}
	}()

	if err := receive(onDisk{f}); err != nil {
		return cmp.Or(firstTooLarge(f, limit), err)
	}
	objects, err := inspect(f, limit)
	if err != nil || objects == 0 {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.addLocked(f)
}

// onDisk gives errors of writing a file their kind.
type onDisk struct{ f *os.File }

func (d onDisk) Write(p []byte) (int, error) {
	n, err := d.f.Write(p)
	return n, Fault(err)
}

// addLocked indexes a pack and moves it into place.
func (db *DB) addLocked(pack io.Reader) error {
	w, err := dotgit.New(osfs.New(db.dir)).NewObjectPack()
	if err != nil {
		return Fault(err)
	}
	_, err = io.Copy(w, pack)
	err = errors.Join(err, w.Close(), db.closeLocked())
	if err != nil {
		if file := (*fs.PathError)(nil); errors.As(err, &file) {
			err = Fault(err)
		} else {
			err = fmt.Errorf("%w: %w", ErrBadPack, err)
		}
		return errors.Join(fmt.Errorf("indexing the received pack: %w", err), db.sweep())
	}
	return nil
}

// inspect reads a pack from its beginning and returns how many objects it has. It
// holds none of them in memory.
func inspect(f *os.File, limit int64) (objects uint32, err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	s := packfile.NewScanner(f)
	_, objects, err = s.Header()
	if errors.Is(err, packfile.ErrEmptyPackfile) {
		return 0, nil
	}
	for range objects {
		if err != nil {
			break
		}
		err = inspectObject(s, limit)
	}
	switch {
	case errors.Is(err, ErrTooLarge):
		return 0, fmt.Errorf("the remote sent what is against the limits: %w", err)
	case err != nil:
		return 0, fmt.Errorf("the remote sent a pack that is damaged: %w: %w", ErrBadPack, err)
	}
	return objects, nil
}

// firstTooLarge is a SizeError if the first object of a pack that may break off has more than
// limit bytes.
func firstTooLarge(f *os.File, limit int64) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil //nolint:nilerr // that it broke off is told already
	}
	s := packfile.NewScanner(f)
	if _, n, err := s.Header(); err != nil || n == 0 {
		return nil //nolint:nilerr // likewise
	}
	h, err := s.NextObjectHeader()
	if err != nil || h.Type.IsDelta() || h.Length <= limit {
		return nil //nolint:nilerr // likewise
	}
	return &SizeError{Kind: kind(h.Type), Size: h.Length, Limit: limit}
}

func inspectObject(s *packfile.Scanner, limit int64) error {
	h, err := s.NextObjectHeader()
	if err != nil {
		return err
	}
	size, into := h.Length, io.Discard
	delta := &head{}
	if h.Type.IsDelta() {
		into = delta
	}
	if size <= limit {
		if _, _, err := s.NextObject(into); err != nil {
			return err
		}
	}
	if h.Type.IsDelta() {
		size = max(size, deltaTarget(delta.buf))
	}
	if size > limit {
		return &SizeError{Kind: kind(h.Type), Size: size, Limit: limit}
	}
	return nil
}

func kind(t plumbing.ObjectType) string {
	if t.IsDelta() {
		return "an object"
	}
	return "a " + t.String()
}

// head keeps the first bytes of a delta, where its sizes are.
type head struct{ buf []byte }

func (h *head) Write(p []byte) (int, error) {
	h.buf = append(h.buf, p[:min(len(p), 2*binary.MaxVarintLen64-len(h.buf))]...)
	return len(p), nil
}

// deltaTarget is the size of the object that a delta makes: the second of the two sizes
// that it begins with (gitformat-pack(5), "Deltified representation"). It is 0 if
// there is none; the delta then fails to apply.
func deltaTarget(delta []byte) int64 {
	r := bytes.NewReader(delta)
	if _, err := binary.ReadUvarint(r); err != nil {
		return 0
	}
	size, err := binary.ReadUvarint(r)
	if err != nil || size > 1<<62 {
		return 0
	}
	return int64(size)
}

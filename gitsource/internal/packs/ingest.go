package packs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// Ingest adds a pack, which receive writes to the file it is given. Nothing is added
// if receive fails, if the pack is damaged or incomplete, or with ErrTooLarge if one
// of its objects has more than limit bytes. Objects are checked before any is held
// in memory. A pack without objects is fine.
func (db *DB) Ingest(limit int64, receive func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(db.packDir(), "tmp_pack_")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()

	if err := receive(f); err != nil {
		return err
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

// addLocked indexes a pack and moves it into place.
func (db *DB) addLocked(pack io.Reader) (err error) {
	storage, err := db.openLocked()
	if err != nil {
		return err
	}
	w, err := storage.PackfileWriter()
	if err != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrCorrupt, err), db.closeLocked())
	}
	_, err = io.Copy(w, pack)
	if err := errors.Join(err, w.Close()); err != nil {
		return errors.Join(fmt.Errorf("indexing the received pack: %w", err), db.closeLocked(), db.sweep())
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
	if err != nil {
		return 0, fmt.Errorf("the remote sent a pack that is damaged or against the limits: %w", err)
	}
	return objects, nil
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
		size = max(size, delta.targetSize())
	}
	if size > limit {
		return fmt.Errorf("%w: %s of %d bytes, and the limit is %d", ErrTooLarge, kind(h.Type), size, limit)
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

// targetSize is the size of the object a delta makes: the second of the two sizes
// that it begins with (gitformat-pack(5), "Deltified representation"). It is 0 if
// there is none; the delta then fails to apply.
func (h *head) targetSize() int64 {
	r := bytes.NewReader(h.buf)
	if _, err := binary.ReadUvarint(r); err != nil {
		return 0
	}
	size, err := binary.ReadUvarint(r)
	if err != nil || size > 1<<62 {
		return 0
	}
	return int64(size)
}

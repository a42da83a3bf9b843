package packs

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"

	"github.com/keptn/gitops/gitsource/internal/recent"
)

const (
	// cacheBytes bounds the decoded objects that one DB keeps in memory.
	cacheBytes = 4 << 20
	// maxChain is how many deltas an object may be made by. Git makes at most 4,095.
	maxChain = 4095
	// readAhead is how much of a pack is read at once.
	readAhead = 4096
	// trusted is how many bytes are set aside because a pack says that they follow.
	trusted = 1 << 20
)

// files reads objects from packs. One goroutine at a time may use it.
type files struct {
	packs []*packFile
	// objects were read lately, and deltas are applied to them.
	objects *recent.Cache[place, object]

	reader   *bufio.Reader
	inflater io.ReadCloser
}

type packFile struct {
	name  plumbing.Hash
	file  *os.File
	index *index
}

// place says where an object is.
type place struct {
	pack   plumbing.Hash
	offset int64
}

// An object is what a name stands for. Its data are not to be changed.
type object struct {
	kind plumbing.ObjectType
	data []byte
}

// openFiles opens those packs that have an index.
func openFiles(packs []pack, path func(h plumbing.Hash, ext string) string) (_ *files, err error) {
	f := &files{
		objects: recent.New[place, object](cacheBytes),
		reader:  bufio.NewReaderSize(nil, readAhead),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	for _, p := range packs {
		x, err := openIndex(path(p.hash, "idx"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		opened := &packFile{name: p.hash, index: x}
		f.packs = append(f.packs, opened)
		if opened.file, err = os.Open(path(p.hash, "pack")); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *files) close() error {
	var err error
	for _, p := range f.packs {
		err = errors.Join(err, p.index.file.Close())
		if p.file != nil {
			err = errors.Join(err, p.file.Close())
		}
	}
	return err
}

// find returns where an object is, nil if it is not here. What is read next is often in
// the same pack, which is therefore looked at first then.
func (f *files) find(h plumbing.Hash) (*packFile, int64, error) {
	for i, p := range f.packs {
		offset, found, err := p.index.find(h)
		if err != nil {
			return nil, 0, err
		}
		if found {
			copy(f.packs[1:i+1], f.packs[:i])
			f.packs[0] = p
			return p, offset, nil
		}
	}
	return nil, 0, nil
}

// read returns an object. What it reads has the name that was asked for, or is an error.
func (f *files) read(h plumbing.Hash) (object, error) {
	p, offset, err := f.find(h)
	if err != nil {
		return object{}, err
	}
	if p == nil {
		return object{}, plumbing.ErrObjectNotFound
	}
	o, err := f.at(p, offset)
	if err == nil && o.name() != h {
		err = errors.New("its content is another object's")
	}
	return o, err
}

// name is the object's name.
func (o object) name() plumbing.Hash {
	sum := sha1.New()
	var head [32]byte
	sum.Write(append(strconv.AppendInt(append(append(head[:0], o.kind.Bytes()...), ' '), int64(len(o.data)), 10), 0))
	sum.Write(o.data)
	return plumbing.Hash(sum.Sum(head[:0]))
}

// at returns the object that begins at an offset of a pack: one that is there, with the
// deltas applied that lead to it.
func (f *files) at(p *packFile, offset int64) (object, error) {
	type step struct {
		place
		delta []byte
	}
	var steps []step
	o, known := f.objects.Get(place{p.name, offset})
	for !known {
		h, err := f.header(p, offset)
		if err != nil {
			return object{}, err
		}
		data, err := f.inflate(h.size)
		if err != nil {
			return object{}, err
		}
		at := place{p.name, offset}
		if !h.kind.IsDelta() {
			o = object{h.kind, data}
			f.keep(at, o)
			break
		}
		if len(steps) == maxChain {
			return object{}, fmt.Errorf("an object of more than %d deltas", maxChain)
		}
		steps = append(steps, step{at, data})
		if p, offset, err = f.base(p, h); err != nil {
			return object{}, err
		}
		o, known = f.objects.Get(place{p.name, offset})
	}
	for i := len(steps) - 1; i >= 0; i-- {
		data, err := packfile.PatchDelta(o.data, steps[i].delta)
		if err != nil {
			return object{}, err
		}
		o.data = data
		f.keep(steps[i].place, o)
	}
	return o, nil
}

func (f *files) keep(at place, o object) {
	const overhead = 150 // of the entry in the cache
	f.objects.Put(at, o, len(o.data)+overhead)
}

// base returns where the object is that a delta applies to.
func (f *files) base(p *packFile, h header) (*packFile, int64, error) {
	if h.kind == plumbing.OFSDeltaObject {
		return p, h.base, nil
	}
	p, offset, err := f.find(h.baseName)
	if err == nil && p == nil {
		err = fmt.Errorf("the base %s of a delta is not there", h.baseName)
	}
	return p, offset, err
}

// size returns how many bytes an object has, without reading all of it.
func (f *files) size(h plumbing.Hash) (int64, error) {
	p, offset, err := f.find(h)
	if err != nil {
		return 0, err
	}
	if p == nil {
		return 0, plumbing.ErrObjectNotFound
	}
	head, err := f.header(p, offset)
	if err != nil || !head.kind.IsDelta() {
		return head.size, err
	}
	if err := f.inflateFrom(); err != nil {
		return 0, err
	}
	beginning, err := io.ReadAll(io.LimitReader(f.inflater, 2*binary.MaxVarintLen64))
	return deltaTarget(beginning), err
}

// A header is what comes before the content of an object in a pack.
type header struct {
	kind plumbing.ObjectType
	// size of the content: the object's, or the delta's.
	size int64
	// base is where the base of a delta begins, or baseName its name.
	base     int64
	baseName plumbing.Hash
}

// header reads what is at an offset, and leaves the reader at the content.
func (f *files) header(p *packFile, offset int64) (header, error) {
	f.reader.Reset(io.NewSectionReader(p.file, offset, 1<<62))
	b, err := f.reader.ReadByte()
	if err != nil {
		return header{}, cut(err)
	}
	h := header{kind: plumbing.ObjectType(b >> 4 & 7), size: int64(b & 15)}
	if b&128 != 0 {
		more, err := binary.ReadUvarint(f.reader)
		if err != nil {
			return header{}, cut(err)
		}
		if more > 1<<40 {
			return header{}, errors.New("an object of impossible size")
		}
		h.size |= int64(more) << 4
	}
	switch h.kind {
	case plumbing.CommitObject, plumbing.TreeObject, plumbing.BlobObject, plumbing.TagObject:
	case plumbing.REFDeltaObject:
		_, err = io.ReadFull(f.reader, h.baseName[:])
	case plumbing.OFSDeltaObject:
		var back int64
		if back, err = f.distance(); err == nil && (back <= 0 || back > offset) {
			err = errors.New("a delta whose base is outside of the pack")
		}
		h.base = offset - back
	default:
		err = fmt.Errorf("an object of the unknown type %d", h.kind)
	}
	return h, cut(err)
}

// distance reads how far before a delta its base begins.
func (f *files) distance() (int64, error) {
	b, err := f.reader.ReadByte()
	n := int64(b & 127)
	for err == nil && b&128 != 0 {
		if n > 1<<48 {
			return 0, errors.New("a delta whose base is too far away")
		}
		b, err = f.reader.ReadByte()
		n = (n+1)<<7 | int64(b&127)
	}
	return n, err
}

// inflate reads content of a size that is known.
func (f *files) inflate(size int64) ([]byte, error) {
	if err := f.inflateFrom(); err != nil {
		return nil, err
	}
	var data []byte
	var err error
	if size <= trusted {
		data = make([]byte, size)
		_, err = io.ReadFull(f.inflater, data)
	} else {
		var all bytes.Buffer
		_, err = io.CopyN(&all, f.inflater, size)
		data = all.Bytes()
	}
	if err != nil {
		return nil, cut(err)
	}
	var more [1]byte
	switch _, err := io.ReadFull(f.inflater, more[:]); {
	case err == nil:
		return nil, errors.New("an object larger than it says")
	case !errors.Is(err, io.EOF): // its checksum is wrong
		return nil, err
	}
	return data, nil
}

// inflateFrom has the inflater begin where the reader is.
func (f *files) inflateFrom() (err error) {
	if again, ok := f.inflater.(zlib.Resetter); ok {
		return cut(again.Reset(f.reader, nil))
	}
	f.inflater, err = zlib.NewReader(f.reader)
	return cut(err)
}

// cut says that a pack ends too early where that is what happened.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

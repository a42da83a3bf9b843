package packs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sort"

	"github.com/go-git/go-git/v5/plumbing"
)

// An index is the .idx file of a pack, version 2, in which an object is found without
// reading much of it: https://git-scm.com/docs/gitformat-pack.
type index struct {
	file *os.File
	// fanout has, for each first byte, how many names begin with it or a lesser one.
	fanout [256]uint32
	// names are read into buffer.
	buffer [namesAtOnce * nameSize]byte
}

const (
	nameSize = len(plumbing.ZeroHash)
	// namesAtOnce is how many names are read at once. Names are evenly distributed, so
	// that the one sought is rarely far from where it should be.
	namesAtOnce = 64

	indexHeader = 8
	namesBegin  = indexHeader + 256*4
	crcSize     = 4
	offsetSize  = 4
	// indexTrailer are the checksums of the pack and of the index.
	indexTrailer = 2 * nameSize
)

func openIndex(path string) (_ *index, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	var head [namesBegin]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if !bytes.Equal(head[:indexHeader], []byte("\xfftOc\x00\x00\x00\x02")) {
		return nil, fmt.Errorf("%s is no index of version 2", path)
	}
	x := &index{file: f}
	var before uint32
	for i := range x.fanout {
		x.fanout[i] = binary.BigEndian.Uint32(head[indexHeader+4*i:])
		if x.fanout[i] < before {
			return nil, fmt.Errorf("%s has names out of order", path)
		}
		before = x.fanout[i]
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if least := namesBegin + x.count()*(int64(nameSize)+crcSize+offsetSize) + int64(indexTrailer); info.Size() < least {
		return nil, fmt.Errorf("%s has %d bytes, and %d objects take %d", path, info.Size(), x.count(), least)
	}
	return x, nil
}

func (x *index) count() int64 { return int64(x.fanout[255]) }

// find returns where in the pack an object begins.
func (x *index) find(h plumbing.Hash) (offset int64, found bool, err error) {
	low, high := int64(0), int64(x.fanout[h[0]])
	if h[0] > 0 {
		low = int64(x.fanout[h[0]-1])
	}
	// Of the names that begin with the same byte this one comes where its next bytes say.
	guess := low + (high-low)*int64(binary.BigEndian.Uint16(h[1:]))>>16
	for low < high {
		first := max(low, min(guess-namesAtOnce/2, high-namesAtOnce))
		n := int(min(namesAtOnce, high-first))
		names := x.buffer[:n*nameSize]
		if _, err := x.file.ReadAt(names, namesBegin+first*int64(nameSize)); err != nil {
			return 0, false, fmt.Errorf("reading an index: %w", err)
		}
		i, found := sort.Find(n, func(i int) int { return bytes.Compare(h[:], names[i*nameSize:(i+1)*nameSize]) })
		switch {
		case found:
			offset, err := x.offset(first + int64(i))
			return offset, true, err
		case i == 0:
			high = first
		case i == n:
			low = first + int64(n)
		default:
			return 0, false, nil
		}
		guess = (low + high) / 2
	}
	return 0, false, nil
}

// offset reads where the object with the i-th name begins.
func (x *index) offset(i int64) (int64, error) {
	offsets := namesBegin + x.count()*(int64(nameSize)+crcSize)
	var b [8]byte
	if _, err := x.file.ReadAt(b[:offsetSize], offsets+i*offsetSize); err != nil {
		return 0, fmt.Errorf("reading an index: %w", err)
	}
	const large = 1 << 31 // the rest is a place among the large offsets then
	at := binary.BigEndian.Uint32(b[:])
	if at < large {
		return int64(at), nil
	}
	if _, err := x.file.ReadAt(b[:], offsets+x.count()*offsetSize+int64(at-large)*8); err != nil {
		return 0, fmt.Errorf("reading an index: %w", err)
	}
	return int64(binary.BigEndian.Uint64(b[:])), nil
}

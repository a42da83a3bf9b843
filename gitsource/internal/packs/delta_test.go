package packs

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
)

// rawObject is an object as a pack has it: its kind, the size that it says its content has,
// what stands before the content, and the content.
type rawObject struct {
	kind    plumbing.ObjectType
	size    int
	base    []byte
	content []byte
}

func (o rawObject) bytes() []byte {
	head := []byte{byte(o.kind)<<4 | byte(o.size&15)}
	for rest := o.size >> 4; rest > 0; rest >>= 7 {
		head[len(head)-1] |= 128
		head = append(head, byte(rest&127))
	}
	var deflated bytes.Buffer
	w := zlib.NewWriter(&deflated)
	_, _ = w.Write(o.content)
	_ = w.Close()
	return append(append(head, o.base...), deflated.Bytes()...)
}

// rawPack is a pack with the right checksum, whatever is in it.
func rawPack(objects ...rawObject) []byte {
	pack := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), uint32(len(objects)))
	for _, o := range objects {
		pack = append(pack, o.bytes()...)
	}
	sum := sha1.Sum(pack)
	return append(pack, sum[:]...)
}

// back is how an offset delta says how far before it its base begins.
func back(n int) []byte {
	var out []byte
	for out = []byte{byte(n & 127)}; n > 127; {
		n = n>>7 - 1
		out = append([]byte{byte(n&127) | 128}, out...)
	}
	return out
}

func TestABrokenDeltaIsRefusedAndLeavesNothing(t *testing.T) {
	t.Parallel()
	base := rawObject{kind: plumbing.BlobObject, size: 4, content: []byte("base")}
	name := plumbing.ComputeHash(plumbing.BlobObject, []byte("base"))
	length := len(base.bytes())
	delta := func(instructions string) rawObject {
		return rawObject{plumbing.REFDeltaObject, len(instructions), name[:], []byte(instructions)}
	}
	offset := func(by int) rawObject {
		d := delta("\x04\x04\x90\x04")
		return rawObject{plumbing.OFSDeltaObject, d.size, back(by), d.content}
	}
	none := rawObject{plumbing.REFDeltaObject, 4, bytes.Repeat([]byte{0xab}, 20), []byte("\x04\x04\x90\x04")}
	cases := map[string]struct {
		reason string
		pack   []byte
		ok     bool
	}{
		"Sound":          {"All of the base.", rawPack(base, delta("\x04\x05\x90\x04\x01!")), true},
		"SoundOffset":    {"The same by its place.", rawPack(base, offset(length)), true},
		"BeyondTheBase":  {"It copies what the base does not have.", rawPack(base, delta("\x04\x08\x90\x08")), false},
		"FarBeyond":      {"From far behind its end.", rawPack(base, delta("\x04\x04\x9f\xff\xff\xff\x7f\x04")), false},
		"TooShort":       {"It makes less than it says.", rawPack(base, delta("\x04\x09\x90\x04")), false},
		"TooLong":        {"Or more.", rawPack(base, delta("\x04\x02\x90\x04")), false},
		"OtherBase":      {"It is of a base of another size.", rawPack(base, delta("\x09\x04\x90\x04")), false},
		"Reserved":       {"An instruction that there is not.", rawPack(base, delta("\x04\x04\x00\x90\x04")), false},
		"Empty":          {"Not even its sizes.", rawPack(base, delta("")), false},
		"NoBase":         {"Its base is nowhere.", rawPack(base, none), false},
		"OfItself":       {"Its base is where it begins itself.", rawPack(base, offset(0)), false},
		"BeforeThePack":  {"Or before the pack.", rawPack(base, offset(1000)), false},
		"WithinAnObject": {"Or within another object.", rawPack(base, offset(length-1)), false},
		"SizeOfALie":     {"A delta that has more than it says.", rawPack(base, rawObject{plumbing.REFDeltaObject, 2, name[:], []byte("\x04\x04\x90\x04")}), false},
		"Giant":          {"One that says that it makes a terabyte.", rawPack(base, delta("\x04\x80\x80\x80\x80\x80\x20\x90\x04")), false},
	}
	for label, tc := range cases {
		t.Run(label, func(t *testing.T) {
			db := openDB(t)
			err := ingest(db, 1<<20, tc.pack)
			if (err == nil) != tc.ok {
				t.Fatalf("%s\nerror: %v", tc.reason, err)
			}
			if tc.ok {
				return
			}
			if !errors.Is(err, ErrBadPack) && !errors.Is(err, ErrTooLarge) || errors.Is(err, ErrCorrupt) {
				t.Errorf("%s\nerror %v, want ErrBadPack or ErrTooLarge: the store is sound", tc.reason, err)
			}
			if left, _ := filepath.Glob(filepath.Join(db.packDir(), "*")); len(left) > 0 {
				t.Errorf("%s\nleft behind: %v", tc.reason, left)
			}
		})
	}
}

// chain is a pack of a blob, and of so many deltas of each other.
func chain(n int) []byte {
	objects := []rawObject{{kind: plumbing.BlobObject, size: 6, content: []byte("000000")}}
	previous := len(objects[0].bytes())
	for i := range n {
		d := rawObject{plumbing.OFSDeltaObject, 9, back(previous), fmt.Appendf(nil, "\x06\x06\x06%06d", i+1)}
		previous = len(d.bytes())
		objects = append(objects, d)
	}
	return rawPack(objects...)
}

func TestAChainOfDeltasIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	const n = 400
	db := openDB(t)
	if err := ingest(db, 1<<20, chain(n)); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		text := fmt.Sprintf("%06d", n-i) // the longest first
		if got, err := db.Blob(plumbing.ComputeHash(plumbing.BlobObject, []byte(text)), 100); err != nil || string(got) != text {
			t.Fatalf("%d deltas: read %q, %v", n-i, got, err)
		}
	}
}

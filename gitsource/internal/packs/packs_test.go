package packs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/memory"
)

// packOf makes a pack of blobs, as deltas of each other where that pays.
func packOf(t testing.TB, contents ...string) ([]byte, []plumbing.Hash) {
	t.Helper()
	s := memory.NewStorage()
	var hashes []plumbing.Hash
	for _, content := range contents {
		o := &plumbing.MemoryObject{}
		o.SetType(plumbing.BlobObject)
		if _, err := o.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		h, err := s.SetEncodedObject(o)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, h)
	}
	var pack bytes.Buffer
	if _, err := packfile.NewEncoder(&pack, s, false).Encode(hashes, 10); err != nil {
		t.Fatal(err)
	}
	return pack.Bytes(), hashes
}

func ingest(db *DB, limit int64, pack []byte) error {
	return db.Ingest(limit, func(w io.Writer) error {
		_, err := w.Write(pack)
		return err
	})
}

func openDB(t testing.TB) *DB {
	t.Helper()
	db, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestAPackIsTakenWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	good, hashes := packOf(t, "one", "two")
	bomb, _ := packOf(t, strings.Repeat("\x00", 1<<20))
	// Content that no compressor shrinks much, so that deltas are worth their while.
	var noise strings.Builder
	for i := range 400 {
		fmt.Fprint(&noise, i*i, " ")
	}
	deltas, _ := packOf(t, noise.String(), noise.String()+"x", noise.String()+"y")
	long := append(bytes.Clone(good[:8]), 0xff, 0xff, 0xff, 0xff)
	cases := map[string]struct {
		reason string
		pack   []byte
		limit  int64
		want   error
		ok     bool
	}{
		"Good":         {"A sound pack is added.", good, 100, nil, true},
		"NoObjects":    {"A pack without objects adds nothing.", append([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x00"), make([]byte, 20)...), 100, nil, true},
		"Empty":        {"So does no pack.", nil, 100, nil, true},
		"Bomb":         {"A little that inflates to a lot is not let in.", bomb, 1 << 19, ErrTooLarge, false},
		"DeltaResults": {"What a delta makes counts, not the delta.", deltas, 1000, ErrTooLarge, false},
		"Truncated":    {"Half a pack is none.", good[:len(good)-25], 100, ErrBadPack, false},
		"Count":        {"A count that the pack does not keep.", append(long, good[12:]...), 100, ErrBadPack, false},
		"Garbage":      {"What is no pack at all.", []byte("<html>sorry</html>"), 100, ErrBadPack, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			db := openDB(t)
			err := ingest(db, tc.limit, tc.pack)
			if (err == nil) != tc.ok || tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("%s\nerror: %v", tc.reason, err)
			}
			files, globErr := filepath.Glob(filepath.Join(db.packDir(), "*"))
			if globErr != nil || name != "Good" && len(files) > 0 {
				t.Errorf("%s\nleft: %v, %v", tc.reason, files, globErr)
			}
			if err := ingest(db, 100, good); err != nil {
				t.Fatalf("%s\na sound pack after it: %v", tc.reason, err)
			}
			if got, err := db.Blob(hashes[1], 100); err != nil || string(got) != "two" {
				t.Errorf("%s\nread %q, %v", tc.reason, got, err)
			}
		})
	}
}

func TestAMissingObjectIsNoDamageAndATruncatedPackIs(t *testing.T) {
	t.Parallel()
	db := openDB(t)
	pack, hashes := packOf(t, "content")
	if _, err := db.Blob(hashes[0], 100); !errors.Is(err, ErrMissing) {
		t.Errorf("before it came: %v", err)
	}
	if err := ingest(db, 100, pack); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Blob(hashes[0], 3); !errors.Is(err, ErrTooLarge) {
		t.Errorf("over the limit: %v", err)
	}
	if _, err := db.Commit(hashes[0]); !errors.Is(err, ErrMissing) {
		t.Errorf("a blob read as a commit: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(db.packDir(), "*.pack"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := errors.Join(db.Close(), os.Chmod(files[0], 0o644), os.Truncate(files[0], 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Blob(hashes[0], 100); !errors.Is(err, ErrCorrupt) {
		t.Errorf("after the pack was emptied: %v", err)
	}
	if err := errors.Join(db.Reset(), ingest(db, 100, pack)); err != nil {
		t.Fatal(err)
	}
	if got, err := db.Blob(hashes[0], 100); err != nil || string(got) != "content" {
		t.Errorf("after Reset: %q, %v", got, err)
	}
}

func TestCompactLeavesLargePacksAlone(t *testing.T) {
	t.Parallel()
	large := []pack{{bytes: 1 << 40}, {bytes: maxMerge}}
	small := make([]pack, maxPacks)
	for i := range small {
		small[i] = pack{bytes: int64(1000 + i)}
	}
	if got := mergeable(append(large, small...)); len(got) != len(small) {
		t.Errorf("%d packs are to be merged, want the %d small ones", len(got), len(small))
	}
	growing := []pack{{bytes: 1}, {bytes: 10}, {bytes: 100}, {bytes: 1000}}
	if got := mergeable(growing); len(got) > 1 {
		t.Errorf("packs that grow geometrically are to be merged: %v", got)
	}
}

func FuzzIngest(f *testing.F) {
	good, _ := packOf(f, "one", "two", "one and more")
	f.Add(good)
	f.Add(binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), 7))
	f.Fuzz(func(t *testing.T, b []byte) {
		db := openDB(t)
		if err := ingest(db, 1<<16, b); err != nil {
			if left, _ := filepath.Glob(filepath.Join(db.packDir(), "*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		}
	})
}

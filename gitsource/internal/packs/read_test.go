package packs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	gitobject "github.com/go-git/go-git/v5/plumbing/object"
	"github.com/google/go-cmp/cmp"
)

// similar are contents that are worth storing as deltas of each other, as the packer's
// own order has them.
func similar(n int) []string {
	rng := rand.New(rand.NewPCG(1, 2))
	var lines []string
	for range 60 {
		lines = append(lines, fmt.Sprint("line ", rng.Uint64()))
	}
	var contents []string
	for i := range n {
		lines[rng.IntN(len(lines))] = fmt.Sprint("changed ", i)
		contents = append(contents, strings.Join(lines, "\n"))
	}
	return contents
}

func TestEveryObjectIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	contents := append(similar(60), "", strings.Repeat("long ", trusted))
	pack, hashes := packOf(t, contents...)
	db := openDB(t)
	if err := ingest(db, 1<<30, pack); err != nil {
		t.Fatal(err)
	}
	var deltas int
	for i, h := range hashes {
		got, err := db.Blob(h, 1<<30)
		if err != nil || string(got) != contents[i] {
			t.Errorf("content %d: %.40q, %v", i, got, err)
		}
		if size, err := db.BlobSize(h); err != nil || size != int64(len(contents[i])) {
			t.Errorf("size %d: %d, %v", i, size, err)
		}
		p, offset, err := db.files.find(h)
		if err != nil {
			t.Fatal(err)
		}
		if head, err := db.files.header(p, offset); err == nil && head.kind.IsDelta() {
			deltas++
		}
		clear(got) // it is the reader's own
	}
	if deltas < 20 {
		t.Fatalf("only %d of the objects are deltas", deltas)
	}
	if got, err := db.Blob(hashes[5], 1<<30); err != nil || string(got) != contents[5] {
		t.Errorf("a reader changed what another reads: %.40q, %v", got, err)
	}
}

func TestNoDamageIsReadAsContent(t *testing.T) {
	t.Parallel()
	contents := similar(4)
	pack, hashes := packOf(t, contents...)
	db := openDB(t)
	if err := ingest(db, 1<<20, pack); err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, ext := range []string{"pack", "idx"} {
		files, err := filepath.Glob(filepath.Join(db.packDir(), "*."+ext))
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		sound, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(files[0], 0o644); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(sound); i += 7 { // which meets every kind of field
			spoiled := bytes.Clone(sound)
			spoiled[i] ^= byte(1 + i%255)
			if err := errors.Join(db.Close(), os.WriteFile(files[0], spoiled, 0o644)); err != nil {
				t.Fatal(err)
			}
			for k, h := range hashes {
				got, err := db.Blob(h, 1<<20)
				switch {
				case err == nil && string(got) != contents[k]:
					t.Fatalf("with byte %d of the %s changed, something else is read", i, ext)
				case err == nil:
					read++
				case !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrMissing) && !errors.Is(err, ErrTooLarge):
					t.Fatalf("with byte %d of the %s changed: %v", i, ext, err)
				}
			}
		}
		if err := errors.Join(db.Close(), os.WriteFile(files[0], sound, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if read == 0 {
		t.Error("nothing at all was read")
	}
}

func TestAnIndexFindsEveryNameAndNoOther(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	even := func(int) (h plumbing.Hash) {
		for i := range h {
			h[i] = byte(rng.Uint32())
		}
		return h
	}
	cases := map[string]struct {
		reason string
		n      int
		name   func(i int) plumbing.Hash
	}{
		"None":   {"An index may be empty.", 0, even},
		"One":    {"Or all but that.", 1, even},
		"Many":   {"Names are spread evenly as a rule.", 30_000, even},
		"Uneven": {"But nothing makes sure of it.", 5000, func(i int) (h plumbing.Hash) { binary.BigEndian.PutUint32(h[:], uint32(i*i)); return h }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := &idxfile.Writer{}
			at := map[plumbing.Hash]int64{}
			if err := w.OnHeader(uint32(tc.n)); err != nil {
				t.Fatal(err)
			}
			for i := range tc.n {
				h, offset := tc.name(i), int64(i)<<20 // over 2 GiB from the 2048th on
				at[h] = offset
				w.Add(h, uint64(offset), 0)
			}
			if err := w.OnFooter(plumbing.ZeroHash); err != nil {
				t.Fatal(err)
			}
			written, err := w.Index()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "idx")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := idxfile.NewEncoder(f).Encode(written); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			x, err := openIndex(path)
			if err != nil {
				t.Fatal(err)
			}
			defer x.file.Close()
			for h, want := range at {
				if got, found, err := x.find(h); got != want || !found || err != nil {
					t.Fatalf("%s\nfind(%s): %d, %v, %v, want %d", tc.reason, h, got, found, err, want)
				}
				h[19] ^= 1
				if _, there := at[h]; there {
					continue
				}
				if _, found, err := x.find(h); found || err != nil {
					t.Fatalf("%s\nfind(%s): %v, %v, and it is not there", tc.reason, h, found, err)
				}
			}
		})
	}
}

// commits are read by go-git and by us.
var commits = map[string]string{
	"Usual":        "tree %[1]s\nparent %[2]s\nauthor A B <a@x> 1700000000 +0130\ncommitter C <c@x> 1700000100 -0730\n\nsubject\n\nbody\n",
	"Merge":        "tree %[1]s\nparent %[2]s\nparent %[1]s\nauthor A <a@x> 1 +0000\ncommitter C <c@x> 2 +0000\n\nm",
	"Root":         "tree %[1]s\nauthor A <a@x> 1 +0000\ncommitter C <c@x> 2 +0000\n\n",
	"Signed":       "tree %[1]s\nauthor A <a@x> 1 +0000\ncommitter C <c@x> 2 +0000\ngpgsig -----BEGIN\n \n iQ\n -----END\n\nsubject\n",
	"Encoding":     "tree %[1]s\nauthor A <a@x> 1 +0000\ncommitter C <c@x> 2 +0000\nencoding ISO-8859-1\n\nsubject\n",
	"MergeTag":     "tree %[1]s\nauthor A <a@x> 1 +0000\ncommitter C <c@x> 2 +0000\nmergetag object %[2]s\n type commit\n \n tag text\n\nm\n",
	"NoMessage":    "tree %[1]s\nauthor A <a@x> 1 +0000\ncommitter C <c@x> 2 +0000\n",
	"NoAuthor":     "tree %[1]s\ncommitter C <c@x> 2 +0000\n\nm",
	"ParentLate":   "tree %[1]s\nauthor A <a@x> 1 +0000\nparent %[2]s\ncommitter C <c@x> 2 +0000\n\nm",
	"SecondTree":   "tree %[1]s\ntree %[2]s\nauthor A <a@x> 1 +0000\n\nm",
	"NoTime":       "tree %[1]s\nauthor A <a@x>\ncommitter C <c@x> soon\n\nm",
	"NoZone":       "tree %[1]s\nauthor A <a@x> 5\ncommitter C <c@x> 6 +1\n\nm",
	"OddNames":     "tree %[1]s\nauthor  <A> <b> <> 5 +0000\ncommitter <> 6 +0000\n\nm",
	"Unclosed":     "tree %[1]s\nauthor A <a@x 5 +0000\ncommitter C>c@x< 6 +0000\n\nm",
	"Negative":     "tree %[1]s\nauthor A <a@x> -5 +0000\ncommitter C <c@x> 99999999999 +0000\n\nm",
	"NoTree":       "parent %[2]s\nauthor A <a@x> 1 +0000\n\nm",
	"ShortTree":    "tree %.39[1]s\n\nm",
	"NotHex":       "tree %[1]s\nparent zz%.38[2]s\n\nm",
	"Empty":        "",
	"Blank":        "\n\ntree",
	"MessageFirst": "\ntree %[1]s\n",
}

func TestCommitsReadAsGoGitReadsThem(t *testing.T) {
	t.Parallel()
	type signature struct {
		Name, Email, When string
	}
	type commit struct {
		Tree              plumbing.Hash
		Parents           []plumbing.Hash
		Author, Committer signature
		Message           string
	}
	const layout = "2006-01-02 15:04:05 -0700"
	for name, text := range commits {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(text, "%") {
				text = fmt.Sprintf(text+"%.0[1]s%.0[2]s", strings.Repeat("a1", 20), strings.Repeat("b2", 20))
			}
			o := &plumbing.MemoryObject{}
			o.SetType(plumbing.CommitObject)
			if _, err := o.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			theirs := &gitobject.Commit{}
			wantErr := theirs.Decode(o)
			ours, err := decodeCommit([]byte(text))
			if (err == nil) != (wantErr == nil) {
				t.Fatalf("error: %v, and go-git's is %v", err, wantErr)
			}
			if err != nil {
				return
			}
			sign := func(s gitobject.Signature) signature { return signature{s.Name, s.Email, s.When.Format(layout)} }
			person := func(p Person) signature { return signature{p.Name, p.Email, p.When().Format(layout)} }
			want := commit{theirs.TreeHash, theirs.ParentHashes, sign(theirs.Author), sign(theirs.Committer), theirs.Message}
			got := commit{ours.Tree, ours.Parents, person(ours.Author), person(ours.Committer), ours.Message}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for _, text := range commits {
		f.Add([]byte(text))
	}
	f.Add([]byte("100644 a\x00" + strings.Repeat("h", 20) + "40000 b\x00" + strings.Repeat("i", 20)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := decodeCommit(b); (c == nil) == (err == nil) {
			t.Errorf("a commit %v and the error %v", c, err)
		}
		entries, err := decodeTree(b)
		for _, e := range entries {
			if found, ok, _ := findEntry(b, e.Name); err == nil && (!ok || found.Name != e.Name) {
				t.Errorf("%q is listed and not found", e.Name)
			}
		}
	})
}

package manifest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Prefetcher is implemented by a file system that fetches files one by one from
// afar: it is told which files are about to be read, so that it can fetch them
// together. A path that is not there is no error.
type Prefetcher interface {
	Prefetch(ctx context.Context, paths ...string) error
}

// refusal is what an author has to mend about a file that cannot be used. It
// is a problem, where any other error is the world's.
type refusal struct {
	path   string
	reason string
}

func (r *refusal) Error() string { return r.path + ": " + r.reason }

func refuse(path, format string, args ...any) *refusal {
	return &refusal{path, fmt.Sprintf(format, args...)}
}

var (
	errIsFolder = errors.New("is a folder, not a file")
	errIsFile   = errors.New("is a file, not a folder")
)

// tree reads a file system within limits, follows no symbolic link, and
// remembers every path that it was asked for. It serves one call, and is used
// by one goroutine at a time.
type tree struct {
	ctx     context.Context
	fsys    fs.FS
	limits  Limits
	folders *folders
	asked   map[string]bool // true for a folder that is there
	bytes   int64
	reads   int
	objects int
	// failed is the first error that is not the author's.
	failed error
}

func newTree(ctx context.Context, fsys fs.FS, limits Limits) *tree {
	return &tree{
		ctx: ctx, fsys: fsys, limits: limits, asked: map[string]bool{},
		folders: &folders{listed: map[string]map[string]fs.DirEntry{}},
	}
}

// again is a tree of the same files for another render.
func (t *tree) again(ctx context.Context) *tree {
	return &tree{ctx: ctx, fsys: t.fsys, limits: t.limits, folders: t.folders, asked: map[string]bool{}}
}

// folders are the listings of those folders that were looked into. What a path
// is, is looked up there: a listing costs a Git tree nothing, where the size of
// a file, that a Stat has to tell, can cost a request.
type folders struct {
	mu     sync.Mutex
	listed map[string]map[string]fs.DirEntry
}

func (f *folders) in(fsys fs.FS, dir string) (map[string]fs.DirEntry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known, ok := f.listed[dir]; ok {
		return known, nil
	}
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, err
	}
	byName := make(map[string]fs.DirEntry, len(entries))
	for _, e := range entries {
		byName[e.Name()] = e
	}
	f.listed[dir] = byName
	return byName, nil
}

// isDir says whether a path is a folder, or else a file. One through or at a
// symbolic link is refused; one that is not there is fs.ErrNotExist.
func (t *tree) isDir(name string) (dir bool, err error) {
	defer func() { t.asked[name] = err == nil && dir }()
	if err := t.ctx.Err(); err != nil {
		return false, t.fail(err)
	}
	if strings.Count(name, "/") >= t.limits.Depth {
		return false, refuse(name, "folders are nested deeper than %d levels", t.limits.Depth)
	}
	if name == "." {
		return true, nil
	}
	for i := 0; i < len(name); i++ {
		if name[i] != '/' {
			continue
		}
		if dir, err := t.lookUp(name[:i]); err != nil || !dir {
			return false, cmp.Or(err, notThere(name))
		}
	}
	return t.lookUp(name)
}

// lookUp is isDir for a path whose folder is one.
func (t *tree) lookUp(name string) (bool, error) {
	entries, err := t.folders.in(t.fsys, path.Dir(name))
	if err != nil {
		return false, t.fail(err)
	}
	e, ok := entries[path.Base(name)]
	switch {
	case !ok:
		return false, notThere(name)
	case e.Type()&fs.ModeSymlink != 0:
		return false, refuse(name, "is a symbolic link, and those are not followed: put the file itself here, or name its real path")
	case e.Type()&fs.ModeIrregular != 0:
		return false, refuse(name, "%s", submodule)
	case !e.IsDir() && !e.Type().IsRegular():
		return false, refuse(name, "is neither a file nor a folder")
	}
	return e.IsDir(), nil
}

// submodule is what there is to say of one, which a tree of a commit shows as an irregular
// file.
const submodule = "is a submodule, and those are not fetched: give the repository that it stands for a GitSource of its own, or put its files here"

func notThere(name string) error {
	return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// read returns the content of a file that is safe to parse as YAML.
func (t *tree) read(name string) ([]byte, error) {
	data, err := t.raw(name)
	switch {
	case err != nil:
		return nil, err
	case isLFSPointer(data):
		return nil, refuse(name, "%s", lfsPointer)
	case aliasBomb(data):
		return nil, refuse(name, "YAML aliases in it expand to more than %d values: write it plainly", maxValues)
	}
	return data, nil
}

// lfsPointer is what there is to say of a file that Git LFS keeps elsewhere.
const lfsPointer = "is a pointer of Git LFS, whose content is elsewhere and is not fetched: commit the file itself (git lfs untrack, then git add --renormalize)"

// isLFSPointer says whether a file is what Git LFS puts in the place of another
// (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md#the-pointer).
func isLFSPointer(data []byte) bool {
	const most = 1024
	return len(data) < most && bytes.HasPrefix(data, []byte("version https://git-lfs.github.com/spec/")) &&
		bytes.Contains(data, []byte("\noid "))
}

// lifecycle returns the content of a lifecycle.yaml.
func (t *tree) lifecycle(name string) ([]byte, error) { return t.upTo(name, MaxFileBytes) }

// raw returns the content of a file.
func (t *tree) raw(name string) ([]byte, error) { return t.upTo(name, t.limits.FileBytes) }

// upTo returns the content of a file that has at most so many bytes.
func (t *tree) upTo(name string, limit int64) ([]byte, error) {
	dir, err := t.isDir(name)
	if err != nil {
		return nil, err
	}
	if dir {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errIsFolder}
	}
	t.reads++
	if t.reads > t.limits.Reads {
		return nil, refuse(name, "more than %d files are read: name fewer", t.limits.Reads)
	}
	data, size, err := t.content(name, limit)
	if err != nil {
		return nil, t.fail(err)
	}
	t.bytes += int64(len(data))
	switch {
	case size > limit:
		return nil, refuse(name, "the file has %d bytes, and %d are the limit: split it", size, limit)
	case size < 0:
		return nil, refuse(name, "the file has more than %d bytes, which is the limit: split it", limit)
	case t.bytes > t.limits.TotalBytes:
		return nil, refuse(name, "more than %d bytes are read in all, which is the limit", t.limits.TotalBytes)
	}
	return data, nil
}

// unknown is the size of a file that is too large in any case.
const unknown = -1

// content reads one byte more than the limit at most, and tells how many there are.
func (t *tree) content(name string, limit int64) (data []byte, size int64, err error) {
	f, err := t.fsys.Open(name)
	var large interface{ TooLarge() (size, limit int64) }
	if errors.As(err, &large) { // of a file system that has limits of its own
		size, _ := large.TooLarge()
		return nil, cmp.Or(size, unknown), nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, err := f.Stat(); err == nil {
		size = info.Size()
	}
	data, err = io.ReadAll(io.LimitReader(f, limit+1))
	return data, max(size, int64(len(data))), err
}

// count adds the objects in a manifest to those that were read before.
func (t *tree) count(name string, data []byte) error {
	t.objects += len(split(data))
	if list.Match(data) {
		t.objects += len(kindField.FindAllIndex(data, -1))
	}
	if t.objects > t.limits.Objects {
		return refuse(name, "more than %d objects are rendered, which is the limit: deploy less from one folder", t.limits.Objects)
	}
	return nil
}

// How a list of objects looks, and each object in it.
var (
	list      = regexp.MustCompile(`kind["']?\s*:\s*["']?\w*List\b`)
	kindField = regexp.MustCompile(`\bkind["']?\s*:`)
)

// list returns the names of the files in a folder, sorted. A listed folder is
// remembered with a slash at its end.
func (t *tree) list(name string) ([]string, error) {
	dir, err := t.isDir(name)
	if err != nil {
		return nil, err
	}
	if !dir {
		return nil, &fs.PathError{Op: "list", Path: name, Err: errIsFile}
	}
	t.asked[name+"/"] = false
	entries, err := t.folders.in(t.fsys, name)
	if err != nil {
		return nil, t.fail(err)
	}
	var files []string
	for _, file := range slices.Sorted(maps.Keys(entries)) {
		if !entries[file].IsDir() {
			files = append(files, file)
		}
	}
	return files, nil
}

// prefetch tells the file system what will be read, if it wants to know.
func (t *tree) prefetch(paths ...string) error {
	p, ok := t.fsys.(Prefetcher)
	if !ok || len(paths) == 0 {
		return nil
	}
	if err := p.Prefetch(t.ctx, paths...); err != nil {
		return t.fail(err)
	}
	return nil
}

func (t *tree) fail(err error) error {
	if t.failed == nil {
		t.failed = err
	}
	return err
}

// inputs are the paths asked for, sorted. A folder that is there is among them
// only if it was listed: otherwise what was asked for in it stands for it.
func (t *tree) inputs() []string {
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(t.asked)) {
		if !t.asked[name] {
			paths = append(paths, name)
		}
	}
	return paths
}

// within joins a relative path to a folder of the repository; ok is false if
// it leaves the repository.
func within(dir, relative string) (name string, ok bool) {
	name = path.Join(dir, relative)
	return name, !path.IsAbs(relative) && fs.ValidPath(name)
}

// Where YAML can have an anchor, and an alias. There may be neither where they
// match, but there is none where they do not.
var (
	anchor = regexp.MustCompile(`(?:^|[\s\[{,:])&\S`)
	alias  = regexp.MustCompile(`(?:^|[\s\[{,:])\*\S`)
)

// aliasBomb says whether the aliases in a YAML text expand to more than a
// document may hold. Text that is no YAML has no aliases.
func aliasBomb(data []byte) bool {
	if utf8.Valid(data) && !(anchor.Match(data) && alias.Match(data)) {
		return false
	}
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var n yaml.Node
		if err := dec.Decode(&n); err != nil {
			return false
		}
		if d := (&decoder{}); hasAlias(&n) {
			d.value(n.Content[0], 0)
			if d.overflow {
				return true
			}
		}
	}
}

func hasAlias(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || slices.ContainsFunc(n.Content, hasAlias)
}

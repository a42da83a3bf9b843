package gitsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing/filemode"
)

// A Tree is the files of one commit as a read-only file system. What is read is
// fetched if it is not here yet; [Tree.Prefetch] does that for many files at once.
//
// Symbolic links appear as such and are never followed: Open, Stat and ReadFile
// treat the link itself, and Open and ReadFile fail on it. Submodules appear as
// irregular files. Names that no [fs.FS] can have are left out: those that are not
// UTF-8, and ".", "..", or with a slash inside. All files carry the time of the
// commit. Files over the size limit fail with [ErrTooLarge], also when their size is
// asked for.
type Tree struct {
	v   view
	err error
}

var (
	_ fs.ReadDirFS  = (*Tree)(nil)
	_ fs.ReadFileFS = (*Tree)(nil)
	_ fs.StatFS     = (*Tree)(nil)
	_ fs.ReadLinkFS = (*Tree)(nil)
)

// Tree returns the files of a commit. That the commit cannot be read shows in the
// first use of the files; ctx is for all uses.
func (r *Repository) Tree(ctx context.Context, sha string) *Tree {
	root, err := parseCommit(sha)
	return &Tree{v: r.view(ctx, root), err: err}
}

// Prefetch is [Repository.Prefetch] of this tree.
func (t *Tree) Prefetch(ctx context.Context, paths ...string) error {
	if t.err != nil {
		return t.err
	}
	v := t.v
	v.ctx = ctx
	return v.r.explain(v.prefetch(paths))
}

// Open opens a file or a folder.
func (t *Tree) Open(name string) (fs.File, error) {
	info, err := t.find("open", name)
	if err != nil {
		return nil, err
	}
	switch {
	case info.IsDir():
		entries, err := t.list(info)
		return &openFolder{info: info, entries: entries}, t.fail("open", name, err)
	case !info.Mode().IsRegular():
		return nil, t.fail("open", name, errNotRegular)
	}
	content, err := t.v.blob(info.hash)
	if err != nil {
		return nil, t.fail("open", name, err)
	}
	return &openFile{Reader: bytes.NewReader(content), info: info}, nil
}

// errNotRegular: opening a symbolic link or a submodule.
var errNotRegular = fmt.Errorf("%w: a symbolic link or a submodule has no content of its own here", fs.ErrInvalid)

// ReadFile returns a regular file's content.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	info, err := t.find("read", name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, t.fail("read", name, errNotRegular)
	}
	content, err := t.v.blob(info.hash)
	return content, t.fail("read", name, err)
}

// ReadDir lists a folder by name.
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	info, err := t.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, t.fail("readdir", name, errors.New("not a directory"))
	}
	entries, err := t.list(info)
	return entries, t.fail("readdir", name, err)
}

// Stat describes a file, a folder or a symbolic link. A file that is not here yet is
// fetched for its size.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	info, err := t.find("stat", name)
	if err != nil {
		return nil, err
	}
	if err := info.measure(); err != nil {
		return nil, t.fail("stat", name, err)
	}
	return info, nil
}

// Lstat is Stat, which does not follow links either.
func (t *Tree) Lstat(name string) (fs.FileInfo, error) { return t.Stat(name) }

// ReadLink returns a symbolic link's target as it was committed, which may be
// anything.
func (t *Tree) ReadLink(name string) (string, error) {
	info, err := t.find("readlink", name)
	if err != nil {
		return "", err
	}
	if info.Mode().Type() != fs.ModeSymlink {
		return "", t.fail("readlink", name, fs.ErrInvalid)
	}
	target, err := t.v.blob(info.hash)
	return string(target), t.fail("readlink", name, err)
}

func (t *Tree) find(op, name string) (*fileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, t.fail(op, name, fs.ErrInvalid)
	}
	if t.err != nil {
		return nil, t.fail(op, name, t.err)
	}
	c, err := t.v.commit(t.v.root)
	if err != nil {
		return nil, t.fail(op, name, err)
	}
	e, found, err := t.v.lookup(c.Tree, name)
	if err != nil {
		return nil, t.fail(op, name, err)
	}
	if !found {
		return nil, t.fail(op, name, fs.ErrNotExist)
	}
	e.name = path.Base(name)
	return &fileInfo{entry: e, v: t.v, modified: c.Committer.When()}, nil
}

func (t *Tree) fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// list lists a folder. Who lists one mostly goes on to those in it, so that all trees below
// are fetched together.
func (t *Tree) list(folder *fileInfo) ([]fs.DirEntry, error) {
	if err := t.v.fetchBelow(folder.name == ".", folder.hash); err != nil {
		return nil, err
	}
	entries, err := t.v.tree(folder.hash)
	if err != nil {
		return nil, err
	}
	list := make([]fs.DirEntry, 0, len(entries))
	for _, e := range entries {
		if usable(e.name) {
			list = append(list, &fileInfo{entry: e, v: t.v, modified: folder.modified})
		}
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}

// usable tells whether a name can be an element of a path in an fs.FS.
func usable(name string) bool {
	return utf8.ValidString(name) && name != "." && name != ".." && name != "" && !strings.Contains(name, "/")
}

// fileInfo describes one entry of a tree, as fs.FileInfo and as fs.DirEntry.
type fileInfo struct {
	entry
	v        view
	modified time.Time
	size     int64
}

func (i *fileInfo) Name() string       { return i.name }
func (i *fileInfo) Size() int64        { return i.size }
func (i *fileInfo) Type() fs.FileMode  { return i.Mode().Type() }
func (i *fileInfo) IsDir() bool        { return i.mode == filemode.Dir }
func (i *fileInfo) ModTime() time.Time { return i.modified }
func (i *fileInfo) String() string     { return fs.FormatFileInfo(i) }

// Sys returns the object name of the blob, tree or submodule commit, a string.
func (i *fileInfo) Sys() any { return i.hash.String() }

func (i *fileInfo) Mode() fs.FileMode {
	switch i.mode {
	case filemode.Dir:
		return fs.ModeDir | 0o555
	case filemode.Symlink:
		return fs.ModeSymlink | 0o777
	case filemode.Submodule:
		return fs.ModeIrregular
	case filemode.Executable:
		return 0o555
	}
	return 0o444
}

// Info is part of fs.DirEntry. A file that is not here yet is fetched for its size.
func (i *fileInfo) Info() (fs.FileInfo, error) { return i, i.measure() }

func (i *fileInfo) measure() (err error) {
	if i.mode != filemode.Dir && i.mode != filemode.Submodule {
		i.size, err = i.v.blobSize(i.hash)
	}
	return err
}

type openFile struct {
	*bytes.Reader
	info *fileInfo
}

func (f *openFile) Close() error { return nil }

func (f *openFile) Stat() (fs.FileInfo, error) {
	f.info.size = f.Reader.Size()
	return f.info, nil
}

type openFolder struct {
	info    *fileInfo
	entries []fs.DirEntry
}

func (f *openFolder) Close() error               { return nil }
func (f *openFolder) Stat() (fs.FileInfo, error) { return f.info, nil }

func (f *openFolder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.info.name, Err: errors.New("is a directory")}
}

func (f *openFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(f.entries)
	} else if len(f.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(f.entries))
	head := f.entries[:n:n]
	f.entries = f.entries[n:]
	return head, nil
}

package gitsource

import "github.com/keptn/gitops/gitsource/internal/wire"

// A Mode is how a repository is fetched: as little of it as its remote can send.
type Mode string

const (
	// Partial: all commits, and trees and files as they are needed.
	Partial Mode = "partial"
	// Blobless: all commits and trees, and files as they are needed, because the remote
	// does not send trees by their names, or not without what is below them.
	Blobless Mode = "blobless"
	// Full: everything, because the remote sends no part of a repository.
	Full Mode = "full"
	// Local: nothing is fetched; the repository is read where it is.
	Local Mode = "local"
)

// The filters of a fetch, https://git-scm.com/docs/git-rev-list#Documentation/git-rev-list.txt---filterltfilter-specgt.
// What is asked for by its name comes whatever the filter is.
const (
	noTrees = "tree:0"
	noFiles = "blob:none"
)

// Mode is how the repository is fetched; "" if that is not known yet, because nothing was.
func (r *Repository) Mode() Mode {
	if r.mirror.local != nil {
		return Local
	}
	if err := r.mirror.open(); err != nil {
		return ""
	}
	return r.mirror.mode()
}

func (m *mirror) mode() Mode {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.Mode
}

func (m *mirror) setMode(mode Mode) error {
	if m.mode() == mode {
		return nil
	}
	return m.update(func(s *state) { s.Mode = mode })
}

// treesByName tells whether trees that are not here can be fetched, as far as is known.
func (m Mode) treesByName() bool { return m == Partial || m == "" }

// filter is what leaves out of a history what is not needed at once. What is new later on
// comes with its trees: they are few then, and most are needed.
func (m Mode) filter(first bool) string {
	switch {
	case m == Full:
		return ""
	case m.treesByName() && first:
		return noTrees
	}
	return noFiles
}

// lesser is the mode to go on with where the remote turns out not to serve this one.
func (m Mode) lesser() Mode {
	if m.treesByName() {
		return Blobless
	}
	return Full
}

// lessen starts over in another mode. The caller has entered.
func (r *Repository) lessen(mode Mode) error {
	if err := r.mirror.reset(); err != nil {
		return err
	}
	return r.mirror.setMode(mode)
}

// treesOf requests trees by their names, with all trees below them if need be.
func treesOf(below bool) wire.Request {
	if below {
		return wire.Request{Filter: noFiles}
	}
	return wire.Request{Filter: noTrees}
}

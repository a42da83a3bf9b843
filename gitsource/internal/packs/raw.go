package packs

import (
	"bytes"

	"github.com/go-git/go-git/v5/plumbing"
)

// Raw returns an object of a type as Git stores it, without the header that says its type
// and size.
func (db *DB) Raw(t plumbing.ObjectType, h plumbing.Hash) (content []byte, err error) {
	err = db.read(t, h, func(data []byte) error {
		content = bytes.Clone(data)
		return nil
	})
	return content, err
}

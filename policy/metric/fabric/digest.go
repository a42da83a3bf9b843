package fabric

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// A digest stands for a server, or for a query to one.
type digest [sha256.Size]byte

// digestOf is the digest of all that a server consists of, its clock apart.
func digestOf(s connect.Server) (digest, error) {
	text, err := json.Marshal(struct {
		connect.Server
		// These replace the fields of the same names: values that hide themselves,
		// and a function.
		Secret, Certificates map[string][]byte
		Now                  any
	}{Server: s, Secret: s.Secret, Certificates: s.Certificates})
	if err != nil {
		return digest{}, fmt.Errorf("%w: %w", metric.ErrConfig, err)
	}
	return sha256.Sum256(text), nil
}

// keyOf is the digest of a query to a server. Every text is preceded by its
// length, so that no two queries read the same.
func keyOf(server digest, q metric.Query) digest {
	b := slices.Clone(server[:])
	number := func(n int64) { b = binary.BigEndian.AppendUint64(b, uint64(n)) } //nolint:gosec // only told apart
	text := func(s string) {
		number(int64(len(s)))
		b = append(b, s...)
	}
	number(q.At.Unix())
	number(int64(q.At.Nanosecond()))
	number(int64(q.Window))
	number(int64(q.Step))
	text(q.Expr)
	text(strconv.FormatBool(q.Lines))
	for _, name := range slices.Sorted(maps.Keys(q.Args)) {
		text(name)
		text(q.Args[name])
	}
	return sha256.Sum256(b)
}

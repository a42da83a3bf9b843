package connect

import (
	"context"
	"io"
)

// largeAnswer is the size from which an answer is large, in bytes.
const largeAnswer = 256 << 10

// admissionKey is the admission's in a request's context.
type admissionKey struct{}

// WithAdmission has answers that turn out to be large wait for admit before more of
// them is read: once decoded they take many times their size. An error of admit
// ends the reading. It is called once for each large answer, and may be called from
// another goroutine.
func WithAdmission(ctx context.Context, admit func(context.Context) error) context.Context {
	return context.WithValue(ctx, admissionKey{}, admit)
}

// admittedBody is a body that waits for its admission once it is large.
type admittedBody struct {
	io.ReadCloser
	ctx      context.Context
	size     int64
	admitted bool
}

// Read implements io.Reader.
func (b *admittedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.size += int64(n)
	if b.admitted || b.size <= largeAnswer {
		return n, err
	}
	b.admitted = true
	if admit, ok := b.ctx.Value(admissionKey{}).(func(context.Context) error); ok {
		if err := admit(b.ctx); err != nil {
			return 0, err
		}
	}
	return n, err
}

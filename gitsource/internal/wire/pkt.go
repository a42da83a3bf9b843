package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A pkt is one of the packets that a stream is made of (gitprotocol-common(5),
// "pkt-line Format"): a line, or one of the two that only separate.
type pkt int

const (
	lineOf pkt = iota
	flush      // ends a message
	delim      // ends a section of one
)

// maxLine is the most bytes that a packet holds beside its length.
const maxLine = 65516

// packets reads packets. Nothing beyond the last one is read.
type packets struct {
	r      io.Reader
	buffer []byte
}

// next returns the next packet; its line is without the line break, and valid until the
// next call. A remote that says what is wrong ends in an error with its words.
func (p *packets) next() (pkt, []byte, error) {
	kind, n, err := p.length()
	if err != nil || kind != lineOf {
		return kind, nil, err
	}
	if cap(p.buffer) < n {
		p.buffer = make([]byte, 0, max(512, n))
	}
	line := p.buffer[:n]
	if _, err := io.ReadFull(p.r, line); err != nil {
		return 0, nil, cut(err)
	}
	if said, ok := bytes.CutPrefix(line, []byte("ERR ")); ok {
		words := printable(strings.TrimSpace(string(said)))
		return 0, nil, fmt.Errorf("%w: the remote says %s", kindOf(string(said)), words)
	}
	return lineOf, bytes.TrimSuffix(line, []byte("\n")), nil
}

// length reads what a packet is, and how long its line.
func (p *packets) length() (pkt, int, error) {
	var head [4]byte
	if _, err := io.ReadFull(p.r, head[:]); err != nil {
		return 0, 0, cut(err)
	}
	n, err := strconv.ParseUint(string(head[:]), 16, 16)
	switch {
	case err != nil || n == 2 || n == 3 || n > maxLine+4:
		return 0, 0, fmt.Errorf("%w: %q is no length of a packet", ErrProtocol, head)
	case n == 0:
		return flush, 0, nil
	case n == 1:
		return delim, 0, nil
	}
	return lineOf, int(n - 4), nil
}

// cut says that an answer ends where it must not.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendLine appends a packet that holds a line.
func appendLine(to []byte, line string) []byte {
	return fmt.Appendf(to, "%04x%s\n", len(line)+5, line)
}

const (
	flushPkt = "0000"
	delimPkt = "0001"
)

// strictReader fails where io.LimitReader would pretend an end.
type strictReader struct {
	r    io.Reader
	left int64
	what string
}

func (s *strictReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if s.left -= int64(n); s.left < 0 {
		return 0, fmt.Errorf("%w: %s", ErrTooLarge, s.what)
	}
	return n, err
}

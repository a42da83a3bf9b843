package forge

import (
	"errors"
	"time"

	"k8s.io/utils/lru"
)

// maxPauses bounds how many pauses are remembered.
const maxPauses = 1000

// Pauses remembers which pauses forges have asked for, and by whom, so that nobody goes on
// asking. It may be used by several goroutines at once, and by any number of targets.
type Pauses struct {
	now  func() time.Time
	kept *lru.Cache
}

// NewPauses returns an empty memory, which tells the time by now.
func NewPauses(now func() time.Time) *Pauses { return &Pauses{now: now, kept: lru.New(maxPauses)} }

// asker is who asks a host; without an account it is everybody.
type asker struct{ host, account string }

// An askedPause is a pause as a forge has asked for it.
type askedPause struct {
	asked RateLimitedError
	until time.Time
}

// heed returns what is left of a pause, a [RateLimitedError]; nil where there is none.
func (p *Pauses) heed(by asker) error {
	if p == nil {
		return nil
	}
	for _, by := range []asker{{host: by.host}, by} {
		known, ok := p.kept.Get(by)
		if !ok {
			continue
		}
		pause := known.(askedPause) //nolint:forcetypeassert // nothing else is put in
		if left := pause.until.Sub(p.now()); left > 0 {
			pause.asked.RetryAfter = (left + time.Second - 1).Truncate(time.Second)
			return &pause.asked
		}
	}
	return nil
}

// note remembers the pause that an error asks for, if it does.
func (p *Pauses) note(by asker, err error) {
	var limited *RateLimitedError
	if p == nil || !errors.As(err, &limited) {
		return
	}
	if limited.Host {
		by.account = ""
	}
	until := p.now().Add(limited.RetryAfter)
	if known, ok := p.kept.Get(by); ok && known.(askedPause).until.After(until) { //nolint:forcetypeassert // nothing else is put in
		return
	}
	p.kept.Add(by, askedPause{*limited, until})
}

package manifest

import "time"

// Limits bound the work that the content of a repository can cause. A zero
// field means its default. What goes beyond a limit is a problem, never cut
// off in silence.
type Limits struct {
	// FileBytes is the largest file that a render reads. Default 8 MiB. A
	// lifecycle.yaml is bounded by MaxFileBytes.
	FileBytes int64
	// TotalBytes is what one render reads in all, a file that is read twice
	// counted twice. Default 32 MiB.
	TotalBytes int64
	// Reads is how many files one render, or one discovery, reads. Default 10,000.
	Reads int
	// Objects is how many objects one folder may render to. Default 1,000: the
	// time that kustomize takes grows with the square of them.
	Objects int
	// Entries is how many files and folders a discovery walks over. Default
	// 1,000,000.
	Entries int
	// Depth is how deep folders are nested at most. Default 50.
	Depth int
	// Time is how long the build of one kustomization may take. Default 30s.
	Time time.Duration
}

// withDefaults fills in the fields that are zero.
func (l Limits) withDefaults() Limits {
	setDefault(&l.FileBytes, 8<<20)
	setDefault(&l.TotalBytes, 32<<20)
	setDefault(&l.Reads, 10_000)
	setDefault(&l.Objects, 1_000)
	setDefault(&l.Entries, 1_000_000)
	setDefault(&l.Depth, 50)
	setDefault(&l.Time, 30*time.Second)
	return l
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

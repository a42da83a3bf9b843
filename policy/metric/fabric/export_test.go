package fabric

import "time"

// KeepAnswers replaces the bounds of the answers that are kept.
func KeepAnswers(d time.Duration, n int, bytes int64) Option {
	return func(o *options) { o.keep, o.maxAnswers, o.maxBytes = d, n, bytes }
}

// KeepClients replaces the bounds of the clients that are kept.
func KeepClients(n int, idle time.Duration) Option {
	return func(o *options) { o.maxClients, o.idle = n, idle }
}

// Concurrent replaces how many queries are open at all servers that answer.
func Concurrent(n int) Option { return func(o *options) { o.concurrent = n } }

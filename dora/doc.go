// Package dora computes the five software delivery metrics of the DORA research
// program (https://dora.dev/guides/dora-metrics/, 2024 wording) from deployments, the
// commits that they delivered, and incidents.
//
// [Evaluate] works out what each deployment did: what it delivered, whether it failed
// and when that was mended, whether it was rework. Metrics, windows, trends and bands
// are sums over that. What it needs of Git it asks a [History] of its caller.
//
// It reads no clock, no repository and no cluster, it keeps nothing between calls, and
// it never corrects a fact that cannot be true, but says so.
package dora

// Package gitsource reads Git as a source of facts: which commit a ref is at, what
// its tree holds, what led to it, and what notes say about it.
//
// A [Store] keeps what it has fetched below one directory, one bare repository per
// URL with all commits and trees and only the files that were read, so that a new
// commit costs a few kilobytes however large the repository is. What is lost or
// damaged there is fetched again. A repository on the local disk is read in place.
//
// The package never runs a git binary, never has a work tree, never follows a
// symbolic link, and writes to a remote only Git notes and the branches that
// [Repository.Propose] makes. It knows neither Kubernetes nor what the files mean.
package gitsource

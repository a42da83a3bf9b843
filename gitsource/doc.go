// Package gitsource reads Git as a source of facts: which commit a ref is at, what
// its tree holds, what led to it, and what notes say about it.
//
// A [Store] keeps what it has fetched below one directory, one bare repository per URL.
// Over HTTP and SSH it asks for version 2 of Git's protocol
// (https://git-scm.com/docs/protocol-v2), in which a look at a ref is one request that
// costs the same however many refs there are. Of a repository it fetches
//   - all commits, the first time without their trees;
//   - trees as they are needed: those on the way to a path, those below a folder that is
//     listed, and where many commits are compared those of hundreds of them at once;
//   - of the files only those that are read.
//
// So a new commit costs a few kilobytes however large the repository is. Where a remote
// does not serve that, all trees are fetched with the commits, or everything; it is found
// out, remembered, and told by [Repository.Mode]. What is lost or damaged is fetched
// again, and told of by [OnRepair]. A commit that the remote does not have is not asked for
// again within a minute, unless there is something new. A repository on the local disk is
// read in place, where [AllowLocalRepositories] allows it.
//
// The package never runs a git binary, never has a work tree, never follows a
// symbolic link, and writes to a remote only Git notes and the branches that
// [Repository.Propose] makes. It knows neither Kubernetes nor what the files mean. Whose
// objects are named by SHA-256 is refused with [ErrObjectFormat].
package gitsource

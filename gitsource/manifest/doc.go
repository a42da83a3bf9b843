// Package manifest turns the files of a repository into objects: lifecycle.yaml
// into Lifecycles and SLOPolicies, and a folder of manifests into the workloads
// that it deploys.
//
// [Parse] reads one lifecycle.yaml and finds all that is wrong in it, each
// problem with its place, by the schemas of the CustomResourceDefinitions
// themselves. [Render] says which Deployments, StatefulSets and DaemonSets a
// folder deploys, through kustomize where the folder asks for it. [Discover]
// finds the apps of a whole tree. [Matches] tells whether a pod template that
// runs is the one that a commit rendered.
//
// Everything is read from an [io/fs.FS], such as the tree of one commit. The
// package never reaches the network, never runs a program, never writes, never
// follows a symbolic link and never leaves the root of that file system. What
// it reads was written by others, so all its work is bounded by [Limits].
package manifest

package manifest

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// chart is what tells the chart of a release from another one, if it is a folder of the
// same tree: that this is the tree of its GitRepository is taken for granted then. It is
// nothing for any other. The whole folder is an input, even where its version decides.
func (t *tree) chart(hr helmRelease) ([]any, error) {
	dir, inside := within(".", hr.ofChart("chart"))
	if hr.ofChart("chart") == "" || hr.ofChart("sourceRef", "kind") != "GitRepository" || !inside {
		return nil, nil
	}
	about := path.Join(dir, "Chart.yaml")
	if is, err := t.isFile(about); !is || err != nil {
		return nil, err
	}
	if hr.ofChart("reconcileStrategy") != "Revision" {
		data, err := t.read(about)
		t.dependOnAll(dir)
		return []any{chartVersion(data)}, err
	}
	files, err := t.below(dir)
	if err != nil {
		return nil, err
	}
	more, err := t.valuesFiles(hr)
	if err != nil {
		return nil, err
	}
	content, err := t.contents(append(files, more...))
	t.dependOnAll(dir)
	return content, err
}

// ofChart is a text of spec.chart.spec; empty where it is not there.
func (hr helmRelease) ofChart(fields ...string) string {
	text, _, _ := unstructured.NestedString(hr.spec, append([]string{"chart", "spec"}, fields...)...)
	return text
}

// chartVersion is the version in a Chart.yaml; all of it where that cannot be read.
func chartVersion(data []byte) string {
	var about struct {
		Version string `yaml:"version"`
	}
	if err := yaml.Unmarshal(data, &about); err != nil || about.Version == "" {
		return string(data)
	}
	return about.Version
}

// valuesFiles are the files of the tree that a chart's values are merged from. Their paths
// begin at the root of the source, as the chart's does.
func (t *tree) valuesFiles(hr helmRelease) ([]string, error) {
	named, _, _ := unstructured.NestedStringSlice(hr.spec, "chart", "spec", "valuesFiles")
	var files []string
	for _, name := range named {
		name, inside := within(".", name)
		if !inside {
			continue
		}
		is, err := t.isFile(name)
		if err != nil {
			return nil, err
		}
		if is {
			files = append(files, name)
		}
	}
	return files, nil
}

// isFile says whether a path is a file that can be read. What is not there, or is refused,
// is none.
func (t *tree) isFile(name string) (bool, error) {
	dir, err := t.isDir(name)
	var r *refusal
	if errors.As(err, &r) || errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && !dir, err
}

// below are the files at any depth of a folder, but for what is neither a file nor a
// folder, as symbolic links are not followed.
func (t *tree) below(dir string) ([]string, error) {
	var files []string
	seen := 0
	for todo := []string{dir}; len(todo) > 0; {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		entries, err := t.folders.in(t.fsys, next)
		if err != nil {
			return nil, t.fail(err)
		}
		if seen += len(entries); seen > t.limits.Reads {
			return nil, refuse(dir, "more than %d files and folders are in it, which is the limit: make the chart smaller", t.limits.Reads)
		}
		for name, e := range entries {
			switch full := path.Join(next, name); {
			case e.IsDir() && strings.Count(full, "/") >= t.limits.Depth:
				return nil, refuse(full, "folders are nested deeper than %d levels", t.limits.Depth)
			case e.IsDir():
				todo = append(todo, full)
			case e.Type().IsRegular():
				files = append(files, full)
			}
		}
	}
	slices.Sort(files)
	return files, nil
}

// contents are the names of files, each with its content.
func (t *tree) contents(files []string) ([]any, error) {
	if err := t.prefetch(files...); err != nil {
		return nil, err
	}
	var all []any
	for _, name := range files {
		data, err := t.raw(name)
		if err != nil {
			return nil, err
		}
		all = append(all, name, digest(data))
	}
	return all, nil
}

// dependOnAll makes a folder with all that is in it an input, in the place of the files in
// it that were asked for.
func (t *tree) dependOnAll(dir string) {
	maps.DeleteFunc(t.asked, func(name string, _ bool) bool { return strings.HasPrefix(name, dir+"/") })
	t.asked[dir] = false
}

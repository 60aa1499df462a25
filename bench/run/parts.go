package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/smtpstorm/xk6-smtp/bench/result"
)

// The files of generators that took a load together, as scripts/segments.sh and the manifests for Kubernetes leave them: a record and the
// claims of each, by the same word, and the merged record.
const (
	mergedRecord = "run.json"
	partRecord   = "run-*.json"
	partClaims   = "sent-*.jsonl"
)

// readParts returns the record of the generators that took a load together and left their files in a directory: nil, and no error, where
// there is none. Claims without a record are those of a generator that has died, and say that the load was not carried out. The path is that
// of the record, or of the part of it that is bad.
func readParts(dir string) (record *result.Record, path string, err error) {
	path = filepath.Join(dir, mergedRecord)
	record, err = result.Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, path, err
	}
	names, err := filepath.Glob(filepath.Join(globbed(dir), partRecord))
	if err != nil || record == nil && len(names) == 0 {
		return nil, path, err
	}
	if record == nil {
		var parts []*result.Record
		for _, name := range names {
			part, err := result.Read(name)
			if err != nil {
				return nil, name, err
			}
			parts = append(parts, part)
		}
		if record, err = result.Merge(parts...); err != nil {
			return nil, path, err
		}
	}
	claims, err := filepath.Glob(filepath.Join(globbed(dir), partClaims))
	if err != nil {
		return nil, path, err
	}
	for _, name := range claims {
		word := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), "sent-"), ".jsonl")
		if _, err := os.Stat(filepath.Join(dir, "run-"+word+".json")); errors.Is(err, fs.ErrNotExist) && record.Load.Stopped == "" {
			died := *record
			died.Load.Stopped = fmt.Sprintf("the generator of %s has left no record", filepath.Base(name))
			record = &died
		}
	}
	return record, path, nil
}

// globbed makes a pattern of a directory's name.
func globbed(dir string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(dir)
}

package cmd

import (
	"errors"
	"path/filepath"

	"github.com/smtpstorm/xk6-smtp/bench/report"
	"github.com/smtpstorm/xk6-smtp/sink/outfile"
)

// pageFile is the page that a flag --html names; inputs are the files that were read.
func pageFile(path string, inputs []string) *outfile.File {
	return &outfile.File{Path: path, Kind: "a report of smtpbench", Marks: []string{report.PageMark}, Inputs: inputs}
}

// recordFile is the record that a flag --out names.
func recordFile(path string, inputs []string) *outfile.File {
	return &outfile.File{Path: path, Kind: "a run record", Marks: []string{`"schema"`, `smtpstorm/run/`}, Inputs: inputs}
}

// checkOutputs refuses, before anything is written, files that can't be: out and html may be empty.
func checkOutputs(out, html string, inputs []string) error {
	if out != "" && html != "" && filepath.Clean(out) == filepath.Clean(html) {
		return usageErrorf("--out and --html name the same file: %s", out)
	}
	if out != "" {
		if err := recordFile(out, inputs).Check(); err != nil {
			return usageErrorf("--out: %w", err)
		}
	}
	if html != "" {
		if err := pageFile(html, inputs).Check(); err != nil {
			return usageErrorf("--html: %w", err)
		}
	}
	return nil
}

// written makes a file that could not be written bad input.
func written(err error) error {
	var wrong *outfile.Error
	if errors.As(err, &wrong) {
		return &usageError{err}
	}
	return err
}

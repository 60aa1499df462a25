package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// entry is a file of an archive. Directories are left out: every tool makes them.
type entry struct {
	name string
	mode fs.FileMode
	data []byte
}

// entries returns the files below dir in the order of their names, under a folder of that name. Whoever starts a program may run it; nothing else
// of a file's mode stays.
func entries(dir, folder string) (all []entry, err error) {
	err = filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(file) // #nosec G122 G304 -- below a directory that this program has made
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if info.Mode()&0o100 != 0 {
			mode = 0o755
		}
		all = append(all, entry{path.Join(folder, filepath.ToSlash(inside)), mode, data})
		return nil
	})
	return all, err
}

func writeTar(file, dir, folder string, at time.Time) error {
	files, err := entries(dir, folder)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	compressed, err := gzip.NewWriterLevel(&b, gzip.BestCompression) // its header has no name and no time
	if err != nil {
		return err
	}
	w := tar.NewWriter(compressed)
	for _, e := range files {
		if err := w.WriteHeader(&tar.Header{Name: e.name, Mode: int64(e.mode), Size: int64(len(e.data)), ModTime: at, Typeflag: tar.TypeReg, Format: tar.FormatPAX}); err != nil {
			return err
		}
		if _, err := w.Write(e.data); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := compressed.Close(); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644) // #nosec G306 -- what is released is for everybody to read
}

func writeZip(file, dir, folder string, at time.Time) error {
	files, err := entries(dir, folder)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range files {
		header := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: at}
		header.SetMode(e.mode)
		out, err := w.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := io.Copy(out, bytes.NewReader(e.data)); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644) // #nosec G306 -- what is released is for everybody to read
}

// compressAll replaces each file below dir by one with gzip's suffix.
func compressAll(dir string) error {
	files, err := entries(dir, "")
	if err != nil {
		return err
	}
	for _, e := range files {
		var b bytes.Buffer
		w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := w.Write(e.data); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		name := filepath.Join(dir, filepath.FromSlash(e.name))
		if err := os.WriteFile(name+".gz", b.Bytes(), 0o644); err != nil { // #nosec G306 -- what is released is for everybody to read
			return err
		}
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

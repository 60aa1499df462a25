package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/smtpstorm/xk6-smtp/bench/run"
)

// giveSides sets the sides of an experiment: side A as the other flags say it and B against it, or both as a file says it.
func giveSides(o *run.Options, against run.Side, file string) error {
	given := !reflect.ValueOf(against).IsZero()
	switch {
	case given && file != "":
		return usageErrorf("--sides and --against-plan, --against-target, --against-mta or --against-k6 exclude each other: the file says it all")
	case given:
		o.Sides = &[2]run.Side{{}, against}
	case file != "":
		sides, err := readSidesFile(file)
		if err != nil {
			return usageErrorf("--sides %s: %w", file, err)
		}
		o.Sides = sides
	}
	return nil
}

// maxSidesFile bounds the file: it holds a few lines.
const maxSidesFile = 1 << 20

func readSidesFile(path string) (*[2]run.Side, error) {
	f, err := os.Open(path) // #nosec G304 -- the file that the user names
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			return nil, p.Err
		}
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSidesFile))
	if err != nil {
		return nil, err
	}
	var sides struct {
		A *run.Side `yaml:"a"`
		B *run.Side `yaml:"b"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&sides); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("it is empty")
		}
		return nil, fmt.Errorf("want a: and b: with label, plan, target, mta, k6 or env: %s", strings.Join(strings.Fields(err.Error()), " "))
	}
	if sides.A == nil || sides.B == nil {
		return nil, errors.New("want two sides, a and b")
	}
	for _, s := range []*run.Side{sides.A, sides.B} {
		for _, e := range s.Env {
			if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
				return nil, fmt.Errorf("env %q: want NAME=VALUE", e)
			}
		}
	}
	return &[2]run.Side{*sides.A, *sides.B}, nil
}

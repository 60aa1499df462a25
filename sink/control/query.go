package control

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/control/api"
)

// query checks that a request has no other parameters than these, each once at most: a misspelt one would silently ask for more.
func query(r *http.Request, valid ...string) error {
	values, err := parsed(r)
	if err != nil {
		return err
	}
	for name, given := range values {
		switch {
		case !slices.Contains(valid, name) && len(valid) == 0:
			return badQuery("unknown parameter %.64q (there are none)", name)
		case !slices.Contains(valid, name):
			return badQuery("unknown parameter %.64q (valid: %s)", name, strings.Join(valid, " "))
		case len(given) > 1:
			return badQuery("parameter %s is given twice", name)
		}
	}
	return nil
}

// badQuery returns a problem with a parameter. The text names it.
func badQuery(format string, args ...any) *api.Problem {
	p := problem(api.BadRequest, format, args...)
	p.Errors = []api.Flaw{{Message: p.Detail}}
	if _, valid, ok := strings.Cut(p.Detail, "(valid: "); ok {
		p.Errors[0].Valid = strings.TrimSuffix(valid, ")")
	}
	return p
}

func parsed(r *http.Request) (map[string][]string, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, problem(api.BadRequest, "the query can't be read: %v", err)
	}
	return values, nil
}

func boolQuery(r *http.Request, name string) (bool, error) {
	if err := query(r, name); err != nil {
		return false, err
	}
	switch v := r.URL.Query().Get(name); {
	case v == "true":
		return true, nil
	case v == "false", !r.URL.Query().Has(name):
		return false, nil
	default:
		return false, badQuery("%s: invalid value %.64q (valid: true false)", name, v)
	}
}

// number parses a parameter; preset stands for one that isn't there.
func number(r *http.Request, name string, preset, most uint64) (uint64, error) {
	if !r.URL.Query().Has(name) {
		return preset, nil
	}
	v := r.URL.Query().Get(name)
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil || n > most {
		return 0, badQuery("%s: invalid number %.64q (want 0 to %d)", name, v, most)
	}
	return n, nil
}

package xk6smtp

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// fold says which tags a sample loses when there are too many series: first the script's own, which may have any number of values, then k6's, and
// at last this module's, by which both sides of a run are compared.
type fold uint8

const (
	foldNothing fold = iota
	foldScripts      // the script's own tags
	foldK6s          // and k6's, and of this module's the enhanced status code, of which a server may make a million
	foldAll
	numFolds
)

// foldLimits are how many series may be made of what each fold leaves, and how many of them may be trends, which have a histogram each.
var foldLimits = [numFolds]struct{ series, trends int }{
	foldNothing: {10000, 500},
	foldScripts: {2000, 300},
	foldK6s:     {2000, 300},
}

// compared are the tags of this module that stay longest.
var compared = []string{"phase", "code", "error_code", "expected_response", "pipelined", "cause"}

// k6Tags are those that k6 and this module give to samples.
var k6Tags = []string{
	"check", "enhanced", "error", "expected_response", "group", "ip", "method", "name", "ocsp_status", "proto", "scenario", "server", "service", "status",
	"subproto", "tls_version", "url",
}

// less is the fold before.
func (f fold) less() fold { return f - 1 }

// keeps reports whether a tag stays.
func (f fold) keeps(name string) bool {
	switch f {
	case foldNothing:
		return true
	case foldScripts:
		return slices.Contains(compared, name) || slices.Contains(k6Tags, name)
	case foldK6s:
		return slices.Contains(compared, name)
	}
	return false
}

// of appends the tags that stay.
func (f fold) of(dst, all []tag) []tag {
	for _, t := range all {
		if f.keeps(t.name) {
			dst = append(dst, t)
		}
	}
	return dst
}

// lost names what a fold takes away.
func (f fold) lost() string {
	return [...]string{"nothing", "the script's own tags", "all tags but " + strings.Join(compared, ", "), "all tags"}[f]
}

// warnings say what the record doesn't tell, and which tag is the cause.
func (set *seriesSet) warnings() []string {
	var list []string
	for at, n := range set.folded {
		limit := foldLimits[at.fold.less()]
		text := fmt.Sprintf("%s: %d samples lost %s: the run had more than %d trend series or %d series", at.metric, n, at.fold.lost(), limit.trends, limit.series)
		if tag, values := set.culprit(at.fold); tag != "" {
			text += fmt.Sprintf("; the tag %q alone has %d values and more", tag, values)
		}
		list = append(list, text)
	}
	slices.Sort(list)
	return list
}

// culprit is the tag with the most values of those that a fold takes away.
func (set *seriesSet) culprit(f fold) (tag string, values int) {
	seen := map[string]map[string]bool{}
	for _, e := range set.entries {
		for name, value := range e.total.Tags {
			if f.keeps(name) || !f.less().keeps(name) {
				continue
			}
			if seen[name] == nil {
				seen[name] = map[string]bool{}
			}
			seen[name][value] = true
		}
	}
	most := slices.MaxFunc(append(slices.Collect(maps.Keys(seen)), ""), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(seen[a]), len(seen[b])), strings.Compare(b, a))
	})
	return most, len(seen[most])
}

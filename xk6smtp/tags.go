package xk6smtp

import (
	"slices"
	"strconv"
	"strings"

	"go.k6.io/k6/v2/metrics"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// ownTags are the tags that this module adds to a sample. They never depend on k6's systemTags, and no address, queue id or
// reply text is ever among them. A zero field is a tag that the sample doesn't have.
type ownTags struct {
	code      smtp.Code
	mixed     bool // code: recipients that got different replies
	enhanced  smtp.Enhanced
	errorCode errorCode
	expected  triState
	phase     smtp.Stage
	hasPhase  bool
	pipelined triState
	reply     bool   // has enhanced even when it is empty
	cause     string // why a sink replied so: a rule's name, of which a plan has few
}

// triState is a tag that may be absent.
type triState uint8

const (
	absent triState = iota
	isFalse
	isTrue
)

func tri(b bool) triState {
	if b {
		return isTrue
	}
	return isFalse
}

func (t triState) String() string { return strconv.FormatBool(t == isTrue) }

// apply adds the tags in a fixed order, by name.
func (o ownTags) apply(tags *metrics.TagSet) *metrics.TagSet {
	if o.cause != "" {
		tags = tags.With("cause", o.cause)
	}
	switch {
	case o.mixed:
		tags = tags.With("code", "mixed")
	case o.code != 0:
		tags = tags.With("code", strconv.Itoa(int(o.code)))
	}
	if o.reply {
		tags = tags.With("enhanced", o.enhanced.String())
	}
	if o.errorCode != 0 {
		tags = tags.With("error_code", strconv.Itoa(int(o.errorCode)))
	}
	if o.expected != absent {
		tags = tags.With("expected_response", o.expected.String())
	}
	if o.hasPhase {
		tags = tags.With("phase", o.phase.String())
	}
	if o.pipelined != absent {
		tags = tags.With("pipelined", o.pipelined.String())
	}
	return tags
}

// maxCachedTags bounds a cache: a script that changes its tags all the time must not make it grow without end.
const maxCachedTags = 4096

type tagKey struct {
	base *metrics.TagSet
	own  ownTags
}

// tagCache remembers tag sets, since k6 looks every added tag up in a shared map. It serves one goroutine at a time.
type tagCache struct {
	sets map[tagKey]*metrics.TagSet
	// last holds what was asked for at each place among an operation's samples: one message is much like the one before.
	last [usualSamples]struct {
		key  tagKey
		tags *metrics.TagSet
	}
}

// with returns base with own tags added, for the sample at that place among an operation's.
func (c *tagCache) with(place int, base *metrics.TagSet, own ownTags) *metrics.TagSet {
	key := tagKey{base, own}
	if place >= len(c.last) {
		return c.find(key)
	}
	last := &c.last[place]
	if last.tags == nil || last.key != key {
		last.key, last.tags = key, c.find(key)
	}
	return last.tags
}

func (c *tagCache) find(key tagKey) *metrics.TagSet {
	if tags, ok := c.sets[key]; ok {
		return tags
	}
	if c.sets == nil || len(c.sets) >= maxCachedTags {
		c.sets = make(map[tagKey]*metrics.TagSet)
	}
	tags := key.own.apply(key.base)
	c.sets[key] = tags
	return tags
}

// serverTag is the tag by which the samples of two servers in one script stay apart.
const serverTag = "server"

// withServerTag adds it, unless the script has one of that name. A script connects to few servers, so that it has few values.
func withServerTag(tags []pair, address string) []pair {
	at, found := slices.BinarySearchFunc(tags, serverTag, func(p pair, name string) int { return strings.Compare(p.name, name) })
	if found {
		return tags
	}
	return slices.Insert(slices.Clone(tags), at, pair{serverTag, address})
}

// withPairs returns base with a script's tags added; they are sorted by name.
func withPairs(base *metrics.TagSet, tags []pair) *metrics.TagSet {
	for _, tag := range tags {
		base = base.With(tag.name, tag.value)
	}
	return base
}

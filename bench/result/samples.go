package result

import (
	"slices"
	"strconv"
	"strings"
)

// MetricSinkReplies is the counter by which a sink in the generator's own process tells what it decided, when it is stopped. Its
// tags are phase, code, enhanced and cause.
const MetricSinkReplies = "smtp_sink_replies"

// SinkOfSamples returns what sinks in the generator's process told by their samples, or nil if there are none. It knows replies
// alone: connections and messages are counted by them, and what rules could have drawn is not known, so that Planned of a
// reconciliation says nothing that Injected doesn't.
func SinkOfSamples(c *Client) *Sink {
	series := c.Find(MetricSinkReplies, nil)
	if len(series) == 0 {
		return nil
	}
	sink := &Sink{RepliesOnly: true}
	counts := map[ReplyCount]uint64{}
	for _, s := range series {
		code, _ := strconv.Atoi(s.Tags["code"]) // 0, a reply that nobody observes, if a series lost its tags
		r := ReplyCount{Stage: s.Tags["phase"], Code: code, Enhanced: s.Tags["enhanced"], Cause: s.Tags["cause"]}
		counts[r] += uint64(s.Summary().Sum)
	}
	for r, n := range counts {
		switch r.Stage {
		case "connect":
			sink.Connections += n
		case "mail":
			sink.Transactions += ifAccepted(r, n)
		case "rcpt":
			sink.Recipients += ifAccepted(r, n)
		case "message":
			sink.Messages += ifAccepted(r, n)
		}
		r.Count = n
		sink.Replies = append(sink.Replies, r)
	}
	slices.SortFunc(sink.Replies, func(a, b ReplyCount) int {
		if c := compareReplies(Reply{a.Stage, a.Code, a.Enhanced}, Reply{b.Stage, b.Code, b.Enhanced}); c != 0 {
			return c
		}
		return strings.Compare(a.Cause, b.Cause)
	})
	return sink
}

func ifAccepted(r ReplyCount, n uint64) uint64 {
	if r.Code/100 == 2 {
		return n
	}
	return 0
}

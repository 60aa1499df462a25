package count

import (
	"cmp"
	"slices"
	"time"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// Window is what happened within a slice of time.
type Window struct {
	Start         time.Time     `json:"start"`
	LengthSeconds float64       `json:"length_s"`
	Connections   uint64        `json:"connections,omitempty"` // accepted
	Messages      uint64        `json:"messages,omitempty"`    // positive replies after the final dot
	Bytes         uint64        `json:"bytes,omitempty"`       // received
	Replies       []WindowReply `json:"replies,omitempty"`     // ordered by stage and code
}

// WindowReply is how often a code was handed over for writing at a stage within a window.
type WindowReply struct {
	Stage smtp.Stage `json:"stage"`
	Code  smtp.Code  `json:"code"`
	Count uint64     `json:"count"`
}

// Add counts n replies of a code at a stage.
func (w *Window) Add(stage smtp.Stage, code smtp.Code, n uint64) {
	if stage == smtp.StageMessage && code.Class() == 2 {
		w.Messages += n
	}
	i, known := slices.BinarySearchFunc(w.Replies, WindowReply{Stage: stage, Code: code}, func(a, b WindowReply) int {
		return cmp.Or(cmp.Compare(a.Stage, b.Stage), cmp.Compare(a.Code, b.Code))
	})
	if !known {
		w.Replies = slices.Insert(w.Replies, i, WindowReply{Stage: stage, Code: code})
	}
	w.Replies[i].Count += n
}

// Merge adds what another window has counted; the times stay.
func (w *Window) Merge(o *Window) { w.combine(o, once) }

// Minus returns what is counted in w and not in o, an earlier state of it; the times are w's.
func (w *Window) Minus(o *Window) Window {
	out := *w
	out.combine(o, negated)
	out.Replies = slices.DeleteFunc(out.Replies, func(r WindowReply) bool { return r.Count == 0 })
	return out
}

func (w *Window) combine(o *Window, k uint64) {
	w.Connections += k * o.Connections
	w.Bytes += k * o.Bytes
	w.Replies = slices.Clone(w.Replies) // others may have the window, too
	for _, r := range o.Replies {       // messages are among them
		w.Add(r.Stage, r.Code, k*r.Count)
	}
}

// combineWindows puts each window of o into the one in which its middle lies: clocks and starts of two sinks differ.
func combineWindows(windows, o []Window) []Window {
	out := slices.Clone(windows)
	for i := range o {
		middle := o[i].Start.Add(time.Duration(o[i].LengthSeconds * float64(time.Second) / 2))
		at, _ := slices.BinarySearchFunc(out, middle, func(w Window, t time.Time) int { return w.Start.Compare(t) })
		if j := at - 1; j >= 0 && middle.Before(out[j].Start.Add(time.Duration(out[j].LengthSeconds*float64(time.Second)))) {
			out[j].Merge(&o[i])
			continue
		}
		out = slices.Insert(out, at, o[i])
	}
	return out
}

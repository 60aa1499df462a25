package client

import (
	"strings"

	"github.com/smtpstorm/xk6-smtp/sink/smtp"
)

// maxHalfLine is how much of a line's begin is remembered: enough to know AUTH and its mechanism by.
const maxHalfLine = 64

// maxResponses is how many lines behind AUTH may be responses to challenges that nobody has waited for.
const maxResponses = 2

// handWritten finds secrets in octets that come in pieces, which end anywhere.
type handWritten struct {
	half      string // the begin of the line that is not ended yet
	responses int    // lines that may still be responses
}

// show returns a piece of a line as a transcript may show it; ended says that the line's end came with it.
func (h *handWritten) show(piece string, ended bool) string {
	line, begun := h.half+piece, h.half != ""
	shown := piece
	switch words := strings.Fields(line); {
	case len(words) > 0 && strings.EqualFold(words[0], "AUTH"):
		if len(words) > 2 {
			if shown = masked; !begun {
				shown = maskedAuth(line)
			}
		}
		h.responses = maxResponses + 1
	case h.responses > 0 && len(words) == 1 && (begun || !ended || smtp.ParseCommand([]byte(line)).Verb.Stage() == smtp.StageUnknown):
		shown = masked
	case len(words) > 0:
		h.responses = 0
	}
	if h.half = line[:min(len(line), maxHalfLine)]; ended {
		h.half = ""
		h.responses = max(h.responses-1, 0)
	}
	return shown
}

// maskedAuth is a line without the response of AUTH.
func maskedAuth(line string) string {
	words := strings.Fields(line)
	if len(words) > 2 && strings.EqualFold(words[0], "AUTH") {
		return words[0] + " " + words[1] + " " + masked
	}
	return line
}

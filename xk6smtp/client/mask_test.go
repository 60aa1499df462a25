package client

import (
	"strings"
	"testing"
)

// TestSecretsInPieces has credentials written by hand in pieces that end anywhere, and before anybody has read a challenge.
func TestSecretsInPieces(t *testing.T) {
	for _, test := range []struct{ pieces, want string }{
		{"AUTH PLAIN c2VjcmV0\n", "AUTH PLAIN ***"},
		{"AU|TH PLAIN c2VjcmV0\n", "AU|***"},
		{"auth plain c2Vj|cmV0\n", "auth plain ***|***"},
		{"AUTH PLAIN| c2VjcmV0\n", "AUTH PLAIN|***"},
		{"AUTH PLAIN |c2|VjcmV0\n|NOOP\n", "AUTH PLAIN |***|***|NOOP"},
		{"AUTH LOGIN\n|dXNlcg==\n|c2VjcmV0\n|NOOP x\n", "AUTH LOGIN|***|***|NOOP x"},
		{"AUTH LOGIN\n|dXNlcg==\n|c2Vj|cmV0\n", "AUTH LOGIN|***|***|***"},
		{"AUTH LOGIN\n|NOOP\n|QUIT\n", "AUTH LOGIN|NOOP|QUIT"},
		{"AUTH LOGIN dXNlcg==\n|c2VjcmV0\n", "AUTH LOGIN ***|***"},
		{"MAIL FROM:<a@b>\n|x\n", "MAIL FROM:<a@b>|x"},
		{"AUTHOR x y z\n", "AUTHOR x y z"},
	} {
		var h handWritten
		var got []string
		for piece := range strings.SplitSeq(test.pieces, "|") {
			text := strings.TrimSuffix(piece, "\n")
			got = append(got, h.show(text, text != piece))
		}
		if shown := strings.Join(got, "|"); shown != test.want {
			t.Errorf("%q is shown as %q, expected %q", test.pieces, shown, test.want)
		}
	}
}

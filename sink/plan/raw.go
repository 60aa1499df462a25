package plan

import (
	"encoding/base64"
	"fmt"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v4"
)

// rawForm is octets: a text in UTF-8, or whatever in base64.
func rawForm() form[[]byte] {
	words := as(textForm, func(b *[]byte) string { return string(*b) }, func(b *[]byte, text string) { *b = append([]byte{}, text...) })
	octets := scalar("octets in base64", func(text string) ([]byte, error) {
		b, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("invalid base64 %q", text)
		}
		return b, nil
	}, base64.StdEncoding.EncodeToString, `{"type":"string","contentEncoding":"base64"}`)
	long := mapping(needs("base64", octets, func(b *[]byte) *[]byte { return b }, "Octets as they are to be sent, in base64.")).checked(func(n *yaml.Node, b *[]byte) error {
		if *b == nil {
			return within("base64", errorf(n, "missing (want octets in base64)"))
		}
		return nil
	})
	return short(words, func(b *[]byte) bool { return utf8.Valid(*b) }, yaml.MappingNode, long).named("octetText")
}

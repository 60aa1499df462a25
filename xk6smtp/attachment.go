package xk6smtp

import (
	"fmt"
	"mime"
	"path/filepath"
	"reflect"
	"strings"

	gomail "github.com/wneessen/go-mail"
)

// attachment is a file that a message carries.
type attachment struct {
	name, contentType string
	cid               string // of an inline file, without <>
	content           []byte
}

// maxFilename is what file systems take; encoded it still fits a line.
const maxFilename = 255

// options are go-mail's. The fields that hold what a script says are ours: go-mail neither folds nor quotes them.
func (a *attachment) options(disposition string) []gomail.FileOption {
	// Base64 whatever the message's own encoding is: files are octets.
	return []gomail.FileOption{gomail.WithFileEncoding(gomail.EncodingB64), func(f *gomail.File) {
		contentType := a.contentType
		if contentType == "" {
			contentType = mime.TypeByExtension(filepath.Ext(a.name))
		}
		if contentType == "" {
			contentType = "application/octet-stream"
		}
		if _, params, err := mime.ParseMediaType(contentType); err == nil && params["name"] == "" {
			contentType += parameter("name", a.name)
		}
		f.Header.Set("Content-Type", foldedValue("Content-Type", contentType))
		f.Header.Set("Content-Disposition", foldedValue("Content-Disposition", disposition+parameter("filename", a.name)))
		if a.cid != "" {
			f.Header.Set("Content-ID", "<"+a.cid+">")
		}
	}}
}

// parameter is a MIME parameter as it stands behind a value: in quotes, which some readers need where the grammar does not, and by RFC 2231
// if it is not ASCII.
func parameter(name, value string) string {
	if isHeaderText(value) {
		return "; " + name + `="` + quoteEscapes.Replace(value) + `"`
	}
	return strings.TrimPrefix(mime.FormatMediaType("x/x", map[string]string{name: value}), "x/x")
}

// foldedValue is a field's value without what would stand in a line too long.
func foldedValue(name, value string) string {
	f := newFolder(nil, name)
	f.words(" " + value)
	return strings.TrimPrefix(strings.TrimPrefix(string(f.dst), name+":"), " ")
}

// attachments reads an array of files; inline ones have a content ID, by which HTML refers to them ("cid:logo").
func (o option) attachments(inline bool) ([]attachment, error) {
	const want = "an array of objects"
	if kind(o.value) != reflect.Slice {
		return nil, o.fail(want)
	}
	array := o.value.ToObject(o.rt)
	var list []attachment
	for i := range array.Get("length").ToInteger() {
		item := array.Get(fmt.Sprint(i))
		if item == nil || kind(item) != reflect.Map {
			return nil, o.fail(want)
		}
		owner := fmt.Sprintf("%s: %s[%d]", o.owner, o.key, i)
		a := attachment{}
		given := map[string]bool{}
		line := func(into *string, want string, forbidden func(rune) bool) parser {
			return func(v option) (err error) {
				given[v.key] = true
				if *into, err = v.string(); err == nil && (*into == "" || len(*into) > maxFilename || strings.ContainsFunc(*into, forbidden)) {
					err = v.fail(want)
				}
				return err
			}
		}
		parsers := map[string]parser{
			"filename": line(&a.name, fmt.Sprintf("a name without line breaks, control characters and angle brackets, of at most %d octets", maxFilename),
				func(r rune) bool { return isControl(r) || r == '<' || r == '>' }),
			"contentType": func(v option) (err error) {
				if a.contentType, err = v.string(); err != nil {
					return err
				}
				media, _, err := mime.ParseMediaType(a.contentType)
				if err != nil || !strings.Contains(media, "/") || strings.ContainsFunc(a.contentType, isControl) || !isHeaderText(a.contentType) {
					return v.fail(`a media type such as "image/png", in printable ASCII`)
				}
				return nil
			},
			"content": func(v option) (err error) {
				given[v.key] = true
				a.content, err = v.bytesOr("a string or an ArrayBuffer")
				return err
			},
		}
		required := []string{"filename", "content"}
		if inline {
			parsers["cid"] = line(&a.cid, "a content ID without angle brackets, control characters and blanks, in ASCII",
				func(r rune) bool { return r <= ' ' || r > '~' || r == '<' || r == '>' })
			required = append(required, "cid")
		}
		if err := parseOptions(o.rt, owner, item, parsers); err != nil {
			return nil, err
		}
		for _, key := range required {
			if !given[key] {
				return nil, &optionError{owner, key, "is required"}
			}
		}
		list = append(list, a)
	}
	return list, nil
}

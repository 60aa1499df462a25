package xk6smtp

import (
	"fmt"
	"mime"
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

func (a *attachment) options() []gomail.FileOption {
	// Base64 whatever the message's own encoding is: files are octets.
	options := []gomail.FileOption{gomail.WithFileEncoding(gomail.EncodingB64)}
	if a.contentType != "" {
		options = append(options, gomail.WithFileContentType(gomail.ContentType(a.contentType)))
	}
	if a.cid != "" {
		options = append(options, gomail.WithFileContentID("<"+a.cid+">"))
	}
	return options
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
		line := func(into *string, want string) parser {
			return func(v option) (err error) {
				given[v.key] = true
				if *into, err = v.string(); err == nil && (*into == "" || strings.ContainsAny(*into, "\r\n\x00<>")) {
					err = v.fail(want)
				}
				return err
			}
		}
		parsers := map[string]parser{
			"filename": line(&a.name, "a name without line breaks and angle brackets"),
			"contentType": func(v option) (err error) {
				if a.contentType, err = v.string(); err != nil {
					return err
				}
				if media, _, err := mime.ParseMediaType(a.contentType); err != nil || !strings.Contains(media, "/") {
					return v.fail(`a media type such as "image/png"`)
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
			parsers["cid"] = line(&a.cid, "a content ID without angle brackets")
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

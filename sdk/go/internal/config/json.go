// Package config reads a stage's config into the author's own type, and says in the words of whoever
// wrote the pipeline file what is wrong with it.
//
// It has its own reader of JSON: encoding/json doubles the size of a component (1.9 to 4.4 MB with
// Go 1.27) and with it the time a node takes to compile it, and its errors name Go types. Package fmt is
// left out as well, 0.5 MB that a stage need not have.
package config

import (
	"errors"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// depthMax bounds how deep lists and tables may nest, so that no text exhausts the stack.
const depthMax = 200

type kind uint8

const (
	null kind = iota
	boolean
	number
	text
	list
	table
)

// value is one JSON value. raw is its own text.
type value struct {
	kind    kind
	raw     string
	text    string // of a text, unescaped
	items   []value
	members []member
}

type member struct {
	key   string
	value value
}

func parse(source string) (value, error) {
	r := reader{source: source}
	v, err := r.value(0)
	if err != nil {
		return value{}, err
	}
	r.skipSpace()
	if r.at < len(source) {
		return value{}, r.errorf("more than one value")
	}
	return v, nil
}

type reader struct {
	source string
	at     int
}

func (r *reader) errorf(what string) error {
	return errors.New("no valid JSON: " + what + " at byte " + strconv.Itoa(r.at))
}

func (r *reader) skipSpace() {
	for r.at < len(r.source) {
		switch r.source[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

func (r *reader) take(char byte) bool {
	r.skipSpace()
	if r.at < len(r.source) && r.source[r.at] == char {
		r.at++
		return true
	}
	return false
}

func (r *reader) value(depth int) (v value, err error) {
	r.skipSpace()
	if depth > depthMax {
		return v, r.errorf("nested too deep")
	}
	if r.at == len(r.source) {
		return v, r.errorf("the text ends too early")
	}
	start := r.at
	switch char := r.source[r.at]; {
	case char == '{':
		v.kind = table
		v.members, err = r.members(depth)
	case char == '[':
		v.kind = list
		v.items, err = r.items(depth)
	case char == '"':
		v.kind = text
		v.text, err = r.text()
	case char == '-' || char >= '0' && char <= '9':
		v.kind = number
		err = r.number()
	default:
		v.kind, err = r.word()
	}
	v.raw = r.source[start:r.at]
	return v, err
}

func (r *reader) word() (kind, error) {
	for _, word := range []struct {
		text string
		kind kind
	}{{"null", null}, {"true", boolean}, {"false", boolean}} {
		if len(r.source)-r.at >= len(word.text) && r.source[r.at:r.at+len(word.text)] == word.text {
			r.at += len(word.text)
			return word.kind, nil
		}
	}
	return null, r.errorf("expected a value")
}

func (r *reader) members(depth int) (members []member, err error) {
	r.at++
	if r.take('}') {
		return nil, nil
	}
	for {
		r.skipSpace()
		if r.at == len(r.source) || r.source[r.at] != '"' {
			return nil, r.errorf("expected a key in quotes")
		}
		key, err := r.text()
		if err != nil {
			return nil, err
		}
		if !r.take(':') {
			return nil, r.errorf("expected `:`")
		}
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		members = append(members, member{key, v})
		if r.take('}') {
			return members, nil
		}
		if !r.take(',') {
			return nil, r.errorf("expected `,` or `}`")
		}
	}
}

func (r *reader) items(depth int) (items []value, err error) {
	r.at++
	if r.take(']') {
		return nil, nil
	}
	for {
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		items = append(items, v)
		if r.take(']') {
			return items, nil
		}
		if !r.take(',') {
			return nil, r.errorf("expected `,` or `]`")
		}
	}
}

func (r *reader) digits() bool {
	start := r.at
	for r.at < len(r.source) && r.source[r.at] >= '0' && r.source[r.at] <= '9' {
		r.at++
	}
	return r.at > start
}

func (r *reader) one(chars string) bool {
	if r.at < len(r.source) {
		for _, char := range []byte(chars) {
			if r.source[r.at] == char {
				r.at++
				return true
			}
		}
	}
	return false
}

func (r *reader) number() error {
	r.one("-")
	whole := r.one("0") || r.digits()
	fraction := !r.one(".") || r.digits()
	exponent := true
	if r.one("eE") {
		r.one("+-")
		exponent = r.digits()
	}
	if !whole || !fraction || !exponent {
		return r.errorf("expected a number")
	}
	return nil
}

func (r *reader) text() (string, error) {
	r.at++
	var out []byte
	for r.at < len(r.source) {
		char := r.source[r.at]
		r.at++
		switch {
		case char == '"':
			if !utf8.Valid(out) {
				return "", r.errorf("a text that is not UTF-8")
			}
			return string(out), nil
		case char < ' ':
			return "", r.errorf("a control character in a text")
		case char != '\\':
			out = append(out, char)
		default:
			escaped, err := r.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, escaped)
		}
	}
	return "", r.errorf("the text ends too early")
}

func (r *reader) escape() (rune, error) {
	if r.at == len(r.source) {
		return 0, r.errorf("the text ends too early")
	}
	char := r.source[r.at]
	r.at++
	switch char {
	case '"', '\\', '/':
		return rune(char), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return r.unicode()
	}
	return 0, r.errorf("no such escape")
}

// unicode reads what follows `\u`; two of them where one is not enough.
func (r *reader) unicode() (rune, error) {
	first, err := r.hex()
	if err != nil || !utf16.IsSurrogate(first) {
		return first, err
	}
	if len(r.source)-r.at < 2 || r.source[r.at:r.at+2] != `\u` {
		return utf8.RuneError, nil
	}
	r.at += 2
	second, err := r.hex()
	return utf16.DecodeRune(first, second), err
}

func (r *reader) hex() (rune, error) {
	if len(r.source)-r.at < 4 {
		return 0, r.errorf("the text ends too early")
	}
	code, err := strconv.ParseUint(r.source[r.at:r.at+4], 16, 16)
	if err != nil {
		return 0, r.errorf("expected four hex digits")
	}
	r.at += 4
	return rune(code), nil
}

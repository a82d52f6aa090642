package config

import (
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// field is a key of a table, and where its value goes.
type field struct {
	key   string
	index []int
}

// fields are the keys a struct takes: the `json` tag where there is one, else the field's name in
// snake_case, as pipeline files have it. Fields of embedded structs count as the outer one's.
func fields(of reflect.Type, outer []int) []field {
	var known []field
	for i := range of.NumField() {
		member := of.Field(i)
		index := append(slices.Clone(outer), i)
		tag, _, _ := strings.Cut(member.Tag.Get("json"), ",")
		switch {
		case tag == "-" || !member.IsExported():
		case tag != "":
			known = append(known, field{tag, index})
		case member.Anonymous && member.Type.Kind() == reflect.Struct:
			known = append(known, fields(member.Type, index)...)
		default:
			known = append(known, field{snakeCase(member.Name), index})
		}
	}
	return known
}

// snakeCase makes payload_bytes of PayloadBytes, and api_key of APIKey.
func snakeCase(name string) string {
	runes := []rune(name)
	var out strings.Builder
	for i, char := range runes {
		wordStarts := i > 0 && unicode.IsUpper(char) &&
			(!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]))
		if wordStarts {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(char))
	}
	return out.String()
}

func find(known []field, key string) (field, bool) {
	for _, candidate := range known {
		if candidate.key == key {
			return candidate, true
		}
	}
	return field{}, false
}

// names lists keys for an error: `a`, `b` or `c`.
func names(known []field) string {
	if len(known) == 0 {
		return "no keys"
	}
	var out strings.Builder
	for i, candidate := range known {
		switch {
		case i == 0:
		case i == len(known)-1:
			out.WriteString(" or ")
		default:
			out.WriteString(", ")
		}
		out.WriteString("`" + candidate.key + "`")
	}
	return out.String()
}

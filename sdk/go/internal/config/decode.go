package config

import (
	"encoding"
	"errors"
	"reflect"
	"strconv"
	"strings"
)

// Defaulter is a config that is not all zeros when the pipeline file says nothing.
type Defaulter interface{ SetDefaults() }

// jsonUnmarshaler is encoding/json.Unmarshaler, without importing it.
type jsonUnmarshaler interface{ UnmarshalJSON([]byte) error }

// Parse reads the config of a stage. The error is for whoever wrote the pipeline file.
func Parse[C any](stage, source string) (C, error) {
	var config C
	if source == "" || source == "null" {
		source = "{}"
	}
	if err := Decode(source, &config); err != nil {
		return config, errors.New("config of stage `" + stage + "`: " + err.Error())
	}
	return config, nil
}

// Decode reads JSON into what `into` points to; see forebay.DecodeJSON.
func Decode(source string, into any) error {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return errors.New("decoding needs a pointer to put the value into")
	}
	v, err := parse(source)
	if err != nil {
		return err
	}
	return set(target.Elem(), v, "")
}

func set(target reflect.Value, v value, path string) error {
	if done, err := setDefaultsAndUnmarshal(target, v, path); done {
		return err
	}
	switch target.Kind() {
	case reflect.Pointer:
		return setPointer(target, v, path)
	case reflect.Interface:
		return setAny(target, v, path)
	case reflect.Struct:
		return setStruct(target, v, path)
	case reflect.Map:
		return setMap(target, v, path)
	case reflect.Slice:
		return setSlice(target, v, path)
	case reflect.Array:
		return setArray(target, v, path)
	default:
		return setScalar(target, v, path)
	}
}

// setDefaultsAndUnmarshal asks the author's own methods; done says that nothing is left to do.
func setDefaultsAndUnmarshal(target reflect.Value, v value, path string) (done bool, err error) {
	switch own := target.Addr().Interface().(type) {
	case jsonUnmarshaler:
		return true, at(path, own.UnmarshalJSON([]byte(v.raw)))
	case encoding.TextUnmarshaler:
		if v.kind != text {
			return true, mismatch(path, v, "a text")
		}
		return true, at(path, own.UnmarshalText([]byte(v.text)))
	case Defaulter:
		own.SetDefaults()
	}
	return false, nil
}

func setPointer(target reflect.Value, v value, path string) error {
	if v.kind == null {
		target.SetZero()
		return nil
	}
	fresh := reflect.New(target.Type().Elem())
	if err := set(fresh.Elem(), v, path); err != nil {
		return err
	}
	target.Set(fresh)
	return nil
}

func setAny(target reflect.Value, v value, path string) error {
	if target.NumMethod() > 0 {
		return at(path, errors.New("the config type has the interface "+target.Type().String()+" here; expected a type that can be read"))
	}
	switch plain := v.plain().(type) {
	case nil:
		target.SetZero()
	default:
		target.Set(reflect.ValueOf(plain))
	}
	return nil
}

// plain is what a field of type any gets: as from encoding/json, but whole numbers are int64.
func (v value) plain() any {
	switch v.kind {
	case boolean:
		return v.raw == "true"
	case number:
		if whole, err := strconv.ParseInt(v.raw, 10, 64); err == nil {
			return whole
		}
		float, _ := strconv.ParseFloat(v.raw, 64)
		return float
	case text:
		return v.text
	case list:
		items := make([]any, len(v.items))
		for i, item := range v.items {
			items[i] = item.plain()
		}
		return items
	case table:
		entries := make(map[string]any, len(v.members))
		for _, m := range v.members {
			entries[m.key] = m.value.plain()
		}
		return entries
	default:
		return nil
	}
}

func setStruct(target reflect.Value, v value, path string) error {
	known := fields(target.Type(), nil)
	if v.kind != table {
		return mismatch(path, v, "a table with "+names(known))
	}
	for _, m := range v.members {
		field, found := find(known, m.key)
		if !found {
			return at(join(path, m.key), errors.New("unknown key, expected "+names(known)))
		}
		if err := set(target.FieldByIndex(field.index), m.value, join(path, m.key)); err != nil {
			return err
		}
	}
	return nil
}

func setMap(target reflect.Value, v value, path string) error {
	if target.Type().Key().Kind() != reflect.String {
		return at(path, errors.New("the config type has "+target.Type().String()+" here; expected a map with texts as keys"))
	}
	if v.kind != table {
		return mismatch(path, v, "a table")
	}
	target.Set(reflect.MakeMapWithSize(target.Type(), len(v.members)))
	for _, m := range v.members {
		entry := reflect.New(target.Type().Elem()).Elem()
		if err := set(entry, m.value, join(path, m.key)); err != nil {
			return err
		}
		target.SetMapIndex(reflect.ValueOf(m.key).Convert(target.Type().Key()), entry)
	}
	return nil
}

func setSlice(target reflect.Value, v value, path string) error {
	if v.kind != list {
		return mismatch(path, v, "a list")
	}
	items := reflect.MakeSlice(target.Type(), len(v.items), len(v.items))
	target.Set(items)
	return setItems(items, v, path)
}

func setArray(target reflect.Value, v value, path string) error {
	if v.kind != list || len(v.items) != target.Len() {
		return mismatch(path, v, "a list of "+strconv.Itoa(target.Len()))
	}
	return setItems(target, v, path)
}

func setItems(items reflect.Value, v value, path string) error {
	for i, item := range v.items {
		if err := set(items.Index(i), item, path+"["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
	}
	return nil
}

func setScalar(target reflect.Value, v value, path string) error {
	switch target.Kind() {
	case reflect.Bool:
		if v.kind != boolean {
			return mismatch(path, v, "true or false")
		}
		target.SetBool(v.raw == "true")
	case reflect.String:
		if v.kind != text {
			return mismatch(path, v, "a text")
		}
		target.SetString(v.text)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		whole, err := strconv.ParseInt(v.raw, 10, target.Type().Bits())
		if v.kind != number || err != nil {
			return mismatch(path, v, wholeNumber(target.Type()))
		}
		target.SetInt(whole)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		whole, err := strconv.ParseUint(v.raw, 10, target.Type().Bits())
		if v.kind != number || err != nil {
			return mismatch(path, v, wholeNumber(target.Type()))
		}
		target.SetUint(whole)
	case reflect.Float32, reflect.Float64:
		float, err := strconv.ParseFloat(v.raw, target.Type().Bits())
		if v.kind != number || err != nil {
			return mismatch(path, v, "a number")
		}
		target.SetFloat(float)
	default:
		return at(path, errors.New("the config type has "+target.Type().String()+" here; expected a type that can be read"))
	}
	return nil
}

// wholeNumber says which numbers a type holds, where somebody may want more.
func wholeNumber(of reflect.Type) string {
	signed := of.Kind() >= reflect.Int && of.Kind() <= reflect.Int64
	bits := of.Bits()
	switch {
	case signed && bits == 64:
		return "a whole number"
	case signed:
		limit := int64(1) << (bits - 1)
		return "a whole number from " + strconv.FormatInt(-limit, 10) + " to " + strconv.FormatInt(limit-1, 10)
	case bits == 64:
		return "a whole number from 0"
	default:
		return "a whole number from 0 to " + strconv.FormatUint(1<<bits-1, 10)
	}
}

func mismatch(path string, v value, expected string) error {
	return at(path, errors.New("found "+v.describe()+", expected "+expected))
}

func (v value) describe() string {
	switch v.kind {
	case null:
		return "nothing"
	case boolean, number:
		return v.raw
	case text:
		return "text " + strconv.Quote(v.text)
	case list:
		return "a list of " + strconv.Itoa(len(v.items))
	default:
		return "a table"
	}
}

func at(path string, err error) error {
	if err == nil || path == "" {
		return err
	}
	return errors.New("at `" + path + "`: " + err.Error())
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return strings.Join([]string{path, key}, ".")
}

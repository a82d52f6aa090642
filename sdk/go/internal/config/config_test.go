package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

type pause time.Duration

func (p *pause) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return errors.New("found " + string(text) + ", expected a time, as 500ms")
	}
	*p = pause(parsed)
	return nil
}

type inner struct {
	Sizes []uint8
	Ratio float64 `json:"share"`
}

type everything struct {
	Start        int
	PayloadBytes *uint32
	Inner        inner
	ByName       map[string]inner
	Any          any
	Pause        pause
	On           bool
	Pair         [2]string
	hidden       int
}

func (e *everything) SetDefaults() { e.Start, e.Inner.Sizes = 7, []uint8{1} }

func parsed(t *testing.T, source string) everything {
	t.Helper()
	config, err := Parse[everything]("counter", source)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestNoConfigGivesTheDefaults(t *testing.T) {
	wanted := everything{Start: 7, Inner: inner{Sizes: []uint8{1}}}
	for _, source := range []string{"null", "{}", "", " { } "} {
		if config := parsed(t, source); !reflect.DeepEqual(config, wanted) {
			t.Errorf("%q gave %+v", source, config)
		}
	}
	if _, err := Parse[struct{}]("s", "null"); err != nil {
		t.Error(err)
	}
}

func TestEveryTypeIsRead(t *testing.T) {
	config := parsed(t, `{"start":-1,"payload_bytes":4294967295,"inner":{"sizes":[1,255],"share":1e-1},
		"by_name":{"a":{"share":2}},"any":{"b":[1,2.5,"x",true,null]},"pause":"500ms","on":true,
		"pair":["a\"\u00e4\ud83d\ude00\n","ü"]}`)
	if config.Start != -1 || *config.PayloadBytes != 4294967295 || config.Inner.Ratio != 0.1 || config.ByName["a"].Ratio != 2 ||
		config.Pause != pause(500*time.Millisecond) || !config.On || config.Pair != [2]string{"a\"ä😀\n", "ü"} {
		t.Errorf("%+v", config)
	}
	wanted := map[string]any{"b": []any{int64(1), 2.5, "x", true, nil}}
	if !reflect.DeepEqual(config.Any, wanted) || !reflect.DeepEqual(config.Inner.Sizes, []uint8{1, 255}) {
		t.Errorf("%+v", config)
	}
}

func TestAnErrorNamesTheStageTheKeyWhatWasFoundAndWhatWasExpected(t *testing.T) {
	for source, wanted := range map[string]string{
		`{"start":"x"}`:                  "at `start`: found text \"x\", expected a whole number",
		`{"start":1.0}`:                  "at `start`: found 1.0, expected a whole number",
		`{"start":null}`:                 "at `start`: found nothing, expected a whole number",
		`{"payload_bytes":-1}`:           "at `payload_bytes`: found -1, expected a whole number from 0 to 4294967295",
		`{"inner":{"sizes":[1,2,300]}}`:  "at `inner.sizes[2]`: found 300, expected a whole number from 0 to 255",
		`{"inner":{"sice":1}}`:           "at `inner.sice`: unknown key, expected `sizes` or `share`",
		`{"by_name":{"a":{"share":{}}}}`: "at `by_name.a.share`: found a table, expected a number",
		`{"hidden":1}`:                   "at `hidden`: unknown key, expected `start`, `payload_bytes`, ",
		`{"Start":1}`:                    "at `Start`: unknown key",
		`{"on":1}`:                       "at `on`: found 1, expected true or false",
		`{"pair":["a"]}`:                 "at `pair`: found a list of 1, expected a list of 2",
		`{"pause":"soon"}`:               "at `pause`: found soon, expected a time, as 500ms",
		`{"pause":5}`:                    "at `pause`: found 5, expected a text",
		`[1]`:                            "found a list of 1, expected a table with `start`",
	} {
		_, err := Parse[everything]("counter", source)
		if err == nil || !strings.HasPrefix(err.Error(), "config of stage `counter`: "+wanted) {
			t.Errorf("%s gave\n  %v\nexpected\n  %s", source, err, wanted)
		}
	}
	if _, err := Parse[struct{}]("s", `{"a":1}`); err == nil || !strings.Contains(err.Error(), "at `a`: unknown key, expected no keys") {
		t.Error(err)
	}
}

func TestTextThatIsNoJSONIsAnError(t *testing.T) {
	deep := strings.Repeat("[", 1000)
	for _, source := range []string{`{"start":`, `{"sta`, `{"start":1,}`, `{} {}`, `{start:1}`, `{"a":01}`, `{"a":1.}`, `{"a":-}`, `{"a":tru}`,
		"{\"a\":\"\n\"}", `{"a":"\x"}`, `{"a":"\u12"}`, "{\"a\":\"\xff\"}", deep} {
		var into any
		if err := Decode(source, &into); err == nil || !strings.HasPrefix(err.Error(), "no valid JSON: ") {
			t.Errorf("%q gave %v, %v", source, into, err)
		}
	}
}

func TestNamesOfFieldsBecomeKeys(t *testing.T) {
	for name, key := range map[string]string{"Start": "start", "PayloadBytes": "payload_bytes", "URL": "url", "APIKey": "api_key", "Max2": "max2"} {
		if found := snakeCase(name); found != key {
			t.Errorf("%s became %s, expected %s", name, found, key)
		}
	}
}

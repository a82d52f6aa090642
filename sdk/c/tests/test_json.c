/// The strict reader of JSON.
#include <forebay/testing.h>
#include <string.h>

static const forebay_json *read_json(const char *text) {
    const forebay_json *value = NULL;
    forebay_status status = forebay_json_read((forebay_bytes){(const uint8_t *)text, strlen(text)}, &value);
    if (status)
        forebay_test_fail(__FILE__, __LINE__, "%s: %s", text, forebay_error_text().data);
    return value;
}

static void refused(const char *text, const char *expected) {
    const forebay_json *value = NULL;
    if (!forebay_json_read((forebay_bytes){(const uint8_t *)text, strlen(text)}, &value))
        forebay_test_fail(__FILE__, __LINE__, "%s was read, expected an error", text);
    CHECK_TEXT(forebay_error_text().data, expected);
}

TEST(values_of_all_kinds_are_read) {
    const forebay_json *value = read_json(" {\"a\": [1, -2.5e3, true, false, null], \"b\": {}, \"c\": \"\"} ");
    CHECK(value->kind == FOREBAY_JSON_TABLE && value->length == 3);
    const forebay_json *list = forebay_json_get(value, "a");
    CHECK(list->kind == FOREBAY_JSON_LIST && list->length == 5);
    static const forebay_json_kind kinds[] = {FOREBAY_JSON_NUMBER, FOREBAY_JSON_NUMBER, FOREBAY_JSON_BOOL,
                                              FOREBAY_JSON_BOOL, FOREBAY_JSON_NULL};
    size_t i = 0;
    for (const forebay_json *item = list->first; item; item = item->next)
        CHECK(item->kind == kinds[i++]);
    CHECK(i == 5 && list->first->next->next->boolean && !list->first->next->next->next->boolean);
    CHECK(forebay_json_get(value, "b")->length == 0 && forebay_json_get(value, "d") == NULL);
    CHECK(forebay_json_get(list, "a") == NULL);
}

TEST(escapes_are_decoded) {
    const forebay_json *value = read_json("\"\\\"\\\\\\/\\b\\f\\n\\r\\t \\u0041\\u00e9\\u20AC\\ud83d\\uDE00\"");
    CHECK_TEXT(value->text.data, "\"\\/\b\f\n\r\t A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
    value = read_json("\"a\\u0000b\"");
    CHECK(value->text.length == 3 && memcmp(value->text.data, "a\0b", 3) == 0);
    CHECK_TEXT(read_json("\"\xE2\x82\xAC \xF0\x9F\x98\x80\"")->text.data, "\xE2\x82\xAC \xF0\x9F\x98\x80");
}

TEST(texts_that_are_wrong_are_refused) {
    refused("\"a", "found the end at byte 2 of the JSON, expected a text in UTF-8 that ends with a quote, control "
                   "characters escaped");
    refused("\"a\nb\"", "found the byte 0x0a at byte 2 of the JSON, expected a text in UTF-8 that ends with a quote, "
                        "control characters escaped");
    refused("\"\xC0\x80\"", "found the byte 0xc0 at byte 1 of the JSON, expected a text in UTF-8 that ends with a "
                            "quote, control characters escaped");
    refused("\"\\x\"", "found `x` at byte 2 of the JSON, expected one of `\"\\/bfnrtu` after a backslash");
    refused("\"\\u12g4\"", "found `g` at byte 5 of the JSON, expected four hexadecimal digits after `\\u`");
    refused("\"\\ud83d\"", "found `\"` at byte 7 of the JSON, expected the other half of a surrogate pair");
    refused("\"\\ud83d\\u0041\"", "found `\\u0041` before byte 13 of the JSON, expected the other half of a surrogate pair");
    refused("\"\\ude00\"", "found half of a surrogate pair before byte 7 of the JSON, expected both");
    refused("\"\\", "found the end at byte 2 of the JSON, expected one of `\"\\/bfnrtu` after a backslash");
}

TEST(numbers_are_what_the_rfc_says) {
    static const char *const good[] = {"0", "-0", "10", "0.5", "1e5", "1E+5", "-1.25e-3"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK_TEXT(read_json(good[i])->text.data, good[i]);
    refused("01", "found `1` at byte 1 of the JSON, expected no digit after a leading 0");
    refused("-", "found the end at byte 1 of the JSON, expected a digit");
    refused("1.", "found the end at byte 2 of the JSON, expected a digit");
    refused("1e", "found the end at byte 2 of the JSON, expected a digit");
    refused(".5", "found `.` at byte 0 of the JSON, expected a value");
    refused("+1", "found `+` at byte 0 of the JSON, expected a value");
    refused("NaN", "found `N` at byte 0 of the JSON, expected a value");
}

static bool is_int(const char *text, int64_t expected) {
    int64_t number = 0;
    return forebay_json_int(read_json(text), &number) && number == expected;
}

TEST(whole_numbers_fit_64_bits_or_are_none) {
    int64_t number;
    CHECK(is_int("9223372036854775807", INT64_MAX) && is_int("-9223372036854775808", INT64_MIN) && is_int("-0", 0));
    CHECK(!forebay_json_int(read_json("9223372036854775808"), &number));
    CHECK(!forebay_json_int(read_json("-9223372036854775809"), &number));
    CHECK(!forebay_json_int(read_json("99999999999999999999999"), &number));
    CHECK(!forebay_json_int(read_json("1.0"), &number) && !forebay_json_int(read_json("1e3"), &number));
    CHECK(!forebay_json_int(read_json("\"1\""), &number) && !forebay_json_int(read_json("null"), &number));
}

TEST(numbers_that_overflow_are_none) {
    double number;
    CHECK(forebay_json_double(read_json("-2.5e3"), &number) && number == -2500.0);
    CHECK(!forebay_json_double(read_json("1e999"), &number) && !forebay_json_double(read_json("true"), &number));
}

TEST(what_stands_in_the_wrong_place_is_named) {
    refused("", "found the end at byte 0 of the JSON, expected a value");
    refused("{\"a\" 1}", "found `1` at byte 5 of the JSON, expected `:` after a key");
    refused("{a: 1}", "found `a` at byte 1 of the JSON, expected a text in quotes");
    refused("{\"a\": 1,}", "found `}` at byte 8 of the JSON, expected a text in quotes");
    refused("[1,]", "found `]` at byte 3 of the JSON, expected a value");
    refused("[1 2]", "found `2` at byte 3 of the JSON, expected `,` or `]`");
    refused("{\"a\": 1 \"b\": 2}", "found `\"` at byte 8 of the JSON, expected `,` or `}`");
    refused("nul", "found `n` at byte 0 of the JSON, expected a value");
    refused("1 2", "found `2` at byte 2 of the JSON, expected nothing after the value");
    refused("[1", "found the end at byte 2 of the JSON, expected `,` or `]`");
}

TEST(a_key_that_occurs_twice_is_refused) {
    refused("{\"a\": 1, \"b\": 2, \"\\u0061\": 3}", "found the key `a` twice in a table of the JSON, expected it once");
    CHECK(read_json("{\"a\": {\"a\": 1}, \"\": 2}")->length == 2);
}

TEST(depth_has_a_limit) {
    char text[2 * FOREBAY_JSON_DEPTH_MAX + 3];
    for (size_t depth = FOREBAY_JSON_DEPTH_MAX; depth <= FOREBAY_JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = 0;
        if (depth == FOREBAY_JSON_DEPTH_MAX)
            CHECK(read_json(text)->kind == FOREBAY_JSON_LIST);
        else
            refused(text, "found lists and tables within each other deeper than 64 levels at byte 65 of the JSON, "
                          "expected fewer");
    }
}

TEST(many_levels_beside_each_other_are_fine) {
    forebay_buffer text = {0};
    for (int i = 0; i < 1000; i++)
        forebay_buffer_print(&text, "%s[[]]", i ? "," : "[");
    forebay_buffer_append(&text, "]", 1);
    CHECK(read_json((const char *)text.data)->length == 1000);
    forebay_buffer_free(&text);
}

/// Every prefix of a text, and the text with any byte replaced, is read or refused, but never read past its end: for
/// this test to tell, it is compiled with -fsanitize=address.
TEST(what_is_cut_off_is_not_read_past_its_end) {
    const char *whole = "{\"a\\u20ac\\ud83d\\ude00\": [1.5e-3, true, null, \"\xE2\x82\xAC\"], \"b\": {\"c\": -0}}";
    size_t length = strlen(whole);
    for (size_t cut = 0; cut < length; cut++) {
        forebay_buffer piece = {0};
        const forebay_json *value = NULL;
        forebay_buffer_append(&piece, whole, cut);
        CHECK(forebay_json_read(forebay_buffer_bytes(&piece), &value) != FOREBAY_OK);
        forebay_buffer_free(&piece);
        for (int byte = 0; byte < 256; byte++) {
            forebay_buffer_append(&piece, whole, length);
            piece.data[cut] = (uint8_t)byte;
            (void)!forebay_json_read(forebay_buffer_bytes(&piece), &value);
            forebay_buffer_free(&piece);
        }
    }
}

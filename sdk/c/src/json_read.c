/// A strict reader of JSON (RFC 8259). It goes forward only; the first error ends it.
#include <string.h>

#include "json.h"
#include "text.h"

typedef struct {
    forebay_arena *arena;
    const uint8_t *start, *at, *end;
    int depth;
} forebay_json_reader;

static forebay_status forebay_json_value(forebay_json_reader *reader, forebay_json *value);

/// What stands at the reader, for an error.
static forebay_text forebay_json_found(const forebay_json_reader *reader) {
    if (reader->at == reader->end)
        return (forebay_text){"the end", 7};
    size_t length = forebay_utf8_length(reader->at, (size_t)(reader->end - reader->at));
    if (length == 0 || *reader->at < 0x20)
        return forebay_arena_print(&forebay_call_arena, "the byte 0x%02x", *reader->at);
    return forebay_arena_print(&forebay_call_arena, "`%.*s`", (int)length, (const char *)reader->at);
}

static forebay_status forebay_json_expected(const forebay_json_reader *reader, const char *what) {
    return forebay_other("found %s at byte %zu of the JSON, expected %s", forebay_json_found(reader).data,
                         (size_t)(reader->at - reader->start), what);
}

static void forebay_json_skip_space(forebay_json_reader *reader) {
    while (reader->at < reader->end && memchr(" \t\n\r", *reader->at, 4))
        reader->at++;
}

/// Takes a character if it is the next one.
static bool forebay_json_take(forebay_json_reader *reader, char wanted) {
    if (reader->at == reader->end || *reader->at != (uint8_t)wanted)
        return false;
    reader->at++;
    return true;
}

static bool forebay_json_is_digit(const forebay_json_reader *reader) {
    return reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9';
}

static forebay_status forebay_json_digits(forebay_json_reader *reader) {
    if (!forebay_json_is_digit(reader))
        return forebay_json_expected(reader, "a digit");
    while (forebay_json_is_digit(reader))
        reader->at++;
    return FOREBAY_OK;
}

static forebay_status forebay_json_number(forebay_json_reader *reader, forebay_json *value) {
    const uint8_t *start = reader->at;
    forebay_status status = FOREBAY_OK;
    forebay_json_take(reader, '-');
    if (!forebay_json_take(reader, '0'))
        status = forebay_json_digits(reader);
    else if (forebay_json_is_digit(reader))
        status = forebay_json_expected(reader, "no digit after a leading 0");
    if (!status && forebay_json_take(reader, '.'))
        status = forebay_json_digits(reader);
    if (!status && (forebay_json_take(reader, 'e') || forebay_json_take(reader, 'E'))) {
        if (!forebay_json_take(reader, '+'))
            forebay_json_take(reader, '-');
        status = forebay_json_digits(reader);
    }
    value->kind = FOREBAY_JSON_NUMBER;
    value->text = forebay_arena_text(reader->arena, (const char *)start, (size_t)(reader->at - start));
    return status;
}

static forebay_status forebay_json_hex(forebay_json_reader *reader, uint32_t *unit) {
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *digit = reader->at < reader->end ? memchr(digits, *reader->at, 32) : NULL;
        if (!digit)
            return forebay_json_expected(reader, "four hexadecimal digits after `\\u`");
        *unit = *unit << 4 | (uint32_t)((digit - digits) & 15);
        reader->at++;
    }
    return FOREBAY_OK;
}

/// `\uXXXX`, or two of them that are a surrogate pair; the reader stands after the `u`.
static forebay_status forebay_json_unicode(forebay_json_reader *reader, char **into) {
    uint32_t code, low;
    forebay_status status = forebay_json_hex(reader, &code);
    if (status)
        return status;
    if (code >= 0xDC00 && code <= 0xDFFF)
        return forebay_other("found half of a surrogate pair before byte %zu of the JSON, expected both",
                             (size_t)(reader->at - reader->start));
    if (code >= 0xD800 && code <= 0xDBFF) {
        if (!forebay_json_take(reader, '\\') || !forebay_json_take(reader, 'u'))
            return forebay_json_expected(reader, "the other half of a surrogate pair");
        status = forebay_json_hex(reader, &low);
        if (status)
            return status;
        if (low < 0xDC00 || low > 0xDFFF)
            return forebay_other("found `\\u%04x` before byte %zu of the JSON, expected the other half of a "
                                 "surrogate pair",
                                 low, (size_t)(reader->at - reader->start));
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    *into += forebay_utf8_write(code, *into);
    return FOREBAY_OK;
}

/// The reader stands after the backslash.
static forebay_status forebay_json_escape(forebay_json_reader *reader, char **into) {
    static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    if (forebay_json_take(reader, 'u'))
        return forebay_json_unicode(reader, into);
    const char *name = reader->at < reader->end ? memchr(names, *reader->at, sizeof names - 1) : NULL;
    if (!name)
        return forebay_json_expected(reader, "one of `\"\\/bfnrtu` after a backslash");
    reader->at++;
    *(*into)++ = means[name - names];
    return FOREBAY_OK;
}

/// How many bytes there are to the closing quote. A decoded text is never longer than the written one.
static size_t forebay_json_written(const forebay_json_reader *reader) {
    const uint8_t *at = reader->at;
    while (at < reader->end && *at != '"')
        at += *at == '\\' && reader->end - at > 1 ? 2 : 1;
    return (size_t)(at - reader->at);
}

static forebay_status forebay_json_text(forebay_json_reader *reader, forebay_text *text) {
    if (!forebay_json_take(reader, '"'))
        return forebay_json_expected(reader, "a text in quotes");
    char *start = forebay_arena_take(reader->arena, forebay_json_written(reader), 1);
    char *into = start;
    while (!forebay_json_take(reader, '"')) {
        size_t left = (size_t)(reader->end - reader->at);
        size_t length = left ? forebay_utf8_length(reader->at, left) : 0;
        if (length == 0 || *reader->at < 0x20)
            return forebay_json_expected(reader, "a text in UTF-8 that ends with a quote, control characters escaped");
        if (forebay_json_take(reader, '\\')) {
            forebay_status status = forebay_json_escape(reader, &into);
            if (status)
                return status;
            continue;
        }
        memcpy(into, reader->at, length);
        into += length;
        reader->at += length;
    }
    *into = 0;
    *text = (forebay_text){start, (size_t)(into - start)};
    return FOREBAY_OK;
}

/// Adds an entry to a list or table whose last one is `*last`.
static forebay_json *forebay_json_append(forebay_json_reader *reader, forebay_json *whole, forebay_json **last) {
    forebay_json *entry = forebay_arena_take(reader->arena, sizeof *entry, sizeof(void *));
    *entry = (forebay_json){.key = {"", 0}};
    if (*last)
        (*last)->next = entry;
    else
        whole->first = entry;
    *last = entry;
    whole->length++;
    return entry;
}

static forebay_status forebay_json_key(forebay_json_reader *reader, const forebay_json *table, forebay_json *entry) {
    forebay_text key;
    forebay_status status = forebay_json_text(reader, &key);
    if (status)
        return status;
    for (const forebay_json *other = table->first; other != entry; other = other->next)
        if (other->key.length == key.length && memcmp(other->key.data, key.data, key.length) == 0)
            return forebay_other("found the key `%s` twice in a table of the JSON, expected it once", key.data);
    entry->key = key;
    forebay_json_skip_space(reader);
    if (!forebay_json_take(reader, ':'))
        return forebay_json_expected(reader, "`:` after a key");
    return FOREBAY_OK;
}

/// The entries of a list or table; the reader stands after the bracket or brace.
static forebay_status forebay_json_entries(forebay_json_reader *reader, forebay_json *whole) {
    bool table = whole->kind == FOREBAY_JSON_TABLE;
    char close = table ? '}' : ']';
    forebay_json *last = NULL;
    forebay_json_skip_space(reader);
    if (forebay_json_take(reader, close))
        return FOREBAY_OK;
    for (;;) {
        forebay_json_skip_space(reader);
        forebay_json *entry = forebay_json_append(reader, whole, &last);
        forebay_status status = table ? forebay_json_key(reader, whole, entry) : FOREBAY_OK;
        if (!status)
            status = forebay_json_value(reader, entry);
        if (status)
            return status;
        forebay_json_skip_space(reader);
        if (forebay_json_take(reader, close))
            return FOREBAY_OK;
        if (!forebay_json_take(reader, ','))
            return forebay_json_expected(reader, table ? "`,` or `}`" : "`,` or `]`");
    }
}

static forebay_status forebay_json_word(forebay_json_reader *reader, const char *word) {
    size_t length = strlen(word);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
        return forebay_json_expected(reader, "a value");
    reader->at += length;
    return FOREBAY_OK;
}

static forebay_status forebay_json_within(forebay_json_reader *reader, forebay_json *value, forebay_json_kind kind) {
    value->kind = kind;
    reader->at++;
    if (++reader->depth > FOREBAY_JSON_DEPTH_MAX)
        return forebay_other("found lists and tables within each other deeper than %d levels at byte %zu of the JSON, "
                             "expected fewer",
                             FOREBAY_JSON_DEPTH_MAX, (size_t)(reader->at - reader->start));
    forebay_status status = forebay_json_entries(reader, value);
    reader->depth--;
    return status;
}

static forebay_status forebay_json_value(forebay_json_reader *reader, forebay_json *value) {
    forebay_json_skip_space(reader);
    if (reader->at == reader->end)
        return forebay_json_expected(reader, "a value");
    switch (*reader->at) {
    case '{':
        return forebay_json_within(reader, value, FOREBAY_JSON_TABLE);
    case '[':
        return forebay_json_within(reader, value, FOREBAY_JSON_LIST);
    case '"':
        value->kind = FOREBAY_JSON_TEXT;
        return forebay_json_text(reader, &value->text);
    case 't':
    case 'f':
        value->kind = FOREBAY_JSON_BOOL;
        value->boolean = *reader->at == 't';
        return forebay_json_word(reader, value->boolean ? "true" : "false");
    case 'n':
        return forebay_json_word(reader, "null");
    default:
        if (*reader->at == '-' || forebay_json_is_digit(reader))
            return forebay_json_number(reader, value);
        return forebay_json_expected(reader, "a value");
    }
}

forebay_status forebay_json_read_into(forebay_arena *arena, forebay_bytes source, const forebay_json **value) {
    forebay_json_reader reader = {arena, source.data, source.data, source.data + source.length, 0};
    forebay_json *whole = forebay_arena_take(arena, sizeof *whole, sizeof(void *));
    *whole = (forebay_json){.key = {"", 0}};
    forebay_status status = forebay_json_value(&reader, whole);
    if (status)
        return status;
    forebay_json_skip_space(&reader);
    if (reader.at != reader.end)
        return forebay_json_expected(&reader, "nothing after the value");
    *value = whole;
    return FOREBAY_OK;
}

forebay_status forebay_json_read(forebay_bytes source, const forebay_json **value) {
    return forebay_json_read_into(&forebay_call_arena, source, value);
}

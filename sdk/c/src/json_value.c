/// What a value of JSON is.
#include <stdlib.h>
#include <string.h>

#include "json.h"

const forebay_json *forebay_json_get(const forebay_json *value, const char *key) {
    if (value->kind != FOREBAY_JSON_TABLE)
        return NULL;
    for (const forebay_json *entry = value->first; entry; entry = entry->next)
        if (forebay_text_is(entry->key, key))
            return entry;
    return NULL;
}

bool forebay_json_int(const forebay_json *value, int64_t *number) {
    if (value->kind != FOREBAY_JSON_NUMBER)
        return false;
    const char *digit = value->text.data;
    bool negative = *digit == '-';
    // Counted downwards: the least number has no positive counterpart.
    int64_t sum = 0;
    for (digit += negative; *digit; digit++) {
        if (*digit < '0' || *digit > '9')
            return false;
        int64_t next = *digit - '0';
        if (sum < (INT64_MIN + next) / 10)
            return false;
        sum = sum * 10 - next;
    }
    if (!negative && sum == INT64_MIN)
        return false;
    *number = negative ? sum : -sum;
    return true;
}

bool forebay_json_double(const forebay_json *value, double *number) {
    if (value->kind != FOREBAY_JSON_NUMBER)
        return false;
    double read = strtod(value->text.data, NULL);
    // What overflows is infinite, and the difference of infinities is no number.
    if (read - read != 0)
        return false;
    *number = read;
    return true;
}

forebay_text forebay_json_describe(const forebay_json *value) {
    switch (value->kind) {
    case FOREBAY_JSON_NULL:
        return (forebay_text){"null", 4};
    case FOREBAY_JSON_BOOL:
        return value->boolean ? (forebay_text){"true", 4} : (forebay_text){"false", 5};
    case FOREBAY_JSON_NUMBER:
        return forebay_arena_print(&forebay_call_arena, "number %s", value->text.data);
    case FOREBAY_JSON_TEXT:
        return forebay_arena_print(&forebay_call_arena, "text \"%s\"", value->text.data);
    case FOREBAY_JSON_LIST:
        return (forebay_text){"a list", 6};
    case FOREBAY_JSON_TABLE:
        break;
    }
    return (forebay_text){"a table", 7};
}

/// The config of a stage, read by key. Tables hang in a chain from the outermost one, which keeps the
/// first error; each remembers which keys were asked for, so that a misspelt one is noticed.
#include "../include/forebay/config.h"

#include <string.h>

#include "json.h"

struct forebay_config {
    forebay_config *root;
    /// The table, as it was read; NULL when it is absent or wrong.
    const forebay_json *table;
    /// The path of the table, as `limits.` or "", before the name of a key.
    const char *path;
    /// The keys that were asked for.
    const char **known;
    size_t known_length, known_capacity;
    /// The tables within, wherever they are; only of the root.
    forebay_config *next;
    /// The first thing that was wrong, or NULL; only of the root.
    const char *wrong;
    /// Only of the root.
    const char *stage;
};

static forebay_arena *const forebay_config_arena = &forebay_instance_arena;

static forebay_config *forebay_config_new(forebay_config *root, const forebay_json *table, const char *path) {
    forebay_config *config = forebay_arena_take(forebay_config_arena, sizeof *config, sizeof(void *));
    *config = (forebay_config){.root = root ? root : config, .table = table, .path = path};
    if (root) {
        config->next = root->next;
        root->next = config;
    }
    return config;
}

forebay_config *forebay_config_read(const forebay_context *context) {
    forebay_config *config = forebay_config_new(NULL, NULL, "");
    config->stage = forebay_arena_text(forebay_config_arena, context->stage.data, context->stage.length).data;
    const forebay_json *value = NULL;
    forebay_bytes source = {(const uint8_t *)context->config.data, context->config.length};
    if (forebay_json_read_into(forebay_config_arena, source, &value)) {
        config->wrong = forebay_arena_text(forebay_config_arena, forebay_error_text().data, forebay_error_text().length).data;
    } else if (value->kind == FOREBAY_JSON_TABLE) {
        config->table = value;
    } else if (value->kind != FOREBAY_JSON_NULL) {
        config->wrong = forebay_arena_print(forebay_config_arena, "found %s, expected a table",
                                            forebay_json_describe(value).data).data;
    }
    return config;
}

static void forebay_config_keep(forebay_config *config, const char *wrong) {
    if (!config->root->wrong)
        config->root->wrong = wrong;
}

/// The path of a key. The items of lists have the key "", and the path of the item.
static const char *forebay_config_path(const forebay_config *config, const char *key) {
    return forebay_arena_print(forebay_config_arena, "%s%s", config->path, key).data;
}

static void forebay_config_mismatch(forebay_config *config, const char *key, const forebay_json *found,
                                    const char *expected) {
    const char *text = forebay_arena_print(forebay_config_arena, "at `%s`: found %s, expected %s",
                                           forebay_config_path(config, key), forebay_json_describe(found).data,
                                           expected).data;
    forebay_config_keep(config, text);
}

static bool forebay_config_knows(const forebay_config *config, const char *key) {
    for (size_t i = 0; i < config->known_length; i++)
        if (strcmp(config->known[i], key) == 0)
            return true;
    return false;
}

static void forebay_config_know(forebay_config *config, const char *key) {
    if (forebay_config_knows(config, key))
        return;
    if (config->known_length == config->known_capacity) {
        size_t capacity = config->known_capacity ? config->known_capacity * 2 : 8;
        const char **known = forebay_arena_take(forebay_config_arena, capacity * sizeof *known, sizeof(void *));
        if (config->known_length)
            memcpy(known, config->known, config->known_length * sizeof *known);
        config->known = known;
        config->known_capacity = capacity;
    }
    config->known[config->known_length++] = forebay_arena_text(forebay_config_arena, key, strlen(key)).data;
}

/// The value of a key that is present and not null.
static const forebay_json *forebay_config_find(const forebay_config *config, const char *key) {
    const forebay_json *value = config->table ? forebay_json_get(config->table, key) : NULL;
    return value && value->kind != FOREBAY_JSON_NULL ? value : NULL;
}

static const forebay_json *forebay_config_look(forebay_config *config, const char *key) {
    forebay_config_know(config, key);
    return forebay_config_find(config, key);
}

bool forebay_config_has(const forebay_config *config, const char *key) {
    return forebay_config_find(config, key) != NULL;
}

void forebay_config_require(forebay_config *config, const char *key, const char *expected) {
    if (forebay_config_look(config, key))
        return;
    const char *path = forebay_config_path(config, key);
    forebay_config_keep(config, forebay_arena_print(forebay_config_arena, "at `%s`: found nothing, expected %s", path,
                                                    expected).data);
}

int64_t forebay_config_int(forebay_config *config, const char *key, int64_t otherwise) {
    return forebay_config_int_within(config, key, otherwise, INT64_MIN, INT64_MAX);
}

int64_t forebay_config_int_within(forebay_config *config, const char *key, int64_t otherwise, int64_t least,
                                  int64_t most) {
    const forebay_json *value = forebay_config_look(config, key);
    int64_t number = otherwise;
    if (!value)
        return otherwise;
    if (forebay_json_int(value, &number) && number >= least && number <= most)
        return number;
    const char *expected = "a whole number";
    if (least != INT64_MIN || most != INT64_MAX)
        expected = most == INT64_MAX
                       ? forebay_arena_print(&forebay_call_arena, "a whole number, %lld or more", (long long)least).data
                       : forebay_arena_print(&forebay_call_arena, "a whole number from %lld to %lld", (long long)least,
                                             (long long)most).data;
    forebay_config_mismatch(config, key, value, expected);
    return otherwise;
}

double forebay_config_double(forebay_config *config, const char *key, double otherwise) {
    const forebay_json *value = forebay_config_look(config, key);
    double number;
    if (!value)
        return otherwise;
    if (forebay_json_double(value, &number))
        return number;
    forebay_config_mismatch(config, key, value, "a number");
    return otherwise;
}

bool forebay_config_bool(forebay_config *config, const char *key, bool otherwise) {
    const forebay_json *value = forebay_config_look(config, key);
    if (!value)
        return otherwise;
    if (value->kind == FOREBAY_JSON_BOOL)
        return value->boolean;
    forebay_config_mismatch(config, key, value, "true or false");
    return otherwise;
}

const char *forebay_config_text(forebay_config *config, const char *key, const char *otherwise) {
    const forebay_json *value = forebay_config_look(config, key);
    if (!value)
        return otherwise;
    bool text = value->kind == FOREBAY_JSON_TEXT;
    if (text && !memchr(value->text.data, 0, value->text.length))
        return value->text.data;
    forebay_config_mismatch(config, key, value, text ? "text without NUL characters" : "text");
    return otherwise;
}

/// The table that was made for a path before, or a new one.
static forebay_config *forebay_config_within(forebay_config *config, const forebay_json *table, const char *path) {
    for (forebay_config *known = config->root->next; known; known = known->next)
        if (strcmp(known->path, path) == 0)
            return known;
    return forebay_config_new(config->root, table, path);
}

forebay_config *forebay_config_table(forebay_config *config, const char *key) {
    const forebay_json *value = forebay_config_look(config, key);
    if (value && value->kind != FOREBAY_JSON_TABLE) {
        forebay_config_mismatch(config, key, value, "a table");
        value = NULL;
    }
    const char *path = forebay_config_path(config, key);
    return forebay_config_within(config, value, forebay_arena_print(forebay_config_arena, "%s.", path).data);
}

static const forebay_json *forebay_config_find_list(forebay_config *config, const char *key) {
    const forebay_json *value = forebay_config_look(config, key);
    if (!value || value->kind == FOREBAY_JSON_LIST)
        return value;
    forebay_config_mismatch(config, key, value, "a list");
    return NULL;
}

size_t forebay_config_list(forebay_config *config, const char *key) {
    const forebay_json *list = forebay_config_find_list(config, key);
    return list ? list->length : 0;
}

forebay_config *forebay_config_item(forebay_config *config, const char *key, size_t index) {
    const forebay_json *list = forebay_config_find_list(config, key);
    const forebay_json *item = list ? list->first : NULL;
    for (size_t i = 0; item && i < index; i++)
        item = item->next;
    bool table = item && item->kind == FOREBAY_JSON_TABLE;
    const char *path = forebay_arena_print(forebay_config_arena, "%s[%zu]%s", forebay_config_path(config, key), index,
                                           table ? "." : "").data;
    if (item && !table) {
        // A table around the item, so that the functions above read it.
        forebay_json *around = forebay_arena_take(forebay_config_arena, sizeof *around, sizeof(void *));
        forebay_json *alone = forebay_arena_take(forebay_config_arena, sizeof *alone, sizeof(void *));
        *alone = *item;
        alone->next = NULL;
        *around = (forebay_json){.kind = FOREBAY_JSON_TABLE, .first = alone, .length = 1};
        item = around;
    }
    return forebay_config_within(config, item, path);
}

void forebay_config_wrong(forebay_config *config, const char *key, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const char *text = forebay_arena_print_list(forebay_config_arena, format, arguments).data;
    va_end(arguments);
    const char *path = forebay_config_path(config, key);
    forebay_config_keep(config, forebay_arena_print(forebay_config_arena, "`%s` %s", path, text).data);
}

/// "`a`, `b` or `c`"
static const char *forebay_config_known_keys(const forebay_config *config) {
    const char *text = "";
    for (size_t i = 0; i < config->known_length; i++) {
        const char *between = i == 0 ? "" : i + 1 == config->known_length ? " or " : ", ";
        text = forebay_arena_print(&forebay_call_arena, "%s%s`%s`", text, between, config->known[i]).data;
    }
    return config->known_length ? text : "no keys";
}

static void forebay_config_check_keys(forebay_config *config) {
    const forebay_json *entry = config->table ? config->table->first : NULL;
    for (; entry; entry = entry->next) {
        if (forebay_config_knows(config, entry->key.data))
            continue;
        const char *path = forebay_config_path(config, entry->key.data);
        const char *text = forebay_arena_print(forebay_config_arena, "at `%s`: found an unknown key, expected %s", path,
                                               forebay_config_known_keys(config)).data;
        forebay_config_keep(config, text);
        return;
    }
}

forebay_status forebay_config_done(forebay_config *config) {
    forebay_config *root = config->root;
    for (forebay_config *each = root; each; each = each->next)
        forebay_config_check_keys(each);
    if (!root->wrong)
        return FOREBAY_OK;
    return forebay_other("config of stage `%s`: %s", root->stage, root->wrong);
}

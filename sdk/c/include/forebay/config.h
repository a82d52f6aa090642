/// The `config` of a stage in the pipeline file, read by key.
///
///     forebay_config *config = forebay_config_read(context);
///     self.start = forebay_config_int(config, "start", 0);
///     self.greeting = forebay_config_text(config, "greeting", "Hello");
///     return forebay_config_done(config);
///
/// The first thing that is wrong is kept, and what is read after it gives the defaults, so that one
/// look at `forebay_config_done` in the end is enough. It also refuses keys that nobody read.
#ifndef FOREBAY_CONFIG_H
#define FOREBAY_CONFIG_H

#include "stage.h"

#ifdef __cplusplus
extern "C" {
#endif

/// A table of a config. It and the texts read from it live as long as the instance.
typedef struct forebay_config forebay_config;

/// Reads the config of a context. A pipeline file without `config` is an empty table.
forebay_config *forebay_config_read(const forebay_context *context);

/// Whether the table has this key. The key counts as read only when it is read.
bool forebay_config_has(const forebay_config *config, const char *key);

/// Says that a key must be there: without it, `forebay_config_done` gives an error.
void forebay_config_require(forebay_config *config, const char *key, const char *expected);

/// A whole number; `otherwise` when the key is absent.
int64_t forebay_config_int(forebay_config *config, const char *key, int64_t otherwise);

/// A whole number from `least` to `most`.
int64_t forebay_config_int_within(forebay_config *config, const char *key, int64_t otherwise,
                                  int64_t least, int64_t most);

/// A number, whole or not.
double forebay_config_double(forebay_config *config, const char *key, double otherwise);

/// True or false.
bool forebay_config_bool(forebay_config *config, const char *key, bool otherwise);

/// A text without NUL characters. It lives as long as the instance.
const char *forebay_config_text(forebay_config *config, const char *key, const char *otherwise);

/// A table within the table; one without keys when it is absent.
forebay_config *forebay_config_table(forebay_config *config, const char *key);

/// A list of tables or values: how many items it has, 0 when it is absent. Its items are read by
/// `forebay_config_item`.
size_t forebay_config_list(forebay_config *config, const char *key);

/// An item of a list as a table with one key, "", that holds it:
/// `forebay_config_text(forebay_config_item(config, "hosts", i), "", NULL)`. An item that is a table
/// is that table.
forebay_config *forebay_config_item(forebay_config *config, const char *key, size_t index);

/// Keeps an error of the stage's own about a key, formatted as by `printf`:
/// `forebay_config_wrong(config, "step", "is 0; expected any other whole number")` says
/// "`step` is 0; expected any other whole number".
void forebay_config_wrong(forebay_config *config, const char *key, const char *format, ...)
    FOREBAY_PRINTF(3, 4);

/// FOREBAY_OK if everything was right and every key was read; else an error that names the stage,
/// the key, what was found, and what was expected. Of a table within it answers for the whole.
forebay_status forebay_config_done(forebay_config *config);

#ifdef __cplusplus
}
#endif

#endif

/// What a stage is told about itself, and its config, read by key.
#ifndef FOREBAY_CONFIG_HPP
#define FOREBAY_CONFIG_HPP

#include <concepts>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "batch.hpp"
#include "config.h"
#include "status.hpp"

namespace forebay {

/// A table of a config.
///
///     auto config = context.config();
///     config.read("start", start);
///     config.read("limit", limit);      // std::optional: may be absent
///     if (auto done = config.done(); !done) return std::unexpected(done.error());
///
/// A variable whose key is absent keeps its value, which so is the default. The first thing that is wrong is kept;
/// `done` gives it, and refuses keys that nobody read.
class Config {
  public:
    explicit Config(forebay_config *config) : config_(config) {}

    void read(const char *key, bool &into) { into = forebay_config_bool(config_, key, into); }
    void read(const char *key, double &into) { into = forebay_config_double(config_, key, into); }
    void read(const char *key, std::string &into) {
        if (const char *text = forebay_config_text(config_, key, nullptr))
            into = text;
    }
    /// A whole number that fits the variable.
    template <std::integral T> void read(const char *key, T &into) {
        read(key, into, std::numeric_limits<T>::min(), std::numeric_limits<T>::max());
    }
    /// A whole number from `least` to `most`.
    template <std::integral T> void read(const char *key, T &into, T least, T most) {
        into = static_cast<T>(forebay_config_int_within(config_, key, static_cast<std::int64_t>(into), bounded(least),
                                                        bounded(most)));
    }
    /// A value that may be absent.
    template <typename T> void read(const char *key, std::optional<T> &into) {
        T value{};
        bool there = forebay_config_has(config_, key);
        read(key, value);
        if (there)
            into = std::move(value);
    }
    /// A list of values.
    template <typename T> void read(const char *key, std::vector<T> &into) {
        if (!forebay_config_has(config_, key))
            return;
        into.assign(forebay_config_list(config_, key), T{});
        for (std::size_t i = 0; i < into.size(); i++)
            item(key, i).read("", into[i]);
    }
    /// A table within this one; one without keys when it is absent.
    Config table(const char *key) { return Config(forebay_config_table(config_, key)); }
    /// How many items a list has, and one that is a table. `read("", into)` reads one that is a value.
    std::size_t list(const char *key) { return forebay_config_list(config_, key); }
    Config item(const char *key, std::size_t index) { return Config(forebay_config_item(config_, key, index)); }
    /// A key without which there is an error: `config.require("host", "text");`
    void require(const char *key, const char *expected) { forebay_config_require(config_, key, expected); }
    /// An error of the stage's own: `config.wrong("step", "is 0; expected any other whole number");`
    void wrong(const char *key, const std::string &text) { forebay_config_wrong(config_, key, "%s", text.c_str()); }

    /// Whether everything was right and every key was read; else an error that names the key.
    Status done() {
        forebay_status status = forebay_config_done(config_);
        if (status)
            return std::unexpected(Error{status, std::string(view(forebay_error_text()))});
        return {};
    }

  private:
    template <std::integral T> static std::int64_t bounded(T bound) {
        return std::in_range<std::int64_t>(bound) ? static_cast<std::int64_t>(bound) : INT64_MAX;
    }

    forebay_config *config_;
};

/// What a stage is told about itself when it starts. Good until `init` returns.
class Context {
  public:
    explicit Context(const forebay_context &context) : context_(context) {}

    std::string_view pipeline() const { return view(context_.pipeline); }
    std::string_view stage() const { return view(context_.stage); }
    std::string_view node() const { return view(context_.node); }
    /// Which instance of the stage on this node, from 0.
    std::uint32_t instance() const { return context_.instance; }
    /// Further facts that a later host may add.
    std::optional<std::string_view> attribute(const char *name) const {
        const char *value = forebay_context_attribute(&context_, name);
        return value ? std::optional<std::string_view>(value) : std::nullopt;
    }
    Config config() const { return Config(forebay_config_read(&context_)); }

  private:
    const forebay_context &context_;
};

} // namespace forebay

#endif

/// Errors as values, and lines for the node's log.
#ifndef FOREBAY_STATUS_HPP
#define FOREBAY_STATUS_HPP

#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include "log.h"
#include "values.h"

namespace forebay {

/// Why a call failed as a whole. Made by `retry`, `fatal` and `other`.
struct Error {
    forebay_status status;
    std::string text;
};

/// What a call gives, or why it failed.
template <typename T> using Result = std::expected<T, Error>;
using Status = Result<void>;

/// A passing trouble: the host makes the call again, later. `return forebay::retry("no answer");`
inline std::unexpected<Error> retry(std::string text) {
    return std::unexpected(Error{FOREBAY_RETRY, std::move(text)});
}

/// The stage cannot go on: the host ends this instance and applies the restart policy.
inline std::unexpected<Error> fatal(std::string text) {
    return std::unexpected(Error{FOREBAY_FATAL, std::move(text)});
}

/// Anything else; treated as fatal.
inline std::unexpected<Error> other(std::string text) {
    return std::unexpected(Error{FOREBAY_OTHER, std::move(text)});
}

/// Writes one line to the node's log; the host cuts it at 8 KiB.
inline void log(forebay_level level, std::string_view text) {
    forebay_log_text(level, text.data(), text.size());
}
inline void trace(std::string_view text) { log(FOREBAY_TRACE, text); }
inline void debug(std::string_view text) { log(FOREBAY_DEBUG, text); }
inline void info(std::string_view text) { log(FOREBAY_INFO, text); }
inline void warn(std::string_view text) { log(FOREBAY_WARN, text); }
inline void error(std::string_view text) { log(FOREBAY_ERROR, text); }

} // namespace forebay

#endif

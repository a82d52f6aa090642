/// Asking sources for events, for a stage that decides itself when it wants more.
#ifndef FOREBAY_DEMAND_HPP
#define FOREBAY_DEMAND_HPP

#include "batch.hpp"
#include "demand.h"
#include "status.hpp"

namespace forebay {

/// Asks a source, by its name in the pipeline, for `count` further events; see `forebay_ask` in demand.h. The error says
/// that the pipeline file has no subscription to it with `ask = "manual"`.
inline Status ask(std::string_view source, std::uint32_t count) {
    forebay_status status = forebay_ask(std::string(source).c_str(), count);
    if (status)
        return std::unexpected(Error{status, std::string(view(forebay_error_text()))});
    return {};
}

} // namespace forebay

#endif

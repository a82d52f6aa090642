/// Stages for Forebay in C++23, over the C functions of forebay.h.
///
///     class Counter {
///       public:
///         static forebay::Result<Counter> init(const forebay::Context &context);
///         forebay::Status handle_demand(std::uint32_t demand, forebay::Events &events);
///     };
///     FOREBAY_STAGE(Counter);
///
/// | role              | functions of the class                                                              |
/// |-------------------|-------------------------------------------------------------------------------------|
/// | every stage       | `static Result<T> init(const Context &)`                                            |
/// | producer          | `Status handle_demand(std::uint32_t demand, Events &)`                              |
/// | consumer          | `Status handle_events(const Delivery &, Rejections &)`                              |
/// | producer-consumer | `Status transform(const Delivery &, Events &, Rejections &)`                        |
/// | checkpoint        | `Result<std::string> snapshot()`, `Status restore(std::string_view)`                |
/// | timer             | `Status handle_tick(Events &)`                                                      |
/// | ingest            | `Status handle_ingest(const Batch &, Events &)`                                     |
/// | call              | `Result<std::string> handle_call(std::string_view)`                                 |
/// | terminate         | `void terminate(std::string_view reason)`                                           |
///
/// Errors are values, `std::expected`: C++ exceptions need support that the C++ libraries for WebAssembly of Debian and
/// Zig are built without, so components are compiled with -fno-exceptions.
#ifndef FOREBAY_HPP
#define FOREBAY_HPP

#include "forebay.h"
#include "forebay/batch.hpp"
#include "forebay/config.hpp"
#include "forebay/demand.hpp"
#include "forebay/events.hpp"
#include "forebay/stage.hpp"
#include "forebay/status.hpp"

#endif

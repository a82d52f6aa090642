/// Counts, lets numbers be pushed in from outside, and tells and sets where it stands.
#include "numbers.hpp"

class Counter {
  public:
    static forebay::Result<Counter> init(const forebay::Context &context) {
        auto numbers = Numbers::init(context);
        if (!numbers)
            return std::unexpected(numbers.error());
        return Counter(*numbers);
    }

    forebay::Status handle_demand(std::uint32_t demand, forebay::Events &events) {
        return numbers.emit(demand, events);
    }

    forebay::Status handle_ingest(const forebay::Batch &incoming, forebay::Events &events) {
        for (const forebay::Event &event : incoming)
            events.push(event).topic("ingested");
        return {};
    }

    forebay::Result<std::string> handle_call(std::string_view request) {
        const forebay_json *asked;
        forebay_bytes bytes{reinterpret_cast<const std::uint8_t *>(request.data()), request.size()};
        if (forebay_json_read(bytes, &asked) || asked->kind != FOREBAY_JSON_TABLE || asked->length > 1)
            return unknown(request);
        const forebay_json *set = forebay_json_get(asked, "set");
        if (asked->length == 1 && !(set && forebay_json_int(set, &numbers.next)))
            return unknown(request);
        return "{\"next\":" + std::to_string(numbers.next) + "}";
    }

  private:
    explicit Counter(Numbers numbers) : numbers(numbers) {}

    static std::unexpected<forebay::Error> unknown(std::string_view request) {
        return forebay::other("unknown request: " + std::string(request));
    }

    Numbers numbers;
};

FOREBAY_STAGE(Counter);

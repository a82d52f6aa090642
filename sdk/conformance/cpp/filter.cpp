/// Passes on what contains a text, and rejects what is no text.
#include <forebay.hpp>
#include <string>

class Filter {
  public:
    static forebay::Result<Filter> init(const forebay::Context &context) {
        Filter self;
        auto config = context.config();
        config.read("contains", self.contains);
        if (auto done = config.done(); !done)
            return std::unexpected(done.error());
        return self;
    }

    forebay::Status transform(const forebay::Delivery &delivery, forebay::Events &events,
                              forebay::Rejections &rejections) {
        for (const forebay::Event &event : delivery) {
            if (!event.is_text())
                rejections.reject(event, "not UTF-8");
            else if (event.payload() == "later")
                rejections.retry(event, "later");
            else if (event.payload().contains(contains))
                events.push(event);
        }
        return {};
    }

  private:
    std::string contains;
};

FOREBAY_STAGE(Filter);

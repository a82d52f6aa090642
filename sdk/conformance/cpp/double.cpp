/// Emits every event as often as it is told to.
#include <forebay.hpp>

class Double {
  public:
    static forebay::Result<Double> init(const forebay::Context &context) {
        Double self;
        auto config = context.config();
        config.read("copies", self.copies, 0, 1000);
        if (auto done = config.done(); !done)
            return std::unexpected(done.error());
        return self;
    }

    forebay::Status transform(const forebay::Delivery &delivery, forebay::Events &events, forebay::Rejections &) {
        for (const forebay::Event &event : delivery)
            for (int i = 0; i < copies; i++)
                events.push(event);
        return {};
    }

  private:
    int copies = 2;
};

FOREBAY_STAGE(Double);

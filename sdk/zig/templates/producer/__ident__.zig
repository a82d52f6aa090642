//! Emits numbers, one after the other.

const forebay = @import("forebay");
const __Type__ = @This();

/// What `config` of the stage in a pipeline file may say.
pub const Config = struct { start: i64 = 0 };

next: i64,

pub fn init(context: forebay.Context(Config)) !__Type__ {
    return .{ .next = context.config.start };
}

/// Asked for up to `demand` events. Fewer, or none, is fine: the host asks again a little later.
pub fn handleDemand(self: *__Type__, demand: u32, events: *forebay.Events) !void {
    for (0..demand) |_| {
        try events.print("{d}", .{self.next});
        self.next += 1;
    }
}

const testing = forebay.testing;

test "counts from where it is told to" {
    var stage = try testing.start(__Type__, .{ .config = "{\"start\": 5}" });
    defer stage.deinit();
    try testing.expectTexts(&.{ "5", "6", "7" }, try stage.demand(3));
    try testing.expectTexts(&.{"8"}, try stage.demand(1));
}

test "a text is no number" {
    try testing.expectRefused(
        __Type__,
        "{\"start\": \"five\"}",
        "config of stage `stage`: at `start`: found text \"five\", expected a whole number",
    );
}

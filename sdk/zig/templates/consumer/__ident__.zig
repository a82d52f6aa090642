//! Greets whoever it is told about, in the log.

const forebay = @import("forebay");
const std = @import("std");
const __Type__ = @This();

/// What `config` of the stage in a pipeline file may say.
pub const Config = struct { greeting: []const u8 = "Hello" };

greeting: []const u8,

pub fn init(context: forebay.Context(Config)) !__Type__ {
    return .{ .greeting = context.config.greeting };
}

/// What was delivered is acknowledged after the return, all but the events that are rejected.
pub fn handleEvents(self: *__Type__, delivery: forebay.Delivery, rejections: *forebay.Rejections) !void {
    var events = delivery.iterator();
    while (events.next()) |event| {
        if (std.unicode.utf8ValidateSlice(event.payload)) {
            forebay.log.info("{s}, {s}!", .{ self.greeting, event.payload });
        } else {
            try rejections.reject(event.index, "a name is UTF-8", .{});
        }
    }
}

const testing = forebay.testing;

test "greets by name" {
    var stage = try testing.start(__Type__, .{ .config = "{\"greeting\": \"Good day\"}" });
    defer stage.deinit();
    _ = try stage.deliver(try stage.texts(&.{"Ada"}));
    try std.testing.expectEqualStrings("Good day, Ada!", stage.logs()[0].message);
}

test "what is no text is rejected" {
    var stage = try testing.start(__Type__, .{});
    defer stage.deinit();
    const rejections = try stage.deliver(try stage.texts(&.{ "Ada", "\xff" }));
    try std.testing.expectEqual(1, rejections.len);
    try std.testing.expectEqual(1, rejections[0].index);
}

test "a number is no greeting" {
    try testing.expectRefused(
        __Type__,
        "{\"greeting\": 7}",
        "config of stage `stage`: at `greeting`: found number 7, expected text",
    );
}

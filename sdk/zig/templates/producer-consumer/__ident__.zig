//! Makes a greeting of each name.

const forebay = @import("forebay");
const std = @import("std");
const __Type__ = @This();

/// What `config` of the stage in a pipeline file may say.
pub const Config = struct { greeting: []const u8 = "Hello" };

greeting: []const u8,

pub fn init(context: forebay.Context(Config)) !__Type__ {
    return .{ .greeting = context.config.greeting };
}

/// Pushes what it makes of a batch: fewer events, as many, or more.
pub fn transform(self: *__Type__, delivery: forebay.Delivery, events: *forebay.Events, rejections: *forebay.Rejections) !void {
    var given = delivery.iterator();
    while (given.next()) |event| {
        if (std.unicode.utf8ValidateSlice(event.payload)) {
            try events.print("{s}, {s}!", .{ self.greeting, event.payload });
        } else {
            try rejections.reject(event.index, "a name is UTF-8", .{});
        }
    }
}

const testing = forebay.testing;

test "greets by name" {
    var stage = try testing.start(__Type__, .{ .config = "{\"greeting\": \"Good day\"}" });
    defer stage.deinit();
    const made = try stage.transform(try stage.texts(&.{ "Ada", "Grace" }));
    try testing.expectTexts(&.{ "Good day, Ada!", "Good day, Grace!" }, made.events);
}

test "what is no text is rejected" {
    var stage = try testing.start(__Type__, .{});
    defer stage.deinit();
    const made = try stage.transform(try stage.texts(&.{ "\xff", "Ada" }));
    try testing.expectTexts(&.{"Hello, Ada!"}, made.events);
    try std.testing.expectEqual(0, made.rejections[0].index);
}

test "a number is no greeting" {
    try testing.expectRefused(
        __Type__,
        "{\"greeting\": 7}",
        "config of stage `stage`: at `greeting`: found number 7, expected text",
    );
}

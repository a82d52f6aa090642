//! Passes on what contains a text, and rejects what is no text.

const forebay = @import("forebay");
const std = @import("std");
const Filter = @This();

pub const Config = struct { contains: []const u8 = "" };

contains: []const u8,

pub fn init(context: forebay.Context(Config)) !Filter {
    return .{ .contains = context.config.contains };
}

pub fn transform(self: *Filter, delivery: forebay.Delivery, events: *forebay.Events, rejections: *forebay.Rejections) !void {
    var given = delivery.iterator();
    while (given.next()) |event| {
        if (!std.unicode.utf8ValidateSlice(event.payload)) {
            try rejections.reject(event.index, "not UTF-8", .{});
        } else if (std.mem.eql(u8, event.payload, "later")) {
            try rejections.rejectForNow(event.index, "later", .{});
        } else if (std.mem.find(u8, event.payload, self.contains) != null) {
            try events.pushEvent(event);
        }
    }
}

const testing = forebay.testing;

test "what contains the text is passed on" {
    var stage = try testing.start(Filter, .{ .config = "{\"contains\": \"an\"}" });
    defer stage.deinit();
    const made = try stage.transform(try stage.texts(&.{ "banana", "cherry", "a", "an" }));
    try testing.expectTexts(&.{ "banana", "an" }, made.events);
}

test "what cannot be processed is rejected" {
    var stage = try testing.start(Filter, .{});
    defer stage.deinit();
    const made = try stage.transform(try stage.texts(&.{ "later", "\xC0\x80", "fine" }));
    try testing.expectTexts(&.{"fine"}, made.events);
    try std.testing.expectEqualDeep(@as([]const testing.Rejection, &.{
        .{ .index = 0, .retry = true, .reason = "later" },
        .{ .index = 1, .retry = false, .reason = "not UTF-8" },
    }), made.rejections);
}

test "a number is no text" {
    try testing.expectRefused(Filter, "{\"contains\": 7}", "config of stage `stage`: at `contains`: found number 7, expected text");
}

//! Joins payloads by commas, a few at a time, and what is left when the clock says so.

const forebay = @import("forebay");
const std = @import("std");
const Batcher = @This();

pub const Config = struct { size: u32 = 3, ask: ?[]const u8 = null };

size: u32,
/// The source that it asks for as many events as it joins.
source: ?[]const u8,
kept: u32 = 0,
joined: std.ArrayList(u8) = .empty,
allocator: std.mem.Allocator,

pub fn init(context: forebay.Context(Config)) !Batcher {
    if (context.config.size == 0) return forebay.fatal("`size` is 0; expected a whole number, 1 or more", .{});
    if (context.config.ask) |source| try forebay.ask(source, context.config.size);
    return .{ .size = context.config.size, .source = context.config.ask, .allocator = context.allocator };
}

pub fn deinit(self: *Batcher) void {
    self.joined.deinit(self.allocator);
}

pub fn transform(self: *Batcher, delivery: forebay.Delivery, events: *forebay.Events, _: *forebay.Rejections) !void {
    var given = delivery.iterator();
    while (given.next()) |event| {
        if (self.kept > 0) try self.joined.append(self.allocator, ',');
        try self.joined.appendSlice(self.allocator, event.payload);
        self.kept += 1;
        if (self.kept == self.size) try self.emit(events);
    }
}

pub fn handleTick(self: *Batcher, events: *forebay.Events) !void {
    if (self.kept > 0) try self.emit(events);
}

fn emit(self: *Batcher, events: *forebay.Events) !void {
    try events.push(.{ .payload = self.joined.items });
    self.joined.clearRetainingCapacity();
    if (self.source) |source| try forebay.ask(source, self.kept);
    self.kept = 0;
}

const testing = forebay.testing;

test "payloads are joined when there are enough" {
    var stage = try testing.start(Batcher, .{});
    defer stage.deinit();
    try testing.expectTexts(&.{}, (try stage.transform(try stage.texts(&.{ "a", "b" }))).events);
    try testing.expectTexts(&.{ "a,b,c", "d,,e" }, (try stage.transform(try stage.texts(&.{ "c", "d", "", "e", "f" }))).events);
}

test "the clock emits the rest once" {
    var stage = try testing.start(Batcher, .{ .config = "{\"size\": 10}" });
    defer stage.deinit();
    try testing.expectTexts(&.{}, try stage.tick());
    try testing.expectTexts(&.{}, (try stage.transform(try stage.texts(&.{ "a", "b" }))).events);
    try testing.expectTexts(&.{"a,b"}, try stage.tick());
    try testing.expectTexts(&.{}, try stage.tick());
}

test "as many as are joined are asked for" {
    var stage = try testing.start(Batcher, .{ .config = "{\"size\": 2, \"ask\": \"source\"}" });
    defer stage.deinit();
    try std.testing.expectEqual(2, stage.asked("source"));
    _ = try stage.transform(try stage.texts(&.{ "a", "b", "c" }));
    try std.testing.expectEqual(4, stage.asked("source"));
    _ = try stage.tick();
    try std.testing.expectEqual(5, stage.asked("source"));
}

test "no size is refused" {
    try testing.expectRefused(Batcher, "{\"size\": 0}", "`size` is 0; expected a whole number, 1 or more");
}

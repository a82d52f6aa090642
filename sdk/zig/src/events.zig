//! Events to emit, built up column by column. The columns of topics and keys may be behind the events: they are filled
//! when the next topic or key is set, and at the end. So they stay empty for events that have none.

const std = @import("std");
const abi = @import("abi.zig");
const batch = @import("batch.zig");

const Allocator = std.mem.Allocator;

/// What is kept of each column for the next call, at most. Unit: bytes. Larger ones are given back, so that one large
/// batch does not fill the memory of a small instance for good.
const kept_bytes_max = 4 << 20;

/// Events to emit, in order. What is pushed is copied.
pub const Events = struct {
    /// Of the columns, which are kept from call to call.
    allocator: Allocator,
    /// Of texts, which live until the call returns.
    texts: Allocator,
    payloads: std.ArrayList(u8) = .empty,
    ends: std.ArrayList(u32) = .empty,
    topics: std.ArrayList(abi.Text) = .empty,
    topic_of: std.ArrayList(u16) = .empty,
    keys: std.ArrayList(u8) = .empty,
    key_ends: std.ArrayList(u32) = .empty,
    headers: std.ArrayList(abi.Header) = .empty,
    topic_index: std.StringHashMapUnmanaged(u16) = .empty,

    /// An event to push; all but its payload may be left out.
    pub const New = struct {
        payload: []const u8,
        /// What subscriptions choose by; empty: none.
        topic: []const u8 = "",
        /// Events of one key go to the same consumer when the dispatcher partitions by it; empty: none.
        key: []const u8 = "",
        /// The same name may be added more than once.
        headers: []const batch.Header = &.{},
    };

    /// Adds an event: `try events.push(.{ .payload = "12.5", .topic = "power", .key = "meter-7" });`
    ///
    /// Panics when a topic or a header is not UTF-8, and at the 65,537th different topic of one call.
    pub fn push(self: *Events, event: New) Allocator.Error!void {
        try self.payloads.appendSlice(self.allocator, event.payload);
        try self.end(event.topic, event.key);
        for (event.headers) |header| try self.addHeader(header);
    }

    /// Adds an event whose payload is formatted in place: `try events.print("{d}", .{number});`
    pub fn print(self: *Events, comptime format: []const u8, arguments: anytype) Allocator.Error!void {
        try self.payloads.print(self.allocator, format, arguments);
        try self.end("", "");
    }

    /// Adds a copy of an event that was delivered, with its topic, key and headers.
    pub fn pushEvent(self: *Events, event: batch.Event) Allocator.Error!void {
        try self.push(.{ .payload = event.payload, .topic = event.topic, .key = event.key });
        for (0..event.headers.len()) |index| try self.addHeader(event.headers.get(index));
    }

    pub fn len(self: *const Events) usize {
        return self.ends.items.len;
    }

    fn end(self: *Events, topic: []const u8, key: []const u8) Allocator.Error!void {
        const before = self.len();
        try self.ends.append(self.allocator, endOf(self.payloads.items.len));
        if (topic.len > 0) {
            try self.fillTopics(before);
            const number = try self.topicNumber(topic);
            try self.topic_of.append(self.allocator, number);
        }
        if (key.len > 0) {
            try self.fillKeys(before);
            try self.keys.appendSlice(self.allocator, key);
            try self.key_ends.append(self.allocator, endOf(self.keys.items.len));
        }
    }

    fn addHeader(self: *Events, header: batch.Header) Allocator.Error!void {
        const event: u32 = @intCast(self.len() - 1);
        const name = try self.keptText(header.name, "a header's name");
        const value = try self.keptText(header.value, "a header's value");
        try self.headers.append(self.allocator, .{ .event = event, .name = .of(name), .value = .of(value) });
    }

    fn keptText(self: *Events, text: []const u8, comptime what: []const u8) Allocator.Error![]const u8 {
        if (!std.unicode.utf8ValidateSlice(text)) @panic(what ++ " is not UTF-8, but texts have to be; keys and payloads may be any bytes");
        return self.texts.dupe(u8, text);
    }

    fn fillTopics(self: *Events, count: usize) Allocator.Error!void {
        if (self.topic_of.items.len >= count) return;
        const none = try self.topicNumber("");
        try self.topic_of.appendNTimes(self.allocator, none, count - self.topic_of.items.len);
    }

    fn fillKeys(self: *Events, count: usize) Allocator.Error!void {
        if (self.key_ends.items.len >= count) return;
        const last = endOf(self.keys.items.len);
        try self.key_ends.appendNTimes(self.allocator, last, count - self.key_ends.items.len);
    }

    fn topicNumber(self: *Events, topic: []const u8) Allocator.Error!u16 {
        // Neighbours mostly share their topic, which spares looking it up.
        if (self.topic_of.getLastOrNull()) |last| {
            if (std.mem.eql(u8, self.topics.items[last].slice(), topic)) return last;
        }
        if (self.topic_index.get(topic)) |known| return known;
        const number = std.math.cast(u16, self.topics.items.len) orelse
            @panic("more than 65536 different topics in one batch; emit smaller batches");
        const kept = try self.keptText(topic, "a topic");
        try self.topic_index.put(self.allocator, kept, number);
        try self.topics.append(self.allocator, .of(kept));
        return number;
    }

    /// Fills the columns of topics and keys up to the last event and gives all of them.
    pub fn columns(self: *Events) Allocator.Error!abi.Columns {
        if (self.topic_of.items.len > 0) try self.fillTopics(self.len());
        if (self.key_ends.items.len > 0) try self.fillKeys(self.len());
        return .{
            .payloads = .of(self.payloads.items),
            .ends = .of(self.ends.items),
            .topics = .of(self.topics.items),
            .topic_of = .of(self.topic_of.items),
            .keys = .of(self.keys.items),
            .key_ends = .of(self.key_ends.items),
            .headers = .of(self.headers.items),
        };
    }

    /// Empties it for the next call.
    pub fn clear(self: *Events) void {
        // Its keys are texts of the call that is over.
        self.topic_index.clearRetainingCapacity();
        inline for (.{ "payloads", "ends", "topics", "topic_of", "keys", "key_ends", "headers" }) |name| {
            const column = &@field(self, name);
            const kept = column.capacity * @sizeOf(std.meta.Elem(@TypeOf(column.items))) <= kept_bytes_max;
            if (kept) column.clearRetainingCapacity() else column.clearAndFree(self.allocator);
        }
    }

    pub fn deinit(self: *Events) void {
        self.topic_index.deinit(self.allocator);
        inline for (.{ "payloads", "ends", "topics", "topic_of", "keys", "key_ends", "headers" }) |name| {
            @field(self, name).deinit(self.allocator);
        }
    }
};

fn endOf(bytes: usize) u32 {
    return std.math.cast(u32, bytes) orelse @panic("4 GiB or more in one batch; emit smaller batches");
}

fn testEvents(arena: *std.heap.ArenaAllocator) Events {
    return .{ .allocator = arena.allocator(), .texts = arena.allocator() };
}

test "bare payloads leave the other columns empty" {
    var arena = std.heap.ArenaAllocator.init(std.testing.allocator);
    defer arena.deinit();
    var events = testEvents(&arena);
    try events.push(.{ .payload = "a" });
    try events.print("{d}-{d}", .{ 1, 2 });
    try events.push(.{ .payload = "" });
    const columns = try events.columns();
    try std.testing.expectEqualStrings("a1-2", columns.payloads.slice());
    try std.testing.expectEqualSlices(u32, &.{ 1, 4, 4 }, columns.ends.slice());
    try std.testing.expectEqual(0, columns.topics.len + columns.topic_of.len + columns.keys.len + columns.key_ends.len);
}

test "a late topic or key fills the events before it" {
    var arena = std.heap.ArenaAllocator.init(std.testing.allocator);
    defer arena.deinit();
    var events = testEvents(&arena);
    for ([_]Events.New{
        .{ .payload = "0" },
        .{ .payload = "1" },
        .{ .payload = "2", .topic = "t", .key = "kk" },
        .{ .payload = "3" },
        .{ .payload = "4", .topic = "t", .headers = &.{.{ .name = "n", .value = "v" }} },
        .{ .payload = "5" },
    }) |event| try events.push(event);
    const columns = try events.columns();
    try std.testing.expectEqual(2, columns.topics.len);
    try std.testing.expectEqualSlices(u16, &.{ 0, 0, 1, 0, 1, 0 }, columns.topic_of.slice());
    try std.testing.expectEqualStrings("kk", columns.keys.slice());
    try std.testing.expectEqualSlices(u32, &.{ 0, 0, 2, 2, 2, 2 }, columns.key_ends.slice());
    try std.testing.expectEqual(4, columns.headers.slice()[0].event);
}

test "copies of delivered events are equal to them" {
    var arena = std.heap.ArenaAllocator.init(std.testing.allocator);
    defer arena.deinit();
    var first = testEvents(&arena);
    try first.push(.{ .payload = "0" });
    try first.push(.{ .payload = "1", .topic = "t", .key = "k", .headers = &.{ .{ .name = "a", .value = "1" }, .{ .name = "a", .value = "" } } });
    try first.push(.{ .payload = "2", .key = "l" });
    const given = batch.Batch{ .columns = try first.columns() };
    var second = testEvents(&arena);
    var events = given.iterator();
    while (events.next()) |event| try second.pushEvent(event);
    const copied = batch.Batch{ .columns = try second.columns() };
    var left = given.iterator();
    var right = copied.iterator();
    while (left.next()) |one| {
        const two = right.next().?;
        try std.testing.expectEqualStrings(one.payload, two.payload);
        try std.testing.expectEqualStrings(one.topic, two.topic);
        try std.testing.expectEqualStrings(one.key, two.key);
        try std.testing.expectEqual(one.headers.len(), two.headers.len());
        for (0..one.headers.len()) |index| {
            try std.testing.expectEqualStrings(one.headers.get(index).value, two.headers.get(index).value);
        }
    }
    try std.testing.expect(right.next() == null);
}

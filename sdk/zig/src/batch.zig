//! Events a stage is handed: views over the columns the host delivered, good until the call returns.

const std = @import("std");
const abi = @import("abi.zig");

/// Events, from outside or emitted.
///
/// ```text
/// payloads  a l p h a b e t a        ends  5 9        event 0 = "alpha", event 1 = "beta"
/// ```
pub const Batch = struct {
    columns: abi.Columns,
    runs: []const abi.Run = &.{},

    pub fn len(self: Batch) usize {
        return self.columns.ends.len;
    }

    /// Goes through the events: `var events = batch.iterator(); while (events.next()) |event| { ... }`
    pub fn iterator(self: Batch) Iterator {
        return .{ .columns = self.columns, .numbers = .{ .runs = self.runs } };
    }
};

/// Events on their way into a consuming stage, with where they come from.
pub const Delivery = struct {
    /// The stage that emitted the events, by its name in the pipeline.
    source: []const u8,
    /// The epoch of the source's claim: it rises with each new owner and each restart of the source. (source, epoch,
    /// seq) names one event; a sink can refuse older writers by it.
    epoch: u64,
    /// 1 the first time these events are delivered, one more each time they are delivered again.
    attempt: u32,
    events: Batch,

    pub fn iterator(self: Delivery) Iterator {
        return self.events.iterator();
    }
};

pub const Header = struct { name: []const u8, value: []const u8 };

/// One event. It is a value: to pass it on with another topic, copy it, set `topic`, and push it.
pub const Event = struct {
    /// Its index in the batch, from 0: what a rejection names it by.
    index: u32,
    /// The number the source's host gave it; a redelivered event keeps its number. In `handleIngest`, where nothing is
    /// numbered yet, its index.
    seq: u64,
    payload: []const u8,
    /// Empty when there is none.
    topic: []const u8,
    /// Empty when there is none.
    key: []const u8,
    headers: Headers,
};

/// The headers of an event, in the order they were added.
pub const Headers = struct {
    entries: []const abi.Header,

    pub fn len(self: Headers) usize {
        return self.entries.len;
    }

    pub fn get(self: Headers, index: usize) Header {
        const entry = self.entries[index];
        return .{ .name = entry.name.slice(), .value = entry.value.slice() };
    }
};

/// The host has checked the columns before it delivers them.
pub const Iterator = struct {
    columns: abi.Columns,
    numbers: Numbers,
    index: u32 = 0,
    payload_start: u32 = 0,
    key_start: u32 = 0,
    header_start: usize = 0,

    pub fn next(self: *Iterator) ?Event {
        const ends = self.columns.ends.slice();
        if (self.index >= ends.len) return null;
        const index = self.index;
        self.index += 1;
        return .{
            .index = index,
            .seq = self.numbers.next(),
            .payload = cut(self.columns.payloads, ends[index], &self.payload_start),
            .topic = self.topicOf(index),
            .key = self.nextKey(index),
            .headers = self.nextHeaders(index),
        };
    }

    fn topicOf(self: *const Iterator, index: u32) []const u8 {
        const topic_of = self.columns.topic_of.slice();
        return if (index < topic_of.len) self.columns.topics.slice()[topic_of[index]].slice() else "";
    }

    fn nextKey(self: *Iterator, index: u32) []const u8 {
        const key_ends = self.columns.key_ends.slice();
        return if (index < key_ends.len) cut(self.columns.keys, key_ends[index], &self.key_start) else "";
    }

    fn nextHeaders(self: *Iterator, index: u32) Headers {
        const all = self.columns.headers.slice();
        const start = self.header_start;
        while (self.header_start < all.len and all[self.header_start].event == index) self.header_start += 1;
        return .{ .entries = all[start..self.header_start] };
    }
};

fn cut(bytes: abi.List(u8), end: u32, start: *u32) []const u8 {
    defer start.* = end;
    return bytes.slice()[start.*..end];
}

/// Counts through the runs; past the last one it just counts on.
const Numbers = struct {
    runs: []const abi.Run,
    number: u64 = 0,
    left: u32 = 0,

    fn next(self: *Numbers) u64 {
        while (self.left == 0 and self.runs.len > 0) {
            self.number = self.runs[0].first;
            self.left = self.runs[0].count;
            self.runs = self.runs[1..];
        }
        self.left -|= 1;
        defer self.number += 1;
        return self.number;
    }
};

test "numbers follow the runs" {
    const runs = [_]abi.Run{ .{ .first = 10, .count = 1 }, .{ .first = 99, .count = 0 }, .{ .first = 20, .count = 2 } };
    var numbers = Numbers{ .runs = &runs };
    for ([_]u64{ 10, 20, 21, 22 }) |expected| try std.testing.expectEqual(expected, numbers.next());
}

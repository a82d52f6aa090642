//! The values of the WIT package, laid out as the canonical ABI of the component model hands them over.

const std = @import("std");

/// The version of the package `forebay:stage`. It is part of the name of every import and export.
pub const wit_version = "0.1.1";

/// A list or a text. The pointer of an empty one means nothing.
pub fn List(comptime T: type) type {
    return extern struct {
        ptr: ?[*]const T = null,
        len: usize = 0,

        const Self = @This();

        /// An empty one leads nowhere: its address may be any, and a host refuses one outside of the memory.
        pub fn of(items: []const T) Self {
            return if (items.len == 0) .{} else .{ .ptr = items.ptr, .len = items.len };
        }

        pub fn slice(self: Self) []const T {
            return if (self.len == 0) &.{} else self.ptr.?[0..self.len];
        }
    };
}

pub const Text = List(u8);

pub const Header = extern struct { event: u32, name: Text, value: Text };

pub const Columns = extern struct {
    payloads: List(u8) = .{},
    ends: List(u32) = .{},
    topics: List(Text) = .{},
    topic_of: List(u16) = .{},
    keys: List(u8) = .{},
    key_ends: List(u32) = .{},
    headers: List(Header) = .{},
};

/// Events that are numbered `first`, `first + 1` and so on.
pub const Run = extern struct { first: u64, count: u32 };

pub const Delivery = extern struct {
    source: Text,
    epoch: u64,
    attempt: u32,
    seqs: List(Run),
    events: Columns,
};

pub const Attribute = extern struct { name: Text, value: Text };

pub const Rejection = extern struct { index: u32, retry: bool, reason: Text };

pub const Output = extern struct { events: Columns, rejections: List(Rejection) };

/// A result whose error is a text.
pub const Answer = extern struct { is_error: bool, value: Text };

/// A result whose error is a `stage-error`.
pub const Outcome = extern struct {
    is_error: bool,
    value: extern union {
        events: Columns,
        output: Output,
        rejections: List(Rejection),
        failure: extern struct { kind: u8, text: Text },
    },
};

comptime {
    if (@sizeOf(usize) == 4) {
        std.debug.assert(@sizeOf(Columns) == 56);
        std.debug.assert(@sizeOf(Header) == 20);
        std.debug.assert(@sizeOf(Rejection) == 16);
        std.debug.assert(@sizeOf(Run) == 16);
        std.debug.assert(@sizeOf(Delivery) == 88);
        std.debug.assert(@sizeOf(Outcome) == 68);
        std.debug.assert(@sizeOf(Answer) == 12);
    }
}

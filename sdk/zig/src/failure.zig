//! The errors a call ends with, and the text that goes with them: an error of Zig has none.

const std = @import("std");

pub const Error = error{ Retry, Fatal, Other };

/// The host cuts texts at 8 KiB.
var kept: [8 << 10]u8 = undefined;
var kept_len: usize = 0;

pub fn retry(comptime format: []const u8, arguments: anytype) Error {
    keep(format, arguments);
    return error.Retry;
}

pub fn fatal(comptime format: []const u8, arguments: anytype) Error {
    keep(format, arguments);
    return error.Fatal;
}

pub fn other(comptime format: []const u8, arguments: anytype) Error {
    keep(format, arguments);
    return error.Other;
}

/// The text of the last error; good until the next one.
pub fn text() []const u8 {
    return kept[0..kept_len];
}

fn keep(comptime format: []const u8, arguments: anytype) void {
    // Into a buffer of its own first: the arguments may be the text that is kept by now.
    var given: [kept.len]u8 = undefined;
    kept_len = clean(print(&given, format, arguments), &kept).len;
}

/// What fits of a text.
pub fn print(buffer: []u8, comptime format: []const u8, arguments: anytype) []u8 {
    var writer = std.Io.Writer.fixed(buffer);
    writer.print(format, arguments) catch {};
    return writer.buffered();
}

/// A text with what is not UTF-8 replaced: the host ends an instance that hands over anything else as a text.
pub fn clean(given: []const u8, buffer: []u8) []u8 {
    if (std.unicode.utf8ValidateSlice(given)) {
        @memcpy(buffer[0..given.len], given);
        return buffer[0..given.len];
    }
    const whole = print(buffer, "{f}", .{std.unicode.fmtUtf8(given)});
    // It may have been cut within a character.
    var end = whole.len;
    while (!std.unicode.utf8ValidateSlice(whole[0..end])) end -= 1;
    return whole[0..end];
}

test "a text is kept with its error" {
    try std.testing.expectEqual(error.Retry, retry("no answer from {s}", .{"x"}));
    try std.testing.expectEqualStrings("no answer from x", text());
    try std.testing.expectEqual(error.Fatal, fatal("again: {s}", .{text()}));
    try std.testing.expectEqualStrings("again: no answer from x", text());
}

test "a text is made UTF-8" {
    try std.testing.expectEqual(error.Other, other("{s}", .{"a\xffb"}));
    try std.testing.expectEqualStrings("a\u{FFFD}b", text());
    const long: [kept.len + 10]u8 = @splat(0xff);
    try std.testing.expectEqual(error.Other, other("{s}", .{&long}));
    try std.testing.expect(std.unicode.utf8ValidateSlice(text()));
}

//! Lines for the node's log, and the end of an instance that found itself to be wrong. In a component `std.log` comes
//! here as well.

const std = @import("std");
const builtin = @import("builtin");
const abi = @import("abi.zig");
const failure = @import("failure.zig");
const testing = @import("testing.zig");

/// How much a log line matters.
pub const Level = enum(u32) { trace, debug, info, warn, err };

/// Each step, to follow one event.
pub fn trace(comptime format: []const u8, arguments: anytype) void {
    write(.trace, format, arguments);
}

/// For the author of the stage.
pub fn debug(comptime format: []const u8, arguments: anytype) void {
    write(.debug, format, arguments);
}

/// For whoever runs it, when all is well.
pub fn info(comptime format: []const u8, arguments: anytype) void {
    write(.info, format, arguments);
}

/// Something is off; the stage goes on.
pub fn warn(comptime format: []const u8, arguments: anytype) void {
    write(.warn, format, arguments);
}

/// Something failed.
pub fn err(comptime format: []const u8, arguments: anytype) void {
    write(.err, format, arguments);
}

/// The host cuts a line at 8 KiB, and drops lines of a stage that logs too fast.
pub fn write(level: Level, comptime format: []const u8, arguments: anytype) void {
    // Not on the stack, where safe builds would fill them each time. There is one call at a time.
    const buffers = struct {
        var given: [8 << 10]u8 = undefined;
        var cleaned: [8 << 10]u8 = undefined;
    };
    const line = failure.print(&buffers.given, format, arguments);
    send(level, if (std.unicode.utf8ValidateSlice(line)) line else failure.clean(line, &buffers.cleaned));
}

fn send(level: Level, line: []const u8) void {
    if (comptime builtin.cpu.arch.isWasm()) {
        const hostLog = @extern(*const fn (u32, [*]const u8, usize) callconv(.c) void, .{
            .name = "log",
            .library_name = "forebay:stage/host@" ++ abi.wit_version,
        });
        hostLog(@backingInt(level), line.ptr, line.len);
    } else {
        testing.record(level, line);
    }
}

pub fn panicAt(place: std.builtin.SourceLocation, comptime format: []const u8, arguments: anytype) noreturn {
    var text: [2048]u8 = undefined;
    const said = failure.print(&text, format, arguments);
    if (comptime !builtin.cpu.arch.isWasm()) std.debug.panic("{s}:{d}: {s}", .{ place.file, place.line, said });
    write(.err, "panicked at {s}:{d}: {s}", .{ place.file, place.line, said });
    @trap();
}

/// What `@panic` and the checks of safe builds come to.
pub fn panicked(message: []const u8, _: ?usize) noreturn {
    write(.err, "panicked: {s}", .{message});
    @trap();
}

pub const std_options: std.Options = .{ .logFn = standardLog };

fn standardLog(
    comptime level: std.log.Level,
    comptime scope: @TypeOf(.enum_literal),
    comptime format: []const u8,
    arguments: anytype,
) void {
    const own: Level = switch (level) {
        .err => .err,
        .warn => .warn,
        .info => .info,
        .debug => .debug,
    };
    const prefix = if (scope == .default) "" else "(" ++ @tagName(scope) ++ ") ";
    write(own, prefix ++ format, arguments);
}

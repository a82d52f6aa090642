//! From the JSON of a config to a value of the stage's own type, with errors that name the key. `std.json` reads the
//! text; it could fill the type as well, but its errors say neither the key nor what was expected.

const std = @import("std");
const failure = @import("failure.zig");

const Allocator = std.mem.Allocator;
const Value = std.json.Value;
const Problem = failure.Error || Allocator.Error;

/// Where a value is, from the innermost key outwards.
const Path = struct {
    before: ?*const Path = null,
    step: union(enum) { whole, key: []const u8, index: usize } = .whole,

    pub fn format(self: Path, writer: *std.Io.Writer) std.Io.Writer.Error!void {
        if (self.before) |before| {
            try before.format(writer);
            if (self.step == .key and before.step != .whole) try writer.writeByte('.');
        }
        switch (self.step) {
            .whole => {},
            .key => |name| try writer.writeAll(name),
            .index => |index| try writer.print("[{d}]", .{index}),
        }
    }

    fn key(self: *const Path, name: []const u8) Path {
        return .{ .before = self, .step = .{ .key = name } };
    }
};

/// Reads a config. `null` and an empty text are an empty table.
pub fn read(comptime T: type, allocator: Allocator, text: []const u8) Problem!T {
    const given = if (std.mem.trim(u8, text, " \t\r\n").len == 0) "null" else text;
    var scanner = std.json.Scanner.initCompleteInput(allocator, given);
    defer scanner.deinit();
    var place: std.json.Diagnostics = .{};
    scanner.enableDiagnostics(&place);
    // Numbers stay as they were written, so that reading floats is no part of a component whose config has none.
    const options = std.json.ParseOptions{ .parse_numbers = false };
    const value = std.json.parseFromTokenSourceLeaky(Value, allocator, &scanner, options) catch |problem| switch (problem) {
        error.OutOfMemory => return error.OutOfMemory,
        error.DuplicateField => return failure.other("found a key twice before byte {d} of the JSON, expected it once", .{place.getByteOffset()}),
        else => return failure.other("found no JSON at byte {d} ({s}), expected a table", .{ place.getByteOffset(), @errorName(problem) }),
    };
    const path = Path{};
    if (value == .null) return table(T, allocator, .empty, &path);
    return any(T, allocator, value, &path);
}

fn any(comptime T: type, allocator: Allocator, value: Value, path: *const Path) Problem!T {
    switch (@typeInfo(T)) {
        .optional => |optional| {
            if (value == .null) return null;
            return try any(optional.child, allocator, value, path);
        },
        .bool => return if (value == .bool) value.bool else mismatch(value, path, "true or false", .{}),
        .int => return integer(T, value, path),
        .float => return float(T, value, path),
        .@"enum" => return choice(T, value, path),
        .@"struct" => return if (value == .object) table(T, allocator, value.object, path) else mismatch(value, path, "a table", .{}),
        .pointer => |pointer| {
            if (pointer.size != .slice) @compileError("a config has no " ++ @typeName(T));
            if (T == []const u8) return if (value == .string) value.string else mismatch(value, path, "text", .{});
            return list(pointer.child, allocator, value, path);
        },
        else => @compileError("a config has no " ++ @typeName(T) ++ "; expected bool, a number, []const u8, an enum, a struct, or an optional or slice of these"),
    }
}

fn integer(comptime T: type, value: Value, path: *const Path) Problem!T {
    if (value != .number_string) return mismatch(value, path, "a whole number", .{});
    return std.fmt.parseInt(T, value.number_string, 10) catch |problem| switch (problem) {
        error.Overflow => mismatch(value, path, "a whole number from {d} to {d}", .{ std.math.minInt(T), std.math.maxInt(T) }),
        error.InvalidCharacter => mismatch(value, path, "a whole number", .{}),
    };
}

fn float(comptime T: type, value: Value, path: *const Path) Problem!T {
    if (value != .number_string) return mismatch(value, path, "a number", .{});
    const number = std.fmt.parseFloat(T, value.number_string) catch unreachable;
    return if (std.math.isFinite(number)) number else mismatch(value, path, "a number that fits a {s}", .{@typeName(T)});
}

fn choice(comptime T: type, value: Value, path: *const Path) Problem!T {
    const names = comptime joined(T);
    if (value != .string) return mismatch(value, path, "one of {s}", .{names});
    return std.meta.stringToEnum(T, value.string) orelse mismatch(value, path, "one of {s}", .{names});
}

fn list(comptime T: type, allocator: Allocator, value: Value, path: *const Path) Problem![]const T {
    if (value != .array) return mismatch(value, path, "a list", .{});
    const items = try allocator.alloc(T, value.array.items.len);
    for (items, value.array.items, 0..) |*item, given, index| {
        item.* = try any(T, allocator, given, &.{ .before = path, .step = .{ .index = index } });
    }
    return items;
}

fn table(comptime T: type, allocator: Allocator, object: std.json.ObjectMap, path: *const Path) Problem!T {
    const fields = comptime std.meta.fieldNames(T);
    for (object.keys()) |key| {
        if (!isField(fields, key)) {
            const expected = comptime if (fields.len == 0) "no keys" else joined(T);
            return failure.other("at `{f}`: found an unknown key, expected {s}", .{ path.key(key), expected });
        }
    }
    var result: T = undefined;
    const info = @typeInfo(T).@"struct";
    inline for (info.field_names, info.field_types, info.field_attrs) |name, Field, attributes| {
        const inner = path.key(name);
        if (object.get(name)) |given| {
            @field(result, name) = try any(Field, allocator, given, &inner);
        } else if (attributes.defaultValue(Field)) |default| {
            @field(result, name) = default;
        } else {
            return failure.other("at `{f}`: found nothing, expected {s}", .{ inner, comptime kind(Field) });
        }
    }
    return result;
}

fn isField(fields: []const []const u8, key: []const u8) bool {
    for (fields) |field| {
        if (std.mem.eql(u8, field, key)) return true;
    }
    return false;
}

/// "`a`, `b` or `c`"
fn joined(comptime T: type) []const u8 {
    const names = std.meta.fieldNames(T);
    comptime var text: []const u8 = "";
    inline for (names, 0..) |name, index| {
        const between = if (index == 0) "" else if (index + 1 == names.len) " or " else ", ";
        text = text ++ between ++ "`" ++ name ++ "`";
    }
    return text;
}

fn kind(comptime T: type) []const u8 {
    return switch (@typeInfo(T)) {
        .optional => |optional| kind(optional.child),
        .bool => "true or false",
        .int => "a whole number",
        .float => "a number",
        .@"enum" => "one of " ++ joined(T),
        .@"struct" => "a table",
        else => if (T == []const u8) "text" else "a list",
    };
}

fn mismatch(found: Value, path: *const Path, comptime expected: []const u8, arguments: anytype) failure.Error {
    var text: [512]u8 = undefined;
    const what = switch (found) {
        .null => "null",
        .bool => |value| if (value) "true" else "false",
        // They stay as they were written, see `read`.
        .integer, .float => unreachable,
        .number_string => |number| failure.print(&text, "number {s}", .{number}),
        .string => |string| failure.print(&text, "text \"{s}\"", .{string}),
        .array => "a list",
        .object => "a table",
    };
    if (path.step == .whole) return failure.other("found {s}, expected " ++ expected, .{what} ++ arguments);
    return failure.other("at `{f}`: found {s}, expected " ++ expected, .{ path.*, what } ++ arguments);
}

const Sample = struct {
    start: i64 = 0,
    share: f64 = 0.5,
    name: []const u8 = "none",
    mode: enum { fast, safe } = .safe,
    limit: ?u8 = null,
    on: bool = false,
    inner: struct { sizes: []const u16 = &.{} } = .{},
};

fn expectProblem(comptime T: type, text: []const u8, expected: []const u8) !void {
    var arena = std.heap.ArenaAllocator.init(std.testing.allocator);
    defer arena.deinit();
    try std.testing.expectError(error.Other, read(T, arena.allocator(), text));
    try std.testing.expectEqualStrings(expected, failure.text());
}

test "a whole config is read" {
    var arena = std.heap.ArenaAllocator.init(std.testing.allocator);
    defer arena.deinit();
    const text =
        \\{"start": -3, "share": 2, "name": "a\u00e9", "mode": "fast", "limit": 255, "on": true, "inner": {"sizes": [1, 65535]}}
    ;
    const config = try read(Sample, arena.allocator(), text);
    try std.testing.expectEqual(-3, config.start);
    try std.testing.expectEqual(2.0, config.share);
    try std.testing.expectEqualStrings("a\u{e9}", config.name);
    try std.testing.expectEqual(.fast, config.mode);
    try std.testing.expectEqual(255, config.limit.?);
    try std.testing.expectEqualSlices(u16, &.{ 1, 65535 }, config.inner.sizes);
}

test "no config gives the defaults" {
    for ([_][]const u8{ "null", "{}", "", " null " }) |text| {
        var arena = std.heap.ArenaAllocator.init(std.testing.allocator);
        defer arena.deinit();
        try std.testing.expectEqualDeep(Sample{}, try read(Sample, arena.allocator(), text));
    }
}

test "an error names the key, what was found and what was expected" {
    try expectProblem(Sample, "{\"start\": \"x\"}", "at `start`: found text \"x\", expected a whole number");
    try expectProblem(Sample, "{\"start\": 1.5}", "at `start`: found number 1.5, expected a whole number");
    try expectProblem(Sample, "{\"limit\": 256}", "at `limit`: found number 256, expected a whole number from 0 to 255");
    try expectProblem(Sample, "{\"start\": 1e400}", "at `start`: found number 1e400, expected a whole number");
    try expectProblem(Sample, "{\"start\": 9223372036854775808}", "at `start`: found number 9223372036854775808, expected a whole number from -9223372036854775808 to 9223372036854775807");
    try expectProblem(Sample, "{\"share\": 1e400}", "at `share`: found number 1e400, expected a number that fits a f64");
    try expectProblem(Sample, "{\"share\": true}", "at `share`: found true, expected a number");
    try expectProblem(Sample, "{\"name\": []}", "at `name`: found a list, expected text");
    try expectProblem(Sample, "{\"mode\": \"slow\"}", "at `mode`: found text \"slow\", expected one of `fast` or `safe`");
    try expectProblem(Sample, "{\"inner\": {\"sizes\": [1, 70000]}}", "at `inner.sizes[1]`: found number 70000, expected a whole number from 0 to 65535");
    try expectProblem(struct { a: i32 = 0, b: i32 = 0 }, "{\"c\": 1}", "at `c`: found an unknown key, expected `a` or `b`");
    try expectProblem(struct {}, "{\"c\": 1}", "at `c`: found an unknown key, expected no keys");
    try expectProblem(struct { host: []const u8 }, "null", "at `host`: found nothing, expected text");
    try expectProblem(Sample, "[]", "found a list, expected a table");
    try expectProblem(Sample, "{\"start\": 1, \"start\": 2}", "found a key twice before byte 23 of the JSON, expected it once");
}

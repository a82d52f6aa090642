//go:build forebay

package abi

import "unsafe"

// room is memory for parameters, outside of Go's heap and used again by each call.
//
// The host asks for it while it allows no call of an import. An allocation on Go's heap may begin or end
// a garbage collection, which reads both clocks of WASI, and that traps ("cannot leave component
// instance"). The adapter's adapter_monotonic_clock_set_paused spares one of them only. So parameters
// are put here, and copied to the heap when the call has begun.
type room struct {
	at, bytes uint32
}

// smallestRoom is enough for the parameters of most calls. Unit: bytes.
const smallestRoom = 64 << 10

var (
	// rooms are those there are. Each is twice the one before or more: 17 fill 4 GiB.
	rooms [32]room
	// inRoom is the one the next parameter goes to, used how much of it is taken.
	inRoom, used uint32
)

// sbrk is how Go's runtime gets memory, which must be asked: it takes all that comes after its own heap
// to be its own. `forebay build` has the linker allow it, by -checklinkname=0.
//
//go:linkname sbrk runtime.sbrk
func sbrk(bytes uintptr) unsafe.Pointer

// realloc gives the host room for a parameter.
//
//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldBytes, align, bytes uint32) unsafe.Pointer {
	at := unsafe.Add(unsafe.Pointer(nil), take(align, bytes))
	if oldBytes > 0 {
		copy(unsafe.Slice((*byte)(at), bytes), unsafe.Slice((*byte)(old), oldBytes))
	}
	return at
}

func take(align, bytes uint32) uint32 {
	for {
		if rooms[inRoom].bytes == 0 {
			build(bytes)
		}
		here := rooms[inRoom]
		first := (used + align - 1) / align * align
		// In 64 bits: a sum of both may be more than 4 GiB.
		if uint64(first)+uint64(bytes) <= uint64(here.bytes) {
			used = first + bytes
			return here.at + first
		}
		inRoom, used = inRoom+1, 0
	}
}

// build makes a room for at least these bytes.
func build(bytes uint32) {
	size := max(bytes, smallestRoom)
	for _, before := range rooms[:inRoom] {
		size = max(size, before.bytes*2)
	}
	at := sbrk(uintptr(size))
	if at == nil {
		// Memory was refused. There is no way to say so, and none to go on.
		Trap()
	}
	// What sbrk gives begins at a multiple of a page.
	rooms[inRoom] = room{uint32(uintptr(at)), size}
}

// Trap ends the instance by the instruction `unreachable`.
func Trap()

// Lifted says that all parameters of the present call have become Go values.
func Lifted() { inRoom, used = 0, 0 }

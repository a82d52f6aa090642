//go:build forebay

package abi

import "unsafe"

// adapterMemory is where the WASI adapter has its stack and its state, two pages of 64 KiB with what
// alignment costs.
//
// The adapter asks for it at the first call of WASI, which Go's runtime makes before it is ready to
// allocate. Nor may the adapter grow the memory by itself, as it would otherwise: Go takes all that
// comes after its own heap to be its own.
var (
	adapterMemory [3 << 16]byte
	adapterUsed   uint32
)

//go:wasmexport cabi_realloc_adapter
func reallocAdapter(_ unsafe.Pointer, _, align, bytes uint32) unsafe.Pointer {
	begin := uint32(uintptr(unsafe.Pointer(&adapterMemory)))
	first := (begin + adapterUsed + align - 1) / align * align
	adapterUsed = first - begin + bytes
	if adapterUsed > uint32(len(adapterMemory)) {
		// Trapped on by the adapter. None of the versions tried asks for more.
		return nil
	}
	return unsafe.Add(unsafe.Pointer(nil), first)
}

//! The two calls to the kernel that no safe wrapper has: a namespace of one's own, and a TUN device.

#![expect(unsafe_code, reason = "unshare and TUNSETIFF have no safe wrapper; both are argued where they stand")]

use std::{
    ffi::c_void,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
};

use rustix::{
    fs::OFlags,
    ioctl::{self, Ioctl, IoctlOutput, Opcode},
    thread::{UnshareFlags, unshare_unsafe},
};

/// Moves the calling thread, and no other, into a new network namespace.
pub(super) fn enter_new_namespace() -> rustix::io::Result<()> {
    // SAFETY: unsafe for the sake of `UnshareFlags::FILES`, which would part this thread's file
    // descriptors from the others'; it is not asked for.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
}

/// Opens a TUN device of this name in the calling thread's namespace; reading never blocks.
///
/// What is read is an IP packet that the kernel sent into the device, what is written one that it
/// receives from it.
pub(super) fn open_tun(name: &str) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag of open(2) is an int");
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/net/tun")?;
    let request = SetInterface(InterfaceRequest::tun(name)?);
    // SAFETY: `SetInterface` keeps the contract of `Ioctl`, see there.
    unsafe { ioctl::ioctl(&file, request) }?;
    Ok(file)
}

/// As `struct ifreq` of linux/if.h with its flags: 16 bytes of name, a union of 24 bytes.
#[repr(C, align(8))]
struct InterfaceRequest {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

impl InterfaceRequest {
    /// IFF_TUN | IFF_NO_PI of linux/if_tun.h: IP packets, and nothing before them.
    const FLAGS: u16 = 0x0001 | 0x1000;

    fn tun(text: &str) -> io::Result<Self> {
        let mut name = [0; 16];
        // The last byte stays 0: the kernel takes the name for a C string.
        if text.len() >= name.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{text}` is too long for a device")));
        }
        name[..text.len()].copy_from_slice(text.as_bytes());
        Ok(Self { name, flags: Self::FLAGS, rest: [0; 22] })
    }
}

/// TUNSETIFF: makes the opened file the other end of a device.
struct SetInterface(InterfaceRequest);

// SAFETY: the kernel reads and writes a `struct ifreq` at the pointer; `InterfaceRequest` has its size
// and layout, lives as long as the request, and any bytes are valid for it. The opcode is the constant
// of linux/if_tun.h.
unsafe impl Ioctl for SetInterface {
    type Output = ();

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        ioctl::opcode::write::<i32>(b'T', 202)
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_large_as_the_kernels() {
        assert_eq!(size_of::<InterfaceRequest>(), 40);
        assert_eq!(std::mem::offset_of!(InterfaceRequest, flags), 16);
        // linux/if_tun.h: TUNSETIFF is _IOW('T', 202, int).
        let request = SetInterface(InterfaceRequest::tun("fb0").unwrap());
        assert_eq!(request.opcode(), 0x4004_54ca);
        assert!(InterfaceRequest::tun("sixteen-letters.").is_err());
    }
}

//! Receiving many datagrams with one system call on Linux; rustix has the sending half only.

use std::io;
use std::mem::offset_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr as UnixSocketAddr;

use crate::address::Address;
use crate::datagrams::Datagram;

/// The arrays the kernel wants, kept between calls for their memory. The pointers in them are set anew for each call
/// and mean nothing between two.
pub(crate) struct Receiver {
    names: Box<[libc::sockaddr_storage]>,
    slices: Box<[libc::iovec]>,
    headers: Box<[libc::mmsghdr]>,
}

impl Receiver {
    pub(crate) fn new(count: usize) -> Receiver {
        // SAFETY: all three are plain C structures, for which zero is a value: no name, no room, null pointers.
        let (name, slice, header) = unsafe {
            (
                std::mem::zeroed::<libc::sockaddr_storage>(),
                std::mem::zeroed::<libc::iovec>(),
                std::mem::zeroed::<libc::mmsghdr>(),
            )
        };
        Receiver {
            names: vec![name; count].into_boxed_slice(),
            slices: vec![slice; count].into_boxed_slice(),
            headers: vec![header; count].into_boxed_slice(),
        }
    }

    /// Receives into rooms of `size` bytes of `memory`, and appends what came to `received`.
    pub(crate) fn receive(
        &mut self,
        fd: BorrowedFd<'_>,
        memory: &mut [u8],
        size: usize,
        received: &mut Vec<Datagram>,
    ) -> io::Result<usize> {
        let mut count = 0;
        for room in memory.chunks_exact_mut(size).take(self.headers.len()) {
            self.slices[count] = libc::iovec {
                iov_base: room.as_mut_ptr().cast(),
                iov_len: room.len(),
            };
            let header = &mut self.headers[count];
            header.msg_len = 0;
            header.msg_hdr.msg_name = (&raw mut self.names[count]).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_iov = &raw mut self.slices[count];
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = std::ptr::null_mut();
            header.msg_hdr.msg_controllen = 0;
            header.msg_hdr.msg_flags = 0;
            count += 1;
        }
        // SAFETY: the first `count` headers point to rooms, names and slices set just above: disjoint, writable,
        // borrowed mutably here for longer than the call, with their true lengths. There is no timeout.
        let result = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                self.headers.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let Ok(came) = usize::try_from(result) else {
            return Err(io::Error::last_os_error());
        };
        for (header, name) in self.headers.iter().zip(&self.names).take(came) {
            received.push(Datagram {
                len: (header.msg_len as usize).min(size),
                truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                from: address(name, header.msg_hdr.msg_namelen as usize),
            });
        }
        Ok(came)
    }
}

/// What the kernel wrote into a name.
fn address(name: &libc::sockaddr_storage, len: usize) -> Option<Address> {
    if len < size_of::<libc::sa_family_t>() {
        return None;
    }
    let name = &raw const *name;
    // SAFETY: the storage is readable, initialised throughout, and its first field is the family.
    match libc::c_int::from(unsafe { (*name).ss_family }) {
        libc::AF_INET if len >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: the storage is large enough for, and aligned as, every kind of address; any bytes are valid.
            let address = unsafe { &*name.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(address.sin_addr.s_addr.to_ne_bytes());
            let port = u16::from_be(address.sin_port);
            Some(Address::Ip(SocketAddrV4::new(ip, port).into()))
        }
        libc::AF_INET6 if len >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: as above.
            let address = unsafe { &*name.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            let port = u16::from_be(address.sin6_port);
            let (flow, scope) = (address.sin6_flowinfo, address.sin6_scope_id);
            Some(Address::Ip(SocketAddrV6::new(ip, port, flow, scope).into()))
        }
        libc::AF_UNIX => {
            let most = size_of::<libc::sockaddr_un>();
            let start = offset_of!(libc::sockaddr_un, sun_path);
            let len = len.clamp(start, most) - start;
            // SAFETY: the `len` bytes from `start` on lie within the storage and are initialised.
            let path = unsafe { std::slice::from_raw_parts(name.cast::<u8>().add(start), len) };
            unix_address(path).map(Address::Unix)
        }
        _ => None,
    }
}

fn unix_address(path: &[u8]) -> Option<UnixSocketAddr> {
    match path {
        [0, name @ ..] => UnixSocketAddr::from_abstract_name(name).ok(),
        _ => {
            let end = path
                .iter()
                .position(|&byte| byte == 0)
                .unwrap_or(path.len());
            UnixSocketAddr::from_pathname(std::ffi::OsStr::from_bytes(&path[..end])).ok()
        }
    }
}

//! Connections opened, used for one byte each way, and closed.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use super::Load;

const AT_A_TIME: usize = 16;

/// Sixteen at a time, the oldest ended first; sockets that block, as that takes the fewest system calls here.
pub(super) struct Connects {
    port: u16,
    made: u32,
    open: VecDeque<TcpStream>,
}

impl Connects {
    pub(super) fn new(port: u16) -> Self {
        Self {
            port,
            made: 0,
            open: VecDeque::with_capacity(AT_A_TIME),
        }
    }

    fn open(&mut self) -> io::Result<TcpStream> {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        // From ever another address of the loopback network: whoever closes first keeps the port for a minute,
        // and one address has 28,000 of them.
        self.made = self.made.wrapping_add(1);
        let [.., high, low] = self.made.to_be_bytes();
        bind(
            &socket,
            &SocketAddrV4::new(Ipv4Addr::new(127, 1, high, low), 0),
        )?;
        connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port))?;
        let mut stream = TcpStream::from(socket);
        stream.write_all(b"x")?;
        Ok(stream)
    }
}

/// Sees the byte come back, and closes.
fn end(mut stream: TcpStream) -> io::Result<()> {
    let mut echo = [0];
    stream.read_exact(&mut echo)?;
    assert_eq!(echo, *b"x", "the server changed a byte");
    // Nothing is unread, so dropping it sends an end and no reset.
    Ok(())
}

impl Load for Connects {
    fn step(&mut self) -> io::Result<u64> {
        while self.open.len() < AT_A_TIME {
            let stream = self.open()?;
            self.open.push_back(stream);
        }
        end(self.open.pop_front().expect("it was just filled"))?;
        Ok(1)
    }

    fn drain(&mut self) -> io::Result<u64> {
        let open = self.open.len() as u64;
        self.open.drain(..).try_for_each(end)?;
        Ok(open)
    }
}

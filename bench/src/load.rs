//! The load on an echo server: one thread over bare epoll, the same program for every server.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use crate::measure::Figures;
use crate::rows::{ECHO_CPU, ECHO_RATE};
use crate::sys;

const MESSAGE: [u8; 64] = *b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const WARM_UP: Duration = Duration::from_millis(200);

struct Connection {
    stream: TcpStream,
    buffer: [u8; MESSAGE.len()],
    filled: usize,
}

impl Connection {
    /// Opens it and sees one echo, so that the server has accepted it.
    fn open(port: u16) -> io::Result<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        let mut buffer = [0; MESSAGE.len()];
        stream.write_all(&MESSAGE)?;
        stream.read_exact(&mut buffer)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            buffer,
            filled: 0,
        })
    }

    /// Takes what came; true when it was a whole echo and the next message is on its way.
    fn turn(&mut self) -> io::Result<bool> {
        match self.stream.read(&mut self.buffer[self.filled..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => self.filled += read,
        }
        if self.filled < MESSAGE.len() {
            return Ok(false);
        }
        assert_eq!(self.buffer, MESSAGE, "the server changed a message");
        self.filled = 0;
        // 64 bytes always fit a socket whose peer has read everything before.
        self.stream.write_all(&MESSAGE)?;
        Ok(true)
    }
}

/// `connections` connections with one message under way on each, for `period`.
pub(crate) fn run(
    port: u16,
    connections: usize,
    period: Duration,
    server: u32,
) -> io::Result<Figures> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut open = Vec::with_capacity(connections);
    for index in 0..connections {
        let connection = Connection::open(port)?;
        epoll::add(
            &epoll,
            &connection.stream,
            epoll::EventData::new_u64(index as u64),
            epoll::EventFlags::IN,
        )?;
        open.push(connection);
    }
    for connection in &mut open {
        connection.stream.write_all(&MESSAGE)?;
    }

    let mut events: Vec<epoll::Event> = Vec::with_capacity(connections);
    let mut messages_for = |period: Duration| -> io::Result<(u64, Duration)> {
        let start = Instant::now();
        let mut messages = 0;
        loop {
            events.clear();
            epoll::wait(&epoll, spare_capacity(&mut events), None)?;
            for event in &events {
                let index = event.data.u64() as usize;
                messages += u64::from(open[index].turn()?);
            }
            let spent = start.elapsed();
            if spent >= period {
                return Ok((messages, spent));
            }
        }
    };

    messages_for(WARM_UP)?;
    let before = sys::cpu_time_of(server);
    let (messages, spent) = messages_for(period)?;
    let cpu = sys::cpu_time_of(server) - before;
    Ok(
        Figures::one(ECHO_RATE, messages as f64 / spent.as_secs_f64())
            .and(ECHO_CPU, cpu.as_secs_f64() * 1e6 / messages as f64),
    )
}

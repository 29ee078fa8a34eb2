//! Connections that stay, with one request under way on each, over bare epoll.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;

use super::Load;
use super::reply::Reply;

/// What one read takes at most: a whole reply, most of the time.
const READ: usize = 64 * 1024;

pub(super) struct Exchanges {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    request: Vec<u8>,
    /// Whether nothing is under way.
    idle: bool,
    events: Vec<epoll::Event>,
    buffer: Box<[u8]>,
}

struct Connection {
    stream: TcpStream,
    /// Of the request under way.
    sent: usize,
    reply: Reply,
    /// Whether epoll was asked to tell when more can be sent.
    waits_to_send: bool,
}

impl Exchanges {
    pub(super) fn open(
        port: u16,
        connections: usize,
        request: Vec<u8>,
        reply: fn() -> Reply,
    ) -> io::Result<Self> {
        let mut this = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: Vec::with_capacity(connections),
            request,
            idle: true,
            events: Vec::with_capacity(connections),
            buffer: vec![0; READ].into_boxed_slice(),
        };
        for _ in 0..connections {
            let connection = Connection::open(port, &this.request, reply(), &mut this.buffer)?;
            this.connections.push(connection);
        }
        for (data, connection) in numbered(&mut this.connections) {
            epoll::add(&this.epoll, &connection.stream, data, EventFlags::IN)?;
        }
        Ok(this)
    }

    /// Waits, and goes on with every connection that can; a whole reply is followed by the next request if `on`.
    fn turn(&mut self, on: bool) -> io::Result<u64> {
        self.events.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut self.events), None)?;
        let mut replies = 0;
        for &epoll::Event { flags, data } in &self.events {
            let connection = &mut self.connections[data.u64() as usize];
            if flags.contains(EventFlags::OUT) {
                connection.send(&self.epoll, data, &self.request)?;
            }
            // Whatever else it says, an error too, reading tells.
            if flags != EventFlags::OUT && connection.receive(&self.request, &mut self.buffer)? {
                replies += 1;
                if on {
                    connection.begin(&self.epoll, data, &self.request)?;
                }
            }
        }
        Ok(replies)
    }
}

impl Load for Exchanges {
    fn step(&mut self) -> io::Result<u64> {
        if std::mem::take(&mut self.idle) {
            for (data, connection) in numbered(&mut self.connections) {
                connection.begin(&self.epoll, data, &self.request)?;
            }
        }
        self.turn(true)
    }

    fn drain(&mut self) -> io::Result<u64> {
        let under_way = if self.idle {
            0
        } else {
            self.connections.len() as u64
        };
        let mut replies = 0;
        while replies < under_way {
            replies += self.turn(false)?;
        }
        self.idle = true;
        Ok(replies)
    }
}

/// Each with what epoll is to say of it.
fn numbered(connections: &mut [Connection]) -> impl Iterator<Item = (EventData, &mut Connection)> {
    (0..).map(EventData::new_u64).zip(connections)
}

impl Connection {
    /// Opens it and sees one reply, so that the server has accepted it before the next one comes.
    fn open(port: u16, request: &[u8], reply: Reply, buffer: &mut [u8]) -> io::Result<Self> {
        let mut this = Self {
            stream: TcpStream::connect((Ipv4Addr::LOCALHOST, port))?,
            sent: request.len(),
            reply,
            waits_to_send: false,
        };
        this.stream.set_nodelay(true)?;
        this.stream.write_all(request)?;
        while !this.receive(request, buffer)? {}
        this.stream.set_nonblocking(true)?;
        Ok(this)
    }

    fn begin(&mut self, epoll: &OwnedFd, data: EventData, request: &[u8]) -> io::Result<()> {
        self.sent = 0;
        self.send(epoll, data, request)
    }

    /// Sends what the socket takes of the request, and has epoll tell of room for the rest.
    fn send(&mut self, epoll: &OwnedFd, data: EventData, request: &[u8]) -> io::Result<()> {
        while self.sent < request.len() {
            match self.stream.write(&request[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let waits = self.sent < request.len();
        if waits != self.waits_to_send {
            self.waits_to_send = waits;
            let mut flags = EventFlags::IN;
            flags.set(EventFlags::OUT, waits);
            epoll::modify(epoll, &self.stream, data, flags)?;
        }
        Ok(())
    }

    /// Takes what came; true when that completes the reply.
    fn receive(&mut self, request: &[u8], buffer: &mut [u8]) -> io::Result<bool> {
        let received = match self.stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(received) => &buffer[..received],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        let whole = self.reply.take(received, request)?;
        if whole && self.sent < request.len() {
            return Err(io::Error::other("a reply to half a request"));
        }
        Ok(whole)
    }
}

//! Streams, protocols and servers beside asyncio's own: S200 to S222 as traces. The crate `asyncio-net` tests the rest.

use std::cell::{OnceCell, RefCell};
use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use asyncio::{
    BaseProtocol, BaseTransport, ConnectOptions, Future as Promise, Protocol, Server,
    SocketTransport, StreamError, StreamReader, StreamWriter, WriteTransport,
    connect_accepted_socket, create_task, open_connection, sleep, start_server,
};
use bytes_of::Given;

use crate::twin::{Told, log, outcome, settle, trace_of, twin};

const LIMIT: usize = 1 << 16;

fn fed(data: &'static str, limit: usize) -> StreamReader {
    let (feeder, reader) = StreamReader::pair(limit);
    feeder.feed_data(data);
    feeder.feed_eof();
    reader
}

/// As Python prints it.
fn shown(data: &[u8]) -> String {
    format!("'{}'", data.escape_ascii())
}

/// What a read gives, in the words of the twin.
mod bytes_of {
    use super::{StreamError, io, shown};

    pub(super) trait Given {
        fn given(self, line: bool) -> String;
    }

    impl<B: AsRef<[u8]>> Given for io::Result<B> {
        fn given(self, _line: bool) -> String {
            match self {
                Ok(data) => shown(data.as_ref()),
                Err(error) => error.to_string(),
            }
        }
    }

    impl<B: AsRef<[u8]>> Given for Result<B, StreamError> {
        fn given(self, line: bool) -> String {
            match self {
                Ok(data) => shown(data.as_ref()),
                Err(StreamError::Incomplete(error)) => {
                    let expected = error.expected.map_or("None".to_owned(), |n| n.to_string());
                    format!("incomplete {} of {expected}", shown(&error.partial))
                }
                // A value error in Python.
                Err(StreamError::LimitOverrun(_)) if line => "the line is too long".to_owned(),
                // How much is told to come before the separator differs: here no more is looked at than has to be.
                Err(StreamError::LimitOverrun(_)) => "over the limit".to_owned(),
                Err(StreamError::Io(error)) => error.to_string(),
            }
        }
    }
}

/// Logs what a read gives.
async fn read<G: Given>(name: &str, coroutine: impl Future<Output = G>) {
    log(format!("{name}: {}", coroutine.await.given(false)));
}

async fn readline(name: &str, reader: &mut StreamReader) {
    log(format!("{name}: {}", reader.readline().await.given(true)));
}

#[test]
fn read_gives_what_is_there_and_at_the_end_nothing() {
    // S206
    twin(async || {
        let mut reader = fed("abcdef", LIMIT);
        read("none", reader.read(0)).await;
        read("two", reader.read(2)).await;
        read("many", reader.read(100)).await;
        // Before this, Python knows of the end already; here nothing is read ahead.
        read("more", reader.read(100)).await;
        log(format!("at eof: {}", reader.at_eof().told()));
        read("all", fed("the rest", LIMIT).read_to_end()).await;
    });
}

#[test]
fn readexactly_gives_all_or_an_error_with_what_there_was() {
    // S207
    twin(async || {
        let mut reader = fed("abcdef", 2); // the limit does not matter
        read("four", reader.readexactly(4)).await;
        read("none", reader.readexactly(0)).await;
        read("four", reader.readexactly(4)).await;
        read("rest", reader.read_to_end()).await;
    });
}

#[test]
fn readuntil_includes_the_separator_and_leaves_what_is_over_the_limit() {
    // S208
    twin(async || {
        let mut reader = fed("one--two--three", LIMIT);
        read("first", reader.readuntil("--")).await;
        read("second", reader.readuntil("--")).await;
        read("third", reader.readuntil("--")).await;
        read("rest", reader.read_to_end()).await;
        let mut reader = fed("0123456789--", 5);
        read("long", reader.readuntil("--")).await;
        read("still there", reader.readexactly(12)).await;
        let (feeder, mut reader) = StreamReader::pair(5);
        feeder.feed_data("0123456789");
        read("endless", reader.readuntil("--")).await;
        read("still there", reader.readexactly(10)).await;
    });
}

#[test]
fn readuntil_takes_several_separators_of_which_the_earliest_end_wins() {
    // S208
    twin(async || {
        let mut reader = fed("one\r\ntwo\nthree\n", LIMIT);
        for name in ["a", "b", "c"] {
            read(name, reader.readuntil_any(&["\r\n", "\n"])).await;
        }
    });
}

#[test]
fn readline_gives_lines_and_drops_those_that_are_too_long() {
    // S209, S210
    twin(async || {
        let mut reader = fed("one\ntwo", LIMIT);
        for name in ["a", "b", "c"] {
            readline(name, &mut reader).await;
        }
        let mut reader = fed("12345\n1234567\nshort\n", 5);
        for name in ["a", "b", "c"] {
            readline(name, &mut reader).await;
        }
        let (feeder, mut reader) = StreamReader::pair(5);
        feeder.feed_data("1234567");
        readline("without an end", &mut reader).await;
        feeder.feed_data("after\n");
        readline("after", &mut reader).await;
    });
}

#[test]
fn an_error_comes_before_what_is_buffered_and_every_time() {
    // S212
    twin(async || {
        let (feeder, mut reader) = StreamReader::pair(LIMIT);
        feeder.feed_data("abcdef\n");
        feeder.set_exception(&io::Error::other("broken"));
        read("read", reader.read(3)).await;
        readline("readline", &mut reader).await;
        read("readexactly", reader.readexactly(1)).await;
    });
}

#[test]
fn a_read_that_waits_is_woken_by_what_comes_and_by_the_end() {
    // S206
    twin(async || {
        let (feeder, mut reader) = StreamReader::pair(LIMIT);
        let task = create_task(async move {
            for name in ["a", "b", "c"] {
                read(name, reader.read(10)).await;
            }
        });
        settle(2).await;
        for data in ["one", "two"] {
            log(format!("feeds {data}"));
            feeder.feed_data(data);
            settle(3).await;
        }
        log("ends");
        feeder.feed_eof();
        task.await.unwrap();
    });
}

/// Writes down what it hears.
struct Notes {
    name: &'static str,
    lines: Rc<RefCell<Vec<String>>>,
    keep_open: bool,
    transport: OnceCell<SocketTransport>,
    lost: Promise<()>,
}

impl Notes {
    fn note(&self, line: &str) {
        let line = format!("{} {line}", self.name);
        self.lines.borrow_mut().push(line);
    }

    fn transport(&self) -> &SocketTransport {
        self.transport.get().unwrap()
    }
}

impl BaseProtocol for Notes {
    fn connection_made(&self, transport: &SocketTransport) {
        assert!(self.transport.set(transport.clone()).is_ok());
        self.note("made");
    }

    fn connection_lost(&self, error: Option<io::Error>) {
        assert!(error.is_none());
        self.note("lost None");
        self.lost.set_result(()).unwrap();
    }
}

impl Protocol for Notes {
    fn data_received(&self, data: &[u8]) {
        self.note(&format!("data {}", data.escape_ascii()));
        if self.name == "server" {
            self.transport().write(&data.to_ascii_uppercase());
        }
    }

    fn eof_received(&self) -> bool {
        self.note("eof");
        self.keep_open
    }
}

type Lines = Rc<RefCell<Vec<String>>>;

/// A server's protocol and a client's at the two ends of a pair of sockets.
async fn connected(keep_open: bool) -> (Rc<Notes>, Rc<Notes>, Lines) {
    let lines = Lines::default();
    let (here, there) = UnixStream::pair().unwrap();
    let notes = |name, keep_open| {
        let lines = lines.clone();
        move || Notes {
            name,
            lines,
            keep_open,
            transport: OnceCell::new(),
            lost: Promise::new(),
        }
    };
    let options = ConnectOptions::new();
    let server = connect_accepted_socket(notes("server", keep_open), &options, here).await;
    let client = connect_accepted_socket(notes("client", false), &options, there).await;
    (server.unwrap().1, client.unwrap().1, lines)
}

/// Side by side: which comes first among the two is the kernel's.
fn log_sides(lines: &Lines) {
    let mut lines = lines.take();
    lines.sort_by_key(|line| line.split(' ').next().unwrap().to_owned());
    lines.into_iter().for_each(log);
}

async fn both_lost(server: &Notes, client: &Notes) {
    (&server.lost).await.unwrap();
    (&client.lost).await.unwrap();
}

#[test]
fn a_protocol_hears_of_its_connection_in_order() {
    // S200, S201, S203
    twin(async || {
        let (server, client, lines) = connected(false).await;
        client.transport().write(b"hello");
        client.transport().write_eof();
        both_lost(&server, &client).await;
        log_sides(&lines);
    });
}

#[test]
fn a_protocol_that_keeps_its_side_open_may_still_write() {
    // S203
    twin(async || {
        let (server, client, lines) = connected(true).await;
        client.transport().write_eof();
        while lines.borrow().len() < 3 {
            sleep(0).await;
        }
        server.transport().write(b"still here");
        server.transport().close();
        both_lost(&server, &client).await;
        log_sides(&lines);
    });
}

#[test]
fn an_aborted_transport_loses_its_connection_in_a_later_turn() {
    // S201, S204
    twin(async || {
        let (server, client, lines) = connected(false).await;
        server.transport().abort();
        let (closing, lost) = (server.transport().is_closing(), server.lost.done());
        log(format!("closing {}, lost {}", closing.told(), lost.told()));
        server.transport().abort(); // once more changes nothing
        both_lost(&server, &client).await;
        log_sides(&lines);
    });
}

async fn until_it_ends(mut reader: StreamReader, writer: StreamWriter) {
    writer.write(b"hello");
    let _ = reader.read_to_end().await;
    writer.close();
}

async fn server() -> (Rc<Server>, u16) {
    let server = start_server(until_it_ends, "127.0.0.1", 0).await.unwrap();
    let port = server.local_addrs()[0].port();
    (Rc::new(server), port)
}

#[test]
fn a_closed_server_keeps_its_connections_and_is_waited_for_until_the_last_one_is_gone() {
    // S219, S220
    twin(async || {
        let (server, port) = server().await;
        let (mut reader, writer) = open_connection("127.0.0.1", port).await.unwrap();
        read("greeting", reader.readexactly(5)).await;
        log(format!("serving {}", server.is_serving().told()));
        server.close();
        server.close(); // once more changes nothing
        log(format!("serving {}", server.is_serving().told()));
        let waiter = create_task(async move { server.wait_closed().await });
        settle(20).await;
        log(format!("waited for {}", waiter.done().told()));
        writer.write_eof();
        waiter.await.unwrap();
        log("closed");
        read("the end", reader.read_to_end()).await;
        writer.close();
    });
}

/// Serves, in a task.
async fn serves(server: Rc<Server>) -> &'static str {
    match server.serve_forever().await {
        Ok(()) => "ended",
        Err(_) => "an error",
    }
}

#[test]
fn serve_forever_ends_with_its_request_and_closes_the_server() {
    // S222
    twin(async || {
        let (server, _) = server().await;
        let task = create_task(serves(server.clone()));
        settle(5).await;
        if server.serve_forever().await.is_err() {
            log("twice is an error");
        }
        task.cancel();
        outcome("serve_forever", task).await;
        log(format!("serving {}", server.is_serving().told()));
        if server.serve_forever().await.is_err() {
            log("on a closed one it is an error");
        }
    });
}

#[test]
fn to_close_the_server_ends_serve_forever() {
    // S219: in Python by a `CancelledError`, although nobody asked the task to end.
    let trace = trace_of(async || {
        let (server, _) = server().await;
        let task = create_task(serves(server.clone()));
        settle(5).await;
        server.close();
        outcome("serve_forever", task).await;
    });
    assert_eq!(trace, ["serve_forever: ended"]);
}

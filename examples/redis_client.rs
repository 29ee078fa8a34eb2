//! A protocol by hand over streams: a client of Redis, with a pipeline and a command that waits.
//!
//! Run it: `cargo run --example redis_client` (talks to a small server of its own), or
//! `cargo run --example redis_client -- 127.0.0.1:6379` to talk to a Redis.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use asyncio::{
    Queue, StreamError, StreamReader, StreamWriter, create_task, open_connection, start_server,
    timeout,
};

/// What a Redis server says (RESP 2).
#[derive(Clone, Debug, PartialEq)]
enum Reply {
    Status(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Reply>),
}

/// A stranger does not choose how much memory this takes.
const LONGEST: usize = 64 * 1024 * 1024;
const DEEPEST: usize = 8;

impl Reply {
    fn bulk(text: &str) -> Reply {
        Reply::Bulk(text.as_bytes().to_vec())
    }

    /// Reads one reply. Arrays that have begun wait in a list, so that no peer can make this call itself too deeply.
    async fn read(reader: &mut StreamReader) -> Result<Reply, StreamError> {
        let mut begun: Vec<(usize, Vec<Reply>)> = Vec::new();
        loop {
            let line = reader.readuntil("\r\n").await?;
            let text = String::from_utf8_lossy(&line[1..]).trim_end().to_owned();
            let mut reply = match line[0] {
                b'+' => Reply::Status(text),
                b'-' => Reply::Error(text),
                b':' => Reply::Integer(text.parse().map_err(|_| confused(&text))?),
                b'$' | b'*' if text == "-1" => Reply::Nil,
                b'$' => {
                    let length = size(&text)?;
                    Reply::Bulk(reader.readexactly(length + 2).await?[..length].to_vec())
                }
                b'*' if text == "0" => Reply::Array(Vec::new()),
                b'*' if begun.len() < DEEPEST => {
                    begun.push((size(&text)?, Vec::new()));
                    continue;
                }
                _ => return Err(confused(&text).into()),
            };
            // It goes into the array around it, which may be complete with it.
            while let Some((length, mut items)) = begun.pop() {
                items.push(reply);
                if items.len() < length {
                    begun.push((length, items));
                    reply = Reply::Nil;
                    break;
                }
                reply = Reply::Array(items);
            }
            if begun.is_empty() {
                return Ok(reply);
            }
        }
    }

    fn text(&self) -> Cow<'_, str> {
        match self {
            Reply::Bulk(data) => String::from_utf8_lossy(data),
            _ => Cow::Borrowed(""),
        }
    }

    fn write(&self, writer: &StreamWriter) {
        match self {
            Reply::Status(text) => writer.write(format!("+{text}\r\n")),
            Reply::Error(text) => writer.write(format!("-{text}\r\n")),
            Reply::Integer(n) => writer.write(format!(":{n}\r\n")),
            Reply::Bulk(data) => write_bulk(writer, data),
            Reply::Nil => writer.write("$-1\r\n"),
            Reply::Array(items) => {
                writer.write(format!("*{}\r\n", items.len()));
                items.iter().for_each(|item| item.write(writer));
            }
        }
    }
}

fn write_bulk(writer: &StreamWriter, data: &[u8]) {
    let head = format!("${}\r\n", data.len());
    writer.writelines([head.as_bytes(), data, b"\r\n"]);
}

fn confused(text: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("this is not RESP: {text:?}"),
    )
}

fn size(text: &str) -> io::Result<usize> {
    text.parse()
        .ok()
        .filter(|size| *size <= LONGEST)
        .ok_or_else(|| confused(text))
}

/// A connection to a Redis.
struct Redis {
    reader: StreamReader,
    writer: StreamWriter,
}

impl Redis {
    async fn connect(host: &str, port: u16) -> io::Result<Redis> {
        let (reader, writer) = open_connection(host, port).await?;
        Ok(Redis { reader, writer })
    }

    /// Writes a command. Nothing waits for it, so many of them make a pipeline.
    fn send(&self, command: &str) {
        let words: Vec<&str> = command.split(' ').collect();
        self.writer.write(format!("*{}\r\n", words.len()));
        words
            .iter()
            .for_each(|word| write_bulk(&self.writer, word.as_bytes()));
    }

    async fn reply(&mut self) -> Result<Reply, StreamError> {
        Reply::read(&mut self.reader).await
    }

    async fn call(&mut self, command: &str) -> Result<Reply, StreamError> {
        self.send(command);
        self.writer.drain().await?;
        self.reply().await
    }

    async fn close(self) -> io::Result<()> {
        self.writer.close();
        self.writer.wait_closed().await
    }
}

async fn talk(host: &str, port: u16) -> Result<(), StreamError> {
    let mut redis = Redis::connect(host, port).await?;
    assert_eq!(redis.call("PING").await?, Reply::Status("PONG".into()));
    redis
        .call("DEL asyncio:greeting asyncio:count asyncio:queue")
        .await?;
    assert_eq!(
        redis.call("SET asyncio:greeting hello").await?,
        Reply::Status("OK".into())
    );
    assert_eq!(
        redis.call("GET asyncio:greeting").await?,
        Reply::bulk("hello")
    );
    assert_eq!(redis.call("GET asyncio:nothing").await?, Reply::Nil);

    // A pipeline: a thousand commands leave before the first answer is looked at.
    for _ in 0..1000 {
        redis.send("INCR asyncio:count");
    }
    for n in 1..=1000 {
        assert_eq!(redis.reply().await?, Reply::Integer(n));
    }

    // An error is an answer like another, and the connection goes on.
    let Reply::Error(text) = redis.call("INCR asyncio:greeting").await? else {
        panic!("one more than hello")
    };
    println!("the server says: {text}");

    // A command that waits has a connection of its own. Given up, it takes nothing that comes later.
    let mut waiter = Redis::connect(host, port).await?;
    assert!(
        timeout(0.02, waiter.call("BLPOP asyncio:queue 0"))
            .await
            .is_err()
    );
    drop(waiter);
    let mut waiter = Redis::connect(host, port).await?;
    let popped = create_task(async move { waiter.call("BLPOP asyncio:queue 0").await });
    redis.call("RPUSH asyncio:queue first").await?;
    let first = vec![Reply::bulk("asyncio:queue"), Reply::bulk("first")];
    assert_eq!(
        popped.await.expect("nobody cancels it")?,
        Reply::Array(first)
    );

    redis.call("DEL asyncio:greeting asyncio:count").await?;
    redis.close().await?;
    println!("what a Redis has to do was done");
    Ok(())
}

#[asyncio::main]
async fn main() -> Result<(), StreamError> {
    if let Some(address) = std::env::args().nth(1)
        && let Some((host, port)) = address.rsplit_once(':')
        && let Ok(port) = port.parse()
    {
        return talk(host, port).await;
    }
    let store = Rc::new(Store::default());
    let serve = move |reader, writer| serve(store.clone(), reader, writer);
    let server = start_server(serve, "127.0.0.1", 0).await?;
    talk("127.0.0.1", server.local_addrs()[0].port()).await?;
    server.close();
    server.wait_closed().await;
    Ok(())
}

/// As much of a Redis as this needs.
#[derive(Default)]
struct Store {
    values: RefCell<BTreeMap<String, String>>,
    queues: RefCell<BTreeMap<String, Rc<Queue<String>>>>,
}

impl Store {
    fn queue(&self, name: &str) -> Rc<Queue<String>> {
        let mut queues = self.queues.borrow_mut();
        queues.entry(name.to_owned()).or_default().clone()
    }

    fn answer(&self, words: &[&str]) -> Reply {
        let mut values = self.values.borrow_mut();
        match words {
            ["PING"] => Reply::Status("PONG".into()),
            ["SET", key, value] => {
                values.insert((*key).to_owned(), (*value).to_owned());
                Reply::Status("OK".into())
            }
            ["GET", key] => values
                .get(*key)
                .map_or(Reply::Nil, |value| Reply::bulk(value)),
            ["INCR", key] => {
                let value = values.entry((*key).to_owned()).or_insert("0".into());
                match value.parse::<i64>() {
                    Ok(n) => {
                        *value = (n + 1).to_string();
                        Reply::Integer(n + 1)
                    }
                    Err(_) => Reply::Error("ERR value is not an integer or out of range".into()),
                }
            }
            ["DEL", keys @ ..] => {
                let removed = keys.iter().filter(|key| values.remove(**key).is_some());
                Reply::Integer(removed.count() as i64)
            }
            ["RPUSH", name, item] => {
                let queue = self.queue(name);
                // It has no limit, so it is never full.
                let _ = queue.put_nowait((*item).to_owned());
                Reply::Integer(queue.qsize() as i64)
            }
            _ => Reply::Error(format!("ERR unknown command {words:?}")),
        }
    }
}

async fn serve(store: Rc<Store>, mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    loop {
        let words = match Reply::read(&mut reader).await {
            Ok(Reply::Array(words)) => words,
            Ok(other) => return Err(confused(&format!("{other:?}"))),
            Err(StreamError::Incomplete(error)) if error.partial.is_empty() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let words: Vec<_> = words.iter().map(Reply::text).collect();
        let words: Vec<&str> = words.iter().map(|word| &**word).collect();
        let answer = match words[..] {
            ["BLPOP", name, _] => {
                let queue = store.queue(name);
                // While it waits a client says nothing; what comes from it is its end.
                let hung_up = async { reader.read(1).await.map(|_| None) };
                let popped = async { Ok(queue.get().await.ok()) };
                match first(popped, hung_up).await? {
                    Some(item) => Reply::Array(vec![Reply::bulk(name), Reply::bulk(&item)]),
                    None => return Ok(()),
                }
            }
            _ => store.answer(&words),
        };
        answer.write(&writer);
        writer.drain().await?;
    }
}

/// What the first of two futures gives; the other is dropped, which loses nothing of a queue or a stream.
async fn first<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Pending => other.as_mut().poll(cx),
        ready => ready,
    })
    .await
}

#[test]
fn runs() {
    main().unwrap();
}

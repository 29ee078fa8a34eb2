//! A Redis server, spoken to by hand: its protocol (RESP) over streams.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::rc::Rc;

use asyncio::{
    StreamError, StreamReader, StreamWriter, create_task, gather, open_connection, timeout,
    yield_now,
};

use super::program::{Folder, Program, TRIES, free_port, installed, says};
use crate::alone::{alone, run_cleanly};

/// A server without a file, on a port of its own.
struct Redis {
    port: u16,
    _program: Program,
    _folder: Folder,
}

impl Redis {
    fn start(more: &[&str]) -> Option<Redis> {
        if !installed(&["redis-server"]) {
            return None;
        }
        let folder = Folder::new("redis");
        for _ in 0..TRIES {
            let port = free_port();
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
            command.args(["--port", &port.to_string()]).args(more);
            command.current_dir(folder.path());
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            let mut program = Program::start(&mut command);
            let mut lines = program.stdout();
            if says(&mut lines, "Ready to accept connections") {
                program.0.stdout = Some(lines.into_inner());
                return Some(Redis {
                    port,
                    _program: program,
                    _folder: folder,
                });
            }
        }
        panic!("redis-server finds no port to listen on");
    }
}

/// What a Redis server says.
#[derive(Clone, Debug, PartialEq)]
enum Reply {
    Status(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Reply>),
}

impl Reply {
    fn bulk(text: impl fmt::Display) -> Reply {
        Reply::Bulk(text.to_string().into_bytes())
    }
}

struct Client {
    reader: StreamReader,
    writer: StreamWriter,
}

impl Client {
    async fn connect(port: u16) -> Client {
        let (reader, writer) = open_connection("127.0.0.1", port).await.unwrap();
        Client { reader, writer }
    }

    /// Writes a command without waiting.
    fn send(&self, words: &[&[u8]]) {
        self.writer.write(format!("*{}\r\n", words.len()));
        for word in words {
            let length = format!("${}\r\n", word.len());
            self.writer.writelines([length.as_bytes(), word, b"\r\n"]);
        }
    }

    async fn reply(&mut self) -> Reply {
        reply(&mut self.reader).await.unwrap()
    }

    async fn call(&mut self, command: &str) -> Reply {
        let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        self.send(&words);
        self.writer.drain().await.unwrap();
        self.reply().await
    }

    async fn close(self) {
        self.writer.close();
        self.writer.wait_closed().await.unwrap();
    }
}

type Replying<'a> = Pin<Box<dyn Future<Output = Result<Reply, StreamError>> + 'a>>;

fn reply(reader: &mut StreamReader) -> Replying<'_> {
    Box::pin(async {
        let line = reader.readuntil("\r\n").await?;
        let text = String::from_utf8_lossy(&line[1..line.len() - 2]).into_owned();
        let number = || text.parse::<i64>().unwrap();
        Ok(match line[0] {
            b'+' => Reply::Status(text),
            b'-' => Reply::Error(text),
            b':' => Reply::Integer(number()),
            b'$' | b'*' if number() < 0 => Reply::Nil,
            b'$' => {
                let length = number() as usize;
                Reply::Bulk(reader.readexactly(length + 2).await?[..length].to_vec())
            }
            b'*' => {
                let mut items = Vec::new();
                for _ in 0..number() {
                    items.push(reply(reader).await?);
                }
                Reply::Array(items)
            }
            _ => panic!("not RESP: {line:?}"),
        })
    })
}

#[test]
fn redis_answers_commands_and_tells_errors() {
    alone(|| {
        let Some(redis) = Redis::start(&["--requirepass", "open sesame"]) else {
            return;
        };
        let port = redis.port;
        run_cleanly(async move {
            let mut client = Client::connect(port).await;
            let Reply::Error(refused) = client.call("PING").await else {
                panic!("a stranger was served")
            };
            assert!(refused.starts_with("NOAUTH"), "{refused}");
            let Reply::Error(wrong) = client.call("AUTH wrong").await else {
                panic!("a wrong password was taken")
            };
            assert!(wrong.starts_with("WRONGPASS"), "{wrong}");
            client.send(&[b"AUTH", b"open sesame"]);
            assert_eq!(client.reply().await, Reply::Status("OK".into()));

            assert_eq!(client.call("PING").await, Reply::Status("PONG".into()));
            assert_eq!(client.call("GET nothing").await, Reply::Nil);
            // More than any buffer, with everything in it that ends lines.
            let large: Vec<u8> = (0..3_000_000).map(|place| (place % 256) as u8).collect();
            client.send(&[b"SET", b"large", &large]);
            client.writer.drain().await.unwrap();
            assert_eq!(client.reply().await, Reply::Status("OK".into()));
            assert!(client.call("GET large").await == Reply::Bulk(large));
            client.close().await;
        });
    });
}

#[test]
fn a_thousand_commands_in_a_pipeline_are_answered_in_order() {
    alone(|| {
        let Some(redis) = Redis::start(&[]) else {
            return;
        };
        let port = redis.port;
        run_cleanly(async move {
            let pipeline = move || async move {
                let mut client = Client::connect(port).await;
                let key = client.writer.local_addr().unwrap().port().to_string();
                for _ in 0..1000 {
                    client.send(&[b"INCR", key.as_bytes()]);
                }
                for n in 1..=1000 {
                    assert_eq!(client.reply().await, Reply::Integer(n));
                }
                client.close().await;
            };
            gather((0..10).map(|_| pipeline())).await;
        });
    });
}

#[test]
fn what_is_published_reaches_every_subscriber() {
    alone(|| {
        let Some(redis) = Redis::start(&[]) else {
            return;
        };
        let port = redis.port;
        run_cleanly(async move {
            let listening = Rc::new(Cell::new(0));
            let subscribers: Vec<_> = (0..10)
                .map(|_| {
                    let listening = listening.clone();
                    create_task(async move {
                        let mut client = Client::connect(port).await;
                        let answer = client.call("SUBSCRIBE news").await;
                        let subscribed = [
                            Reply::bulk("subscribe"),
                            Reply::bulk("news"),
                            Reply::Integer(1),
                        ];
                        assert_eq!(answer, Reply::Array(subscribed.to_vec()));
                        listening.set(listening.get() + 1);
                        for n in 0..100 {
                            let message =
                                [Reply::bulk("message"), Reply::bulk("news"), Reply::bulk(n)];
                            assert_eq!(client.reply().await, Reply::Array(message.to_vec()));
                        }
                        client.close().await;
                    })
                })
                .collect();
            while listening.get() < subscribers.len() {
                yield_now().await;
            }
            let mut publisher = Client::connect(port).await;
            for n in 0..100 {
                let heard = publisher.call(&format!("PUBLISH news {n}")).await;
                assert_eq!(heard, Reply::Integer(10));
            }
            gather(subscribers).await;
            publisher.close().await;
        });
    });
}

#[test]
fn a_blocking_command_is_given_up_and_takes_nothing() {
    alone(|| {
        let Some(redis) = Redis::start(&[]) else {
            return;
        };
        let port = redis.port;
        run_cleanly(async move {
            let mut other = Client::connect(port).await;
            let blocked = create_task(async move {
                let mut client = Client::connect(port).await;
                client.call("BLPOP queue 0").await
            });
            // `blocked_clients:1` once it waits there.
            let waits = async |other: &mut Client| match other.call("INFO clients").await {
                Reply::Bulk(text) => String::from_utf8(text)
                    .unwrap()
                    .contains("blocked_clients:1"),
                reply => panic!("{reply:?}"),
            };
            while !waits(&mut other).await {}
            blocked.cancel();
            assert!(blocked.await.unwrap_err().is_cancelled());
            // The connection went with the task, and so did its place in the line.
            while waits(&mut other).await {}
            assert_eq!(other.call("RPUSH queue kept").await, Reply::Integer(1));

            // A timeout around the reply alone keeps the connection, and the reply is there for the next read.
            let mut patient = Client::connect(port).await;
            assert_eq!(patient.call("LPOP queue").await, Reply::bulk("kept"));
            patient.send(&[b"BLPOP", b"queue", b"0"]);
            timeout(0.001, patient.reply()).await.unwrap_err();
            assert_eq!(other.call("RPUSH queue late").await, Reply::Integer(1));
            let answer = Reply::Array(vec![Reply::bulk("queue"), Reply::bulk("late")]);
            assert_eq!(patient.reply().await, answer);
            patient.close().await;
            other.close().await;
        });
    });
}

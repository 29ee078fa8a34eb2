//! A chat: what one client says, all others hear; one who does not listen is sent away; at the end everybody is told goodbye.
//!
//! Run it: `cargo run --example chat_server` (a few clients talk, then it ends), or
//! `cargo run --example chat_server -- 8008` to serve on that port until Ctrl-C: `nc localhost 8008`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use asyncio::{StreamReader, StreamWriter, finally, gather, open_connection, start_server};

/// Who falls back further than this does not listen.
const PATIENCE: usize = 64 * 1024;

#[derive(Default)]
struct Room {
    people: RefCell<BTreeMap<String, Rc<StreamWriter>>>,
}

impl Room {
    /// Tells everybody but one. Nobody is waited for: a client that does not read must not keep the others from hearing.
    fn tell(&self, text: &str, but: &str) {
        for (name, writer) in &*self.people.borrow() {
            if name == but {
                continue;
            }
            if writer.get_write_buffer_size() > PATIENCE {
                writer.abort(); // its own task sees the end, and has it leave
            } else {
                writer.write(text);
            }
        }
    }

    fn enter(&self, name: &str, writer: &Rc<StreamWriter>) -> bool {
        let mut people = self.people.borrow_mut();
        if name.is_empty() || people.contains_key(name) {
            return false;
        }
        people.insert(name.to_owned(), writer.clone());
        true
    }

    fn leave(&self, name: &str) {
        let left = self.people.borrow_mut().remove(name);
        drop(left);
        self.tell(&format!("* {name} left\n"), "");
    }
}

/// One client: its first line is its name.
async fn chat(room: Rc<Room>, mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    let writer = Rc::new(writer);
    let name = text(&reader.readline().await?);
    if !room.enter(&name, &writer) {
        writer.write("* nobody can be called that, or somebody is\n");
        return Ok(());
    }
    room.tell(&format!("* {name} came\n"), "");
    let talking = async {
        loop {
            let line = reader.readline().await?;
            if line.is_empty() {
                return Ok(()); // the client has said goodbye
            }
            room.tell(&format!("{name}: {}\n", text(&line)), &name);
        }
    };
    // However it ends, by the client, by an error or by being cancelled: the room hears of it.
    let result: Result<(), asyncio::StreamError> =
        finally(talking, async { room.leave(&name) }).await;
    match result {
        // Somebody pulled the plug. Nothing to report.
        Err(asyncio::StreamError::Io(_)) => Ok(()),
        result => Ok(result?),
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end().to_owned()
}

/// A client that says one thing when all have come, and hears what the others say.
async fn person(port: u16, number: usize, people: usize) -> io::Result<Vec<String>> {
    let (mut reader, writer) = open_connection("127.0.0.1", port).await?;
    writer.write(format!("person {number}\n"));
    // It hears of itself and of all who come later.
    let mut said = false;
    let mut heard = Vec::new();
    loop {
        let line = text(&reader.readline().await?);
        if line.is_empty() {
            return Ok(heard); // the server has closed
        }
        if line == format!("* person {} came", people - 1) && !said {
            said = true;
            writer.write(format!("hello from {number}\n"));
        }
        if line.contains("hello from") {
            heard.push(line);
        }
        if heard.len() == people - 1 {
            writer.close();
            return Ok(heard);
        }
    }
}

#[asyncio::main]
async fn main() -> io::Result<()> {
    let room = Rc::new(Room::default());
    let here = room.clone();
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let callback = move |reader, writer| chat(here.clone(), reader, writer);
    let server = start_server(callback, "127.0.0.1", port.unwrap_or(0)).await?;
    if port.is_some() {
        println!("chatting on {:?}; Ctrl-C ends it", server.local_addrs());
        return server.serve_forever().await;
    }

    const PEOPLE: usize = 20;
    let port = server.local_addrs()[0].port();
    let mut clients = Vec::new();
    for number in 0..PEOPLE {
        clients.push(asyncio::create_task(person(port, number, PEOPLE)));
        // One after the other, so that the last one to come is known.
        while room.people.borrow().len() <= number {
            asyncio::yield_now().await;
        }
    }
    for (number, heard) in gather(clients).await.into_iter().enumerate() {
        let mut heard = heard?;
        heard.sort();
        let mut expected: Vec<_> = (0..PEOPLE)
            .filter(|other| *other != number)
            .map(|other| format!("person {other}: hello from {other}"))
            .collect();
        expected.sort();
        assert_eq!(heard, expected);
    }

    // One is still there when the server ends: it is told, and what it was told arrives.
    let (mut reader, writer) = open_connection("127.0.0.1", port).await?;
    writer.write("late\n");
    while text(&reader.readline().await?) != "* late came" {}
    server.close();
    room.tell("* good night\n", "");
    server.close_clients();
    assert_eq!(text(&reader.read_to_end().await?), "* good night");
    server.wait_closed().await;
    assert!(room.people.borrow().is_empty());
    println!("{PEOPLE} people have heard each other, and everybody has gone home");
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}

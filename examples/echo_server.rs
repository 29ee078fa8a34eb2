//! A TCP server for any number of clients.
//!
//! Run it: `cargo run --example echo_server` (serves itself a few clients and ends), or
//! `cargo run --example echo_server -- 8007` to serve on that port until Ctrl-C.

use std::io;

use asyncio::{StreamReader, StreamWriter, gather, open_connection, start_server};

/// One client; each runs in a task of its own.
async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    loop {
        let line = reader.readline().await?;
        if line.is_empty() {
            break; // the client has closed its side
        }
        writer.write(&line);
        writer.drain().await?; // waits if the client does not read
    }
    writer.close();
    writer.wait_closed().await
}

async fn client(port: u16, number: usize) -> io::Result<Vec<String>> {
    let (mut reader, writer) = open_connection("127.0.0.1", port).await?;
    let mut answers = Vec::new();
    for n in 0..3 {
        writer.write(format!("client {number}, line {n}\n").as_bytes());
        writer.drain().await?;
        answers.push(
            String::from_utf8_lossy(&reader.readline().await?)
                .trim_end()
                .to_owned(),
        );
    }
    writer.close();
    writer.wait_closed().await?;
    Ok(answers)
}

#[asyncio::main]
async fn main() -> io::Result<()> {
    if let Some(port) = std::env::args().nth(1).and_then(|port| port.parse().ok()) {
        let server = start_server(echo, "127.0.0.1", port).await?;
        println!("echoing on {:?}; Ctrl-C ends it", server.local_addrs());
        server.serve_forever().await?;
        return Ok(());
    }

    let server = start_server(echo, "127.0.0.1", 0).await?;
    let port = server.local_addrs()[0].port();
    let everybody = gather((0..100).map(|number| client(port, number))).await;
    for (number, answers) in everybody.into_iter().enumerate() {
        assert_eq!(
            answers?,
            (0..3)
                .map(|n| format!("client {number}, line {n}"))
                .collect::<Vec<_>>()
        );
    }
    server.close();
    server.wait_closed().await;
    println!("100 clients served");
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}

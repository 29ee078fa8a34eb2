//! A server that ends in order: no new clients, those there are served to the end, everybody is waited for.
//!
//! Run it: `cargo run --example graceful_shutdown`

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use asyncio::{Event, gather, open_connection, start_server};

#[asyncio::main]
async fn main() -> io::Result<()> {
    let served = Rc::new(Cell::new(0));
    let busy = Rc::new(Event::new());
    let (count, started) = (served.clone(), busy.clone());
    let server = start_server(
        move |mut reader, writer| {
            let (count, started) = (count.clone(), started.clone());
            async move {
                let line = reader.readline().await?;
                started.set();
                writer.write(&line);
                writer.drain().await?;
                writer.close();
                writer.wait_closed().await?;
                count.set(count.get() + 1);
                io::Result::Ok(())
            }
        },
        "127.0.0.1",
        0,
    )
    .await?;
    let port = server.local_addrs()[0].port();

    let clients = asyncio::create_task(gather((0..10).map(move |n| async move {
        let (mut reader, writer) = open_connection("127.0.0.1", port).await?;
        writer.write(format!("client {n}\n").as_bytes());
        let answer = reader.readline().await?;
        io::Result::Ok(answer == format!("client {n}\n").as_bytes())
    })));
    // All have been answered when this returns; then the server stops listening and waits for its last connection.
    for answered in clients.await.map_err(io::Error::other)? {
        assert!(answered?);
    }
    busy.wait().await;
    server.close();
    server.wait_closed().await;
    assert_eq!(served.get(), 10);
    assert!(open_connection("127.0.0.1", port).await.is_err());
    println!("ten clients served to the end, and the port is free");
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}

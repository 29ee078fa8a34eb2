//! A control socket: a service that is told by a Unix socket what to do, by whoever may write to its file.
//!
//! Run it: `cargo run --example unix_socket`

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use asyncio::{
    Event, ServerOptions, StreamReader, StreamWriter, create_task, open_unix_connection, sleep,
};

/// What the service does, and what it can be told.
#[derive(Default)]
struct Service {
    jobs_done: Cell<u64>,
    stopping: Event,
}

/// One client: a line is a command, and is answered by a line.
async fn control(
    service: Rc<Service>,
    mut reader: StreamReader,
    writer: StreamWriter,
) -> io::Result<()> {
    loop {
        let answer = match &reader.readline().await?[..] {
            b"" => return Ok(()), // the client has gone
            b"status\n" => format!("{} jobs done\n", service.jobs_done.get()),
            b"stop\n" => {
                service.stopping.set();
                "stopping\n".to_owned()
            }
            other => format!("unknown command: {}\n", other.trim_ascii().escape_ascii()),
        };
        writer.write(answer);
        writer.drain().await?;
    }
}

/// Asks one question, as `socat - UNIX-CONNECT:path` would.
async fn ask(path: &Path, command: &str) -> io::Result<String> {
    let (mut reader, writer) = open_unix_connection(path).await?;
    writer.write(format!("{command}\n"));
    let answer = reader.readline().await?;
    Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
}

#[asyncio::main]
async fn main() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("asyncio-control-{}.sock", std::process::id()));
    let service = Rc::new(Service::default());

    let controlled = service.clone();
    let server = ServerOptions::new()
        .mode(0o600) // nobody but the user
        .start_unix(
            move |reader, writer| control(controlled.clone(), reader, writer),
            &path,
        )
        .await?;

    let working = create_task({
        let service = service.clone();
        async move {
            loop {
                sleep(0.001).await;
                service.jobs_done.set(service.jobs_done.get() + 1);
            }
        }
    });

    // Somebody else, usually from another process.
    let operator = create_task({
        let path = path.clone();
        async move {
            sleep(0.01).await;
            let answers = [
                ask(&path, "status").await?,
                ask(&path, "dance").await?,
                ask(&path, "stop").await?,
            ];
            io::Result::Ok(answers)
        }
    });

    // Leaving the scope closes the server and waits for its clients.
    server
        .scope(async |_server| service.stopping.wait().await)
        .await;
    working.cancel();
    let [status, dance, stop] = operator.await.map_err(io::Error::other)??;
    println!("status: {status}; dance: {dance}; stop: {stop}");
    assert!(status.ends_with("jobs done") && !status.starts_with("0 "));
    assert_eq!(dance, "unknown command: dance");
    assert_eq!(stop, "stopping");
    assert!(!path.exists(), "the server has removed its file");
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}

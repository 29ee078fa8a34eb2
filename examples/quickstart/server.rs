//! One connection of the file server: requests in, files out, until the client is done.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use asyncio::{StreamError, StreamReader, StreamWriter, to_thread};

use crate::files;

/// Sent at once; the next chunk is read when this one has left the buffer.
const CHUNK: usize = 64 * 1024;

pub(crate) async fn connection(
    root: Rc<PathBuf>,
    mut reader: StreamReader,
    writer: StreamWriter,
) -> io::Result<()> {
    while answer(&root, &mut reader, &writer).await? {}
    writer.close();
    writer.wait_closed().await
}

/// Answers one request; false if the connection is to end.
async fn answer(root: &Path, reader: &mut StreamReader, writer: &StreamWriter) -> io::Result<bool> {
    // The stream's limit (64 KiB) bounds what a client can make us keep.
    let head = match reader.readuntil(b"\r\n\r\n").await {
        Ok(head) => head,
        Err(StreamError::Incomplete(_)) => return Ok(false), // it has closed its side
        Err(_) => {
            refuse(writer, "431 Request Header Fields Too Large").await?;
            return Ok(false);
        }
    };
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    if !matches!(request.parse(&head), Ok(httparse::Status::Complete(_))) {
        refuse(writer, "400 Bad Request").await?;
        return Ok(false);
    }
    let keep_alive = !request.headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("connection")
            && header.value.eq_ignore_ascii_case(b"close")
    });
    let (method, url) = (
        request.method.unwrap_or_default(),
        request.path.unwrap_or_default(),
    );
    if method != "GET" && method != "HEAD" {
        refuse(writer, "405 Method Not Allowed").await?;
        return Ok(false);
    }
    let Some(path) = files::from_url_path(url) else {
        refuse(writer, "400 Bad Request").await?;
        return Ok(keep_alive);
    };
    let path = root.join(path);
    // Files block: they are opened and read beside the loop.
    let opened = to_thread(move || {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() {
            Ok((file, metadata.len()))
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    })
    .await;
    let Ok::<_, io::Error>((file, length)) = opened else {
        refuse(writer, "404 Not Found").await?;
        return Ok(keep_alive);
    };
    writer.write(
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n").as_bytes(),
    );
    if method == "GET" {
        send(file, length, writer).await?;
    }
    writer.drain().await?;
    Ok(keep_alive)
}

/// Sends exactly `length` bytes of a file, no more than a chunk in memory.
async fn send(mut file: File, length: u64, writer: &StreamWriter) -> io::Result<()> {
    let mut left = length;
    while left > 0 {
        let (back, chunk) = to_thread(move || {
            let mut chunk = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
            let outcome = file.read(&mut chunk).map(|read| {
                chunk.truncate(read);
                chunk
            });
            (file, outcome)
        })
        .await;
        file = back;
        let chunk = chunk?;
        if chunk.is_empty() {
            // It has become shorter than announced: the client must not take what follows for its rest.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= chunk.len() as u64;
        writer.write(&chunk);
        writer.drain().await?;
    }
    Ok(())
}

async fn refuse(writer: &StreamWriter, status: &str) -> io::Result<()> {
    writer.write(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
    writer.drain().await
}

//! One request to the file server.

use std::io;

use asyncio::open_connection;

/// Fetches one path and gives the body of the answer.
pub(crate) async fn fetch(port: u16, url_path: &str) -> io::Result<Vec<u8>> {
    let (mut reader, writer) = open_connection("127.0.0.1", port).await?;
    writer.write(
        format!("GET {url_path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            .as_bytes(),
    );
    writer.drain().await?;

    let head = reader.readuntil(b"\r\n\r\n").await?;
    let length = content_length(&head).ok_or_else(|| {
        io::Error::other(format!(
            "{url_path}: {:?} is not the answer expected",
            String::from_utf8_lossy(&head)
        ))
    })?;
    let body = reader.readexactly(length).await?;
    writer.close();
    writer.wait_closed().await?;
    Ok(body.to_vec())
}

/// The length announced by the head of a successful answer.
fn content_length(head: &[u8]) -> Option<usize> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    response.parse(head).ok()?;
    if response.code != Some(200) {
        return None;
    }
    let header = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))?;
    std::str::from_utf8(header.value).ok()?.parse().ok()
}

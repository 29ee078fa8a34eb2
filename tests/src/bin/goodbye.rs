//! Holds two connections to a server and says goodbye on both when it is interrupted: for `conformance/goodbyes.rs`.

use std::future::pending;
use std::net::SocketAddr;

use asyncio::{create_task, finally, open_connection, sleep, timeout};

async fn client(address: SocketAddr) {
    let host = address.ip().to_string();
    let (_reader, writer) = open_connection(&host, address.port()).await.unwrap();
    writer.write(b"hello\n");
    writer.drain().await.unwrap();
    finally(pending::<()>(), async {
        sleep(0.001).await;
        writer.write(b"goodbye\n");
        writer.drain().await.unwrap();
        writer.close();
        writer.wait_closed().await.unwrap();
    })
    .await;
}

fn main() {
    let address = std::env::args().nth(1).expect("the server's address");
    let address: SocketAddr = address.parse().unwrap();
    asyncio::run(async move {
        create_task(client(address)).detach();
        create_task(async {
            sleep(0.05).await;
            println!("connected");
        })
        .detach();
        // Whatever goes wrong, this ends by itself.
        let _ = timeout(30, client(address)).await;
    });
}

//! Datagrams in both styles: a server as a protocol that is called, clients as sockets that are awaited.
//!
//! Run it: `cargo run --example udp_echo` (serves itself a few clients and ends), or
//! `cargo run --example udp_echo -- 8007` to serve on that port until Ctrl-C.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;

use asyncio::{
    Address, BaseProtocol, BaseTransport, DatagramBatch, DatagramOptions, DatagramProtocol,
    DatagramSocket, DatagramTransport, create_datagram_endpoint, create_task, finally, sleep,
    timeout,
};

/// Sends every datagram back to where it came from.
#[derive(Default)]
struct Echo {
    transport: OnceCell<DatagramTransport>,
    echoed: Cell<usize>,
}

impl BaseProtocol<DatagramTransport> for Echo {
    fn connection_made(&self, transport: &DatagramTransport) {
        let _ = self.transport.set(transport.clone());
    }
}

impl DatagramProtocol for Echo {
    fn datagram_received(&self, data: &[u8], from: Option<&Address>) {
        let transport = self.transport.get().expect("`connection_made` comes first");
        transport.sendto(data, from); // kept if there is no room, but never waited for
        self.echoed.set(self.echoed.get() + 1);
    }
}

const NUMBERS: u32 = 100;

async fn send_again_and_again(socket: Rc<DatagramSocket>) -> io::Result<()> {
    let numbers: Vec<[u8; 4]> = (0..NUMBERS).map(u32::to_be_bytes).collect();
    let messages: Vec<(&[u8], Option<&Address>)> =
        numbers.iter().map(|number| (&number[..], None)).collect();
    loop {
        let mut sent = 0;
        while sent < messages.len() {
            sent += socket.send_many(&messages[sent..]).await?; // one system call for many
        }
        sleep(0.2).await;
    }
}

/// Sends numbers until all of them have come back: datagrams may be lost, even here.
async fn client(port: u16) -> io::Result<usize> {
    let socket = Rc::new(DatagramSocket::connect("127.0.0.1", port).await?);
    let sending = create_task(send_again_and_again(socket.clone()));
    let receiving = async {
        let mut missing: BTreeSet<u32> = (0..NUMBERS).collect();
        let mut batch = DatagramBatch::new(32, 16);
        while !missing.is_empty() {
            socket.recv_many(&mut batch).await?;
            for (data, _) in batch.iter() {
                let number: [u8; 4] = data.try_into().expect("what was sent has four bytes");
                missing.remove(&u32::from_be_bytes(number));
            }
        }
        io::Result::Ok(NUMBERS as usize - missing.len())
    };
    // However that ends, by an error or by being cancelled: nothing is sent any more.
    finally(receiving, async {
        sending.cancel();
    })
    .await
}

#[asyncio::main]
async fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let options = DatagramOptions::new().local_addr("127.0.0.1", port.unwrap_or(0));
    let (transport, echo) = create_datagram_endpoint(Echo::default, options).await?;
    let address = transport.extra().sockname.expect("it is bound");
    println!("echoing datagrams on {address}");
    if port.is_some() {
        loop {
            sleep(60).await;
            println!("{} so far", echo.echoed.get());
        }
    }

    let port = address.ip().expect("it is UDP").port();
    let clients: Vec<_> = (0..5).map(|_| create_task(client(port))).collect();
    for client in clients {
        let answered = timeout(30, client).await.expect("half a minute is plenty");
        assert_eq!(answered.expect("no client panics")?, 100);
    }
    transport.close();
    println!(
        "5 clients have all their numbers back; {} datagrams",
        echo.echoed.get()
    );
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}

//! Unix datagrams to receivers that others have filled, of which the kernel does not tell when they have room again.

use std::os::unix::net::UnixDatagram;
use std::pin::pin;

use asyncio_net::*;

use crate::datagrams::{Recorder, endpoint};
use crate::support::*;

/// A Unix socket whose queue others have filled, and its path.
fn full_of_others(test: &str) -> (UnixDatagram, std::path::PathBuf) {
    let path = std::env::temp_dir().join(format!("asyncio-net-{test}-{}", std::process::id()));
    let full = UnixDatagram::bind(&path).unwrap();
    let other = UnixDatagram::unbound().unwrap();
    other.set_nonblocking(true).unwrap();
    while other.send_to(b"other", &path).is_ok() {}
    full.set_nonblocking(true).unwrap();
    (full, path)
}

/// How often this loop has asked the kernel to send something.
fn sends() -> u64 {
    asyncio_runtime::get_running_loop().stats().reactor.writes
}

/// Lets the loop turn, and look at the kernel, without time passing.
async fn many_turns() {
    for _ in 0..500 {
        yield_now().await;
    }
}

/// Checks that what tries to send to a receiver that others have filled does not try all the time, and gives time back to the
/// loop: otherwise the virtual clock would stand still.
async fn tries_now_and_then(before: u64) {
    many_turns().await;
    assert!(sends() - before <= 2, "{} attempts", sends() - before);
    asyncio_timers::sleep(10).await;
    let attempts = sends() - before;
    // The pauses are 1, 2, 4, 8, 16, 32 and then 50 milliseconds.
    assert!((190..=210).contains(&attempts), "{attempts} attempts");
}

#[test]
fn what_others_have_filled_is_sent_to_when_there_is_room_again() {
    run_virtually(async {
        let (full, path) = full_of_others("full");
        let ours = DatagramSocket::unbound_unix().unwrap();
        let to = Address::unix(&path).unwrap();
        let before = sends();
        let sending = spawn(async move { ours.send_to(b"ours", to).await });
        tries_now_and_then(before).await;
        while full.recv(&mut [0; 16]).is_ok_and(|n| n == 5) {}
        asyncio_timers::sleep(0.05).await;
        assert!(sending.done(), "nobody told that there is room");
        sending.await.unwrap().unwrap();
        assert_eq!(full.recv(&mut [0; 16]).unwrap(), 4);
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn many_are_sent_to_what_others_have_filled_when_there_is_room_again() {
    run_virtually(async {
        let (full, path) = full_of_others("full-many");
        let ours = DatagramSocket::unbound_unix().unwrap();
        let to = Address::unix(&path).unwrap();
        let before = sends();
        let sending = spawn(async move {
            let messages: [(&[u8], _); 2] = [(b"ours", Some(&to)), (b"and more", Some(&to))];
            ours.send_many(&messages).await
        });
        tries_now_and_then(before).await;
        while full.recv(&mut [0; 16]).is_ok_and(|n| n == 5) {}
        asyncio_timers::sleep(0.05).await;
        assert!(sending.done(), "nobody told that there is room");
        assert_eq!(sending.await.unwrap().unwrap(), 2);
        assert_eq!(full.recv(&mut [0; 16]).unwrap(), 4);
        assert_eq!(full.recv(&mut [0; 16]).unwrap(), 8);
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn a_cancelled_send_to_what_others_have_filled_leaves_no_timer_and_sends_nothing() {
    run_virtually(async {
        let (full, path) = full_of_others("full-cancelled");
        let ours = DatagramSocket::unbound_unix().unwrap();
        let to = Address::unix(&path).unwrap();
        let timers = || asyncio_runtime::get_running_loop().stats().timers;
        let before = timers();
        {
            let mut sending = pin!(ours.send_to(b"ours", to));
            assert!(poll_once(sending.as_mut()).await.is_none());
            assert_eq!(timers(), before + 1);
        }
        assert_eq!(timers(), before);
        while full.recv(&mut [0; 16]).is_ok_and(|n| n == 5) {}
        asyncio_timers::sleep(1).await;
        assert!(full.recv(&mut [0; 16]).is_err());
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn a_connected_socket_is_woken_when_what_others_have_filled_has_room_again() {
    run_virtually(async {
        let (full, path) = full_of_others("full-connected");
        let ours = DatagramSocket::connect_unix(&path).unwrap();
        let before = sends();
        let sending = spawn(async move { ours.send(b"ours").await });
        many_turns().await;
        // The kernel knows that the peer is full, and makes no events.
        assert!(sends() - before <= 2, "{} attempts", sends() - before);
        while full.recv(&mut [0; 16]).is_ok_and(|n| n == 5) {}
        sending.await.unwrap().unwrap();
        assert!(sends() - before <= 3, "{} attempts", sends() - before);
        assert_eq!(full.recv(&mut [0; 16]).unwrap(), 4);
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn an_endpoint_sends_what_is_kept_when_what_others_have_filled_has_room_again() {
    run_virtually(async {
        let (full, path) = full_of_others("full-endpoint");
        let (ours, _) = endpoint(
            Recorder::default(),
            DatagramOptions::new().sock(UnixDatagram::unbound().unwrap()),
        )
        .await;
        let before = sends();
        ours.sendto(b"ours", Some(&Address::unix(&path).unwrap()));
        assert!(ours.get_write_buffer_size() > 0);
        tries_now_and_then(before).await;
        while full.recv(&mut [0; 16]).is_ok_and(|n| n == 5) {}
        asyncio_timers::sleep(0.05).await;
        assert_eq!(full.recv(&mut [0; 16]).unwrap(), 4);
        assert_eq!(ours.get_write_buffer_size(), 0);
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn an_endpoint_that_is_aborted_while_it_pauses_for_what_others_have_filled_leaves_no_timer() {
    run_virtually(async {
        let (_full, path) = full_of_others("full-aborted");
        let timers = || asyncio_runtime::get_running_loop().stats().timers;
        let before = timers();
        let (ours, protocol) = endpoint(
            Recorder::default(),
            DatagramOptions::new().sock(UnixDatagram::unbound().unwrap()),
        )
        .await;
        ours.sendto(b"ours", Some(&Address::unix(&path).unwrap()));
        many_turns().await;
        assert_eq!(timers(), before + 1);
        ours.abort();
        until(|| protocol.lost.get()).await;
        assert_eq!(timers(), before);
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn the_low_level_function_tries_now_and_then_as_well() {
    run_virtually(async {
        let (full, path) = full_of_others("full-low-level");
        let to = Address::unix(&path).unwrap();
        let before = sends();
        let sending = spawn(async move {
            let ours = UnixDatagram::unbound().unwrap();
            ours.set_nonblocking(true).unwrap();
            sock_sendto(&ours, b"ours", to).await
        });
        tries_now_and_then(before).await;
        while full.recv(&mut [0; 16]).is_ok_and(|n| n == 5) {}
        asyncio_timers::sleep(0.05).await;
        sending.await.unwrap().unwrap();
        assert_eq!(full.recv(&mut [0; 16]).unwrap(), 4);
        std::fs::remove_file(&path).unwrap();
    });
}

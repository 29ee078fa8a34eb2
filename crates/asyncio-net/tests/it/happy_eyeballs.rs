//! Races of connection attempts (RFC 8305), in virtual time.

use std::cell::RefCell;
use std::future::pending;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use asyncio_net::resolve::{Answer, Hints, Lookup, Resolve};
use asyncio_net::{ConnectError, ConnectOptions, staggered_race};
use asyncio_timers::sleep;

use crate::support::*;

/// The loop's time and what happened then.
#[derive(Clone, Default)]
struct Trace(Rc<RefCell<Vec<String>>>);

impl Trace {
    fn log(&self, event: String) {
        let now = asyncio_runtime::get_running_loop().time();
        self.0.borrow_mut().push(format!("{now:.2} {event}"));
    }
}

struct Ends(Trace, usize);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.log(format!("{} ends", self.1));
    }
}

/// A race of attempts that succeed (`Ok`) or fail (`Err`) after so many seconds.
async fn race(
    attempts: &[Result<f64, f64>],
    delay: Option<f64>,
) -> (Vec<String>, Result<usize, Vec<usize>>) {
    let trace = Trace::default();
    let log = trace.clone();
    let attempts = attempts.iter().copied().enumerate().map(|(n, attempt)| {
        let trace = trace.clone();
        async move || {
            trace.log(format!("{n} starts"));
            let _ends = Ends(trace, n);
            match attempt {
                Ok(seconds) => {
                    sleep(seconds).await;
                    Ok(n)
                }
                Err(seconds) => {
                    sleep(seconds).await;
                    Err(n)
                }
            }
        }
    });
    let outcome = staggered_race(attempts, delay.map(Duration::from_secs_f64)).await;
    log.log("over".to_owned());
    let outcome = outcome.map(|(winner, number)| {
        assert_eq!(winner, number);
        number
    });
    (log.0.take(), outcome)
}

// S217
#[test]
fn without_a_delay_attempts_come_one_after_the_other() {
    run_virtually(async {
        let (trace, outcome) = race(&[Err(1.0), Ok(2.0), Ok(0.1)], None).await;
        assert_eq!(outcome, Ok(1));
        assert_eq!(
            trace,
            [
                "0.00 0 starts",
                "1.00 0 ends",
                "1.00 1 starts",
                "3.00 1 ends",
                "3.00 over"
            ]
        );
    });
}

// S217
#[test]
fn with_a_delay_a_slow_attempt_is_overtaken_and_the_losers_end_before_the_winner_is_returned() {
    run_virtually(async {
        let (trace, outcome) = race(&[Ok(9.0), Ok(9.0), Ok(0.1), Ok(0.0)], Some(0.25)).await;
        assert_eq!(outcome, Ok(2));
        assert_eq!(
            trace,
            [
                "0.00 0 starts",
                "0.25 1 starts",
                "0.50 2 starts",
                // The winner first, then those it beat; the fourth never started.
                "0.60 2 ends",
                "0.60 0 ends",
                "0.60 1 ends",
                "0.60 over",
            ]
        );
    });
}

// S217
#[test]
fn an_overtaken_attempt_may_still_win() {
    run_virtually(async {
        let (_trace, outcome) = race(&[Ok(0.3), Ok(9.0)], Some(0.25)).await;
        assert_eq!(outcome, Ok(0));
    });
}

// S217
#[test]
fn a_failure_starts_the_next_attempt_at_once() {
    run_virtually(async {
        let (trace, outcome) = race(&[Err(0.1), Err(0.05), Ok(0.1)], Some(0.25)).await;
        assert_eq!(outcome, Ok(2));
        assert_eq!(
            trace,
            [
                "0.00 0 starts",
                "0.10 0 ends",
                "0.10 1 starts",
                "0.15 1 ends",
                "0.15 2 starts",
                "0.25 2 ends",
                "0.25 over",
            ]
        );
    });
}

// S217
#[test]
fn the_failure_of_an_overtaken_attempt_starts_nothing() {
    run_virtually(async {
        let (trace, outcome) = race(&[Err(0.3), Ok(9.0), Ok(0.1)], Some(0.25)).await;
        assert_eq!(outcome, Ok(2));
        assert_eq!(
            trace,
            [
                "0.00 0 starts",
                "0.25 1 starts",
                "0.30 0 ends",
                "0.50 2 starts",
                "0.60 2 ends",
                "0.60 1 ends",
                "0.60 over",
            ]
        );
    });
}

// S217
#[test]
fn when_all_fail_their_errors_come_in_the_order_of_the_attempts() {
    run_virtually(async {
        let (trace, outcome) = race(&[Err(0.9), Err(0.1)], Some(0.25)).await;
        assert_eq!(outcome, Err(vec![0, 1]));
        assert_eq!(trace.last().unwrap(), "0.90 over");
        assert_eq!(race(&[], Some(0.25)).await.1, Err(vec![]));
    });
}

#[test]
fn dropping_a_race_drops_every_attempt() {
    run_virtually(async {
        let trace = Trace::default();
        {
            let attempts = (0..2).map(|n| {
                let trace = trace.clone();
                async move || {
                    let _ends = Ends(trace, n);
                    pending::<Result<(), ()>>().await
                }
            });
            let mut race = pin!(staggered_race(attempts, Some(Duration::from_millis(10))));
            assert!(poll_once(race.as_mut()).await.is_none());
            sleep(0.02).await;
            assert!(poll_once(race.as_mut()).await.is_none());
        }
        assert_eq!(*trace.0.borrow(), ["0.02 0 ends", "0.02 1 ends"]);
    });
}

/// A name with the given addresses.
struct Addresses(&'static [&'static str]);

impl Resolve for Addresses {
    fn lookup(&self, _host: &str, _hints: Hints) -> Lookup {
        let addresses = self
            .0
            .iter()
            .map(|address| address.parse::<IpAddr>().unwrap());
        let answer: Answer = addresses.collect();
        Box::pin(async move { Ok(answer) })
    }
}

/// A port on which 127.0.0.1 swallows attempts and 127.0.0.2 accepts them. The kernel of Linux drops what comes when a
/// backlog is full, as a firewall would.
struct BlackHole {
    _full: OwnedFd,
    _filling: Vec<OwnedFd>,
    open: TcpListener,
    port: u16,
}

impl BlackHole {
    fn new() -> BlackHole {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
        let socket = || {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap()
        };
        loop {
            let open = TcpListener::bind("127.0.0.2:0").unwrap();
            let port = open.local_addr().unwrap().port();
            let address: SocketAddr = ([127, 0, 0, 1], port).into();
            let full = socket();
            if bind(&full, &address).is_err() {
                continue; // somebody else has this port
            }
            listen(&full, 0).unwrap();
            let filling = (0..8).map(|_| {
                let filling = socket();
                let _ = rustix::net::connect(&filling, &address);
                filling
            });
            return BlackHole {
                _filling: filling.collect(),
                _full: full,
                open,
                port,
            };
        }
    }
}

fn options() -> ConnectOptions {
    ConnectOptions::new().resolver(Rc::new(Addresses(&["127.0.0.1", "127.0.0.2"])))
}

// S217
#[cfg(target_os = "linux")]
#[test]
fn an_address_that_does_not_answer_is_overtaken() {
    run_virtually(async {
        let hole = BlackHole::new();
        let options = options().happy_eyeballs_delay(0.25);
        let (_reader, writer) = options.connect("a.test", hole.port).await.unwrap();
        assert_eq!(writer.peer_addr().unwrap(), hole.open.local_addr().unwrap());
        let time = asyncio_runtime::get_running_loop().time();
        assert_eq!(time.as_secs_f64(), 0.25);
    });
}

// S217
#[cfg(target_os = "linux")]
#[test]
fn a_limit_for_each_attempt_serves_as_well() {
    run_virtually(async {
        let hole = BlackHole::new();
        let options = options().attempt_timeout(2);
        let (_reader, writer) = options.connect("a.test", hole.port).await.unwrap();
        assert_eq!(writer.peer_addr().unwrap(), hole.open.local_addr().unwrap());
        let time = asyncio_runtime::get_running_loop().time();
        assert_eq!(time.as_secs_f64(), 2.0);
    });
}

// S217
#[cfg(target_os = "linux")]
#[test]
fn when_the_time_is_up_the_error_says_what_became_of_each_address() {
    run_virtually(async {
        let hole = BlackHole::new();
        let port = hole.port;
        let addresses = Rc::new(Addresses(&["127.0.0.3", "127.0.0.1"]));
        let options = ConnectOptions::new().resolver(addresses).timeout(5);
        let error = options.connect("a.test", port).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let text = error.to_string();
        let expected =
            format!("cannot connect to a.test port {port} within 5s: 127.0.0.3:{port}: ");
        assert!(text.starts_with(&expected), "{text}");
        assert!(
            text.ends_with(&format!("127.0.0.1:{port}: no answer yet")),
            "{text}"
        );
        let error = error
            .get_ref()
            .unwrap()
            .downcast_ref::<ConnectError>()
            .unwrap();
        let kinds = error.failures().iter().map(|(_, error)| error.kind());
        assert!(kinds.eq([ErrorKind::ConnectionRefused, ErrorKind::TimedOut]));
    });
}

// S217
#[test]
fn when_all_addresses_fail_every_reason_can_be_had() {
    run(async {
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        for options in [options(), options().happy_eyeballs_delay(0.25)] {
            let error = options.connect("a.test", free.port()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            let error = error
                .get_ref()
                .unwrap()
                .downcast_ref::<ConnectError>()
                .unwrap();
            assert_eq!((error.host(), error.port()), ("a.test", free.port()));
            let addresses = error
                .failures()
                .iter()
                .map(|(address, _)| address.to_string());
            let port = free.port();
            assert!(addresses.eq([format!("127.0.0.1:{port}"), format!("127.0.0.2:{port}")]));
        }
    });
}

//! From names to addresses: the cache, joined lookups, and the system's own resolver.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io::{Error, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::pin::pin;
use std::rc::Rc;

use asyncio_net::resolve::{
    Answer, CachingResolver, Hints, IpFamily, Lookup, NameFlags, Resolve, SystemResolver,
    set_resolver,
};
use asyncio_net::{ConnectOptions, getaddrinfo, getnameinfo, open_connection};
use asyncio_sync::Event;
use asyncio_timers::{Clock, sleep};

use crate::support::*;

/// What the fake resolver was asked and does.
#[derive(Default)]
struct Book {
    asked: RefCell<Vec<String>>,
    ended: Cell<u32>,
    /// Lookups wait for it, if there is one.
    gate: Option<Event>,
}

/// Knows `….test`, whose address counts the lookups; says that `….none` does not exist, and is out of order otherwise.
struct Fake(Rc<Book>);

struct Ended(Rc<Book>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.ended.set(self.0.ended.get() + 1);
    }
}

impl Resolve for Fake {
    fn lookup(&self, host: &str, _hints: Hints) -> Lookup {
        let book = self.0.clone();
        book.asked.borrow_mut().push(host.to_owned());
        let (host, count) = (host.to_owned(), book.asked.borrow().len() as u8);
        Box::pin(async move {
            let ended = Ended(book.clone());
            if let Some(gate) = &book.gate {
                gate.wait().await;
            }
            drop(ended);
            let address = IpAddr::from([127, 0, 0, count]);
            match host.rsplit_once('.').map_or(&*host, |(_, domain)| domain) {
                "test" => Ok(Answer::from([address])),
                "brief" => Ok(Answer::from([address]).ttl(2)),
                "panics" => panic!("as asked"),
                "none" => Err(Error::new(ErrorKind::NotFound, "no such name")),
                _ => Err(Error::other("out of order")),
            }
        })
    }
}

fn fake() -> (Rc<Book>, CachingResolver) {
    let book = Rc::new(Book::default());
    let resolver = CachingResolver::new(Fake(book.clone()));
    set_resolver(Rc::new(resolver.clone()));
    (book, resolver)
}

/// The last part of the address: the number of the lookup it comes from.
async fn ask(host: &str) -> Result<u8, ErrorKind> {
    match getaddrinfo(host, 80, Hints::new()).await {
        Ok(addresses) => {
            assert_eq!((addresses.len(), addresses[0].port()), (1, 80));
            match addresses[0].ip() {
                IpAddr::V4(address) => Ok(address.octets()[3]),
                other => panic!("{other}"),
            }
        }
        Err(error) => Err(error.kind()),
    }
}

#[test]
fn an_answer_is_used_again_until_its_time_is_up() {
    let clock = Clock::manual();
    run_on(clock.clone(), async move {
        let (book, resolver) = fake();
        assert_eq!(ask("a.test").await, Ok(1));
        assert_eq!(ask("A.Test").await, Ok(1), "names do not differ by case");
        assert_eq!(ask("b.brief").await, Ok(2));
        clock.advance(std::time::Duration::from_millis(1999));
        assert_eq!(ask("b.brief").await, Ok(2));
        clock.advance(std::time::Duration::from_millis(1));
        assert_eq!(ask("b.brief").await, Ok(3), "the answer said two seconds");
        assert_eq!(ask("a.test").await, Ok(1));
        clock.advance(std::time::Duration::from_secs(8));
        assert_eq!(ask("a.test").await, Ok(4), "ten seconds are the rule");
        resolver.clear();
        assert_eq!(ask("a.test").await, Ok(5));
        assert_eq!(book.asked.borrow().len(), 5);
    });
}

#[test]
fn that_a_name_does_not_exist_is_kept_for_a_second_and_other_errors_are_not() {
    let clock = Clock::manual();
    run_on(clock.clone(), async move {
        let (book, _resolver) = fake();
        for _ in 0..3 {
            assert_eq!(ask("x.none").await, Err(ErrorKind::NotFound));
        }
        assert_eq!(book.asked.borrow().len(), 1);
        clock.advance(std::time::Duration::from_secs(1));
        assert_eq!(ask("x.none").await, Err(ErrorKind::NotFound));
        assert_eq!(book.asked.borrow().len(), 2);
        for _ in 0..3 {
            assert_eq!(ask("x.broken").await, Err(ErrorKind::Other));
        }
        assert_eq!(book.asked.borrow().len(), 5);
    });
}

#[test]
fn the_cache_has_a_size_and_can_be_switched_off() {
    run_on(Clock::manual(), async {
        let book = Rc::new(Book::default());
        let small = CachingResolver::new(Fake(book.clone())).capacity(2);
        set_resolver(Rc::new(small.clone()));
        for (host, number) in [("a.brief", 1), ("b.test", 2), ("c.test", 3)] {
            assert_eq!(ask(host).await, Ok(number));
            assert!(small.len() <= 2);
        }
        // The one whose time is up first had to go.
        assert_eq!(ask("b.test").await, Ok(2));
        assert_eq!(ask("c.test").await, Ok(3));
        assert_eq!(ask("a.brief").await, Ok(4));

        for off in [
            CachingResolver::new(Fake(book.clone()))
                .ttl(0)
                .negative_ttl(0),
            CachingResolver::new(Fake(book.clone())).capacity(0),
        ] {
            set_resolver(Rc::new(off.clone()));
            let first = ask("a.test").await.unwrap();
            assert_eq!(ask("a.test").await, Ok(first + 1));
            assert!(off.is_empty());
        }
    });
}

#[test]
fn tasks_that_ask_the_same_at_once_share_one_lookup() {
    run(async {
        let book = Rc::new(Book {
            gate: Some(Event::new()),
            ..Book::default()
        });
        set_resolver(Rc::new(CachingResolver::new(Fake(book.clone()))));
        let asking = |host: &'static str| spawn(async move { ask(host).await });
        let tasks: Vec<_> = (0..10).map(|_| asking("a.test")).collect();
        let other = asking("b.test");
        for _ in 0..5 {
            yield_now().await;
        }
        assert_eq!(*book.asked.borrow(), ["a.test", "b.test"]);
        // One of them is cancelled, the first, and the others do not mind.
        let mut tasks = tasks.into_iter();
        let first = tasks.next().unwrap();
        first.cancel();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(book.ended.get(), 0);
        book.gate.as_ref().unwrap().set();
        for task in tasks {
            assert_eq!(task.await.unwrap(), Ok(1));
        }
        assert_eq!(other.await.unwrap(), Ok(2));
    });
}

#[test]
fn what_was_asked_before_the_cache_was_cleared_is_not_kept_after() {
    run(async {
        let book = Rc::new(Book {
            gate: Some(Event::new()),
            ..Book::default()
        });
        let resolver = CachingResolver::new(Fake(book.clone()));
        set_resolver(Rc::new(resolver.clone()));
        let before = spawn(ask("a.test"));
        until(|| book.asked.borrow().len() == 1).await;
        resolver.clear();
        let after = spawn(ask("a.test"));
        until(|| book.asked.borrow().len() == 2).await;
        book.gate.as_ref().unwrap().set();
        assert_eq!(before.await.unwrap(), Ok(1));
        assert_eq!(after.await.unwrap(), Ok(2));
        assert_eq!((ask("a.test").await, resolver.len()), (Ok(2), 1));
    });
}

#[test]
fn an_address_with_a_zone_is_understood_in_brackets_too() {
    run(async {
        let hints = Hints::new().numeric_host(true);
        // By its number: names of interfaces differ.
        for host in ["fe80::1%1", "[fe80::1%1]"] {
            let found = getaddrinfo(host, 80, hints).await.unwrap();
            assert_eq!(found, ["[fe80::1%1]:80".parse().unwrap()]);
        }
    });
}

#[test]
fn a_lookup_that_nobody_waits_for_any_more_ends() {
    run(async {
        let book = Rc::new(Book {
            gate: Some(Event::new()),
            ..Book::default()
        });
        set_resolver(Rc::new(CachingResolver::new(Fake(book.clone()))));
        {
            let (mut one, mut other) = (pin!(ask("a.test")), pin!(ask("a.test")));
            assert!(poll_once(one.as_mut()).await.is_none());
            assert!(poll_once(other.as_mut()).await.is_none());
            yield_now().await;
            assert_eq!(asyncio_executor::all_tasks().len(), 2);
        }
        until(|| book.ended.get() == 1).await;
        assert_eq!(asyncio_executor::all_tasks().len(), 1, "no task is left");
        // Who asks now asks anew.
        book.gate.as_ref().unwrap().set();
        assert_eq!(ask("a.test").await, Ok(2));
    });
}

#[test]
fn a_lookup_whose_task_is_cancelled_or_panics_is_an_error_for_all() {
    run(async {
        let book = Rc::new(Book {
            gate: Some(Event::new()),
            ..Book::default()
        });
        set_resolver(Rc::new(CachingResolver::new(Fake(book.clone()))));
        let asking = spawn(ask("a.test"));
        let lookups = || {
            let tasks = asyncio_executor::all_tasks();
            tasks
                .into_iter()
                .filter(|task| task.get_name() == "resolve")
        };
        until(|| lookups().count() == 1).await;
        assert!(lookups().all(|task| task.cancel()));
        assert_eq!(asking.await.unwrap(), Err(ErrorKind::Interrupted));

        book.gate.as_ref().unwrap().set();
        asyncio_runtime::get_running_loop().set_exception_handler(Some(Rc::new(|_| ())));
        assert_eq!(ask("x.panics").await, Err(ErrorKind::Interrupted));
        assert_eq!(ask("a.test").await, Ok(3));
    });
}

#[test]
fn each_loop_has_its_resolver_and_a_connection_may_have_another() {
    run(async {
        let (book, _resolver) = fake();
        assert_eq!(ask("a.test").await, Ok(1));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = Rc::new(Book::default());
        let options = ConnectOptions::new().resolver(Rc::new(Fake(own.clone())));
        let (_reader, writer) = options.connect("other.test", port).await.unwrap();
        assert_eq!(writer.peer_addr().unwrap().ip(), Ipv4Addr::LOCALHOST);
        assert_eq!(own.asked.borrow().len(), 1);
        assert_eq!(book.asked.borrow().len(), 1);
    });
    run(async {
        // Not the one of the loop before.
        assert_ne!(ask("a.broken").await, Err(ErrorKind::Other));
    });
}

#[test]
fn answers_are_filtered_by_family_each_address_once_and_no_more_than_64() {
    struct Many;
    impl Resolve for Many {
        fn lookup(&self, host: &str, _hints: Hints) -> Lookup {
            let v4 = |n: u32| IpAddr::from(Ipv4Addr::from(0x7f00_0000 + n));
            let answer: Answer = match host {
                "many" => (0..1000).map(v4).collect(),
                "twice" => [v4(1), v4(2), v4(1)].into(),
                _ => [v4(1), "::1".parse().unwrap()].into(),
            };
            Box::pin(async move { Ok(answer) })
        }
    }
    run(async {
        set_resolver(Rc::new(Many));
        let found = async |host, hints| getaddrinfo(host, 1, hints).await;
        let any = Hints::new();
        assert_eq!(found("many", any).await.unwrap().len(), 64);
        assert_eq!(found("twice", any).await.unwrap().len(), 2);
        assert_eq!(found("both", any).await.unwrap().len(), 2);
        for family in [IpFamily::V4, IpFamily::V6] {
            let of_one = found("both", any.family(family)).await.unwrap();
            assert_eq!(of_one.len(), 1);
            assert_eq!(of_one[0].is_ipv4(), family == IpFamily::V4);
        }
        let error = found("twice", any.family(IpFamily::V6)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(
            error.to_string().contains("it has no IPv6 address"),
            "{error}"
        );
        let error = found("127.0.0.1", any.family(IpFamily::V6))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn digits_reach_no_resolver_and_impossible_names_do_not_either() {
    run(async {
        let (book, _resolver) = fake();
        for host in ["127.0.0.1", "::1", "[::1]"] {
            assert_eq!(getaddrinfo(host, 7, Hints::new()).await.unwrap().len(), 1);
        }
        for host in ["", "a..b", "a\0b", &"x".repeat(64)] {
            let error = getaddrinfo(host, 7, Hints::new()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        }
        assert!(book.asked.borrow().is_empty());
    });
}

#[test]
fn the_system_knows_localhost_and_the_names_of_its_addresses() {
    run(async {
        let found = getaddrinfo("localhost", 80, Hints::new()).await.unwrap();
        assert!(
            found
                .iter()
                .all(|address| address.ip().is_loopback() && address.port() == 80)
        );
        let v4 = Hints::new().family(IpFamily::V4);
        let found = getaddrinfo("localhost", 80, v4).await.unwrap();
        assert_eq!(found, ["127.0.0.1:80".parse().unwrap()]);

        let digits = Hints::new().numeric_host(true);
        let error = getaddrinfo("localhost", 80, digits).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        // The forms that only the system knows.
        let found = getaddrinfo("127.1", 80, digits).await.unwrap();
        assert_eq!(found, ["127.0.0.1:80".parse().unwrap()]);

        let numbers = NameFlags::new().numeric_host(true).numeric_service(true);
        let address = "127.0.0.1:65000".parse().unwrap();
        let named = getnameinfo(address, numbers).await.unwrap();
        assert_eq!(named, ("127.0.0.1".to_owned(), "65000".to_owned()));
        let (host, _service) = getnameinfo(address, NameFlags::new()).await.unwrap();
        assert!(!host.is_empty());
        assert!(
            getnameinfo("127.0.0.1:1".parse().unwrap(), numbers.name_required(true))
                .await
                .is_err()
        );
    });
}

#[test]
fn lookups_and_to_thread_do_not_wait_for_each_other() {
    run(async {
        // Every thread of the loop's pool is busy.
        let pool = asyncio_blocking::ThreadPool::current();
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
        let busy: Vec<_> = (0..pool.max_threads())
            .map(|_| {
                let wait = wait.clone();
                pool.submit(move || wait.lock().unwrap().recv().unwrap_err())
            })
            .collect();
        let found = getaddrinfo("localhost", 80, Hints::new()).await;
        drop(release);
        assert!(found.is_ok());
        for job in busy {
            job.await.unwrap();
        }
    });
}

#[test]
fn virtual_time_does_not_pass_while_the_system_looks_a_name_up() {
    run_virtually(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let options = ConnectOptions::new().family(IpFamily::V4).timeout(1);
        let port = listener.local_addr().unwrap().port();
        options.connect("localhost", port).await.unwrap();
    });
}

#[test]
fn virtual_time_does_not_pass_while_the_system_looks_an_address_up() {
    run_virtually(async {
        let before = asyncio_runtime::get_running_loop().time();
        // Time would jump to this, were it not known that there is something to wait for.
        let _other = spawn(sleep(3600));
        let address = "127.0.0.1:80".parse().unwrap();
        getnameinfo(address, NameFlags::new()).await.unwrap();
        assert_eq!(asyncio_runtime::get_running_loop().time(), before);
    });
}

#[test]
fn that_only_digits_will_do_asks_nobody() {
    run(async {
        let (book, _resolver) = fake();
        let digits = Hints::new().numeric_host(true);
        let error = getaddrinfo("a.test", 80, digits).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let found = getaddrinfo("127.1", 80, digits).await.unwrap();
        assert_eq!(found, ["127.0.0.1:80".parse().unwrap()]);
        assert!(book.asked.borrow().is_empty());
    });
}

#[test]
fn what_a_name_is_made_of_cannot_add_lines_to_what_is_said_of_it() {
    run(async {
        let (_book, _resolver) = fake();
        let host = "a\n\u{1b}[2Jb.none";
        let error = getaddrinfo(host, 80, Hints::new()).await.unwrap_err();
        let refused = ConnectOptions::new().timeout(0).connect(host, 80).await;
        for text in [error.to_string(), refused.unwrap_err().to_string()] {
            assert!(!text.contains(char::is_control), "{text:?}");
            assert!(text.contains("b.none"), "{text}");
        }
    });
}

#[test]
fn a_lookup_outside_of_a_loop_asks_the_system() {
    let found = futures_util::FutureExt::now_or_never(getaddrinfo("127.0.0.1", 80, Hints::new()));
    assert_eq!(found.unwrap().unwrap().len(), 1);
    let mut lookup = SystemResolver::with_threads(1).lookup("localhost", Hints::new());
    let reactor = asyncio_reactor::Reactor::new().unwrap();
    let found = reactor.block_on(&mut lookup).unwrap();
    assert!(!found.addresses.is_empty());
}

#[test]
#[should_panic(expected = "no running event loop")]
fn a_resolver_cannot_be_set_without_a_loop() {
    set_resolver(Rc::new(SystemResolver::new()));
}

#[test]
fn a_name_that_takes_too_long_ends_with_the_timeout() {
    struct Silent;
    impl Resolve for Silent {
        fn lookup(&self, _host: &str, _hints: Hints) -> Lookup {
            Box::pin(pending())
        }
    }
    run_virtually(async {
        set_resolver(Rc::new(CachingResolver::new(Silent)));
        let error = ConnectOptions::new()
            .timeout(3)
            .connect("a.test", 80)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(
            error.to_string(),
            "cannot connect to a.test port 80 within 3s: the name was not resolved in that time"
        );
        assert_eq!(
            asyncio_runtime::get_running_loop().time().as_secs_f64(),
            3.0
        );
        sleep(1).await;
        assert_eq!(asyncio_executor::all_tasks().len(), 1);
        let mut connecting = pin!(open_connection("a.test", 80));
        assert!(poll_once(connecting.as_mut()).await.is_none());
    });
}

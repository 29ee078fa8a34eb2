use std::time::Duration;

use asyncio_timers::{Clock, Timers};

use crate::at;

fn timers_at(nanos: u64) -> Timers {
    let timers = Timers::new(Clock::manual());
    timers.clock().advance_to(at(nanos));
    timers
}

#[test]
fn leaving_restores_the_former_timers() {
    let (outer, inner) = (timers_at(1), timers_at(2));
    assert!(Timers::try_current().is_none());
    {
        let _outer = outer.enter();
        assert_eq!(Timers::current().now(), at(1));
        {
            let _inner = inner.enter();
            assert_eq!(Timers::with_current(Timers::now), at(2));
        }
        assert_eq!(Timers::with_current(Timers::now), at(1));
    }
    assert!(Timers::try_current().is_none());
}

#[test]
fn timers_are_left_when_the_loop_panics() {
    let timers = timers_at(1);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _entered = timers.enter();
        panic!("in the loop");
    }));
    assert!(panicked.is_err());
    assert!(Timers::try_current().is_none());
}

#[test]
fn each_thread_has_its_own_current_timers() {
    let timers = timers_at(1);
    let _entered = timers.enter();
    assert!(
        std::thread::spawn(|| Timers::try_current().is_none())
            .join()
            .unwrap()
    );
}

#[test]
fn clones_are_the_same_timers() {
    let timers = timers_at(0);
    let key = timers.clone().call_at(at(5), Box::new(|| {}));
    assert_eq!(timers.when(key), Some(at(5)));
    timers.clock().advance(Duration::from_nanos(5));
    assert_eq!(timers.clone().fire(timers.now()), 1);
    assert!(timers.is_empty());
}

#[test]
#[should_panic(
    expected = "no running event loop: `sleep` needs one; call it inside `asyncio::run(async { … })`"
)]
fn without_a_loop_current_says_how_to_get_one() {
    let _ = Timers::current();
}

#[test]
#[should_panic(expected = "no running event loop")]
fn without_a_loop_with_current_says_so_too() {
    Timers::with_current(|_| ());
}

#[test]
#[should_panic(expected = "`Timers::enter` was called inside `Timers::with_current`")]
fn entering_inside_with_current_panics() {
    let timers = timers_at(1);
    let _entered = timers.enter();
    Timers::with_current(|timers| drop(timers.enter()));
}

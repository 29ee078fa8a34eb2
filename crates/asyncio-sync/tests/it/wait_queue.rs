use asyncio_sync::WaitQueue;
use asyncio_sync::wait_queue::{Left, Turn};
use std::sync::Arc;
use std::task::{Wake, Waker};

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

#[test]
fn first_come_first_served() {
    let mut line = WaitQueue::new();
    for name in ["a", "b", "c"] {
        line.push(name);
    }
    assert_eq!(line.notify_one(), Some("a"));
    assert_eq!(line.notify_all().collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!((line.waiting(), line.notified()), (0, 3));
}

#[test]
fn leaving_from_the_front_the_middle_and_the_end_keeps_the_order_of_the_rest() {
    for gone in 0..5 {
        let mut line = WaitQueue::new();
        let tickets = [0, 1, 2, 3, 4].map(|n| line.push(n));
        assert!(matches!(line.leave(tickets[gone]), Left::Waiting(n) if n == gone));
        line.push(5);
        let rest: Vec<_> = (0..6).filter(|n| *n != gone).collect();
        assert_eq!(line.notify_all().collect::<Vec<_>>(), rest);
    }
}

#[test]
fn a_notified_waiter_that_leaves_is_told_to_pass_it_on() {
    let mut line = WaitQueue::new();
    let ticket = line.push('a');
    assert_eq!(line.notify_one(), Some('a'));
    assert!(!line.is_idle());
    assert!(matches!(line.leave(ticket), Left::Notified));
    assert!(line.is_idle());
    assert!(matches!(line.leave(ticket), Left::Nothing));
}

#[test]
fn a_waker_is_replaced_only_by_one_that_wakes_somebody_else() {
    let (mine, other) = (Waker::from(Arc::new(Nobody)), Waker::from(Arc::new(Nobody)));
    let (mut line, mut place) = (WaitQueue::new(), None);
    assert!(matches!(
        line.poll(&mut place, &mine),
        Turn::Waiting { replaced: None }
    ));
    assert!(matches!(
        line.poll(&mut place, &mine.clone()),
        Turn::Waiting { replaced: None }
    ));
    assert!(
        matches!(line.poll(&mut place, &other), Turn::Waiting { replaced: Some(old) } if old.will_wake(&mine))
    );
    assert!(
        line.notify_one()
            .is_some_and(|waker| waker.will_wake(&other))
    );
    assert!(matches!(line.poll(&mut place, &mine), Turn::Arrived));
    assert_eq!(place, None);
}

#[test]
fn a_wait_costs_one_clone_of_the_waker_and_no_more() {
    let nobody = Arc::new(Nobody);
    let waker = Waker::from(nobody.clone());
    let (mut line, mut place) = (WaitQueue::new(), None);
    for _ in 0..3 {
        drop(line.poll(&mut place, &waker));
        assert_eq!(
            Arc::strong_count(&nobody),
            3,
            "the test's, the context's, the line's"
        );
    }
    drop(line.notify_one());
    assert_eq!(Arc::strong_count(&nobody), 2);
}

#[test]
fn a_wake_that_panics_does_not_keep_the_others_from_hearing() {
    struct Bad;
    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            panic!("as expected")
        }
    }
    #[derive(Default)]
    struct Good(std::sync::atomic::AtomicBool);
    impl Wake for Good {
        fn wake(self: Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let (mut line, good) = (WaitQueue::new(), Arc::new(Good::default()));
    line.push(Waker::from(Arc::new(Bad)));
    line.push(Waker::from(good.clone()));
    let wakers = std::panic::AssertUnwindSafe(line.notify_all());
    assert!(std::panic::catch_unwind(|| { wakers }.0.wake()).is_err());
    assert!(good.0.load(std::sync::atomic::Ordering::Relaxed));
}

use super::Shared;

use super::family::{GetNowaitError, PutNowaitError, Queue, QueueEmpty, QueueFull, QueueShutDown};
use futures_lite::future::{block_on, poll_once};

use crate::stepper::Stepper;

fn getter(stepper: &mut Stepper, queue: &Shared<Queue<u32>>, name: &'static str) -> usize {
    let (queue, log) = (queue.clone(), stepper.log());
    stepper.spawn(async move {
        match queue.get().await {
            Ok(item) => log.say(format!("{name} got {item}")),
            Err(QueueShutDown(())) => log.say(format!("{name} shut down")),
        }
    })
}

fn putter(stepper: &mut Stepper, queue: &Shared<Queue<u32>>, item: u32) -> usize {
    let (queue, log) = (queue.clone(), stepper.log());
    stepper.spawn(async move {
        match queue.put(item).await {
            Ok(()) => log.say(format!("put {item}")),
            Err(QueueShutDown(item)) => log.say(format!("{item} came back")),
        }
    })
}

fn joiner(stepper: &mut Stepper, queue: &Shared<Queue<u32>>, name: &'static str) -> usize {
    let (queue, log) = (queue.clone(), stepper.log());
    stepper.spawn(async move {
        queue.join().await;
        log.say(format!("{name} joined"));
    })
}

/// A queue with these items in it.
fn holding<const N: usize>(maxsize: usize, items: [u32; N]) -> Shared<Queue<u32>> {
    let queue = Queue::bounded(maxsize);
    for item in items {
        queue.put_nowait(item).unwrap();
    }
    Shared::new(queue)
}

// S166
#[test]
fn maxsize_zero_is_without_limit() {
    let queue = holding(0, [1, 2, 3]);
    assert_eq!(
        (queue.maxsize(), queue.qsize(), queue.full(), queue.empty()),
        (0, 3, false, false)
    );
}

// S166
#[test]
fn put_with_room_and_get_with_an_item_do_not_suspend() {
    let queue = Queue::bounded(1);
    assert_eq!(block_on(poll_once(queue.put(1))), Some(Ok(())));
    assert_eq!(block_on(poll_once(queue.get())), Some(Ok(1)));
}

// S166
#[test]
fn nowait_on_full_and_empty_is_an_error_that_gives_the_item_back() {
    let queue = holding(1, []);
    assert_eq!(queue.get_nowait(), Err(GetNowaitError::Empty(QueueEmpty)));
    queue.put_nowait(1).unwrap();
    assert_eq!(queue.put_nowait(2), Err(PutNowaitError::Full(QueueFull(2))));
    assert_eq!((queue.qsize(), queue.full()), (1, true));
}

// S167
#[test]
fn an_item_is_not_reserved_and_the_woken_getter_goes_to_the_end_of_the_line() {
    let (mut stepper, queue) = (Stepper::new(), holding(0, []));
    let a = getter(&mut stepper, &queue, "a");
    getter(&mut stepper, &queue, "b");
    stepper.run();
    queue.put_nowait(1).unwrap(); // wakes a
    assert_eq!(stepper.ready(), [a]);
    assert_eq!(queue.get_nowait(), Ok(1)); // but is taken before a runs
    stepper.run();
    queue.put_nowait(2).unwrap();
    queue.put_nowait(3).unwrap();
    stepper.run();
    assert_eq!(stepper.trace(), ["b got 2", "a got 3"]);
}

// S167, the mirror
#[test]
fn room_is_not_reserved_and_the_woken_putter_goes_to_the_end_of_the_line() {
    let (mut stepper, queue) = (Stepper::new(), holding(1, [0]));
    putter(&mut stepper, &queue, 1);
    putter(&mut stepper, &queue, 2);
    stepper.run();
    assert_eq!(queue.get_nowait(), Ok(0)); // wakes the first putter
    queue.put_nowait(9).unwrap(); // but the room is taken before it runs
    stepper.run();
    let mut items = vec![];
    while let Ok(item) = queue.get_nowait() {
        items.push(item);
        stepper.run();
    }
    assert_eq!(items, [9, 2, 1]);
}

// S168
#[test]
fn a_getter_notified_and_then_dropped_passes_the_notification_on() {
    let (mut stepper, queue) = (Stepper::new(), holding(0, []));
    let a = getter(&mut stepper, &queue, "a");
    getter(&mut stepper, &queue, "b");
    stepper.run();
    queue.put_nowait(1).unwrap();
    stepper.cancel(a);
    stepper.run();
    assert_eq!(stepper.trace(), ["b got 1"]);
}

// S168
#[test]
fn a_getter_woken_and_then_dropped_wakes_nobody_if_the_item_is_gone() {
    let (mut stepper, queue) = (Stepper::new(), holding(0, []));
    let a = getter(&mut stepper, &queue, "a");
    let b = getter(&mut stepper, &queue, "b");
    stepper.run();
    queue.put_nowait(1).unwrap();
    queue.get_nowait().unwrap();
    stepper.cancel(a);
    assert_eq!(stepper.wakes(b), 0);
}

// S168
#[test]
fn a_getter_dropped_while_it_waits_wakes_nobody() {
    let (mut stepper, queue) = (Stepper::new(), holding(0, []));
    let tasks = ["a", "b", "c"].map(|name| getter(&mut stepper, &queue, name));
    stepper.run();
    queue.put_nowait(1).unwrap(); // a is on its way to it
    stepper.cancel(tasks[1]);
    assert_eq!(stepper.ready(), [tasks[0]]);
}

// S168, the mirror
#[test]
fn a_putter_notified_and_then_dropped_passes_the_notification_on() {
    let (mut stepper, queue) = (Stepper::new(), holding(1, [0]));
    let first = putter(&mut stepper, &queue, 1);
    putter(&mut stepper, &queue, 2);
    stepper.run();
    queue.get_nowait().unwrap();
    stepper.cancel(first);
    stepper.run();
    assert_eq!(stepper.trace(), ["put 2"]);
    assert_eq!(queue.get_nowait(), Ok(2));
}

// S169
#[test]
fn getters_and_putters_are_woken_in_order_with_one_wake_each() {
    let (mut stepper, queue) = (Stepper::new(), holding(2, []));
    let getters = ["a", "b", "c"].map(|name| getter(&mut stepper, &queue, name));
    stepper.run();
    queue.put_nowait(1).unwrap();
    queue.put_nowait(2).unwrap();
    assert_eq!(stepper.ready(), getters[..2]);
    stepper.run();
    assert_eq!(stepper.trace(), ["a got 1", "b got 2"]);
    stepper.cancel(getters[2]);
    queue.put_nowait(3).unwrap();
    queue.put_nowait(4).unwrap();
    let putters = [5, 6].map(|item| putter(&mut stepper, &queue, item));
    stepper.run();
    queue.get_nowait().unwrap();
    queue.get_nowait().unwrap();
    assert_eq!(stepper.ready(), putters);
}

// S170
#[test]
fn join_waits_for_every_task_done_and_blocks_again_after_a_later_put() {
    let (mut stepper, queue) = (Stepper::new(), holding(0, [1, 2]));
    let tasks = ["a", "b"].map(|name| joiner(&mut stepper, &queue, name));
    stepper.run();
    queue.get_nowait().unwrap();
    queue.get_nowait().unwrap();
    queue.task_done().unwrap();
    assert_eq!(stepper.ready(), []);
    queue.task_done().unwrap();
    assert_eq!(stepper.ready(), tasks);
    stepper.run();
    assert_eq!(stepper.trace(), ["a joined", "b joined"]);
    assert!(
        block_on(poll_once(queue.join())).is_some(),
        "ready at once while nothing is unfinished"
    );
    queue.put_nowait(3).unwrap();
    assert!(block_on(poll_once(queue.join())).is_none());
}

// S171
#[test]
fn task_done_more_often_than_put_is_an_error_that_says_what_to_do() {
    let queue = holding(0, [1]);
    queue.task_done().unwrap();
    let error = queue.task_done().unwrap_err().to_string();
    assert!(error.contains("once for each item"), "{error}");
}

// S172
#[test]
fn after_shutdown_puts_fail_and_gets_go_on_until_the_queue_is_empty() {
    let (mut stepper, queue) = (Stepper::new(), holding(2, [1, 2]));
    putter(&mut stepper, &queue, 3);
    stepper.run();
    queue.shutdown(false);
    stepper.run();
    assert_eq!(stepper.trace(), ["3 came back"]);
    assert_eq!(
        queue.put_nowait(4),
        Err(PutNowaitError::ShutDown(QueueShutDown(4)))
    );
    assert_eq!(block_on(queue.put(5)), Err(QueueShutDown(5)));
    assert_eq!(block_on(queue.get()), Ok(1));
    assert_eq!(queue.get_nowait(), Ok(2));
    assert_eq!(block_on(queue.get()), Err(QueueShutDown(())));
    assert_eq!(
        queue.get_nowait(),
        Err(GetNowaitError::ShutDown(QueueShutDown(())))
    );
    assert!(
        block_on(poll_once(queue.join())).is_none(),
        "join still needs the task_done calls"
    );
    queue.task_done().unwrap();
    queue.task_done().unwrap();
    assert!(block_on(poll_once(queue.join())).is_some());
}

// S172
#[test]
fn shutdown_releases_the_getters_of_an_empty_queue() {
    let (mut stepper, queue) = (Stepper::new(), holding(0, []));
    getter(&mut stepper, &queue, "a");
    getter(&mut stepper, &queue, "b");
    stepper.run();
    queue.shutdown(false);
    stepper.run();
    assert_eq!(stepper.trace(), ["a shut down", "b shut down"]);
}

// S173
#[test]
fn immediate_shutdown_drops_the_items_and_releases_the_joiners_if_nothing_is_unfinished() {
    let (mut stepper, queue) = (Stepper::new(), holding(0, [1, 2]));
    joiner(&mut stepper, &queue, "a");
    stepper.run();
    queue.shutdown(true);
    stepper.run();
    assert_eq!(stepper.trace(), ["a joined"]);
    assert_eq!(block_on(queue.get()), Err(QueueShutDown(())));
    assert!(queue.task_done().is_err());
}

// S173
#[test]
fn an_item_taken_but_not_done_still_blocks_the_joiners_of_a_queue_shut_down_at_once() {
    let (mut stepper, queue) = (Stepper::new(), holding(0, [1, 2]));
    joiner(&mut stepper, &queue, "a");
    stepper.run();
    queue.get_nowait().unwrap();
    queue.shutdown(true);
    stepper.run();
    assert!(stepper.trace().is_empty());
    queue.task_done().unwrap();
    stepper.run();
    assert_eq!(stepper.trace(), ["a joined"]);
}

// S173
#[test]
fn shutdown_may_be_repeated_and_made_immediate_later() {
    let queue = holding(0, [1]);
    queue.shutdown(false);
    queue.shutdown(false);
    assert_eq!(queue.qsize(), 1);
    queue.shutdown(true);
    queue.shutdown(false);
    assert_eq!(queue.qsize(), 0);
    assert!(queue.put_nowait(2).is_err());
}

#[test]
fn items_dropped_by_an_immediate_shutdown_may_touch_the_queue() {
    struct Touchy(Shared<Queue<Touchy>>);
    impl Drop for Touchy {
        fn drop(&mut self) {
            assert!(self.0.empty());
        }
    }
    let queue = Shared::new(Queue::new());
    queue.put_nowait(Touchy(queue.clone())).unwrap();
    queue.shutdown(true);
    assert_eq!(Shared::strong_count(&queue), 1);
}

use super::Shared;
use super::family::{Barrier, BrokenBarrierError};
use crate::stepper::Stepper;

/// Waits, logs `name` and its number.
fn party(stepper: &mut Stepper, barrier: &Shared<Barrier>, name: char) -> usize {
    let (barrier, log) = (barrier.clone(), stepper.log());
    stepper.spawn(async move {
        match barrier.wait().await {
            Ok(index) => log.say(format!("{name} {index}")),
            Err(BrokenBarrierError) => log.say(format!("{name} broken")),
        }
    })
}

fn of(parties: usize) -> Shared<Barrier> {
    Shared::new(Barrier::new(parties).unwrap())
}

// S160
#[test]
fn a_barrier_for_nobody_is_an_error_that_says_what_to_do() {
    let error = Barrier::new(0).unwrap_err().to_string();
    assert!(
        error.contains("at least 1 party, and 0 came: say how many"),
        "{error}"
    );
}

// S160: the trace is CPython's
#[test]
fn numbers_are_in_order_of_arrival_and_the_last_to_arrive_returns_first() {
    let (mut stepper, barrier) = (Stepper::new(), of(3));
    for name in "abc".chars() {
        party(&mut stepper, &barrier, name);
    }
    stepper.step();
    stepper.step();
    assert_eq!(barrier.n_waiting(), 2);
    stepper.step(); // the last one does not suspend
    assert_eq!(stepper.trace(), ["c 2"]);
    stepper.run();
    assert_eq!(stepper.trace(), ["a 0", "b 1"]);
}

// S161: the trace is CPython's
#[test]
fn arrivals_block_until_every_party_of_the_round_has_left() {
    let (mut stepper, barrier) = (Stepper::new(), of(3));
    for name in "abcdefg".chars() {
        party(&mut stepper, &barrier, name);
    }
    stepper.run();
    let trace = ["c 2", "a 0", "b 1", "f 2", "d 0", "e 1"];
    assert_eq!(stepper.trace(), trace);
    assert_eq!(barrier.n_waiting(), 1);
}

// S161
#[test]
fn a_party_dropped_on_its_way_out_opens_the_barrier_as_if_it_had_left() {
    let (mut stepper, barrier) = (Stepper::new(), of(2));
    let a = party(&mut stepper, &barrier, 'a');
    party(&mut stepper, &barrier, 'b');
    party(&mut stepper, &barrier, 'c');
    stepper.step();
    stepper.step(); // b arrives, and a is woken
    stepper.step(); // c waits outside
    stepper.cancel(a);
    stepper.run();
    assert_eq!(barrier.n_waiting(), 1, "c is inside");
    party(&mut stepper, &barrier, 'd');
    stepper.run();
    assert_eq!(stepper.trace(), ["b 1", "d 1", "c 0"]);
}

// S162: and the numbers stay distinct, where CPython gives 1 twice
#[test]
fn a_party_dropped_while_it_waits_only_lowers_the_count() {
    let (mut stepper, barrier) = (Stepper::new(), of(3));
    let a = party(&mut stepper, &barrier, 'a');
    party(&mut stepper, &barrier, 'b');
    stepper.run();
    stepper.cancel(a);
    assert_eq!((barrier.n_waiting(), barrier.broken()), (1, false));
    party(&mut stepper, &barrier, 'c');
    party(&mut stepper, &barrier, 'd');
    stepper.run();
    assert_eq!(stepper.trace(), ["d 2", "b 1", "c 0"]);
}

// S163: the trace is CPython's
#[test]
fn reset_breaks_those_who_wait_and_the_barrier_is_usable_again() {
    let (mut stepper, barrier) = (Stepper::new(), of(3));
    party(&mut stepper, &barrier, 'a');
    party(&mut stepper, &barrier, 'b');
    stepper.run();
    barrier.reset();
    for name in "cde".chars() {
        party(&mut stepper, &barrier, name);
    }
    stepper.run();
    let trace = ["a broken", "b broken", "e 2", "c 0", "d 1"];
    assert_eq!(stepper.trace(), trace);
    assert_eq!((barrier.n_waiting(), barrier.broken()), (0, false));
}

// S163: the trace is CPython's
#[test]
fn reset_while_a_round_leaves_breaks_those_who_have_not_left_yet() {
    let (mut stepper, barrier) = (Stepper::new(), of(3));
    for name in "abc".chars() {
        party(&mut stepper, &barrier, name);
    }
    (0..3).for_each(|_| assert!(stepper.step()));
    barrier.reset();
    let waiting = barrier.n_waiting();
    stepper.run();
    assert_eq!(stepper.trace(), ["c 2", "a broken", "b broken"]);
    assert_eq!((waiting, barrier.broken()), (0, false));
}

// S163
#[test]
fn arrivals_while_a_reset_barrier_empties_block() {
    let (mut stepper, barrier) = (Stepper::new(), of(2));
    let late = party(&mut stepper, &barrier, 'a');
    stepper.run();
    barrier.reset(); // a is woken behind b
    party(&mut stepper, &barrier, 'b');
    assert_eq!(stepper.ready()[0], late);
    stepper.run();
    assert_eq!(stepper.trace(), ["a broken"]);
    assert_eq!(barrier.n_waiting(), 1);
}

// S164: the trace is CPython's
#[test]
fn abort_breaks_everybody_until_reset() {
    let (mut stepper, barrier) = (Stepper::new(), of(3));
    party(&mut stepper, &barrier, 'a');
    party(&mut stepper, &barrier, 'b');
    stepper.run();
    barrier.abort();
    party(&mut stepper, &barrier, 'c');
    stepper.run();
    assert_eq!(stepper.trace(), ["a broken", "b broken", "c broken"]);
    assert_eq!((barrier.n_waiting(), barrier.broken()), (0, true));
    barrier.reset();
    assert!(!barrier.broken());
    for name in "def".chars() {
        party(&mut stepper, &barrier, name);
    }
    stepper.run();
    assert_eq!(stepper.trace(), ["f 2", "d 0", "e 1"]);
}

// S164
#[test]
fn abort_while_a_round_leaves_breaks_those_inside_and_those_outside() {
    let (mut stepper, barrier) = (Stepper::new(), of(2));
    for name in "abc".chars() {
        party(&mut stepper, &barrier, name);
    }
    (0..3).for_each(|_| assert!(stepper.step())); // b tripped it, a is woken, c is outside
    barrier.abort();
    stepper.run();
    assert_eq!(stepper.trace(), ["b 1", "a broken", "c broken"]);
}

// S165
#[test]
fn nobody_counts_as_waiting_unless_the_barrier_is_filling() {
    let (mut stepper, barrier) = (Stepper::new(), of(2));
    party(&mut stepper, &barrier, 'a');
    stepper.run();
    assert_eq!((barrier.n_waiting(), barrier.broken()), (1, false));
    party(&mut stepper, &barrier, 'b');
    stepper.step(); // it leaves: a is still inside
    assert_eq!((barrier.n_waiting(), barrier.broken()), (0, false));
    stepper.run();
    barrier.abort();
    assert_eq!((barrier.n_waiting(), barrier.broken()), (0, true));
    assert_eq!(barrier.parties(), 2);
}

#[test]
#[should_panic(expected = "for each round")]
fn a_wait_polled_again_after_its_round_says_so() {
    let barrier = Barrier::new(1).unwrap();
    let mut wait = barrier.wait();
    futures_lite::future::block_on(&mut wait).unwrap();
    let _ = futures_lite::future::block_on(&mut wait);
}

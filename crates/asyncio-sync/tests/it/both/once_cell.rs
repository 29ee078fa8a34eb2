use super::Shared;
use super::family::OnceCell;
use crate::stepper::{Stepper, pause};

fn user(stepper: &mut Stepper, cell: &Shared<OnceCell<&'static str>>, name: &'static str) -> usize {
    let (cell, log) = (cell.clone(), stepper.log());
    stepper.spawn(async move {
        let made = cell
            .get_or_init(async || {
                log.say(format!("{name} makes it"));
                pause().await;
                name
            })
            .await;
        log.say(format!("{name} has that of {made}"));
    })
}

#[test]
fn the_first_makes_the_value_and_the_others_wait_for_it() {
    let (mut stepper, cell) = (Stepper::new(), Shared::new(OnceCell::new()));
    for name in ["a", "b", "c"] {
        user(&mut stepper, &cell, name);
    }
    stepper.run();
    let trace = [
        "a makes it",
        "a has that of a",
        "b has that of a",
        "c has that of a",
    ];
    assert_eq!(stepper.trace(), trace);
}

#[test]
fn an_initialiser_that_is_dropped_passes_the_work_on() {
    let (mut stepper, cell) = (Stepper::new(), Shared::new(OnceCell::new()));
    let a = user(&mut stepper, &cell, "a");
    user(&mut stepper, &cell, "b");
    stepper.step();
    stepper.step();
    assert_eq!(cell.set("x"), Err("x"), "somebody is making it");
    stepper.cancel(a);
    stepper.run();
    assert_eq!(
        stepper.trace(),
        ["a makes it", "b makes it", "b has that of b"]
    );
}

#[test]
fn an_initialiser_that_fails_keeps_its_error_and_the_next_one_tries() {
    let (mut stepper, cell) = (Stepper::new(), Shared::new(OnceCell::new()));
    let (failing, log) = (cell.clone(), stepper.log());
    stepper.spawn(async move {
        let made = failing
            .get_or_try_init(async || {
                pause().await;
                Err("no route")
            })
            .await;
        log.say(format!("{made:?}"));
    });
    user(&mut stepper, &cell, "b");
    stepper.run();
    let trace = ["Err(\"no route\")", "b makes it", "b has that of b"];
    assert_eq!(stepper.trace(), trace);
}

#[test]
fn a_value_that_is_there_is_given_without_suspending() {
    let cell = OnceCell::new();
    cell.set(7).unwrap();
    let get = cell.get_or_init(async || unreachable!());
    let value = futures_lite::future::block_on(futures_lite::future::poll_once(get));
    assert_eq!((value, cell.set(8)), (Some(&7), Err(8)));
}

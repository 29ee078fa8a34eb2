use super::family::CapacityLimiter;
use crate::stepper::Stepper;

#[test]
fn at_most_so_many_are_at_work_and_the_others_wait_in_order() {
    let (mut stepper, limiter) = (Stepper::new(), CapacityLimiter::new(2).unwrap());
    let tokens = [limiter.try_acquire(), limiter.try_acquire()];
    for name in ["a", "b"] {
        let (limiter, log) = (limiter.clone(), stepper.log());
        stepper.spawn(async move {
            let _token = limiter.acquire().await;
            log.say(format!("{name} {}", limiter.borrowed_tokens()));
        });
    }
    stepper.run();
    assert_eq!((limiter.total_tokens(), limiter.available_tokens()), (2, 0));
    drop(tokens);
    stepper.run();
    assert_eq!(stepper.trace(), ["a 2", "b 1"]);
    assert_eq!(
        (limiter.borrowed_tokens(), limiter.available_tokens()),
        (0, 2)
    );
}

#[test]
fn a_waiter_notified_and_then_dropped_passes_the_notification_on() {
    let (mut stepper, limiter) = (Stepper::new(), CapacityLimiter::new(1).unwrap());
    let token = limiter.try_acquire();
    let tasks = ["a", "b"].map(|name| {
        let (limiter, log) = (limiter.clone(), stepper.log());
        stepper.spawn(async move {
            let _token = limiter.acquire().await;
            log.say(name);
        })
    });
    stepper.run();
    drop(token);
    stepper.cancel(tasks[0]);
    stepper.run();
    assert_eq!(stepper.trace(), ["b"]);
}

#[test]
fn a_limiter_without_tokens_is_an_error_that_says_what_to_do() {
    let error = CapacityLimiter::new(0).unwrap_err().to_string();
    assert!(
        error.contains("at least 1 token, and 0 came: say how many"),
        "{error}"
    );
}

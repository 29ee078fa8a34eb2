//! The attributes as they are used, over a stand-in for the facade.
//!
//! What they refuse, and how they say so, is tested beside the expansion.

use std::{cell::Cell, future::Future, num::ParseIntError};

thread_local! {
    /// What `run_test` was told last on this thread.
    static VIRTUAL_TIME: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Has the two functions that the facade has.
mod stand_in {
    pub(crate) mod __private {
        use super::super::{Future, VIRTUAL_TIME};

        pub(crate) fn run_main<F: Future>(future: F) -> F::Output {
            futures_lite::future::block_on(future)
        }

        pub(crate) fn run_test<F: Future>(future: F, virtual_time: bool) -> F::Output {
            VIRTUAL_TIME.set(Some(virtual_time));
            futures_lite::future::block_on(future)
        }
    }
}

#[asyncio_macros::main(crate = "stand_in")]
async fn forty_two() -> u8 {
    async { 42 }.await
}

#[test]
fn main_gives_the_value_of_the_body_back() {
    assert_eq!(forty_two(), 42);
}

#[asyncio_macros::main(crate = "crate::stand_in")]
async fn parsed() -> Result<i32, Box<dyn std::error::Error>> {
    if false {
        return Err("an early return".into());
    }
    let number: i32 = "nine".parse()?;
    Ok(number)
}

#[test]
fn question_mark_and_return_mean_what_they_mean_in_the_users_function() {
    let error = parsed().unwrap_err();
    assert!(error.is::<ParseIntError>());
}

/// The future is not asked to be `Send` or `'static` by the attribute.
#[asyncio_macros::main(crate = "stand_in")]
async fn not_send() -> usize {
    let shared = std::rc::Rc::new(1);
    async {}.await;
    std::rc::Rc::strong_count(&shared)
}

#[test]
fn the_body_may_hold_what_is_not_send() {
    assert_eq!(not_send(), 1);
}

#[asyncio_macros::main(crate = "stand_in")]
async fn opaque() -> impl std::fmt::Display {
    "opaque"
}

#[test]
fn the_return_type_may_be_opaque() {
    assert_eq!(opaque().to_string(), "opaque");
}

#[asyncio_macros::test(crate = "stand_in")]
async fn a_test_runs_on_the_real_clock_if_nothing_is_said() {
    assert_eq!(VIRTUAL_TIME.get(), Some(false));
}

#[asyncio_macros::test(virtual_time = true, crate = "stand_in")]
async fn a_test_may_ask_for_virtual_time() {
    assert_eq!(VIRTUAL_TIME.get(), Some(true));
}

#[asyncio_macros::test(crate = "stand_in")]
#[should_panic(expected = "on purpose")]
async fn should_panic_works_as_on_any_test() {
    panic!("on purpose");
}

#[asyncio_macros::test(crate = "stand_in")]
#[ignore = "it would fail"]
async fn ignore_works_as_on_any_test() {
    unreachable!();
}

#[asyncio_macros::test(crate = "stand_in")]
async fn a_test_may_return_a_result() -> Result<(), ParseIntError> {
    assert_eq!("9".parse::<u8>()?, 9);
    Ok(())
}

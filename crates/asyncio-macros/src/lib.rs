//! The attributes `#[asyncio::main]` and `#[asyncio::test]`.
//!
//! They are reached through the facade, as `asyncio::main` and `asyncio::test`, and what they
//! expand to calls the facade. This crate cannot depend on it, that would be a circle, so
//! the examples here are text; the tests of this crate use a stand-in for the facade.
//!
//! # How it works
//!
//! The async function is kept as it is, inside a plain function of the same name that runs it.
//! So `?`, `return` and every type error mean, and point at, what they would without the attribute:
//!
//! ```text
//! #[asyncio::main]                          fn main() -> Result<()> {
//! async fn main() -> Result<()> {               async fn main() -> Result<()> {
//!     serve().await?;                  =>           serve().await?;
//!     Ok(())                                        Ok(())
//! }                                             }
//!                                               ::asyncio::__private::run_main(main())
//!                                           }
//! ```
#![forbid(unsafe_code)]

mod entry;

use proc_macro::TokenStream;

/// Runs an async function on an event loop: what `asyncio.run(main())` is in Python.
///
/// ```text
/// #[asyncio::main]
/// async fn main() -> anyhow::Result<()> {
///     asyncio::sleep(1.0).await;
///     Ok(())
/// }
/// ```
///
/// The function becomes a plain one that makes a loop, runs the body on it to the end, cancels
/// the tasks that are left, and gives the body's value back. It need not be called `main`; a call
/// of it blocks, and so must not come from inside a loop.
///
/// # Options
///
/// - `crate = "path"`: where the facade is found, if not at `::asyncio`, for instance
///   `#[asyncio::main(crate = "my_framework::asyncio")]`.
///
/// # Errors
///
/// It does not compile on a function that is not `async`, or has parameters or generics.
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(entry::Kind::Main, options.into(), item.into()).into()
}

/// Runs an async function as a test, on an event loop of its own.
///
/// ```text
/// #[asyncio::test]
/// async fn the_answer_comes() {
///     assert_eq!(ask().await, 42);
/// }
///
/// #[asyncio::test(virtual_time = true)]
/// #[should_panic(expected = "too late")]
/// async fn an_hour_passes_at_once() {
///     asyncio::sleep(3600.0).await;
///     panic!("too late");
/// }
/// ```
///
/// The function becomes a plain `#[test]`. Other attributes, such as `#[ignore]`,
/// `#[should_panic]` and `#[cfg]`, work as on any test, and it may return what a test may return.
///
/// # Options
///
/// - `virtual_time = true`: the loop's clock stands still while there is something to do and
///   jumps to the next deadline when there is not, so that no test waits for time to pass.
/// - `crate = "path"`: where the facade is found, if not at `::asyncio`.
///
/// # Errors
///
/// It does not compile on a function that is not `async`, has parameters or generics, or is
/// marked as a test already.
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    entry::expand(entry::Kind::Test, options.into(), item.into()).into()
}

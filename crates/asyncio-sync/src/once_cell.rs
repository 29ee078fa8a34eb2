//! A value that is made once, by whoever needs it first.

use std::convert::Infallible;
use std::fmt;

use crate::guard::{Family, Once};
use crate::lock::Lock;

/// A value that is made once, by whoever needs it first; the others wait for it.
///
/// If the one who makes it fails, or goes away, the next in line makes it. Making it may not need the same cell: that would
/// wait for itself.
///
/// ```
/// use asyncio_sync::OnceCell;
///
/// async fn connect() -> String {
///     "connection".to_owned()
/// }
///
/// let connection = OnceCell::new();
/// futures_lite::future::block_on(async {
///     assert_eq!(connection.get_or_init(connect).await, "connection");
///     assert_eq!(connection.get_or_init(async || unreachable!()).await, "connection");
/// });
/// ```
pub struct OnceCell<T, F: Family> {
    value: F::Once<T>,
    /// Held by the one who makes the value.
    making: Lock<F>,
}

impl<T, F: Family> OnceCell<T, F> {
    /// A cell without a value.
    ///
    /// ```
    /// assert_eq!(asyncio_sync::OnceCell::<u8>::new().get(), None);
    /// ```
    pub fn new() -> Self {
        OnceCell {
            value: F::Once::empty(),
            making: Lock::new(),
        }
    }

    /// The value, if there is one.
    ///
    /// ```
    /// let cell = asyncio_sync::OnceCell::new();
    /// cell.set(7).unwrap();
    /// assert_eq!(cell.get(), Some(&7));
    /// ```
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// Puts a value.
    ///
    /// # Errors
    ///
    /// Gives it back when there is one, or when somebody is making one.
    ///
    /// ```
    /// let cell = asyncio_sync::OnceCell::new();
    /// assert_eq!(cell.set(7), Ok(()));
    /// assert_eq!(cell.set(8), Err(8));
    /// ```
    pub fn set(&self, value: T) -> Result<(), T> {
        match self.making.try_acquire() {
            Some(_guard) => self.value.set(value),
            None => Err(value),
        }
    }

    /// The value; if there is none, makes it with `make`, or waits for the one who is at it.
    ///
    /// # Cancel safety
    ///
    /// Dropping it while it makes the value drops that work, and the next in line begins its own; while it waits, it gives
    /// up its place in line, nothing else.
    ///
    /// ```
    /// let cell = asyncio_sync::OnceCell::new();
    /// assert_eq!(futures_lite::future::block_on(cell.get_or_init(async || 7)), &7);
    /// ```
    pub async fn get_or_init(&self, make: impl AsyncFnOnce() -> T) -> &T {
        match self
            .get_or_try_init(async || Ok::<T, Infallible>(make().await))
            .await
        {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// As [`get_or_init`](Self::get_or_init), with a `make` that may fail. Then the next in line tries its own.
    ///
    /// # Errors
    ///
    /// When `make` fails.
    ///
    /// # Cancel safety
    ///
    /// As [`get_or_init`](Self::get_or_init).
    ///
    /// ```
    /// let cell = asyncio_sync::OnceCell::new();
    /// futures_lite::future::block_on(async {
    ///     assert_eq!(cell.get_or_try_init(async || Err("no route")).await, Err("no route"));
    ///     assert_eq!(cell.get_or_try_init(async || Ok::<_, &str>(7)).await, Ok(&7));
    /// });
    /// ```
    pub async fn get_or_try_init<E>(
        &self,
        make: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<&T, E> {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        let _making = self.making.acquire().await;
        if let Some(value) = self.get() {
            return Ok(value);
        }
        let value = make().await?;
        let set = self.value.set(value);
        debug_assert!(set.is_ok(), "only the holder of the lock sets the value");
        match self.get() {
            Some(value) => Ok(value),
            None => unreachable!("a cell that was set stays set"),
        }
    }
}

impl<T, F: Family> Default for OnceCell<T, F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug, F: Family> fmt::Debug for OnceCell<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceCell").field(&self.get()).finish()
    }
}

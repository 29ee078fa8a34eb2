//! How many may be at work at the same time.

use std::fmt;

use crate::error::CapacityError;
use crate::guard::{Family, Local};
use crate::semaphore::{Acquire, Permit, Semaphore};

/// How many may be at work at the same time, threads above all: each borrows a token and gives it back.
///
/// A handle; clones of it limit together. A token keeps the limiter alive and can go wherever the work goes, so a job on a
/// thread pool takes it along. First come, first served.
///
/// ```
/// use asyncio_sync::threadsafe::CapacityLimiter;
///
/// let disks = CapacityLimiter::new(2).unwrap();
/// let token = futures_lite::future::block_on(disks.acquire());
/// std::thread::spawn(move || {
///     // … what is slow …
///     drop(token);
/// })
/// .join()
/// .unwrap();
/// assert_eq!(disks.borrowed_tokens(), 0);
/// ```
pub struct CapacityLimiter<F: Family> {
    tokens: F::Shared<Semaphore<F, true>>,
    total: usize,
}

/// Leave to be at work; dropping it gives it back. See [`CapacityLimiter::acquire`].
///
/// ```
/// use asyncio_sync::{CapacityLimiter, Local, limiter::Token};
///
/// let limiter = CapacityLimiter::new(1).unwrap();
/// let token: Token<Local> = limiter.try_acquire().unwrap();
/// # drop(token);
/// ```
pub type Token<F = Local> = Permit<<F as Family>::Shared<Semaphore<F, true>>, F, true>;

impl<F: Family> CapacityLimiter<F> {
    /// A limiter with so many tokens.
    ///
    /// # Errors
    ///
    /// When `total` is 0: nobody could ever be at work.
    ///
    /// ```
    /// assert!(asyncio_sync::CapacityLimiter::new(0).is_err());
    /// ```
    pub fn new(total: usize) -> Result<Self, CapacityError> {
        if total == 0 {
            return Err(CapacityError);
        }
        Ok(CapacityLimiter {
            tokens: F::share(Semaphore::new(total)),
            total,
        })
    }

    /// Waits for its turn and borrows a token.
    ///
    /// # Cancel safety
    ///
    /// Dropping it before it is ready gives up its place in line, nothing else.
    ///
    /// ```
    /// let limiter = asyncio_sync::CapacityLimiter::new(1).unwrap();
    /// let token = futures_lite::future::block_on(limiter.acquire());
    /// assert_eq!(limiter.available_tokens(), 0);
    /// # drop(token);
    /// ```
    pub fn acquire(&self) -> Acquire<F::Shared<Semaphore<F, true>>, F, true> {
        Acquire::of(self.tokens.clone())
    }

    /// Borrows a token if there is one and nobody is in line.
    ///
    /// ```
    /// let limiter = asyncio_sync::CapacityLimiter::new(1).unwrap();
    /// let token = limiter.try_acquire();
    /// assert!(token.is_some() && limiter.try_acquire().is_none());
    /// ```
    #[must_use = "the token goes back as soon as it is dropped: bind it"]
    pub fn try_acquire(&self) -> Option<Token<F>> {
        Permit::try_of(self.tokens.clone())
    }

    /// How many tokens there are.
    ///
    /// ```
    /// assert_eq!(asyncio_sync::CapacityLimiter::new(40).unwrap().total_tokens(), 40);
    /// ```
    pub fn total_tokens(&self) -> usize {
        self.total
    }

    /// How many are borrowed, those included that were handed to somebody who is on its way.
    ///
    /// ```
    /// let limiter = asyncio_sync::CapacityLimiter::new(2).unwrap();
    /// let _token = limiter.try_acquire();
    /// assert_eq!(limiter.borrowed_tokens(), 1);
    /// ```
    pub fn borrowed_tokens(&self) -> usize {
        self.total - self.available_tokens()
    }

    /// How many are left.
    ///
    /// ```
    /// assert_eq!(asyncio_sync::CapacityLimiter::new(2).unwrap().available_tokens(), 2);
    /// ```
    pub fn available_tokens(&self) -> usize {
        self.tokens.value()
    }
}

impl<F: Family> Clone for CapacityLimiter<F> {
    fn clone(&self) -> Self {
        CapacityLimiter {
            tokens: self.tokens.clone(),
            total: self.total,
        }
    }
}

impl<F: Family> fmt::Debug for CapacityLimiter<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CapacityLimiter")
            .field("total_tokens", &self.total)
            .field("borrowed_tokens", &self.borrowed_tokens())
            .finish()
    }
}

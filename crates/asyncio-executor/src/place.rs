//! A spawn place in four bytes.
//!
//! Every `Location` the compiler makes is a constant in the program's read-only data, so its distance from one of our
//! own usually fits 32 bits. With half a million tasks the other four bytes are two megabytes.

use std::panic::Location;
use std::ptr;

/// The place distances are counted from.
static BASE: &Location<'static> = Location::caller();

/// A `&'static Location`, or the news that it is too far away (in another shared library, say).
#[derive(Clone, Copy)]
pub(crate) struct Place(i32);

const TOO_FAR: i32 = i32::MIN;

impl Place {
    #[inline]
    pub(crate) fn new(location: &'static Location<'static>) -> Place {
        let address = ptr::from_ref(location).expose_provenance();
        let distance = address.wrapping_sub(ptr::from_ref(BASE).addr());
        Place(i32::try_from(distance.cast_signed()).unwrap_or(TOO_FAR))
    }

    #[inline]
    pub(crate) fn is_too_far(self) -> bool {
        self.0 == TOO_FAR
    }

    /// `None` if it was too far away; whoever made it keeps the reference itself.
    pub(crate) fn location(self) -> Option<&'static Location<'static>> {
        if self.is_too_far() {
            return None;
        }
        let address = ptr::from_ref(BASE)
            .addr()
            .wrapping_add_signed(self.0 as isize);
        // SAFETY: `new` computed the distance from a `&'static Location`, whose provenance it exposed.
        Some(unsafe { &*ptr::with_exposed_provenance::<Location<'static>>(address) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_leads_back_to_the_very_location() {
        let here = Location::caller();
        let again = Place::new(here).location().unwrap();
        assert!(ptr::eq(here, again));
        assert_eq!(again.file(), file!());
    }

    #[test]
    fn a_location_far_away_is_refused_not_bent() {
        // Kept by a static: leaked, a leak checker would say so.
        static FAR: std::sync::OnceLock<Box<Location<'static>>> = std::sync::OnceLock::new();
        let far: &'static Location<'static> = FAR.get_or_init(|| Box::new(*Location::caller()));
        // On the heap: beyond two gigabytes on 64-bit systems, and harmlessly near on others.
        assert!(
            Place::new(far)
                .location()
                .is_none_or(|again| ptr::eq(again, far))
        );
    }
}

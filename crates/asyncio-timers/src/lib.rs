//! Keeps deadlines: time goes in, wakers come out.

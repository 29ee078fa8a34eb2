//! The examples are the targets of this package; see its README for the order to read them in.

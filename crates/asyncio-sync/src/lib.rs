//! Fair waiting, and the primitives built on it; works on any executor.

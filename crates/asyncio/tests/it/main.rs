//! What the facade promises as a whole, seen from outside the process.

#[cfg(target_os = "linux")]
mod system_calls;

//! Real processes of the real binary, as users run them, for the tests that prove the promises.
//!
//! # What always holds
//!
//! * A process that a test starts ends with the test, also when it panics.
//! * Every port is 0 and every folder the test's own, so tests run beside each other.

mod answer;
mod chat;
mod process;

pub use answer::Answer;
pub use chat::{Client, Conversation};
pub use process::{Nooble, Ready};

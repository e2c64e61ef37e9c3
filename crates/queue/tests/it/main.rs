//! The queue against a real Redis.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests fail where they stand, and may spawn")]

mod bad_input;
mod batches;
mod bench;
mod calls;
mod chaos;
mod control;
mod limits;
mod model;
mod scheduling;
mod setup;
mod tasks;
mod topology;
mod trouble;
mod workers;

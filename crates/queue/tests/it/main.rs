//! The queue against a real Redis.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests fail where they stand, and may spawn")]

mod calls;
mod crashes;
mod limits;
mod model;
mod setup;
mod tasks;
mod trouble;
mod workers;

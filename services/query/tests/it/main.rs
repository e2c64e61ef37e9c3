//! The query service from outside: its index on real files, its actions through a real queue.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as expected")]

mod index;
mod mesh;
mod reference;

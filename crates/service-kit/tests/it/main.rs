//! What the kit promises, through real ports.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking and run things beside them"
)]

mod access;
mod credentials;
mod deadlines;
mod drain;
mod health;
mod management;
mod mesh;
mod reflection;
mod settings;
mod tasks;

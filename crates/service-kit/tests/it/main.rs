//! What the kit promises, through real ports.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking and run things beside them"
)]

mod access;
mod balancing;
mod changes;
mod connections;
mod credentials;
mod deadlines;
mod drain;
mod health;
mod management;
mod mesh;
mod mesh_tls;
mod queue_control;
mod queue_refusals;
mod reflection;
mod renewal;
mod settings;
mod tasks;
mod tokens;
mod work_endings;
mod work_python;
mod work_stream;
mod worker;

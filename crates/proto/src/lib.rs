//! The contract as Rust: messages, clients and servers generated from `proto/` by `cargo xtask codegen`.
//!
//! # What always holds
//!
//! * Nothing here is written by hand but this page; a test in `xtask` fails when the code does not fit the protos.

pub use generated::nooble::*;

/// Encoded `FileDescriptorSet` of the whole contract, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("gen/descriptors.bin");

#[allow(clippy::all, clippy::pedantic, clippy::allow_attributes_without_reason, missing_docs, unreachable_pub, missing_debug_implementations, reason = "generated code")]
#[rustfmt::skip]
#[path = "gen/mod.rs"]
mod generated;

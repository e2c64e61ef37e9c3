#![doc = include_str!("../README.md")]

pub mod cli;
pub mod compare;
pub mod edge;
pub mod figures;
pub mod machine;
pub mod part;
pub mod peer;
pub mod protocol;
pub mod report;
pub mod samples;
pub mod scenario;
pub mod server;
pub mod verdict;

pub use samples::{Samples, Table};

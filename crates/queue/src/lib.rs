#![doc = include_str!("../README.md")]

mod admin;
mod call;
mod commit;
mod config;
pub mod engine;
mod error;
mod handler;
mod heartbeat;
mod inbox;
mod keys;
mod loops;
mod monitor;
mod outcome;
mod part;
mod queue;
mod rate;
mod record;
mod relay;
mod retry;
mod run;
mod stored;
mod timeline;
mod trace;
mod work;
mod worker;

pub use call::{Answer, CallError};
pub use config::{Config, Durability};
pub use error::{Error, MAX_PAYLOAD};
pub use handler::Verdict;
pub use queue::{Queue, Submitted};
pub use work::{Completed, Work};
pub use worker::Worker;

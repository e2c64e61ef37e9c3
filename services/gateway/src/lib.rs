#![doc = include_str!("../README.md")]

mod body;
mod chat;
mod client;
mod config;
mod credential;
mod documents;
mod edge;
mod errors_page;
#[cfg(test)]
mod golden;
mod head;
mod headers;
mod health;
mod limits;
mod observe;
mod origin;
mod problem;
mod router;
mod server;
mod socket;
mod tasks;
mod upload;
mod view;

pub use client::{ClientAddress, ForwardedHeader};
pub use config::Config;
pub use origin::Origins;
pub use server::{Error, serve};

#![doc = include_str!("../README.md")]

mod asyncapi;
mod body;
mod chat;
mod config;
mod credential;
mod documents;
mod edge;
mod errors_page;
#[cfg(test)]
mod golden;
mod headers;
mod health;
mod limits;
mod observe;
mod problem;
mod router;
mod server;
mod socket;
mod stats;
mod tasks;
mod tickets;
mod upload;
mod view;

pub use config::Config;
pub use server::{Error, serve};

//! Admission against a real Redis.

mod memory;
mod outage;
mod property;
mod setup;
mod tasks;
mod together;
mod visits;
mod windows;

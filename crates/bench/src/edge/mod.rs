//! The edge benchmark, `nooble bench edge`: what the gateway costs beside bare axum and tonic in the same run, and whether its
//! promises about limits and delivery hold under load.

mod case;
mod child;
mod cli;
mod load;
pub(crate) mod part;
mod report;
mod results;
mod socket;
mod world;

pub use cli::Edge;

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

/// Runs something beside; it ends with the process at the latest.
#[expect(clippy::disallowed_methods, reason = "a benchmark has nothing to drain")]
fn beside<F>(work: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(work)
}

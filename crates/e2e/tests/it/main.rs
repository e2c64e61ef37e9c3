//! The promises of the product, kept by real processes.

mod alerts;
mod answers;
mod bad_input;
mod cancel;
mod clients;
mod contract;
mod contract_tools;
mod defects;
mod drain;
mod idempotency;
mod identity;
mod limits;
mod matrix;
mod openai;
mod outage;
mod provider;
mod public;
mod rest;
mod restart;
mod settings;
mod socket;
mod start;
mod tenants;
mod tls;
mod trace;
mod trouble;

use std::path::PathBuf;
use std::time::Duration;

/// Longest time that an answer may take here; far above what it takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Lets a process do without the embedding model: texts are compared by their words, which is quick and enough for
/// [`QUESTION`]. Only the tests about answers themselves use the model.
const WORDS: (&str, &str) = ("EMBEDDING_MODEL_DIR", "none");

/// A question whose words stand in the guide.
const QUESTION: &str = "How many requests per minute may a free tenant make?";

/// Returns the folder of the workspace.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is there")
}

/// Returns what `deploy/setup.sh --test` put there.
fn tool(path: &str) -> PathBuf {
    let tool = root().join(".tools").join(path);
    assert!(tool.exists(), "{} is missing: `deploy/setup.sh --test` makes it", tool.display());
    tool
}

/// Returns the settings with which a process finds the local embedding model.
fn model() -> (&'static str, String) {
    let dir = tool("models/all-minilm-l6-v2/model.safetensors").parent().expect("it lies in a folder").to_owned();
    ("EMBEDDING_MODEL_DIR", dir.canonicalize().expect("the folder is there").to_string_lossy().into_owned())
}

/// Returns a plain connection to a gRPC port.
fn channel(address: &str) -> tonic::transport::Channel {
    let endpoint =
        tonic::transport::Endpoint::try_from(format!("http://{address}")).expect("an address is an authority");
    endpoint.connect_lazy()
}

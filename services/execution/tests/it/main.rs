//! Execution over a real Redis and real gRPC, with a scripted model.

mod accept;
mod mesh;
mod model;
mod peers;
mod run;
mod settings;

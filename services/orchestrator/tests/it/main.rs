//! The orchestrator over a real Redis and real gRPC.

mod agents;
mod callback_json;
mod connect;
mod management;
mod mesh;
mod send;
mod settings;

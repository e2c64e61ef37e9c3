//! The orchestrator over a real Redis and real gRPC.

mod callback_json;
mod connect;
mod management;
mod mesh;
mod send;
mod settings;

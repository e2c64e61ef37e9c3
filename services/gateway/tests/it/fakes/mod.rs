//! The services behind the gateway, as a test tells them to be. Tasks are real: they lie in the queue of the test's Redis.

mod ingestion;
mod management;
mod orchestrator;

pub(crate) use ingestion::Ingestion;
pub(crate) use management::Management;
pub(crate) use orchestrator::{Orchestrator, of_agent, of_task};

macro_rules! not_needed {
    ($wire:ident; $($method:ident: $request:ident => $response:ident;)*) => {$(
        fn $method<'a, 'b>(&'a self, _: tonic::Request<$wire::$request>)
            -> std::pin::Pin<Box<dyn Future<Output = Result<tonic::Response<$wire::$response>, tonic::Status>> + Send + 'b>>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(async { Err(fault::Failure::new(&fault::reason::UNIMPLEMENTED, "not needed").into()) })
        }
    )*};
}
pub(crate) use not_needed;

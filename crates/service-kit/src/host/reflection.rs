//! Reflection: tools list and describe the contract without its files.

use tonic::service::Routes;

use super::Error;

/// Adds reflection, v1 and v1alpha, of the whole contract and health to some routes. Services that this process does not
/// serve are left out.
pub(crate) fn server_reflection(routes: Routes, served: &[&str]) -> Result<Routes, Error> {
    let builder = || {
        let configured = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        served.iter().fold(configured, |builder, name| builder.with_service_name(*name))
    };
    let refused = |error: tonic_reflection::server::Error| Error::Reflection(error.into());
    let v1 = builder().with_service_name("grpc.reflection.v1.ServerReflection").build_v1().map_err(refused)?;
    let alpha = builder().with_service_name("grpc.reflection.v1alpha.ServerReflection").build_v1alpha();
    Ok(routes.add_service(v1).add_service(alpha.map_err(refused)?))
}

//! Who calls. An outside caller presents a key, which management resolves, or a token (JWT), which is checked here; a call
//! between services carries a signed identity. Whatever came, a façade sees a [`Caller`].

mod caller;
mod credential;
mod jwt;
mod key;
mod layer;
mod memory;
mod renewal;
mod scope;
mod signed;
mod signer;

#[cfg(test)]
mod tests;

pub use caller::{Caller, Identity, Tenant};
pub use credential::{Resolver, ResolverConfig, presented};
pub use jwt::{Grant, JwksConfig, JwtConfig, NoClient, Proof, Tokens, mint};
pub use key::key_file;
pub(crate) use layer::IdentityLayer;
pub(crate) use renewal::PROOF;
pub use renewal::{Standing, while_proved};
pub use scope::{Scope, Scopes};
pub(crate) use signed::Signed;
pub use signer::{HEADER, Signer};

//! The mission's `X-` headers: each read once, checked once.

use std::net::IpAddr;
use std::str::FromStr;

use action::{AgentId, CollectionId, ContextType, ConversationId, SessionId, TenantId, Tier, UserId};
use fault::{Failure, reason};
use http::{HeaderMap, HeaderValue};
use service_kit::Caller;

mod stated;

use stated::Stated;

/// Names as they are shown to callers.
pub(crate) mod name {
    pub(crate) const TENANT: &str = "X-Tenant-ID";
    pub(crate) const AGENT: &str = "X-Agent-ID";
    pub(crate) const TIER: &str = "X-Tenant-Tier";
    pub(crate) const SESSION: &str = "X-Session-ID";
    pub(crate) const CONTEXT_TYPE: &str = "X-Context-Type";
    pub(crate) const COLLECTION: &str = "X-Collection-ID";
    pub(crate) const USER: &str = "X-User-ID";
    pub(crate) const CONVERSATION: &str = "X-Conversation-ID";
    pub(crate) const SOURCE: &str = "X-Request-Source";
    pub(crate) const VERSION: &str = "X-Client-Version";
}

const REQUIRED: [&str; 4] = [name::TENANT, name::AGENT, name::TIER, name::SESSION];
const OPTIONAL: [&str; 6] =
    [name::CONTEXT_TYPE, name::COLLECTION, name::USER, name::CONVERSATION, name::SOURCE, name::VERSION];
/// Headers that say what a request is about; with another one of them it is another request.
pub(crate) const ABOUT: [&str; 6] =
    [name::USER, name::AGENT, name::SESSION, name::CONTEXT_TYPE, name::COLLECTION, name::CONVERSATION];
/// Where a request may come from.
pub(crate) const SOURCES: [&str; 3] = ["web", "mobile", "api"];
const MAX_VERSION: usize = 64;

/// What the headers of a chat message say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChatHeaders {
    /// What the caller asserts about itself; checked against the proof.
    pub(crate) asserted: Asserted,
    /// Where the message goes.
    pub(crate) to: Destination,
}

/// Where a message goes, and on whose behalf, however it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    /// Agent that shall answer.
    pub(crate) agent: AgentId,
    /// Session that shows the answer; none for a message that nobody follows, of which nothing is kept.
    pub(crate) session: Option<SessionId>,
    /// What the message goes to.
    pub(crate) context: ContextType,
    /// Collection to answer from.
    pub(crate) collection: Option<CollectionId>,
    /// Person who wrote.
    pub(crate) user: Option<UserId>,
    /// Conversation that the turn belongs to.
    pub(crate) conversation: Option<ConversationId>,
    /// web, mobile or api; empty when unknown.
    pub(crate) source: String,
    /// Version of the client; empty when unknown.
    pub(crate) version: String,
    /// Address of a client that nobody proved, and messages a minute that it may send.
    pub(crate) address: Option<(IpAddr, u32)>,
}

/// What a caller asserts about its tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asserted {
    /// Tenant that the caller says it is.
    pub(crate) tenant: Option<TenantId>,
    /// Tier that the caller says the tenant has.
    pub(crate) tier: Option<Tier>,
}

impl ChatHeaders {
    /// Reads the headers of a chat message: first that all are there, then that each stands once, then their values.
    pub(crate) fn parse(headers: &HeaderMap) -> Result<Self, Failure> {
        let stated = Stated::of(headers)?;
        let tier = stated.text(name::TIER)?.map(|text| parse_tier(text, name::TIER)).transpose()?;
        let asserted = Asserted { tenant: stated.id(name::TENANT)?, tier };
        // It is there and not empty, so there is nothing else to say about it.
        let agent = stated.id(name::AGENT)?.ok_or_else(Failure::internal)?;
        let session = stated.id(name::SESSION)?;
        let collection = stated.id(name::COLLECTION)?;
        let user = stated.id(name::USER)?;
        let conversation = stated.id(name::CONVERSATION)?;
        let source = source(stated.text(name::SOURCE)?)?;
        let version = version(stated.text(name::VERSION)?)?;
        let fields = [name::CONTEXT_TYPE, name::COLLECTION];
        let context = parse_context(stated.text(name::CONTEXT_TYPE)?, collection.as_ref(), fields)?;
        let to =
            Destination { agent, session, context, collection, user, conversation, source, version, address: None };
        Ok(Self { asserted, to })
    }
}

impl Asserted {
    /// Reads `X-Tenant-ID` and `X-Tenant-Tier`, each of which may be absent.
    pub(crate) fn parse(headers: &HeaderMap) -> Result<Self, Failure> {
        unique(headers, [name::TENANT, name::TIER].iter())?;
        Ok(Self { tenant: id(headers, name::TENANT)?, tier: tier(headers)? })
    }

    /// Checks that what is asserted is what was proved.
    pub(crate) fn agree(&self, caller: &Caller) -> Result<(), Failure> {
        self.agree_as(caller, [name::TENANT, name::TIER])
    }

    /// The same where tenant and tier have other names.
    pub(crate) fn agree_as(
        &self,
        caller: &Caller,
        [tenant_field, tier_field]: [&'static str; 2],
    ) -> Result<(), Failure> {
        if let Some(tenant) = &self.tenant {
            caller.assert_tenant(tenant, tenant_field)?;
        }
        self.tier.map_or(Ok(()), |tier| caller.assert_tier(tier, tier_field))
    }
}

/// Checks that none of the headers stands twice: which copy counts must not depend on a proxy.
pub(crate) fn unique<'a>(headers: &HeaderMap, names: impl Iterator<Item = &'a &'static str>) -> Result<(), Failure> {
    for name in names {
        if headers.get_all(*name).iter().count() > 1 {
            return Err(duplicate(name));
        }
    }
    Ok(())
}

fn duplicate(name: &'static str) -> Failure {
    Failure::new(&reason::DUPLICATE_HEADER, format!("{name} stands more than once")).field(name)
}

/// Returns the text of a header; an empty one counts as absent.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Failure> {
    headers.get(name).map_or(Ok(None), |value| plain(value, name))
}

fn plain<'a>(value: &'a HeaderValue, name: &'static str) -> Result<Option<&'a str>, Failure> {
    let text = value.to_str().map_err(|_| invalid(name, "may hold visible ASCII characters only"))?.trim();
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Reads an identifier out of a header.
pub(crate) fn id<T: FromStr>(headers: &HeaderMap, name: &'static str) -> Result<Option<T>, Failure> {
    parse_id(text(headers, name)?, name)
}

fn parse_id<T: FromStr>(text: Option<&str>, name: &'static str) -> Result<Option<T>, Failure> {
    let grammar = "must be 3 to 64 characters out of A-Z a-z 0-9 _ -";
    text.map(|text| text.parse().map_err(|_| invalid(name, grammar))).transpose()
}

/// Reads `X-Tenant-Tier`.
pub(crate) fn tier(headers: &HeaderMap) -> Result<Option<Tier>, Failure> {
    text(headers, name::TIER)?.map(|text| parse_tier(text, name::TIER)).transpose()
}

/// Reads a tier out of the header or parameter `field`.
pub(crate) fn parse_tier(text: &str, field: &'static str) -> Result<Tier, Failure> {
    text.parse().map_err(|_| {
        Failure::new(&reason::INVALID_TIER, "the tier is one of free, advance, professional, enterprise").field(field)
    })
}

fn source(text: Option<&str>) -> Result<String, Failure> {
    match text {
        Some(source) if !SOURCES.contains(&source) => Err(invalid(name::SOURCE, "is one of web, mobile, api")),
        source => Ok(source.unwrap_or_default().to_owned()),
    }
}

fn version(text: Option<&str>) -> Result<String, Failure> {
    match text {
        Some(version) if version.len() > MAX_VERSION => Err(invalid(name::VERSION, "has at most 64 characters")),
        // A tab passes for text in HTTP.
        Some(version) if version.bytes().any(|byte| byte.is_ascii_control()) => {
            Err(invalid(name::VERSION, "may hold visible ASCII characters and spaces only"))
        }
        version => Ok(version.unwrap_or_default().to_owned()),
    }
}

/// Reads a context type, an agent's when there is none; `fields` are the names of the type and of the collection where they
/// came from.
pub(crate) fn parse_context(
    text: Option<&str>,
    collection: Option<&CollectionId>,
    [type_field, collection_field]: [&'static str; 2],
) -> Result<ContextType, Failure> {
    let context = match text {
        Some(text) => text.parse().map_err(|_| {
            Failure::new(&reason::INVALID_CONTEXT_TYPE, "the context type is one of agent, workflow, collection")
                .field(type_field)
        })?,
        None => ContextType::Agent,
    };
    match context {
        ContextType::Workflow => {
            Err(Failure::new(&reason::CONTEXT_TYPE_UNAVAILABLE, "workflows are not served by this version")
                .field(type_field))
        }
        ContextType::Collection if collection.is_none() => {
            let text = format!("a collection context needs {collection_field}");
            Err(Failure::new(&reason::INVALID_CONTEXT_TYPE, text).field(collection_field))
        }
        _ => Ok(context),
    }
}

fn invalid(name: &'static str, rule: &str) -> Failure {
    Failure::new(&reason::INVALID_HEADER, format!("{name} {rule}")).field(name)
}

#[cfg(test)]
mod tests;

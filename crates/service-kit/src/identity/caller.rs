//! The one who calls, as façades see it, and the one for whom a service calls on.

use std::collections::BTreeSet;
use std::time::SystemTime;

use action::{Action, AgentId, TenantId, Tier, UserId};
use fault::{Failure, Fault as _, reason};
use proto::task::v1::Task;

use super::{Scope, Scopes};

/// A tenant as its record says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tenant {
    /// Identifies it.
    pub id: TenantId,
    /// Its service level, which the record alone decides.
    pub tier: Tier,
    /// Whether its calls are accepted.
    pub active: bool,
}

/// Who calls, proved. Found in the extensions of every request that got past the identity layer with a proof.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Tenant for whom the call is made; none for an operator or for a service on its own behalf.
    pub tenant: Option<Tenant>,
    /// Person for whom the call is made, as the tenant or a token says.
    pub user: Option<UserId>,
    /// What the caller may do.
    pub scopes: Scopes,
    /// The only agents that the caller may use; none for all of the tenant's.
    pub agents: Option<BTreeSet<AgentId>>,
    /// From when on the credential is refused; none while nothing but revoking ends it.
    pub expires_at: Option<SystemTime>,
    /// Whether the limits were charged already for what this call is part of.
    pub admitted: bool,
    /// Service that calls; none for a caller from outside.
    pub service: Option<String>,
}

impl Caller {
    /// Returns who sent a request. Fails with `CREDENTIAL_REQUIRED` when nobody proved anything.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<&Self, Failure> {
        request.extensions().get().ok_or_else(nobody)
    }

    /// Tells whether the caller is no service of the mesh, so that whatever it sends was looked at by nobody before.
    pub fn is_outside(&self) -> bool {
        self.service.is_none()
    }

    /// Returns the tenant for whom the call is made. Fails with `SCOPE_REQUIRED` without one, with `TENANT_INACTIVE` when
    /// it is suspended.
    pub fn tenant(&self) -> Result<(TenantId, Tier), Failure> {
        self.require(Scope::Tenant)?;
        let tenant = self.tenant.as_ref().ok_or_else(|| lacking(Scope::Tenant))?;
        if !tenant.active {
            return Err(suspended());
        }
        Ok((tenant.id.clone(), tenant.tier))
    }

    /// Fails with `SCOPE_REQUIRED` when the caller lacks a permission.
    pub fn require(&self, scope: Scope) -> Result<(), Failure> {
        if self.scopes.contains(scope) { Ok(()) } else { Err(lacking(scope)) }
    }

    /// Returns the tenant that a request names, or the caller's own when it names none. Another tenant than one's own
    /// needs the scope `admin`; fails with `TENANT_MISMATCH` otherwise.
    pub fn acting_for(&self, named: &str) -> Result<TenantId, Failure> {
        if named.is_empty() {
            return self.tenant().map(|(tenant, _)| tenant);
        }
        let named: TenantId = named.parse().map_err(|error: action::Error| error.failure())?;
        if self.scopes.contains(Scope::Admin) {
            return Ok(named);
        }
        self.tenant()?;
        self.assert_tenant(&named, "tenant_id")?;
        Ok(named)
    }

    /// Returns the name of the service that calls. Fails with `SCOPE_REQUIRED` for a caller from outside.
    pub fn inside(&self) -> Result<&str, Failure> {
        let refuse = || Failure::new(&reason::SCOPE_REQUIRED, "only services of the mesh may call this");
        self.service.as_deref().ok_or_else(refuse)
    }

    /// Checks what a request asserts about its tenant; `field` names the header or field. Fails with `TENANT_MISMATCH`.
    pub fn assert_tenant(&self, asserted: &TenantId, field: &str) -> Result<(), Failure> {
        match &self.tenant {
            Some(tenant) if tenant.id == *asserted => Ok(()),
            _ => {
                let text = format!("`{field}` is not the tenant that the credential belongs to");
                Err(Failure::new(&reason::TENANT_MISMATCH, text).field(field))
            }
        }
    }

    /// Checks what a request asserts about its tenant's tier; `field` names the header or field. Fails with
    /// `TIER_MISMATCH`.
    pub fn assert_tier(&self, asserted: Tier, field: &str) -> Result<(), Failure> {
        match &self.tenant {
            Some(tenant) if tenant.tier == asserted => Ok(()),
            _ => {
                let text = format!("`{field}` is not the tier in the tenant's record");
                Err(Failure::new(&reason::TIER_MISMATCH, text).field(field))
            }
        }
    }

    /// Checks what a request asserts about its user; `field` names the header or field. Returns the user who was proved, or
    /// the asserted one when the credential is nobody's in particular. Fails with `TENANT_MISMATCH`.
    pub fn assert_user(&self, asserted: Option<UserId>, field: &str) -> Result<Option<UserId>, Failure> {
        match (&self.user, asserted) {
            (Some(user), Some(asserted)) if *user != asserted => {
                let text = format!("`{field}` is another user than the one that the credential belongs to");
                Err(Failure::new(&reason::TENANT_MISMATCH, text).field(field))
            }
            (user, asserted) => Ok(user.clone().or(asserted)),
        }
    }

    /// Checks that the credential is not limited to other agents. Fails with `ACCESS_DENIED`.
    pub fn assert_agent(&self, agent: &AgentId) -> Result<(), Failure> {
        if self.agents.as_ref().is_none_or(|agents| agents.contains(agent)) {
            return Ok(());
        }
        Err(Failure::new(&reason::ACCESS_DENIED, "the credential is limited to other agents").field("agent_id"))
    }

    /// Checks that the credential is not limited to some agents, which are to be used and not to be managed. Fails with
    /// `ACCESS_DENIED`.
    pub fn assert_unlimited(&self) -> Result<(), Failure> {
        if self.agents.is_none() {
            return Ok(());
        }
        Err(Failure::new(&reason::ACCESS_DENIED, "a credential that is limited to some agents changes nothing"))
    }

    /// Tells whether the credential is limited to some agents, or is one person's, and so is not shown all that is the tenant's.
    pub fn is_limited(&self) -> bool {
        self.agents.is_some() || self.user.is_some()
    }

    /// Tells whether a task of the caller's tenant is for it to see. What is for no agent, and for nobody in particular, is the tenant's.
    pub fn may_see(&self, task: &Task) -> bool {
        let is_agents = |agents: &BTreeSet<AgentId>| agents.iter().any(|agent| agent.as_str() == task.agent_id);
        let agent = task.agent_id.is_empty() || self.agents.as_ref().is_none_or(is_agents);
        let user = task.user_id.is_empty() || self.user.as_ref().is_none_or(|user| user.as_str() == task.user_id);
        agent && user
    }

    /// Fails with `CREDENTIAL_EXPIRED` once the credential's time is over.
    pub fn in_force(&self, now: SystemTime) -> Result<(), Failure> {
        if self.expires_at.is_none_or(|end| now < end) { Ok(()) } else { Err(expired()) }
    }

    /// Returns the caller after its limits were charged: services called on its behalf do not charge again.
    #[must_use]
    pub fn into_admitted(self) -> Self {
        Self { admitted: true, ..self }
    }
}

/// What is said to who proved nothing.
pub(super) fn nobody() -> Failure {
    Failure::new(&reason::CREDENTIAL_REQUIRED, "send `authorization: Bearer <key or token>` or `x-api-key: <key>`")
}

/// What is said to who is suspended.
pub(super) fn suspended() -> Failure {
    Failure::new(&reason::TENANT_INACTIVE, "the tenant is suspended")
}

/// What is said to who comes too late.
pub(super) fn expired() -> Failure {
    Failure::new(&reason::CREDENTIAL_EXPIRED, "the credential has expired")
}

fn lacking(scope: Scope) -> Failure {
    Failure::new(&reason::SCOPE_REQUIRED, format!("the credential lacks the scope `{scope}`"))
        .with("scope", scope.to_string())
}

/// On whose behalf a service calls another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(Caller);

impl Identity {
    /// The service itself, on nobody's behalf.
    pub fn service() -> Self {
        Self(Caller::default())
    }

    /// A tenant, for work that was admitted.
    pub fn tenant(id: TenantId, tier: Tier) -> Self {
        let tenant = Some(Tenant { id, tier, active: true });
        Self(Caller { tenant, scopes: Scopes::from([Scope::Tenant]), admitted: true, ..Caller::default() })
    }

    /// Returns the caller that the called service shall see.
    pub(crate) fn called_by(&self, service: &str) -> Caller {
        Caller { service: Some(service.to_owned()), ..self.0.clone() }
    }

    /// Returns on whose behalf the call is made.
    pub(crate) fn caller(&self) -> &Caller {
        &self.0
    }

    /// Returns the tenant, where there is one.
    pub fn of_tenant(&self) -> Option<&Tenant> {
        self.0.tenant.as_ref()
    }
}

impl From<&Caller> for Identity {
    fn from(caller: &Caller) -> Self {
        Self(caller.clone())
    }
}

impl From<Caller> for Identity {
    fn from(caller: Caller) -> Self {
        Self(caller)
    }
}

impl From<&Identity> for Identity {
    fn from(identity: &Identity) -> Self {
        identity.clone()
    }
}

/// Work is done for the action's tenant, whose limits were charged when it was accepted.
impl From<&Action> for Identity {
    fn from(action: &Action) -> Self {
        let Self(caller) = Self::tenant(action.tenant.clone(), action.tier);
        Self(Caller { user: action.user.clone(), ..caller })
    }
}

//! Keys: making, replacing, revoking, and telling whose one is.

use std::time::Duration;

use action::time;
use proto::management::v1 as wire;
use service_kit::Change;
use service_kit::identity::{Scope, Scopes};
use store::Page;

use crate::collections::BOUNDS;
use crate::error::Thing;
use crate::key::ApiKey;
use crate::key_table::{self as table, NewKey, StoredKey, moment};
use crate::tenants::now_ms;
use crate::{Error, Management, field};

/// How long a replaced key goes on working unless asked otherwise, and at most.
const OVERLAP: Duration = Duration::from_hours(24);
const LONGEST_OVERLAP: Duration = Duration::from_hours(30 * 24);

impl Management {
    /// Makes a key. The answer is the only place where its secret is ever shown.
    pub async fn create_api_key(
        &self,
        request: wire::CreateApiKeyRequest,
    ) -> Result<wire::CreateApiKeyResponse, Error> {
        let new = read(&request)?;
        let mut transaction = self.database.begin().await?;
        if let Some(tenant) = &new.tenant {
            self.find_tenant(&mut *transaction, tenant).await?;
        }
        let key = ApiKey::generate();
        let stored = table::insert(&mut transaction, &key, &new, &self.pepper).await?;
        transaction.commit().await?;
        self.changes.announce(Change::Key).await;
        tracing::info!(key_id = key.id(), tenant_id = stored.tenant_id, scopes = stored.scopes, "key made");
        Ok(wire::CreateApiKeyResponse { key: Some(stored.into_wire()), secret: key.secret().expose().to_owned() })
    }

    /// Revokes a key from now on; revoking it again changes nothing.
    pub async fn revoke_api_key(&self, request: &wire::RevokeApiKeyRequest) -> Result<wire::ApiKey, Error> {
        let revoked = table::revoke(self.database.write(), &request.key_id).await?;
        self.changes.announce(Change::Key).await;
        tracing::info!(key_id = revoked.key_id, "key revoked");
        Ok(revoked.into_wire())
    }

    /// Makes another key for the same tenant and scopes, under the same name. The old one ends after an overlap, so that
    /// whoever uses it has time to change over.
    pub async fn rotate_api_key(
        &self,
        request: &wire::RotateApiKeyRequest,
    ) -> Result<wire::RotateApiKeyResponse, Error> {
        let overlap = overlap(request.overlap.as_ref())?;
        let expires_at = end(request.expires_at.as_ref())?;
        let mut transaction = self.database.begin().await?;
        let old = table::find(&mut *transaction, &request.key_id).await?;
        let old = old.ok_or(Error::NotFound { thing: Thing::Key, field: "key_id" })?;
        let now = now_ms();
        if !old.is_in_force(now) || old.replaced_by.is_some() {
            return Err(Error::field("key_id", "names a key that has ended or was replaced already; make a new one"));
        }
        let lifetime = old.expires_at.map(|end| end.saturating_sub(old.created_at));
        let new = NewKey {
            tenant: old.tenant_id.as_ref().map(|id| field::id("tenant_id", id)).transpose()?,
            name: old.name.clone(),
            scopes: old.scopes(),
            expires_at: expires_at.or(lifetime.map(|lifetime| now.saturating_add(lifetime))),
        };
        let key = ApiKey::generate();
        let made = table::insert(&mut transaction, &key, &new, &self.pepper).await?;
        let ends = now.saturating_add(overlap);
        let ends = old.expires_at.map_or(ends, |end| end.min(ends));
        let replaced = table::replace(&mut transaction, &old.key_id, key.id(), ends).await?;
        transaction.commit().await?;
        self.changes.announce(Change::Key).await;
        tracing::info!(key_id = replaced.key_id, replaced_by = key.id(), overlap_ms = overlap, "key replaced");
        Ok(wire::RotateApiKeyResponse {
            key: Some(made.into_wire()),
            secret: key.secret().expose().to_owned(),
            replaced: Some(replaced.into_wire()),
        })
    }

    /// Lists keys by their public part: those of a tenant, or all.
    pub async fn api_keys(&self, request: &wire::ListApiKeysRequest) -> Result<wire::ListApiKeysResponse, Error> {
        let tenant = match request.tenant_id.as_str() {
            "" => None,
            id => Some(field::id("tenant_id", id)?),
        };
        let page = Page::read("keys", 1, BOUNDS, request.page_size, &request.page_token)?;
        let rows = table::list(self.database.read(), tenant.as_ref(), &page).await?;
        let (rows, next_page_token) = page.finish(rows, |row| vec![row.key_id.clone()]);
        Ok(wire::ListApiKeysResponse { keys: rows.into_iter().map(StoredKey::into_wire).collect(), next_page_token })
    }

    /// Tells whom a credential belongs to. A suspended tenant is returned as such, and its key has lost every scope but
    /// `tenant`, which a suspended tenant cannot use.
    pub async fn resolve_credential(&self, credential: &str) -> Result<wire::ResolveCredentialResponse, Error> {
        let key = ApiKey::parse(credential).ok_or(Error::Credential)?;
        let stored = table::find(self.database.read(), key.id()).await?;
        // A key id that is unknown costs the time of one that is known.
        let fits = self.pepper.verify(&key, stored.as_ref().map_or(&[0; 32], |stored| stored.mac.as_slice()));
        let stored = stored.filter(|stored| fits && stored.revoked_at.is_none()).ok_or(Error::Credential)?;
        if stored.has_expired(now_ms()) {
            return Err(Error::Expired);
        }
        let mut scopes = stored.scopes();
        let tenant = match &stored.tenant_id {
            None => None,
            Some(id) => {
                let id = id.parse().map_err(|_| store::Error::Stored("tenant_id"))?;
                let tenant = self.find_tenant(self.database.read(), &id).await?;
                if !tenant.is_active {
                    scopes = Scopes::from([Scope::Tenant]);
                }
                Some(tenant.into_wire()?)
            }
        };
        let expires_at = stored.expires_at.map(moment);
        Ok(wire::ResolveCredentialResponse { tenant, scopes: scopes.words(), key_id: stored.key_id, expires_at })
    }
}

fn read(request: &wire::CreateApiKeyRequest) -> Result<NewKey, Error> {
    let tenant = match request.tenant_id.as_str() {
        "" => None,
        id => Some(field::id("tenant_id", id)?),
    };
    let name = field::line("name", &request.name, 0..=100)?;
    let words = request.scopes.iter().map(|word| word.parse());
    let scopes = words.collect::<Result<Vec<Scope>, ()>>();
    let scopes = scopes.map_err(|()| Error::field("scopes", "must be out of `tenant`, `admin`, `worker:<domain>`"))?;
    let scopes = if scopes.is_empty() { vec![Scope::Tenant] } else { scopes };
    if tenant.is_none() && scopes.contains(&Scope::Tenant) {
        return Err(Error::field("scopes", "of a key without a tenant must be out of `admin`, `worker:<domain>`"));
    }
    let expires_at = end(request.expires_at.as_ref())?;
    Ok(NewKey { tenant, name, scopes: scopes.into_iter().collect(), expires_at })
}

/// Reads when a key shall end, in milliseconds since 1970.
fn end(asked: Option<&prost_types::Timestamp>) -> Result<Option<i64>, Error> {
    let Some(asked) = asked else { return Ok(None) };
    let end = i64::try_from(time::to_unix_ms(asked)).ok().filter(|end| *end > now_ms());
    end.map(Some).ok_or_else(|| Error::field("expires_at", "must lie in the future"))
}

/// Reads for how long an old key goes on, in milliseconds.
fn overlap(asked: Option<&prost_types::Duration>) -> Result<i64, Error> {
    let overlap = asked.map_or(Some(OVERLAP), time::duration_from_proto).filter(|overlap| *overlap <= LONGEST_OVERLAP);
    let overlap = overlap.ok_or_else(|| Error::field("overlap", "must be 0 to 30 days"))?;
    Ok(i64::try_from(overlap.as_millis()).unwrap_or_default())
}

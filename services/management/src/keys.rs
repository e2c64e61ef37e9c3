//! Keys: making, revoking, and telling whose one is.

use action::{TenantId, time};
use proto::management::v1 as wire;
use service_kit::identity::{Scope, Scopes};
use sqlx::FromRow;
use store::Sql;

use crate::error::Thing;
use crate::key::{ApiKey, Pepper};
use crate::tenants::now_ms;
use crate::{Error, Management, field};

/// What is said about a key when it is made.
pub(crate) struct NewKey {
    /// None for an operator's key.
    pub(crate) tenant: Option<TenantId>,
    pub(crate) name: String,
    pub(crate) scopes: Scopes,
}

/// A row of `api_keys`.
#[derive(FromRow)]
pub(crate) struct StoredKey {
    key_id: String,
    tenant_id: Option<String>,
    name: String,
    scopes: String,
    mac: Vec<u8>,
    created_at: i64,
    revoked_at: Option<i64>,
}

impl StoredKey {
    /// Tells whether the key that is presented is this one, and was not revoked.
    pub(crate) fn is_valid(&self, key: &ApiKey, pepper: &Pepper) -> bool {
        pepper.verify(key, &self.mac) && self.revoked_at.is_none()
    }

    pub(crate) fn grants(&self, scope: Scope) -> bool {
        self.scopes().contains(scope)
    }

    fn scopes(&self) -> Scopes {
        Scopes::parse(self.scopes.split(' '))
    }

    fn into_wire(self) -> wire::ApiKey {
        let time = |ms: i64| time::from_unix_ms(ms.unsigned_abs());
        wire::ApiKey {
            scopes: self.scopes().words(),
            key_id: self.key_id,
            tenant_id: self.tenant_id.unwrap_or_default(),
            name: self.name,
            created_at: Some(time(self.created_at)),
            revoked_at: self.revoked_at.map(time),
        }
    }
}

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
        let stored = insert(&mut transaction, &key, &new, &self.pepper).await?;
        transaction.commit().await?;
        tracing::info!(key_id = key.id(), tenant_id = stored.tenant_id, scopes = stored.scopes, "key made");
        Ok(wire::CreateApiKeyResponse { key: Some(stored.into_wire()), secret: key.secret().expose().to_owned() })
    }

    /// Revokes a key from now on; revoking it again changes nothing.
    pub async fn revoke_api_key(&self, request: &wire::RevokeApiKeyRequest) -> Result<wire::ApiKey, Error> {
        let revoked: Option<StoredKey> = sqlx::query_as(
            "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $2) WHERE key_id = $1 \
             RETURNING key_id, tenant_id, name, scopes, mac, created_at, revoked_at",
        )
        .bind(request.key_id.as_str())
        .bind(now_ms())
        .fetch_optional(self.database.write())
        .await?;
        let revoked = revoked.ok_or(Error::NotFound { thing: Thing::Key, field: "key_id" })?;
        tracing::info!(key_id = revoked.key_id, "key revoked");
        Ok(revoked.into_wire())
    }

    /// Tells whom a credential belongs to. A suspended tenant is returned as such, and its key has lost every scope but
    /// `tenant`, which a suspended tenant cannot use.
    pub async fn resolve_credential(&self, credential: &str) -> Result<wire::ResolveCredentialResponse, Error> {
        let key = ApiKey::parse(credential).ok_or(Error::Credential)?;
        let stored = find(self.database.read(), key.id()).await?;
        // A key id that is unknown costs the time of one that is known.
        let fits = self.pepper.verify(&key, stored.as_ref().map_or(&[0; 32], |stored| stored.mac.as_slice()));
        let stored = stored.filter(|stored| fits && stored.revoked_at.is_none()).ok_or(Error::Credential)?;
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
        Ok(wire::ResolveCredentialResponse { tenant, scopes: scopes.words(), key_id: stored.key_id })
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
    Ok(NewKey { tenant, name, scopes: scopes.into_iter().collect() })
}

/// Looks a key up by its public part.
pub(crate) async fn find<'e>(
    executor: impl sqlx::Executor<'e, Database = Sql>,
    key_id: &str,
) -> Result<Option<StoredKey>, Error> {
    let sql = "SELECT key_id, tenant_id, name, scopes, mac, created_at, revoked_at FROM api_keys WHERE key_id = $1";
    Ok(sqlx::query_as(sql).bind(key_id).fetch_optional(executor).await?)
}

/// Stores what is kept of a key.
pub(crate) async fn insert(
    connection: &mut store::Connection,
    key: &ApiKey,
    new: &NewKey,
    pepper: &Pepper,
) -> Result<StoredKey, Error> {
    let sql = "INSERT INTO api_keys (key_id, tenant_id, name, scopes, mac, created_at) VALUES ($1, $2, $3, $4, $5, $6) \
               RETURNING key_id, tenant_id, name, scopes, mac, created_at, revoked_at";
    let stored = sqlx::query_as(sql)
        .bind(key.id())
        .bind(new.tenant.as_ref().map(TenantId::as_str))
        .bind(new.name.as_str())
        .bind(new.scopes.words().join(" "))
        .bind(pepper.mac(key))
        .bind(now_ms())
        .fetch_one(connection)
        .await?;
    Ok(stored)
}

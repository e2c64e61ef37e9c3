//! The table of keys: rows and statements.

use action::{TenantId, time};
use proto::management::v1 as wire;
use service_kit::identity::{Scope, Scopes};
use sqlx::FromRow;
use store::{Connection, Page, Sql};

use crate::Error;
use crate::error::Thing;
use crate::key::{ApiKey, Pepper};
use crate::tenants::now_ms;

/// What is said about a key when it is made.
pub(crate) struct NewKey {
    /// None for an operator's key.
    pub(crate) tenant: Option<TenantId>,
    pub(crate) name: String,
    pub(crate) scopes: Scopes,
    /// Milliseconds since 1970.
    pub(crate) expires_at: Option<i64>,
}

/// A row of `api_keys`.
#[derive(FromRow)]
pub(crate) struct StoredKey {
    pub(crate) key_id: String,
    pub(crate) tenant_id: Option<String>,
    pub(crate) name: String,
    pub(crate) scopes: String,
    pub(crate) mac: Vec<u8>,
    pub(crate) created_at: i64,
    pub(crate) revoked_at: Option<i64>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) replaced_by: Option<String>,
}

macro_rules! columns {
    () => {
        "key_id, tenant_id, name, scopes, mac, created_at, revoked_at, expires_at, replaced_by"
    };
}

impl StoredKey {
    /// Tells whether the key that is presented is this one, and is in force.
    pub(crate) fn is_valid(&self, key: &ApiKey, pepper: &Pepper) -> bool {
        pepper.verify(key, &self.mac) && self.is_in_force(now_ms())
    }

    pub(crate) fn is_in_force(&self, now: i64) -> bool {
        self.revoked_at.is_none() && !self.has_expired(now)
    }

    pub(crate) fn has_expired(&self, now: i64) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    pub(crate) fn grants(&self, scope: Scope) -> bool {
        self.scopes().contains(scope)
    }

    pub(crate) fn scopes(&self) -> Scopes {
        Scopes::parse(self.scopes.split(' '))
    }

    pub(crate) fn into_wire(self) -> wire::ApiKey {
        wire::ApiKey {
            scopes: self.scopes().words(),
            key_id: self.key_id,
            tenant_id: self.tenant_id.unwrap_or_default(),
            name: self.name,
            created_at: Some(moment(self.created_at)),
            revoked_at: self.revoked_at.map(moment),
            expires_at: self.expires_at.map(moment),
            replaced_by: self.replaced_by.unwrap_or_default(),
        }
    }
}

/// Writes a time of the table.
pub(crate) fn moment(ms: i64) -> prost_types::Timestamp {
    time::from_unix_ms(ms.unsigned_abs())
}

/// Looks a key up by its public part.
pub(crate) async fn find<'e>(
    executor: impl sqlx::Executor<'e, Database = Sql>,
    key_id: &str,
) -> Result<Option<StoredKey>, Error> {
    let sql = concat!("SELECT ", columns!(), " FROM api_keys WHERE key_id = $1");
    Ok(sqlx::query_as(sql).bind(key_id).fetch_optional(executor).await?)
}

/// Stores what is kept of a key.
pub(crate) async fn insert(
    connection: &mut Connection,
    key: &ApiKey,
    new: &NewKey,
    pepper: &Pepper,
) -> Result<StoredKey, Error> {
    let sql = concat!(
        "INSERT INTO api_keys (key_id, tenant_id, name, scopes, mac, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING ",
        columns!()
    );
    let stored = sqlx::query_as(sql)
        .bind(key.id())
        .bind(new.tenant.as_ref().map(TenantId::as_str))
        .bind(new.name.as_str())
        .bind(new.scopes.words().join(" "))
        .bind(pepper.mac(key))
        .bind(now_ms())
        .bind(new.expires_at)
        .fetch_one(connection)
        .await?;
    Ok(stored)
}

/// Revokes a key; one that is revoked stays so from the first time.
pub(crate) async fn revoke<'e>(
    executor: impl sqlx::Executor<'e, Database = Sql>,
    key_id: &str,
) -> Result<StoredKey, Error> {
    let sql =
        concat!("UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $2) WHERE key_id = $1 RETURNING ", columns!());
    let revoked: Option<StoredKey> = sqlx::query_as(sql).bind(key_id).bind(now_ms()).fetch_optional(executor).await?;
    revoked.ok_or(Error::NotFound { thing: Thing::Key, field: "key_id" })
}

/// Notes which key replaces another one, and when that ends.
pub(crate) async fn replace(
    connection: &mut Connection,
    key_id: &str,
    by: &str,
    expires_at: i64,
) -> Result<StoredKey, Error> {
    let sql = concat!("UPDATE api_keys SET replaced_by = $2, expires_at = $3 WHERE key_id = $1 RETURNING ", columns!());
    Ok(sqlx::query_as(sql).bind(key_id).bind(by).bind(expires_at).fetch_one(connection).await?)
}

/// Returns the keys of a page, and one more if there is one: of a tenant, or of all.
pub(crate) async fn list<'e>(
    executor: impl sqlx::Executor<'e, Database = Sql>,
    tenant: Option<&TenantId>,
    page: &Page,
) -> Result<Vec<StoredKey>, Error> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM api_keys WHERE ($1 IS NULL OR tenant_id = $1) AND key_id > $2 ORDER BY key_id LIMIT $3"
    );
    let after = page.after(0).unwrap_or_default().to_owned();
    let rows = sqlx::query_as(sql).bind(tenant.map(TenantId::as_str)).bind(after).bind(page.limit());
    Ok(rows.fetch_all(executor).await?)
}

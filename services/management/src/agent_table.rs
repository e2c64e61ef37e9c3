//! The tables of agents: rows and statements.

use std::collections::HashSet;

use action::{AgentId, CollectionId, Tier, time};
use proto::management::v1 as wire;
use sqlx::FromRow;
use sqlx::query::Query;
use store::{Arguments, Connection, Page, Scoped, Sql};

use crate::agent::{Kind, Settings};
use crate::error::Thing;
use crate::tenants::now_ms;
use crate::{Error, slug};

const UNKNOWN: Error = Error::NotFound { thing: Thing::Agent, field: "agent_id" };

/// A query for [`AgentRow`]s, one statement so that an agent is never seen with the collections of another version.
macro_rules! agents {
    ($conditions:literal) => {
        concat!(
            "SELECT a.tenant_id, a.agent_id, a.name, a.description, a.slug, a.type, a.model, a.temperature, \
             a.max_tokens, a.system_prompt, a.max_history_messages, a.is_active, a.minimum_tier, a.created_at, \
             a.updated_at, a.version, a.is_public, a.per_minute, a.per_hour, a.per_day, COALESCE((SELECT string_agg(c.collection_id, ' ' ORDER BY c.position) \
             FROM agent_collections c WHERE c.tenant_id = a.tenant_id AND c.agent_id = a.agent_id), '') AS collections \
             FROM agents a WHERE a.tenant_id = $1 AND ",
            $conditions
        )
    };
}

#[derive(FromRow)]
struct AgentRow {
    tenant_id: String,
    agent_id: String,
    name: String,
    description: String,
    slug: String,
    r#type: String,
    model: String,
    temperature: f64,
    max_tokens: i64,
    system_prompt: String,
    max_history_messages: i64,
    is_active: bool,
    minimum_tier: String,
    created_at: i64,
    updated_at: i64,
    version: i64,
    is_public: bool,
    per_minute: i64,
    per_hour: i64,
    per_day: i64,
    /// Separated by spaces.
    collections: String,
}

impl AgentRow {
    fn into_wire(self) -> Result<wire::Agent, Error> {
        let count = |value: i64, name| u32::try_from(value).map_err(|_| store::Error::Stored(name));
        let tier: Tier = self.minimum_tier.parse().map_err(|_| store::Error::Stored("minimum_tier"))?;
        Ok(wire::Agent {
            r#type: Kind::from_stored(&self.r#type)?.into(),
            max_tokens: count(self.max_tokens, "max_tokens")?,
            max_history_messages: count(self.max_history_messages, "max_history_messages")?,
            minimum_tier: tier.to_proto().into(),
            limits: Some(wire::AgentLimits {
                per_minute: count(self.per_minute, "per_minute")?,
                per_hour: count(self.per_hour, "per_hour")?,
                per_day: count(self.per_day, "per_day")?,
            }),
            is_public: self.is_public,
            created_at: Some(time::from_unix_ms(self.created_at.unsigned_abs())),
            updated_at: Some(time::from_unix_ms(self.updated_at.unsigned_abs())),
            version: self.version.unsigned_abs(),
            collections: self.collections.split(' ').filter(|id| !id.is_empty()).map(str::to_owned).collect(),
            agent_id: self.agent_id,
            tenant_id: self.tenant_id,
            name: self.name,
            description: self.description,
            slug: self.slug,
            model: self.model,
            temperature: Some(self.temperature),
            prompt_bytes: u32::try_from(self.system_prompt.len()).unwrap_or(u32::MAX),
            system_prompt: self.system_prompt,
            is_active: self.is_active,
        })
    }
}

/// Returns an agent.
pub(crate) async fn find(scope: &Scoped<'_>, connection: &mut Connection, id: &AgentId) -> Result<wire::Agent, Error> {
    let row: Option<AgentRow> =
        scope.query_as(agents!("a.agent_id = $2")).bind(id.as_str().to_owned()).fetch_optional(connection).await?;
    row.ok_or(UNKNOWN)?.into_wire()
}

/// Returns the agent of this slug.
pub(crate) async fn find_slug(
    scope: &Scoped<'_>,
    connection: &mut Connection,
    slug: &str,
) -> Result<Option<wire::Agent>, Error> {
    let row: Option<AgentRow> =
        scope.query_as(agents!("a.slug = $2")).bind(slug.to_owned()).fetch_optional(connection).await?;
    row.map(AgentRow::into_wire).transpose()
}

/// Returns the agents of a page, and one more if there is one.
pub(crate) async fn list(scope: &Scoped<'_>, page: &Page) -> Result<Vec<wire::Agent>, Error> {
    let rows: Vec<AgentRow> = scope
        .query_as(agents!("a.agent_id > $2 ORDER BY a.agent_id LIMIT $3"))
        .bind(page.after(0).unwrap_or_default().to_owned())
        .bind(page.limit())
        .fetch_all(scope.read())
        .await?;
    rows.into_iter().map(AgentRow::into_wire).collect()
}

/// Returns the slug that was chosen, or one made from the name that no other agent of the tenant has.
pub(crate) async fn free_slug(
    scope: &Scoped<'_>,
    connection: &mut Connection,
    settings: &Settings,
    id: &AgentId,
) -> Result<String, Error> {
    if let Some(slug) = &settings.slug {
        refuse_taken(scope, connection, slug, id).await?;
        return Ok(slug.clone());
    }
    let wish = slug::from_name(&settings.name);
    let taken: Vec<String> = scope
        .query_scalar("SELECT slug FROM agents WHERE tenant_id = $1 AND agent_id <> $2 AND slug LIKE $3")
        .bind(id.as_str().to_owned())
        .bind(format!("{}%", slug::stem(&wish)))
        .fetch_all(connection)
        .await?;
    Ok(slug::free(&wish, &HashSet::from_iter(taken)))
}

/// Makes the row of an agent, without its collections.
pub(crate) async fn insert(
    scope: &Scoped<'_>,
    connection: &mut Connection,
    id: &AgentId,
    settings: &Settings,
    slug: &str,
) -> Result<(), Error> {
    let sql = "INSERT INTO agents (tenant_id, agent_id, name, description, slug, type, model, temperature, max_tokens, \
               system_prompt, max_history_messages, minimum_tier, is_public, per_minute, per_hour, per_day, is_active, \
               created_at, updated_at, version) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, TRUE, $17, $17, 1)";
    bind(scope.query(sql), id, settings, slug).bind(now_ms()).execute(connection).await?;
    Ok(())
}

/// Changes the row of an agent, without its collections.
pub(crate) async fn update(
    scope: &Scoped<'_>,
    connection: &mut Connection,
    id: &AgentId,
    settings: &Settings,
    slug: &str,
    is_active: bool,
) -> Result<(), Error> {
    let sql = "UPDATE agents SET name = $3, description = $4, slug = $5, type = $6, model = $7, temperature = $8, \
               max_tokens = $9, system_prompt = $10, max_history_messages = $11, minimum_tier = $12, is_public = $13, \
               per_minute = $14, per_hour = $15, per_day = $16, is_active = $17, updated_at = $18, \
               version = version + 1 WHERE tenant_id = $1 AND agent_id = $2";
    bind(scope.query(sql), id, settings, slug).bind(is_active).bind(now_ms()).execute(connection).await?;
    Ok(())
}

/// Deletes an agent and the list of its collections.
pub(crate) async fn delete(scope: &Scoped<'_>, connection: &mut Connection, id: &AgentId) -> Result<(), Error> {
    let sql = "DELETE FROM agents WHERE tenant_id = $1 AND agent_id = $2";
    let deleted = scope.query(sql).bind(id.as_str().to_owned()).execute(connection).await?;
    if deleted.rows_affected() == 0 { Err(UNKNOWN) } else { Ok(()) }
}

/// Replaces the list of an agent's collections.
pub(crate) async fn put_collections(
    scope: &Scoped<'_>,
    connection: &mut Connection,
    id: &AgentId,
    collections: &[CollectionId],
) -> Result<(), Error> {
    let sql = "DELETE FROM agent_collections WHERE tenant_id = $1 AND agent_id = $2";
    scope.query(sql).bind(id.as_str().to_owned()).execute(&mut *connection).await?;
    let sql = "INSERT INTO agent_collections (tenant_id, agent_id, position, collection_id) VALUES ($1, $2, $3, $4)";
    for (position, collection) in (0_i64..).zip(collections) {
        scope
            .query(sql)
            .bind(id.as_str().to_owned())
            .bind(position)
            .bind(collection.as_str().to_owned())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Binds `$2` to `$16`: the id and everything that the owner decides.
fn bind<'a>(
    query: Query<'a, Sql, Arguments>,
    id: &AgentId,
    settings: &Settings,
    slug: &str,
) -> Query<'a, Sql, Arguments> {
    query
        .bind(id.as_str().to_owned())
        .bind(settings.name.clone())
        .bind(settings.description.clone())
        .bind(slug.to_owned())
        .bind(settings.kind.as_str())
        .bind(settings.model.clone())
        .bind(settings.temperature)
        .bind(i64::from(settings.max_tokens))
        .bind(settings.system_prompt.clone())
        .bind(i64::from(settings.max_history_messages))
        .bind(settings.minimum_tier.as_str())
        .bind(settings.is_public)
        .bind(i64::from(settings.limits.per_minute))
        .bind(i64::from(settings.limits.per_hour))
        .bind(i64::from(settings.limits.per_day))
}

/// Fails when the tenant has an agent with this id: asked before the tier's limit, so that making an agent a second time says
/// that it exists rather than that there are too many.
pub(crate) async fn refuse_known(scope: &Scoped<'_>, connection: &mut Connection, id: &AgentId) -> Result<(), Error> {
    let known: i64 = scope
        .query_scalar("SELECT COUNT(*) FROM agents WHERE tenant_id = $1 AND agent_id = $2")
        .bind(id.as_str().to_owned())
        .fetch_one(connection)
        .await?;
    if known == 0 { Ok(()) } else { Err(Error::Exists { field: "agent.agent_id" }) }
}

async fn refuse_taken(scope: &Scoped<'_>, connection: &mut Connection, slug: &str, id: &AgentId) -> Result<(), Error> {
    let others: i64 = scope
        .query_scalar("SELECT COUNT(*) FROM agents WHERE tenant_id = $1 AND agent_id <> $2 AND slug = $3")
        .bind(id.as_str().to_owned())
        .bind(slug.to_owned())
        .fetch_one(connection)
        .await?;
    if others == 0 { Ok(()) } else { Err(Error::Exists { field: "agent.slug" }) }
}

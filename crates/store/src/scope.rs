//! A tenant's part of the tables.

use action::TenantId;
use sqlx::FromRow;
use sqlx::query::{Query, QueryAs, QueryScalar};

use crate::{Arguments, Database, Error, Pool, Row, Sql, Transaction};

/// One tenant's view of a database: what the query functions of a service take instead of a connection, so that they cannot
/// be called without a tenant.
///
/// Statements made here have the tenant bound as `$1` already; further values are `$2`, `$3`, …
#[derive(Clone, Copy, Debug)]
pub struct Scoped<'a> {
    database: &'a Database,
    tenant: &'a TenantId,
}

impl<'a> Scoped<'a> {
    pub(crate) fn new(database: &'a Database, tenant: &'a TenantId) -> Self {
        Self { database, tenant }
    }

    /// Returns whose view it is.
    pub fn tenant(&self) -> &'a TenantId {
        self.tenant
    }

    /// Returns the connections for reading.
    pub fn read(&self) -> &'a Pool {
        self.database.read()
    }

    /// Begins a writing transaction; see [`Database::begin`].
    pub async fn begin(&self) -> Result<Transaction, Error> {
        self.database.begin().await
    }

    /// Makes a statement.
    pub fn query(&self, sql: &'static str) -> Query<'a, Sql, Arguments> {
        sqlx::query(scoped(sql)).bind(self.tenant.as_str())
    }

    /// Makes a statement whose rows are read into `T`.
    pub fn query_as<T>(&self, sql: &'static str) -> QueryAs<'a, Sql, T, Arguments>
    where
        T: for<'row> FromRow<'row, Row>,
    {
        sqlx::query_as(scoped(sql)).bind(self.tenant.as_str())
    }

    /// Makes a statement whose rows have one column.
    pub fn query_scalar<T>(&self, sql: &'static str) -> QueryScalar<'a, Sql, T, Arguments>
    where
        (T,): for<'row> FromRow<'row, Row>,
    {
        sqlx::query_scalar(scoped(sql)).bind(self.tenant.as_str())
    }
}

/// A statement that forgets the tenant is found the first time any test runs it.
fn scoped(sql: &'static str) -> &'static str {
    debug_assert!(sql.contains("tenant_id") && sql.contains("$1"), "the statement does not ask for the tenant: {sql}");
    sql
}

//! Keeps a service's tables: opens its database, brings it up to date, and hands out connections, tenant by tenant.
//!
//! A service owns one [`Database`]; on a laptop that is one SQLite file per service, later a PostgreSQL schema. Services
//! write SQL that both understand: `$1` parameters, `TEXT`, `BIGINT`, `DOUBLE PRECISION`, `BOOLEAN`, `ON CONFLICT`; a
//! migration for PostgreSQL says `BYTEA` where SQLite's says `BLOB`. What only one of the two knows stands here.
//!
//! # What always holds
//!
//! * What was committed survives the death of the process, `kill -9` included, in either [`Durability`].
//! * There is one writing connection per process and a writer waits for its turn from the beginning of its transaction,
//!   so that a transaction that has read never fails because somebody else wrote. Readers neither wait nor block.
//! * Several processes may share the file, also while they all start at once: one of them migrates, the others wait.
//! * A statement about a tenant's rows is made by [`Scoped`], which binds the tenant as `$1`.
//! * The text of a database error stays inside; callers get one of `ALREADY_EXISTS`, `UNAVAILABLE`, `INTERNAL`.

mod database;
mod error;
mod page;
mod scope;

pub use database::{Database, Durability};
pub use error::Error;
pub use page::{Page, PageBounds, fitting};
pub use scope::Scoped;

/// The database behind the store.
pub type Sql = sqlx::Sqlite;
/// A pool of connections.
pub type Pool = sqlx::Pool<Sql>;
/// One row of an answer.
pub type Row = <Sql as sqlx::Database>::Row;
/// What is bound to a statement.
pub type Arguments = <Sql as sqlx::Database>::Arguments;
/// A connection in a transaction; statements run on `&mut *transaction`, dropping it rolls back.
pub type Transaction = sqlx::Transaction<'static, Sql>;
/// A connection, inside a transaction or not.
pub type Connection = <Sql as sqlx::Database>::Connection;

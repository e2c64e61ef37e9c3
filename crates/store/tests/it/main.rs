//! The store on real files.

mod crash;
mod error;
mod open;
mod page;
mod scope;

use store::{Database, Scoped};

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("tests/it/migrations");

async fn open(folder: &std::path::Path) -> Database {
    Database::open(&folder.join("notes.db"), &MIGRATOR).await.expect("the folder can be written")
}

async fn insert(scope: &Scoped<'_>, note: &str, number: i64) -> Result<(), store::Error> {
    let mut transaction = scope.begin().await?;
    scope
        .query("INSERT INTO notes (tenant_id, note_id, number) VALUES ($1, $2, $3)")
        .bind(note)
        .bind(number)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction.commit().await?)
}

async fn count(scope: &Scoped<'_>) -> i64 {
    scope
        .query_scalar("SELECT COUNT(*) FROM notes WHERE tenant_id = $1")
        .fetch_one(scope.read())
        .await
        .expect("the table exists")
}

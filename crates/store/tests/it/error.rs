//! What callers are told.

use fault::Fault as _;
use sqlx::Connection as _;

use crate::{insert, open};

#[tokio::test]
async fn a_second_row_with_the_same_key_exists_already() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let tenant = "tenant-a".parse().unwrap();
    let scope = database.tenant(&tenant);
    insert(&scope, "note", 1).await.unwrap();
    let error = insert(&scope, "note", 2).await.unwrap_err();
    assert!(matches!(error, store::Error::Exists(_)));
    assert_eq!(error.failure().reason().id, "ALREADY_EXISTS");
}

#[tokio::test]
async fn a_locked_database_is_unavailable_and_worth_another_try() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let path = folder.path().join("notes.db");
    let other = sqlx::sqlite::SqliteConnectOptions::new().filename(path).busy_timeout(std::time::Duration::ZERO);
    let mut other = sqlx::SqliteConnection::connect_with(&other).await.unwrap();
    let held = database.begin().await.unwrap();
    let refused = sqlx::query("DELETE FROM notes").execute(&mut other).await.unwrap_err();
    drop(held);
    let failure = store::Error::from(refused).failure();
    assert_eq!(failure.reason().id, "UNAVAILABLE");
    assert!(failure.retry_delay().is_some());
}

#[tokio::test]
async fn a_wrong_statement_is_a_defect_whose_text_stays_inside() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let refused = sqlx::query("SELECT secret FROM nowhere").execute(database.read()).await.unwrap_err();
    let failure = store::Error::from(refused).failure();
    assert_eq!(failure.reason().id, "INTERNAL");
    assert!(!failure.detail().contains("nowhere"));
}

//! Opening, sharing and not being able to.

use std::os::unix::fs::PermissionsExt as _;

use futures::future::join_all;
use store::{Database, Durability, Error};

use crate::{MIGRATOR, count, insert, open};

#[tokio::test]
async fn a_database_keeps_what_it_was_told() {
    let folder = tempfile::tempdir().unwrap();
    let tenant = "tenant-a".parse().unwrap();
    let database = open(folder.path()).await;
    insert(&database.tenant(&tenant), "note", 1).await.unwrap();
    database.close().await;
    let database = Database::open_with(&folder.path().join("notes.db"), &MIGRATOR, Durability::Fast).await.unwrap();
    assert_eq!(count(&database.tenant(&tenant)).await, 1);
}

#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/down/notes.db");
    let database = Database::open(&path, &MIGRATOR).await.unwrap();
    let tenant = "tenant-a".parse().unwrap();
    insert(&database.tenant(&tenant), "note", 1).await.unwrap();
    for name in ["notes.db", "notes.db-wal", "notes.db.lock"] {
        let mode = std::fs::metadata(path.with_file_name(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
    }
    let mode = std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "not a folder").unwrap();
    let error = Database::open(&folder.path().join("file/notes.db"), &MIGRATOR).await.unwrap_err();
    assert!(matches!(error, Error::NotWritable { .. }));
    assert!(error.to_string().contains("file/notes.db"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("notes.db"), "certainly not a database ".repeat(100)).unwrap();
    let opened = Database::open(&folder.path().join("notes.db"), &MIGRATOR).await;
    assert!(matches!(opened, Err(Error::Open { .. })), "{opened:?}");
}

#[tokio::test]
async fn many_may_open_a_new_file_at_once_and_write_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let all = join_all((0..6).map(|_| open(folder.path()))).await;
    let tenant = "tenant-a".parse().unwrap();
    let writes = all.iter().enumerate().map(async |(index, database)| {
        for number in 0..10 {
            insert(&database.tenant(&tenant), &format!("note-{index}-{number}"), number).await.unwrap();
        }
    });
    join_all(writes).await;
    assert_eq!(count(&all[0].tenant(&tenant)).await, 60);
}

#[tokio::test]
async fn a_reading_connection_does_not_write() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let refused = sqlx::query("DELETE FROM notes").execute(database.read()).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn a_reader_does_not_wait_for_a_writer() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let tenant = "tenant-a".parse().unwrap();
    let held = database.begin().await.unwrap();
    assert_eq!(count(&database.tenant(&tenant)).await, 0);
    drop(held);
}

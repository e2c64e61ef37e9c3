//! A tenant's part.

use crate::{count, insert, open};

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let (first, second) = ("tenant-a".parse().unwrap(), "tenant-b".parse().unwrap());
    insert(&database.tenant(&first), "note", 1).await.unwrap();
    insert(&database.tenant(&second), "note", 2).await.unwrap();
    insert(&database.tenant(&second), "other", 3).await.unwrap();
    assert_eq!(count(&database.tenant(&first)).await, 1);
    assert_eq!(count(&database.tenant(&second)).await, 2);
}

#[tokio::test]
async fn a_transaction_that_is_dropped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let tenant = "tenant-a".parse().unwrap();
    let scope = database.tenant(&tenant);
    let mut transaction = scope.begin().await.unwrap();
    scope
        .query("INSERT INTO notes (tenant_id, note_id, number) VALUES ($1, $2, 1)")
        .bind("note")
        .execute(&mut *transaction)
        .await
        .unwrap();
    drop(transaction);
    assert_eq!(count(&scope).await, 0);
}

#[tokio::test]
#[should_panic(expected = "does not ask for the tenant")]
async fn a_statement_that_forgets_the_tenant_is_caught() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let tenant = "tenant-a".parse().unwrap();
    let _ = database.tenant(&tenant).query("SELECT * FROM notes");
}

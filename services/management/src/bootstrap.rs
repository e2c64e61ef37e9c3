//! The first key.

use std::path::Path;

use service_kit::config::Secret;
use service_kit::identity::{Scope, Scopes};
use service_kit::secret_file;
use store::Database;

use crate::key::{ApiKey, Pepper};
use crate::key_table::{self, NewKey};
use crate::{Config, Error, MIGRATOR};

/// Makes sure that `<data-dir>/admin.key` holds a key with the scope `admin` that is accepted, and returns it.
///
/// The file is made at the first start and kept on later ones; a key that was revoked, or that was made under another
/// pepper, is replaced. May be called while the service runs, in this or another process.
pub async fn admin_key(config: &Config, data_dir: &Path) -> Result<Secret, Error> {
    let path = data_dir.join("admin.key");
    let pepper = Pepper::open(config, data_dir)?;
    let database = Database::open(&data_dir.join("sql/management.db"), &MIGRATOR).await?;
    // Nobody else is in here at the same time, so that the file and the table fit together.
    let mut transaction = database.begin().await?;
    let found = secret_file::keep(&path, || ApiKey::generate().secret().clone()).map_err(Error::key_file(&path))?;
    let mut key = ApiKey::parse(found.expose());
    if let Some(known) = &key {
        match key_table::find(&mut *transaction, known.id()).await? {
            None => insert(&mut transaction, known, &pepper).await?,
            Some(stored) if stored.is_valid(known, &pepper) && stored.grants(Scope::Admin) => {}
            Some(_) => key = None,
        }
    }
    if key.is_none() {
        let fresh = ApiKey::generate();
        insert(&mut transaction, &fresh, &pepper).await?;
        secret_file::replace(&path, fresh.secret()).map_err(Error::key_file(&path))?;
        tracing::warn!(key_id = fresh.id(), "the key in admin.key was not accepted any more and was replaced");
        key = Some(fresh);
    }
    transaction.commit().await?;
    database.close().await;
    Ok(key.map_or(found, |key| key.secret().clone()))
}

async fn insert(connection: &mut store::Connection, key: &ApiKey, pepper: &Pepper) -> Result<(), Error> {
    let (name, scopes) = ("admin.key".to_owned(), Scopes::from([Scope::Admin]));
    let new = NewKey { tenant: None, name, scopes, expires_at: None };
    key_table::insert(connection, key, &new, pepper).await.map(|_| ())
}

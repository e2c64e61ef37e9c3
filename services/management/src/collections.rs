//! Collections.

use action::{CollectionId, TenantId, time};
use proto::management::v1 as wire;
use service_kit::Change;
use sqlx::FromRow;
use store::{Page, PageBounds};

use crate::error::Thing;
use crate::tenants::now_ms;
use crate::{Error, Management, field};

/// Lists of this service have pages of these sizes.
pub(crate) const BOUNDS: PageBounds = PageBounds { default: 20, max: 100 };

#[derive(FromRow)]
#[expect(clippy::struct_field_names, reason = "fields have the names of the columns")]
struct Collection {
    tenant_id: String,
    collection_id: String,
    name: String,
    description: String,
    created_at: i64,
}

impl From<Collection> for wire::Collection {
    fn from(row: Collection) -> Self {
        Self {
            collection_id: row.collection_id,
            tenant_id: row.tenant_id,
            name: row.name,
            description: row.description,
            created_at: Some(time::from_unix_ms(row.created_at.unsigned_abs())),
        }
    }
}

impl Management {
    /// Makes a collection. `ALREADY_EXISTS` when the tenant has one with this id.
    pub async fn create_collection(
        &self,
        tenant: &TenantId,
        collection: &wire::Collection,
    ) -> Result<wire::Collection, Error> {
        let id: CollectionId = field::id_or_new("collection.collection_id", &collection.collection_id)?;
        let name = field::line("collection.name", &collection.name, 1..=100)?;
        let description = field::prose("collection.description", &collection.description, 0..=500)?;
        let mut transaction = self.database.begin().await?;
        self.find_tenant(&mut *transaction, tenant).await?;
        let made: Collection = self
            .database
            .tenant(tenant)
            .query_as(
                "INSERT INTO collections (tenant_id, collection_id, name, description, created_at) \
                 VALUES ($1, $2, $3, $4, $5) RETURNING tenant_id, collection_id, name, description, created_at",
            )
            .bind(id.as_str())
            .bind(name)
            .bind(description)
            .bind(now_ms())
            .fetch_one(&mut *transaction)
            .await
            .map_err(Error::exists("collection.collection_id"))?;
        transaction.commit().await?;
        self.changes.announce(Change::Thing(tenant.clone())).await;
        Ok(made.into())
    }

    /// Returns a collection of the tenant.
    pub async fn collection(&self, tenant: &TenantId, collection: &str) -> Result<wire::Collection, Error> {
        let id: CollectionId = field::id("collection_id", collection)?;
        let scope = self.database.tenant(tenant);
        let found: Option<Collection> = scope
            .query_as(
                "SELECT tenant_id, collection_id, name, description, created_at FROM collections \
                 WHERE tenant_id = $1 AND collection_id = $2",
            )
            .bind(id.as_str())
            .fetch_optional(scope.read())
            .await?;
        found.map(Into::into).ok_or(Error::NotFound { thing: Thing::Collection, field: "collection_id" })
    }

    /// Lists the tenant's collections by id.
    pub async fn collections(
        &self,
        tenant: &TenantId,
        request: &wire::ListCollectionsRequest,
    ) -> Result<wire::ListCollectionsResponse, Error> {
        let page = Page::read("collections", 1, BOUNDS, request.page_size, &request.page_token)?;
        let scope = self.database.tenant(tenant);
        let rows: Vec<Collection> = scope
            .query_as(
                "SELECT tenant_id, collection_id, name, description, created_at FROM collections \
                 WHERE tenant_id = $1 AND collection_id > $2 ORDER BY collection_id LIMIT $3",
            )
            .bind(page.after(0).unwrap_or_default().to_owned())
            .bind(page.limit())
            .fetch_all(scope.read())
            .await?;
        let (rows, next_page_token) = page.finish(rows, |row| vec![row.collection_id.clone()]);
        Ok(wire::ListCollectionsResponse { collections: rows.into_iter().map(Into::into).collect(), next_page_token })
    }
}

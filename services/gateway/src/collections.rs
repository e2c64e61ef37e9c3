//! `/api/v1/collections`: where documents lie.

use axum::body::Body;
use axum::extract::State;
use axum::{Extension, Json};
use fault::Failure;
use http::{HeaderMap, StatusCode};
use proto::management::v1 as wire;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::body;
use crate::edge::Edge;
use crate::identity::Proved;
use crate::made::{self, MadeId};
use crate::openapi::ProblemView;
use crate::params::Params;
use crate::problem::Refusal;
use crate::router::Segment;
use crate::view::{CollectionView, CollectionsView, filled};

/// What a collection is made with.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CollectionBody {
    /// Identifies it; made when absent.
    collection_id: String,
    /// 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100, required = true)]
    name: String,
    /// At most 500 characters.
    #[schema(max_length = 500)]
    description: String,
}

/// Lists the tenant's collections by id.
#[utoipa::path(
    get, path = "/api/v1/collections", tag = "collections", operation_id = "listCollections",
    params(
        ("page_size" = Option<i32>, Query, minimum = 1, maximum = 100, description = "Most entries; 20 when absent"),
        ("page_token" = Option<String>, Query, description = "Where to go on, from the answer before"),
    ),
    responses((status = 200, body = CollectionsView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn list(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    params: Params,
) -> Result<Json<CollectionsView>, Refusal> {
    let page = params.page()?;
    let request = wire::ListCollectionsRequest { page_size: page.size, page_token: page.token, ..Default::default() };
    let response = edge.peers.management(&caller).list_collections(edge.call(request)).await?.into_inner();
    let collections = response.collections.into_iter().map(CollectionView::from).collect();
    Ok(Json(CollectionsView { collections, next_page_token: filled(response.next_page_token) }))
}

/// Makes a collection.
#[utoipa::path(
    post, path = "/api/v1/collections", tag = "collections", operation_id = "createCollection",
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes sending it again safe")),
    request_body = CollectionBody,
    responses((status = 201, body = CollectionView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn create(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    made: Option<Extension<MadeId>>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<CollectionView>), Refusal> {
    edge.accept_work()?;
    let fields = body::json_object(&headers, body, edge.body()).await?;
    let CollectionBody { mut collection_id, name, description } = body::typed(fields)?;
    let own = MadeId::fill(made, &mut collection_id);
    let get = wire::GetCollectionRequest { collection_id: collection_id.clone(), ..Default::default() };
    let collection = wire::Collection { collection_id, name, description, ..Default::default() };
    let create = wire::CreateCollectionRequest { collection: Some(collection), ..Default::default() };
    let mut management = edge.peers.management(&caller);
    let created = management.create_collection(edge.call(create)).await.map(|created| created.into_inner().collection);
    let find = async { Ok(management.get_collection(edge.call(get)).await?.into_inner().collection) };
    Ok((StatusCode::CREATED, shown(made::created(created, own, find).await?)?))
}

/// Returns a collection.
#[utoipa::path(
    get, path = "/api/v1/collections/{id}", tag = "collections", operation_id = "getCollection",
    params(("id" = String, Path, description = "The collection's id")),
    responses((status = 200, body = CollectionView), (status = "default", response = ProblemView)),
)]
pub(crate) async fn get(
    State(edge): State<Edge>,
    Proved(caller): Proved,
    Segment(collection_id): Segment,
) -> Result<Json<CollectionView>, Refusal> {
    let request = wire::GetCollectionRequest { collection_id, ..Default::default() };
    let found = edge.peers.management(&caller).get_collection(edge.call(request)).await?;
    shown(found.into_inner().collection)
}

fn shown(collection: Option<wire::Collection>) -> Result<Json<CollectionView>, Refusal> {
    Ok(Json(CollectionView::from(collection.ok_or_else(Failure::internal)?)))
}

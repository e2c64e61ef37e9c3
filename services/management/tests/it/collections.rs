//! Collections.

use proto::action::v1::Tier;
use proto::management::v1 as wire;
use proto::management::v1::management_service_server::ManagementService as _;

use crate::{Fixture, because, by, read, refusal};

#[tokio::test]
async fn a_collection_is_made_returned_and_listed() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Free).await;
    let collection =
        wire::Collection { name: " Docs ".into(), description: "All\nof them".into(), ..Default::default() };
    let request = wire::CreateCollectionRequest { collection: Some(collection), ..Default::default() };
    let made = read(fixture.grpc.create_collection(by(&acme, request)).await).unwrap().collection.unwrap();
    assert_eq!(
        (made.tenant_id.as_str(), made.name.as_str(), made.description.as_str()),
        ("acme", "Docs", "All\nof them")
    );
    assert!(made.created_at.is_some());
    let request = wire::GetCollectionRequest { collection_id: made.collection_id.clone(), ..Default::default() };
    let found = read(fixture.grpc.get_collection(by(&acme, request)).await).unwrap();
    assert_eq!(found.collection, Some(made.clone()));

    fixture.collection(&acme, "zzz-last").await;
    let list = |page_token: String| {
        let request = wire::ListCollectionsRequest { page_size: 1, page_token, ..Default::default() };
        fixture.grpc.list_collections(by(&acme, request))
    };
    let first = read(list(String::new()).await).unwrap();
    let second = read(list(first.next_page_token).await).unwrap();
    assert_eq!(first.collections, [made]);
    assert_eq!((second.collections[0].collection_id.as_str(), second.next_page_token.as_str()), ("zzz-last", ""));
}

#[tokio::test]
async fn every_bound_of_a_collection_is_kept() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Free).await;
    fixture.collection(&acme, "docs").await;
    for (collection_id, name, description, expected) in [
        ("x", "Name", String::new(), because("INVALID_FIELD", "collection.collection_id")),
        ("", "", String::new(), because("INVALID_FIELD", "collection.name")),
        ("", "Name", "d".repeat(501), because("INVALID_FIELD", "collection.description")),
        ("docs", "Name", String::new(), because("ALREADY_EXISTS", "collection.collection_id")),
    ] {
        let (collection_id, name) = (collection_id.into(), name.into());
        let collection = wire::Collection { collection_id, name, description, ..Default::default() };
        let request = wire::CreateCollectionRequest { collection: Some(collection), ..Default::default() };
        assert_eq!(refusal(read(fixture.grpc.create_collection(by(&acme, request)).await)), expected);
    }
    let refused = read(fixture.grpc.create_collection(by(&acme, wire::CreateCollectionRequest::default())).await);
    assert_eq!(refusal(refused), because("INVALID_FIELD", "collection"));
}

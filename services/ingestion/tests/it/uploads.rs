//! What one tenant's uploads may take from the others.

use std::time::Duration;

use action::Tier;
use futures::{Stream, StreamExt as _, stream};
use ingestion::Config;
use proto::ingestion::v1::UploadDocumentRequest;
use proto::ingestion::v1::upload_document_request::Part;
use quota::{Charge, UsageKind};

use crate::mesh::{Mesh, PATIENCE, config, header};

/// A document that never ends, a letter at a time.
fn trickle() -> impl Stream<Item = UploadDocumentRequest> {
    let letters = stream::repeat(()).then(|()| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Part::Data(b"a".to_vec())
    });
    let parts = stream::iter([Part::Header(header("manuals", "a.txt"))]).chain(letters);
    parts.map(|part| UploadDocumentRequest { part: Some(part) })
}

#[tokio::test]
async fn an_upload_that_trickles_ends_in_time_and_leaves_nothing_behind() {
    let mesh = Mesh::with(Config { upload_timeout: Duration::from_millis(300), ..config() }).await;
    let who = mesh.tenant("acme", Tier::Free, "manuals").await;
    let mut client = mesh.kit.peers.ingestion(who.identity());
    let refusal = client.upload_document(trickle()).await.unwrap_err();
    assert_eq!(fault::Failure::from_status(&refusal).reason().id, "DEADLINE_EXCEEDED");
    assert_eq!(std::fs::read_dir(mesh.dir.path().join("objects/.incoming")).unwrap().count(), 0);
    mesh.end().await;
}

#[tokio::test]
async fn a_third_upload_at_a_time_is_told_to_come_again() {
    let mesh = Mesh::start().await;
    let (who, other) =
        (mesh.tenant("acme", Tier::Free, "manuals").await, mesh.tenant("other", Tier::Free, "manuals").await);
    let incoming = mesh.dir.path().join("objects/.incoming");
    let arriving = || std::fs::read_dir(&incoming).unwrap().count();
    let (mut first, mut second) = (mesh.kit.peers.ingestion(who.identity()), mesh.kit.peers.ingestion(who.identity()));
    let third = async {
        testkit::eventually(PATIENCE, || async { arriving() == 2 }).await;
        let refusal = who.upload(header("manuals", "b.txt"), b"some text").await.unwrap_err();
        let refusal = fault::Failure::from_status(&refusal);
        assert_eq!(refusal.reason().id, "OVERLOADED");
        assert!(refusal.retry_delay().is_some());
        other.ingest(header("manuals", "b.txt"), b"some text").await;
    };
    tokio::select! {
        answer = first.upload_document(trickle()) => panic!("{answer:?}"),
        answer = second.upload_document(trickle()) => panic!("{answer:?}"),
        () = third => {}
    }
    // The turns are free again.
    testkit::eventually(PATIENCE, || async { arriving() == 0 }).await;
    who.ingest(header("manuals", "b.txt"), b"some text").await;
    mesh.end().await;
}

#[tokio::test]
async fn the_bytes_of_a_tenant_whose_limit_is_used_up_are_not_taken() {
    let mesh = Mesh::start().await;
    let who = mesh.tenant("acme", Tier::Free, "manuals").await;
    while mesh.kit.quota.admit(Charge::new(who.tenant.clone(), Tier::Free, UsageKind::Collection)).await.is_ok() {}
    let mut client = mesh.kit.peers.ingestion(who.identity());
    let refusal = client.upload_document(trickle()).await.unwrap_err();
    let refusal = fault::Failure::from_status(&refusal);
    assert_eq!(refusal.reason().id, "RATE_LIMIT_EXCEEDED");
    assert!(refusal.retry_delay().is_some());
    mesh.end().await;
}

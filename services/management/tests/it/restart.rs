//! A second start.

use proto::action::v1::Tier;

use crate::{Fixture, agent, open, resolve};

#[tokio::test]
async fn a_restart_finds_everything_again() {
    let fixture = Fixture::new().await;
    let acme = fixture.tenant("acme", Tier::Free).await;
    fixture.collection(&acme, "docs").await;
    let made = fixture.create(&acme, agent("agent-1", "One")).await.unwrap();
    let (_, secret) = fixture.key("acme", &[]).await;

    let Fixture { folder, grpc } = fixture;
    drop(grpc);
    let again = Fixture { grpc: open(folder.path()).await, folder };
    assert_eq!(again.get(&acme, "agent-1").await.unwrap(), made);
    assert!(resolve(&again.grpc, &secret).await.is_ok());
}

#[tokio::test]
async fn with_another_pepper_no_earlier_key_is_accepted() {
    let fixture = Fixture::new().await;
    let (_, secret) = fixture.key("", &["admin"]).await;
    std::fs::remove_file(fixture.folder.path().join("pepper.key")).unwrap();
    let other = open(fixture.folder.path()).await;
    assert!(resolve(&other, &secret).await.is_err());
    assert!(fixture.resolve(&secret).await.is_ok());
}

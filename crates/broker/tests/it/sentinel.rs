//! Sentinels and nobody disturbs them.

use broker::{Error, Redis};
use testkit::Sentinels;

use crate::support::works;

#[tokio::test]
async fn the_master_that_sentinels_name_does_all_that_one_server_does() {
    let mut sentinels = Sentinels::start().await;
    let redis = Redis::connect(&sentinels.url()).await.expect("the master is there");
    assert!(!redis.is_cluster());
    works(&redis).await;
    let info = redis.server().await.expect("it answers");
    assert_eq!((info.replicas, info.aof), (2, false));
    // Two sentinels are enough to find it.
    sentinels.kill_sentinel(0);
    Redis::connect(&sentinels.url()).await.expect("the master is found without one sentinel");
}

#[tokio::test]
async fn a_master_that_the_sentinels_do_not_know_may_be_told_to_them_later() {
    let sentinels = Sentinels::start().await;
    let other = sentinels.url().replace("/main", "/other");
    let refused = Redis::connect(&other).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn a_password_of_the_servers_alone_is_not_needed_by_the_sentinels() {
    let sentinels = Sentinels::start().await;
    let port = sentinels.master_port();
    sentinels.command(port, &["ACL", "SETUSER", "nooble", "on", ">s3cret", "~*", "&*", "+@all"]);
    let url = sentinels.url().replace("://", "://nooble:s3cret@");
    let redis = Redis::connect(&url).await.expect("the master is there");
    let name: String = redis.query(redis::cmd("ACL").arg("WHOAMI")).await.expect("it answers");
    assert_eq!(name, "nooble");
    let url = sentinels.url().replace("://", "://nooble:wrong@");
    assert!(matches!(Redis::connect(&url).await, Err(Error::Refused(_))));
}

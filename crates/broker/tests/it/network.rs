//! A network that fails between the broker and its server.

use std::time::Duration;

use broker::{Error, Redis};
use testkit::Proxy;

use crate::support::PATIENCE;

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer_and_is_not_asked_for_again() {
    let server = testkit::Redis::start().await;
    let proxy = Proxy::start(&server.url()).await;
    let redis = Redis::connect(&proxy.url()).await.expect("the server is there");
    server.command(&["SET", "counter", "1000"]);
    proxy.reset_mid_reply(3);
    let broken = redis.query::<u64>(redis::cmd("INCR").arg("counter")).await;
    assert!(matches!(broken, Err(Error::Unavailable(_))), "{broken:?}");
    assert_eq!(server.command(&["GET", "counter"]), "1001", "it was done once");
    let counted: u64 = redis.query(redis::cmd("INCR").arg("counter")).await.expect("it is dialled again");
    assert_eq!(counted, 1002);
}

#[tokio::test]
async fn a_network_that_refuses_is_away_until_it_does_not() {
    let server = testkit::Redis::start_on_port(&["--save", ""]).await;
    let proxy = Proxy::start(&server.url()).await;
    let redis = Redis::connect(&proxy.url()).await.expect("the server is there");
    let mut waiting = redis.blocking("wake").await.expect("a connection of its own");
    proxy.refuse(true).await;
    redis.ping().await.expect("what is open stays open");
    proxy.cut();
    testkit::eventually(PATIENCE, || async { matches!(redis.ping().await, Err(Error::Unavailable(_))) }).await;
    let waited = waiting.query::<()>(redis::cmd("BLPOP").arg("wake").arg(20)).await;
    assert!(matches!(waited, Err(Error::Unavailable(_))), "{waited:?}");
    assert!(matches!(redis.blocking("wake").await, Err(Error::Unavailable(_))));
    proxy.refuse(false).await;
    testkit::eventually(PATIENCE, || async { redis.ping().await.is_ok() }).await;
    redis.blocking("wake").await.expect("another connection");
}

#[tokio::test]
async fn what_a_stalled_or_slow_network_holds_back_comes_later() {
    let server = testkit::Redis::start().await;
    let proxy = Proxy::start(&server.url()).await;
    let redis = Redis::connect(&proxy.url()).await.expect("the server is there");
    proxy.stall();
    let ping = redis.ping();
    let meanwhile = async {
        assert_eq!(server.command(&["PING"]), "PONG", "the server itself is well");
        proxy.go_on();
    };
    let (pinged, ()) = tokio::join!(ping, meanwhile);
    pinged.expect("it comes when the network goes on");
    proxy.delay(Duration::from_millis(50));
    let begun = std::time::Instant::now();
    redis.ping().await.expect("it comes late");
    assert!(begun.elapsed() >= Duration::from_millis(100), "{:?}", begun.elapsed());
}

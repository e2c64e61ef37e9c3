//! One server.

use std::time::Duration;

use broker::{Error, Redis, Script};

use crate::support::{echo, library};

#[tokio::test]
async fn a_script_survives_a_flush_of_the_servers_scripts() {
    let server = testkit::Redis::start().await;
    let redis = Redis::connect(&server.url()).await.expect("the server is there");
    let script = Script::new("echo", "return {KEYS[1], ARGV[1]}");
    for _ in 0..2 {
        let answer: (String, String) = redis.run(&script, &["k"], &[b"v".to_vec()]).await.expect("the script runs");
        assert_eq!(answer, ("k".to_owned(), "v".to_owned()));
        server.command(&["SCRIPT", "FLUSH"]);
    }
}

#[tokio::test]
async fn a_function_survives_a_flush_of_the_servers_functions_also_behind_a_command_that_waits() {
    let server = testkit::Redis::start().await;
    let redis = Redis::connect(&server.url()).await.expect("the server is there");
    let function = echo();
    for _ in 0..2 {
        let answer: (String, String) = redis.run(&function, &["k"], &[b"v".to_vec()]).await.expect("the function runs");
        assert_eq!(answer, ("k".to_owned(), "v".to_owned()));
        server.command(&["FUNCTION", "FLUSH"]);
        let mut own = redis.blocking("k").await.expect("the server is there");
        let answer: (String, String) = own.run(&function, &["k"], &[b"w".to_vec()]).await.expect("the function runs");
        assert_eq!(answer.1, "w");
        for flush in [false, true] {
            if flush {
                server.command(&["FUNCTION", "FLUSH"]);
            }
            server.command(&["RPUSH", "list", "1"]);
            let mut wait = redis::cmd("BLPOP");
            wait.arg("list").arg(1);
            let (answer, waited): ((String, String), bool) =
                own.run_after(&wait, &function, &["k"], &[b"x".to_vec()]).await.expect("the function runs");
            assert_eq!((answer.1.as_str(), waited), ("x", true));
            assert_eq!(server.command(&["LLEN", "list"]), "0", "it has waited");
            let mut wrong = redis::cmd("BLPOP");
            wrong.arg("list");
            let (answer, waited): ((String, String), bool) =
                own.run_after(&wrong, &function, &["k"], &[b"y".to_vec()]).await.expect("the function runs");
            assert_eq!((answer.1.as_str(), waited), ("y", false), "its answer is not thrown away");
        }
    }
}

#[tokio::test]
async fn a_function_runs_on_a_server_that_has_no_memory_for_its_library() {
    let server = testkit::Redis::start_with(&["--save", "", "--maxmemory", "1"]).await;
    let redis = Redis::connect(&server.url()).await.expect("the server is there");
    let answer: (String, String) = redis.run(&echo(), &["k"], &[b"v".to_vec()]).await.expect("the function runs");
    assert_eq!(answer, ("k".to_owned(), "v".to_owned()));
    assert!(Script::of_library("missing", library()).is_none());
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again_without_being_asked() {
    let mut server = testkit::Redis::start().await;
    let redis = Redis::connect(&server.url()).await.expect("the server is there");
    server.kill();
    testkit::eventually(Duration::from_secs(5), || async { matches!(redis.ping().await, Err(Error::Unavailable(_))) })
        .await;
    server.restart().await;
    testkit::eventually(Duration::from_secs(5), || async { redis.ping().await.is_ok() }).await;
}

#[tokio::test]
async fn a_full_server_says_so() {
    let server = testkit::Redis::start_with(&["--save", "", "--maxmemory", "1"]).await;
    let redis = Redis::connect(&server.url()).await.expect("the server is there");
    let written = redis.query::<()>(redis::cmd("SET").arg("k").arg("v")).await;
    assert!(matches!(written, Err(Error::Full(_))), "{written:?}");
}

#[tokio::test]
async fn a_wait_on_its_own_connection_holds_nobody_up() {
    let server = testkit::Redis::start().await;
    let redis = Redis::connect(&server.url()).await.expect("the server is there");
    let mut waiting = redis.blocking("wake").await.expect("a second connection");
    let mut command = redis::cmd("BLPOP");
    command.arg("wake").arg(5);
    let wait = waiting.query::<(String, String)>(&command);
    let push = async {
        redis.ping().await.expect("the shared connection answers meanwhile");
        redis.query::<u64>(redis::cmd("RPUSH").arg("wake").arg("now")).await
    };
    let (popped, pushed) = tokio::join!(wait, push);
    assert_eq!(pushed.expect("pushed"), 1);
    assert_eq!(popped.expect("popped").1, "now");
}

#[tokio::test]
async fn what_the_server_says_about_itself_is_understood() {
    let server = testkit::Redis::start_durable().await;
    let info = Redis::connect(&server.url()).await.expect("there").server().await.expect("it answers");
    assert!(
        info.aof && !info.evicts() && info.version.starts_with(|c: char| c.is_ascii_digit()) && !info.run_id.is_empty()
    );
    assert!(info.aof_always && info.replicas == 0);
}

#[tokio::test]
async fn whether_a_server_has_waitaof_is_known() {
    let server = testkit::Redis::start().await;
    let info = Redis::connect(&server.url()).await.expect("there").server().await.expect("it answers");
    let counted = server.command(&["COMMAND", "INFO", "WAITAOF"]).to_lowercase().contains("waitaof");
    assert_eq!(info.waitaof, counted, "{info:?}");
}

#[tokio::test]
async fn a_valkey_serves_as_well() {
    let Some(server) = testkit::Redis::start_valkey(&["--save", ""]).await else { return };
    let redis = Redis::connect(&server.url()).await.expect("the server is there");
    crate::support::works(&redis).await;
    assert!(redis.server().await.expect("it answers").waitaof);
}

#[tokio::test]
async fn one_server_does_all_that_is_asked_of_it() {
    let server = testkit::Redis::start_on_port(&["--save", ""]).await;
    let redis = Redis::connect(&server.url()).await.expect("the server is there");
    assert!(!redis.is_cluster());
    crate::support::works(&redis).await;
}

#[tokio::test]
async fn a_url_that_names_no_server_is_refused() {
    assert!(matches!(Redis::open("http://localhost"), Err(Error::Url(_))));
}

#[tokio::test]
async fn many_callers_of_a_silent_server_share_one_vain_attempt() {
    // A socket whose queue of connections is never emptied: dialling runs into its time limit.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = silent.local_addr().expect("an address");
    let redis = Redis::open(&format!("redis://{address}")).expect("a URL");
    let begun = std::time::Instant::now();
    let answers = all_at_once(&redis).await;
    assert!(answers.iter().all(|answer| matches!(answer, Err(Error::Unavailable(_)))), "{answers:?}");
    assert!(begun.elapsed() < Duration::from_secs(10), "twenty callers took {:?}", begun.elapsed());
}

async fn all_at_once(redis: &Redis) -> Vec<Result<(), Error>> {
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let redis = redis.clone();
        callers.spawn(async move { redis.ping().await });
    }
    callers.join_all().await
}

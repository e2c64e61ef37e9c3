//! What must hold however the servers stand together, and writers that go on through trouble.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::{Error, Function, Library, NO_ARGUMENTS, Redis, Script};
use futures::StreamExt as _;
use tokio::task::JoinSet;

/// Long enough for a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Returns a library with a function that says what it is given.
pub(crate) fn library() -> &'static Library {
    let body = "local function both(one, other) return {one, other} end".to_owned();
    let echo = Function::new("echo", "allow-oom", "return both(keys[1], arguments[1])".to_owned());
    Box::leak(Box::new(Library::new("lib", body, vec![echo])))
}

/// Returns that function.
pub(crate) fn echo() -> Script {
    Script::of_library("echo", library()).expect("the library has it")
}

const SOUND: &str = "nobody panics under this lock";

/// Keys that lie in many slots.
pub(crate) fn keys(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("key:{number}")).collect()
}

/// Does everything once that users of the broker do.
pub(crate) async fn works(redis: &Redis) {
    redis.ping().await.expect("it answers");
    commands(redis).await;
    scripts(redis).await;
    pipelines(redis).await;
    waits(redis).await;
    messages(redis).await;
}

async fn commands(redis: &Redis) {
    for key in keys(50) {
        redis.query::<()>(redis::cmd("SET").arg(&key).arg(format!("value of {key}"))).await.expect("it is set");
        let value: String = redis.query(redis::cmd("GET").arg(&key)).await.expect("it is read");
        assert_eq!(value, format!("value of {key}"));
    }
    let wrong = redis.query::<()>(redis::cmd("RPUSH").arg("key:1").arg(1)).await;
    assert!(matches!(wrong, Err(Error::Refused(_))), "{wrong:?}");
}

async fn scripts(redis: &Redis) {
    let script = Script::new("both", "return {KEYS[1], KEYS[2], ARGV[1]}");
    for key in keys(20) {
        let keys = [format!("{{{key}}}:a"), format!("{{{key}}}:b")];
        let answer: (String, String, String) =
            redis.run(&script, &[&keys[0], &keys[1]], &[b"x".to_vec()]).await.expect("the script runs");
        assert_eq!(answer, (keys[0].clone(), keys[1].clone(), "x".to_owned()));
    }
    let none: u64 =
        redis.run(&Script::new("none", "return 7"), &[], NO_ARGUMENTS).await.expect("a script needs no key");
    assert_eq!(none, 7);
}

/// What the second pipeline below answers.
type Answer = (u64, u64, Vec<String>, Option<String>, HashMap<String, u64>, String);

async fn pipelines(redis: &Redis) {
    let mut pipeline = redis::pipe();
    for (number, key) in keys(40).iter().enumerate() {
        pipeline.cmd("SET").arg(key).arg(number).ignore().cmd("GET").arg(key);
    }
    let numbers: Vec<usize> = redis.pipeline(&pipeline).await.expect("all are answered");
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());

    // Answers of several kinds, as a tuple; commands on one key in their order.
    let mut pipeline = redis::pipe();
    pipeline.del("list").ignore().rpush("list", "one").rpush("list", "two").lrange("list", 0, -1).get("absent");
    pipeline.hset("hash", "field", 1).ignore().hgetall("hash").ping();
    let (one, two, list, absent, hash, pong): Answer = redis.pipeline(&pipeline).await.expect("all are answered");
    assert_eq!((one, two, list), (1, 2, vec!["one".to_owned(), "two".to_owned()]));
    assert_eq!((absent, hash["field"], pong.as_str()), (None, 1, "PONG"));

    let mut pipeline = redis::pipe();
    pipeline.get("key:1").rpush("key:2", 1).get("key:3");
    let failed = redis.pipeline::<Vec<u64>>(&pipeline).await;
    assert!(matches!(failed, Err(Error::Refused(_))), "{failed:?}");
    let each: Vec<redis::RedisResult<u64>> =
        redis.pipeline(pipeline.ignore_errors()).await.expect("each has an answer of its own");
    assert!(matches!(each.as_slice(), [Ok(1), Err(_), Ok(3)]), "{each:?}");

    redis.pipeline::<()>(&redis::pipe()).await.expect("nothing to do is done");
    let (a, b): (u64, u64) =
        redis.pipeline(redis::pipe().atomic().incr("{t}:a", 1).incr("{t}:b", 2)).await.expect("a transaction runs");
    assert_eq!((a, b), (1, 2));
}

async fn waits(redis: &Redis) {
    let script = Script::new("push", "return redis.call('RPUSH', KEYS[1], ARGV[1])");
    for key in ["wake:1", "wake:2", "wake:3", "wake:4"] {
        let mut waiting = redis.blocking(key).await.expect("a connection of its own");
        let mut pop = redis::cmd("BLPOP");
        pop.arg(key).arg(20);
        let push = async { redis.run::<u64>(&script, &[key], &[b"now".to_vec()]).await };
        let (popped, pushed) = tokio::join!(waiting.query::<(String, String)>(&pop), push);
        assert_eq!((popped.expect("popped").1.as_str(), pushed.expect("pushed")), ("now", 1));
        let length: u64 = waiting.run(&script, &[key], &[b"own".to_vec()]).await.expect("it runs here, too");
        let mut pipeline = redis::pipe();
        pipeline.llen(key).cmd("WAIT").arg(0).arg(1);
        let (counted, _): (u64, u64) = waiting.pipeline(&pipeline).await.expect("both are answered");
        assert_eq!((length, counted), (1, 1));
        redis.query::<()>(redis::cmd("DEL").arg(key)).await.expect("it is deleted");
    }
}

async fn messages(redis: &Redis) {
    let mut subscriber = redis.subscriber().await.expect("a connection for messages");
    subscriber.subscribe("news").await.expect("it subscribes");
    let script = Script::new("publish", "redis.call('SET', KEYS[1], 1) return redis.call('PUBLISH', 'news', KEYS[1])");
    let mut expected = keys(10);
    for key in &expected {
        redis.run::<u64>(&script, &[key], NO_ARGUMENTS).await.expect("it is published");
    }
    let messages = subscriber.on_message().take(10).map(|message| message.get_payload().expect("text"));
    let mut received: Vec<String> = tokio::time::timeout(PATIENCE, messages.collect()).await.expect("all come");
    received.sort();
    expected.sort();
    assert_eq!(received, expected);
}

/// Writers that append numbers to lists of their own, one after the other, and try again while Redis is away.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    running: JoinSet<()>,
    acknowledged: Arc<Mutex<Vec<(String, u64)>>>,
}

impl Writers {
    pub(crate) fn start(redis: &Redis, count: usize) -> Self {
        let mut writers = Self { stop: Arc::default(), running: JoinSet::new(), acknowledged: Arc::default() };
        for key in keys(count) {
            let key = format!("log:{key}");
            let (redis, stop, done) = (redis.clone(), writers.stop.clone(), writers.acknowledged.clone());
            writers.running.spawn(async move {
                let script = Script::new("append", "return redis.call('RPUSH', KEYS[1], ARGV[1])");
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    match redis.run::<u64>(&script, &[&key], &[u64::to_string(&number).into_bytes()]).await {
                        Ok(_) => {
                            done.lock().expect(SOUND).push((key.clone(), number));
                            number += 1;
                        }
                        Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error:?}"),
                    }
                    // As callers do; and a test needs no more than a few hundred writes.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            });
        }
        writers
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.lock().expect(SOUND).len()
    }

    /// Waits until every writer has had another write acknowledged.
    pub(crate) async fn go_on(&self) {
        let writers = self.running.len();
        let before = self.acknowledged();
        testkit::eventually(PATIENCE, || async {
            let acknowledged = self.acknowledged.lock().expect(SOUND);
            let mut keys: Vec<&str> = acknowledged[before..].iter().map(|(key, _)| key.as_str()).collect();
            keys.sort_unstable();
            keys.dedup();
            keys.len() == writers
        })
        .await;
    }

    /// Stops, and returns what was acknowledged.
    pub(crate) async fn stop(mut self) -> Vec<(String, u64)> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.running.join_next().await {
            ended.expect("writers see nothing but a Redis that is away");
        }
        std::mem::take(&mut self.acknowledged.lock().expect(SOUND))
    }
}

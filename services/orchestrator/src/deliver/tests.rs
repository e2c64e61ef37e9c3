use std::time::Duration;

use action::{Action, Contract as _, ExecutionContext, Outcome, Tier, time};
use proto::action::v1::{Callback, Status, TokenUsage};
use proto::execution::v1::{AgentRun, AgentRunResult};
use proto::task::v1::TaskUpdate;
use proto::task::v1::frame::Body;
use session::{Append, Log, Position, Sessions};

use super::Delivery;

async fn delivery(redis: &testkit::Redis) -> Delivery {
    let broker = broker::Redis::connect(&redis.url()).await.expect("the server answers");
    let again = broker.clone();
    let sessions = Sessions::start(broker, session::Config::default()).await.expect("logs start");
    let quota = quota::Quota::new(again, std::sync::Arc::default(), quota::Config::default());
    Delivery { sessions, quota }
}

/// The callback's action as the queue makes it, and the outcome in it.
fn outcome(response: &str) -> (Action, Callback) {
    let context = ExecutionContext::agent("agent-ventas".parse().expect("an id"));
    let tenant = "tenant-1".parse().expect("an id");
    let mut action = Action::root(tenant, Tier::Free, context, &AgentRun::default());
    action.session = Some("sess-1".parse().expect("an id"));
    let reply = AgentRunResult { response: response.into(), ..AgentRunResult::default() };
    let Outcome::Completed { result, .. } = Outcome::completed::<AgentRun>(&reply, TokenUsage::default()) else {
        unreachable!("a completed outcome was made")
    };
    let callback = Callback {
        action_type: "execution.callback".into(),
        task_id: action.task.to_string(),
        source_action_type: AgentRun::KIND.as_str().into(),
        status: Status::Completed.into(),
        result: Some(result),
        execution_time: Some(time::duration_to_proto(Duration::from_secs(1))),
        fence: 1,
        ..Callback::default()
    };
    (action, callback)
}

async fn frames(delivery: &Delivery, action: &Action) -> Vec<Body> {
    let page = delivery.sessions.read(&Log::of(action), Position::default(), 100).await.expect("the log is readable");
    page.frames.into_iter().filter_map(|frame| frame.body).collect()
}

#[tokio::test]
async fn an_outcome_that_comes_twice_is_shown_once() {
    let redis = testkit::Redis::start().await;
    let delivery = delivery(&redis).await;
    let (action, callback) = outcome("In the north.");
    delivery.deliver(&action, &callback).await.expect("shown");
    delivery.deliver(&action, &callback).await.expect("done already");
    let frames = frames(&delivery, &action).await;
    let [Body::AgentResponse(answer)] = &frames[..] else { panic!("one answer, not {frames:?}") };
    assert_eq!(answer.response, "In the north.");
}

#[tokio::test]
async fn an_outcome_is_shown_whichever_attempt_wrote_last() {
    let redis = testkit::Redis::start().await;
    let delivery = delivery(&redis).await;
    let (action, callback) = outcome("The end.");
    let update = Append { fence: 9, ..Append::progress(&action, Body::TaskUpdate(TaskUpdate::default())) };
    delivery.sessions.append(&Log::of(&action), update).await.expect("an attempt writes");
    delivery.deliver(&action, &callback).await.expect("shown");
    assert!(matches!(frames(&delivery, &action).await.last(), Some(Body::AgentResponse(_))));
}

#[tokio::test]
async fn an_outcome_without_a_session_ends_the_log_of_its_task() {
    let redis = testkit::Redis::start().await;
    let delivery = delivery(&redis).await;
    let (action, callback) = outcome("Nobody looks.");
    let alone = Action { session: None, ..action };
    delivery.deliver(&alone, &callback).await.expect("shown");
    assert_eq!(frames(&delivery, &alone).await.len(), 1);
}

#[tokio::test]
async fn an_outcome_waits_for_a_broker_that_is_away() {
    use fault::Fault as _;
    let mut redis = testkit::Redis::start().await;
    let delivery = delivery(&redis).await;
    let (action, callback) = outcome("Later.");
    redis.kill();
    let error = delivery.deliver(&action, &callback).await.expect_err("nobody is there");
    assert!(error.failure().is_transient(), "the queue tries again");
}

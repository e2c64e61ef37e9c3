//! Requests that are sent again with an `Idempotency-Key`.

use std::collections::HashSet;

use e2e::{Client, Nooble};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use testkit::openai::{Mode, OpenAi};

use crate::{QUESTION, WORDS};

struct Answer {
    status: u16,
    replayed: bool,
    body: Value,
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.expect("the edge answers");
    let replayed = response.headers().get("idempotency-replayed").is_some_and(|value| value == "true");
    let status = response.status().as_u16();
    Answer { status, replayed, body: response.json().await.unwrap_or_default() }
}

#[tokio::test]
async fn what_is_sent_again_with_its_key_is_done_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    a_message_becomes_one_task(&client).await;
    a_hundred_at_once_become_one_task(&client).await;
    a_completion_becomes_one_task_whole_and_in_pieces(&client).await;
    an_agent_and_a_collection_are_made_once(&client).await;
    a_document_is_taken_once_and_told_from_another_one(&client).await;
    keys_belong_to_their_tenants(&client, &Client::of_demo(folder.path(), "professional")).await;
    what_may_pass_is_not_remembered(&client).await;
    a_message_whose_headers_were_mended_is_taken(&client).await;
    what_was_let_in_is_shown_again_over_the_limit(&Client::of_demo(folder.path(), "free")).await;
}

async fn a_message_becomes_one_task(client: &Client) {
    let send = |text: &str| answer(client.message("idem-1", text).header("Idempotency-Key", "message-1"));
    let first = send(QUESTION).await;
    let again = send(QUESTION).await;
    assert_eq!((first.status, first.replayed, again.status, again.replayed), (200, false, 200, true));
    assert_eq!(again.body, first.body);
    let other = send("another question").await;
    assert_eq!((other.status, &other.body["reason"]), (422, &json!("IDEMPOTENCY_MISMATCH")));
    let elsewhere = answer(client.message("idem-2", QUESTION).header("Idempotency-Key", "message-1")).await;
    assert_eq!(elsewhere.status, 422, "another session is another request");
    let wrong = answer(client.message("idem-1", QUESTION).header("Idempotency-Key", "x".repeat(201))).await;
    assert_eq!((wrong.status, &wrong.body["field"]), (400, &json!("Idempotency-Key")));
}

async fn a_hundred_at_once_become_one_task(client: &Client) {
    let before = tasks(client).await;
    let sent = (0..100).map(|_| answer(client.message("idem-1", QUESTION).header("Idempotency-Key", "racing-1")));
    let answers = futures::future::join_all(sent).await;
    let mut ids: Vec<_> =
        answers.iter().filter(|answer| answer.status == 200).map(|answer| &answer.body["task_id"]).collect();
    assert!(!ids.is_empty() && answers.iter().all(|answer| [200, 409].contains(&answer.status)));
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(tasks(client).await, before + 1);
}

fn completion(client: &Client, key: &str, question: &str, stream: bool) -> reqwest::RequestBuilder {
    let messages = json!([{ "role": "user", "content": question }]);
    let body = json!({ "model": format!("agent:{}", client.fact("agent_id")), "messages": messages, "stream": stream });
    let request = client.http.post(client.url("/v1/chat/completions")).bearer_auth(client.fact("api_key"));
    request.json(&body).header("Idempotency-Key", key)
}

/// Reads an answer in pieces: its ids, and the text.
async fn pieces(request: reqwest::RequestBuilder) -> (bool, HashSet<String>, String) {
    let response = request.send().await.expect("the edge answers");
    let replayed = response.headers().contains_key("idempotency-replayed");
    let events = response.text().await.expect("a stream");
    let data = events.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    let chunks: Vec<Value> = data.map(|data| serde_json::from_str(data).expect("JSON")).collect();
    let ids = chunks.iter().map(|chunk| chunk["id"].as_str().expect("an id").to_owned()).collect();
    let text = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    (replayed, ids, text)
}

async fn a_completion_becomes_one_task_whole_and_in_pieces(client: &Client) {
    let before = tasks(client).await;
    let first = answer(completion(client, "completion-1", QUESTION, false)).await;
    let again = answer(completion(client, "completion-1", QUESTION, false)).await;
    assert_eq!((first.status, first.replayed, again.status, again.replayed), (200, false, 200, true));
    assert_eq!(again.body, first.body);
    let other = answer(completion(client, "completion-1", "another question", false)).await;
    assert_eq!((other.status, &other.body["error"]["code"]), (422, &json!("IDEMPOTENCY_MISMATCH")));
    let (replayed, ids, text) = pieces(completion(client, "completion-2", QUESTION, true)).await;
    assert!(!replayed && ids.len() == 1 && !text.is_empty(), "{ids:?}: {text}");
    assert_eq!(pieces(completion(client, "completion-2", QUESTION, true)).await, (true, ids, text));
    let other = answer(completion(client, "completion-2", "another question", true)).await;
    assert_eq!((other.status, &other.body["error"]["code"]), (422, &json!("IDEMPOTENCY_MISMATCH")));
    let wrong = answer(completion(client, "completion-3", "", false)).await;
    let again = answer(completion(client, "completion-3", "", false)).await;
    assert_eq!((wrong.status, again.status, &again.body), (422, 422, &wrong.body), "in OpenAI's shape both times");
    assert_eq!(tasks(client).await, before + 2);
}

async fn what_was_let_in_is_shown_again_over_the_limit(client: &Client) {
    let (_, ids, text) = pieces(completion(client, "limited-1", QUESTION, true)).await;
    let mut refused = 0;
    // Two minutes' worth: one may begin anew on the way.
    for number in 0..25 {
        let status = answer(completion(client, &format!("limited-other-{number}"), QUESTION, false)).await.status;
        refused += usize::from(status == 429);
        if refused == 2 {
            break;
        }
    }
    assert_eq!(refused, 2, "the minute is used up");
    assert_eq!(pieces(completion(client, "limited-1", QUESTION, true)).await, (true, ids, text));
}

#[tokio::test]
async fn a_client_that_went_away_comes_back_with_its_key_for_the_answer() {
    let provider = OpenAi::start().await;
    provider.set_mode(Mode::Gated);
    let folder = tempfile::tempdir().expect("a folder");
    let url = provider.base_url();
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS, ("LLM_BASE_URL", &url)]).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let before = tasks(&client).await;
    let response = completion(&client, "key-1", QUESTION, true).send().await.expect("the edge answers");
    assert_eq!(response.status(), 200);
    drop(response);
    let whole = completion(&client, "key-1", QUESTION, true).send().await.expect("the edge answers");
    provider.release(10_000);
    let whole = whole.text().await.expect("a stream");
    assert!(whole.contains(r#""finish_reason":"stop""#) && !whole.contains("error"), "{whole}");
    assert_eq!(tasks(&client).await, before + 1);
}

async fn tasks(client: &Client) -> usize {
    let request = client.http.get(client.url("/api/v1/tasks?page_size=100")).bearer_auth(client.fact("api_key"));
    answer(request).await.body["tasks"].as_array().expect("tasks").len()
}

async fn an_agent_and_a_collection_are_made_once(client: &Client) {
    let agent = json!({ "name": "Twice", "system_prompt": "You help." });
    for (path, body) in [("/api/v1/agents", agent), ("/api/v1/collections", json!({ "name": "Twice" }))] {
        let make = || {
            let request = client.http.post(client.url(path)).bearer_auth(client.fact("api_key")).json(&body);
            answer(request.header("Idempotency-Key", "\"made-1\""))
        };
        let (first, again) = (make().await, make().await);
        assert_eq!((first.status, again.status, again.replayed), (201, 201, true), "{path}");
        assert_eq!(first.body, again.body);
    }
}

async fn upload(client: &Client, key: &str, text: &str) -> Answer {
    // A boundary of the test's own: what the client makes up differs every time.
    let collection = client.fact("collection_id");
    let body = format!(
        "--edge\r\ncontent-disposition: form-data; name=\"collection_id\"\r\n\r\n{collection}\r\n--edge\r\n\
         content-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\ncontent-type: text/plain\r\n\r\n{text}\r\n--edge--\r\n"
    );
    let request = client.http.post(client.url("/api/v1/documents")).bearer_auth(client.fact("api_key"));
    let request = request.header("content-type", "multipart/form-data; boundary=edge");
    answer(request.header("Idempotency-Key", key).body(body)).await
}

async fn a_document_is_taken_once_and_told_from_another_one(client: &Client) {
    let upload = |text| upload(client, "document-1", text);
    let (first, again) = (upload("one two three").await, upload("one two three").await);
    assert_eq!((first.status, again.status, again.replayed), (202, 202, true), "{} {}", first.body, again.body);
    assert_eq!(first.body["document_id"], again.body["document_id"]);
    assert_eq!(upload("one two four").await.status, 422);
    let form = Form::new().text("collection_id", client.fact("collection_id").to_owned());
    let form = form.part("file", Part::text("without a key").file_name("b.txt"));
    let plain = client.http.post(client.url("/api/v1/documents")).bearer_auth(client.fact("api_key")).multipart(form);
    assert_eq!(answer(plain).await.status, 202);
}

async fn keys_belong_to_their_tenants(one: &Client, other: &Client) {
    let first = answer(one.message("idem-1", QUESTION).header("Idempotency-Key", "shared-1")).await;
    let second = answer(other.message("idem-1", QUESTION).header("Idempotency-Key", "shared-1")).await;
    assert_eq!((first.status, second.status, second.replayed), (200, 200, false));
    assert_ne!(first.body["task_id"], second.body["task_id"]);
    let nobody = one.http.post(one.url("/api/chat/send")).header("Idempotency-Key", "shared-1").json(&json!({}));
    assert_eq!(answer(nobody).await.status, 401);
}

async fn a_message_whose_headers_were_mended_is_taken(client: &Client) {
    let send = async |changed: reqwest::RequestBuilder| answer(changed.header("Idempotency-Key", "mended-1")).await;
    let untold = send(client.message_with("x-tenant-tier", None)).await;
    assert_eq!((untold.status, untold.replayed), (422, false), "{}", untold.body);
    let whole = send(client.message("session-1", "hello")).await;
    let again = send(client.message("session-1", "hello")).await;
    assert_eq!((whole.status, whole.replayed, again.status, again.replayed), (200, false, 200, true), "{}", whole.body);
}

async fn what_may_pass_is_not_remembered(client: &Client) {
    let send = |agent: &str| {
        let request = client.message("idem-3", QUESTION).header("Idempotency-Key", "later-1");
        // The header of the message is replaced by a second one: sent once only.
        let agent = agent.to_owned();
        async move {
            let mut request = request.build().expect("a request");
            request.headers_mut().insert("x-agent-id", agent.parse().expect("a header"));
            let response = client.http.execute(request).await.expect("the edge answers");
            response.status().as_u16()
        }
    };
    assert_eq!(send("later-agent").await, 403, "there is no such agent yet");
    let body = json!({ "agent_id": "later-agent", "name": "Later", "system_prompt": "You help." });
    let made = client.http.post(client.url("/api/v1/agents")).bearer_auth(client.fact("api_key")).json(&body);
    assert_eq!(answer(made).await.status, 201);
    let accepted = || async { send("later-agent").await == 200 };
    testkit::eventually(std::time::Duration::from_secs(10), accepted).await;
}

async fn get(client: &Client, path: &str) -> Value {
    answer(client.http.get(client.url(path)).bearer_auth(client.fact("api_key"))).await.body
}

/// Takes away what is known about requests, as a Redis does that lost its last second.
fn forget(redis: &testkit::Redis) {
    let keys = redis.command(&["KEYS", "idempotency:*"]);
    assert!(!keys.is_empty(), "there is something to forget");
    for key in keys.lines() {
        redis.command(&["DEL", key]);
    }
}

#[tokio::test]
async fn what_is_sent_again_after_its_answer_was_forgotten_finds_what_the_first_one_made() {
    let redis = testkit::Redis::start_durable().await;
    let folder = tempfile::tempdir().expect("a folder");
    let url = redis.url();
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS, ("REDIS_URL", &url)]).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    // Requests of a tier with limits are counted at once.
    let limited = Client::of_demo(folder.path(), "professional");
    a_forgotten_document_is_one_version_and_one_charge(&limited, &redis).await;
    a_forgotten_message_is_one_task(&client, &redis).await;
    a_forgotten_agent_is_made_once_and_another_one_is_another(&client, &redis).await;
}

async fn a_forgotten_document_is_one_version_and_one_charge(client: &Client, redis: &testkit::Redis) {
    let list = format!("/api/v1/documents?page_size=100&collection_id={}", client.fact("collection_id"));
    let documents = async || get(client, &list).await["documents"].as_array().expect("documents").len();
    let charged = async || get(client, "/api/v1/usage").await["collection_requests"].as_u64().expect("a number");
    let before = (documents().await, charged().await);
    let first = upload(client, "lost-1", "one two three").await;
    assert_eq!(first.status, 202, "{}", first.body);
    forget(redis);
    let again = upload(client, "lost-1", "one two three").await;
    assert_eq!((again.status, again.replayed), (202, false), "{}", again.body);
    for name in ["document_id", "task_id", "size_bytes"] {
        assert_eq!(again.body[name], first.body[name], "{name}");
    }
    assert_eq!(upload(client, "lost-1", "one two three").await.body, again.body);
    forget(redis);
    let other = upload(client, "lost-1", "one two four").await;
    let expected = (422, &json!("IDEMPOTENCY_MISMATCH"), &json!("Idempotency-Key"));
    assert_eq!((other.status, &other.body["reason"], &other.body["field"]), expected);
    let still = upload(client, "lost-1", "one two three").await;
    assert_eq!((still.status, &still.body["document_id"]), (202, &first.body["document_id"]), "{}", still.body);
    assert_eq!((documents().await, charged().await), (before.0 + 1, before.1 + 1));
}

async fn a_forgotten_message_is_one_task(client: &Client, redis: &testkit::Redis) {
    let before = tasks(client).await;
    let send = || answer(client.message("idem-1", QUESTION).header("Idempotency-Key", "lost-1"));
    let first = send().await;
    forget(redis);
    let again = send().await;
    assert_eq!((again.status, again.replayed, &again.body["task_id"]), (200, false, &first.body["task_id"]));
    assert_eq!(tasks(client).await, before + 1);
}

async fn a_forgotten_agent_is_made_once_and_another_one_is_another(client: &Client, redis: &testkit::Redis) {
    let make = |name: &str| {
        let body = json!({ "name": name, "system_prompt": "You help." });
        let request = client.http.post(client.url("/api/v1/agents")).bearer_auth(client.fact("api_key")).json(&body);
        answer(request.header("Idempotency-Key", "lost-1"))
    };
    let first = make("Once").await;
    forget(redis);
    let again = make("Once").await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    forget(redis);
    let other = make("Another").await;
    assert_eq!((other.status, &other.body["name"]), (201, &json!("Another")));
    assert_ne!(other.body["agent_id"], first.body["agent_id"]);
}

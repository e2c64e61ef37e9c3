//! Clients of OpenAI's API.

use e2e::{Client, Nooble};
use futures::StreamExt as _;
use serde_json::{Value, json};
use testkit::openai::{Mode, OpenAi};

use crate::{PATIENCE, QUESTION, WORDS};

fn ask(client: &Client, body: &Value) -> reqwest::RequestBuilder {
    client.http.post(client.url("/v1/chat/completions")).bearer_auth(client.fact("api_key")).json(body)
}

fn question(client: &Client, more: &Value) -> Value {
    let messages = json!([{ "role": "system", "content": "be brief" }, { "role": "user", "content": QUESTION }]);
    let mut body = json!({ "model": format!("agent:{}", client.fact("agent_id")), "messages": messages });
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

#[tokio::test]
async fn a_client_of_openai_gets_answers_whole_and_in_pieces_and_errors_in_its_shape() {
    let folder = tempfile::tempdir().expect("a folder");
    let _nooble = Nooble::up(folder.path(), &["--demo"], &[WORDS]).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let whole = an_answer_comes_whole(&client).await;
    an_answer_comes_in_pieces(&client, &whole).await;
    errors_have_the_shape_that_clients_look_for(&client).await;
    nothing_is_kept_unless_a_conversation_is_named(&client).await;
    agents_are_models(&client).await;
    all_agents_are_models_however_many(&client).await;
    a_model_that_may_not_be_used_is_none(&client, &Client::of_demo(folder.path(), "free")).await;
    limits_have_openais_headers(&Client::of_demo(folder.path(), "free")).await;
}

async fn an_answer_comes_whole(client: &Client) -> String {
    let answer = ask(client, &question(client, &json!({ "temperature": 0.1 }))).send().await.expect("the edge answers");
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!((&body["object"], &body["choices"][0]["finish_reason"]), (&json!("chat.completion"), &json!("stop")));
    let usage = &body["usage"];
    let number = |name: &str| usage[name].as_u64().expect("a number");
    assert_eq!(number("prompt_tokens") + number("completion_tokens"), number("total_tokens"), "{usage}");
    let text = body["choices"][0]["message"]["content"].as_str().expect("a text").to_owned();
    assert!(text.contains("10"), "{text}");
    text
}

async fn an_answer_comes_in_pieces(client: &Client, whole: &str) {
    let more = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let answer = ask(client, &question(client, &more)).send().await.expect("the edge answers");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let text = answer.text().await.expect("a stream");
    let data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(data.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> =
        data[..data.len() - 1].iter().map(|data| serde_json::from_str(data).expect("JSON")).collect();
    let pieces: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(pieces, whole);
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let last = chunks.last().expect("the tokens");
    assert!(last["usage"]["total_tokens"].is_u64() && last["choices"] == json!([]), "{last}");
    let end = &chunks[chunks.len() - 2];
    assert_eq!(end["choices"][0]["finish_reason"], "stop");
}

async fn errors_have_the_shape_that_clients_look_for(client: &Client) {
    let stranger = client.http.post(client.url("/v1/chat/completions")).bearer_auth("nbl_x_y").json(&json!({}));
    let unknown = question(client, &json!({ "model": "agent:nobody" }));
    let long = "x".repeat(17 * 1024);
    for (request, status, kind, param) in [
        (stranger, 401, "authentication_error", Value::Null),
        (ask(client, &unknown), 404, "invalid_request_error", json!("model")),
        (ask(client, &question(client, &json!({ "model": "gpt-4o" }))), 422, "invalid_request_error", json!("model")),
        (ask(client, &json!({ "model": "agent:x" })), 422, "invalid_request_error", json!("messages")),
        (client.http.get(client.url("/v1/models")), 401, "authentication_error", Value::Null),
        (client.http.post(client.url("/v1/embeddings")), 404, "invalid_request_error", Value::Null),
        (client.http.delete(client.url("/v1/models")), 405, "invalid_request_error", Value::Null),
        (client.http.get(client.url("/v1/models")).header("x-long", long), 431, "invalid_request_error", Value::Null),
    ] {
        let answer = request.send().await.expect("the edge answers");
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["content-type"].to_str().expect("text")),
            (status, "application/json")
        );
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!((&body["error"]["type"], &body["error"]["param"]), (&json!(kind), &param), "{body}");
        assert!(body["error"]["message"].is_string() && body["error"]["code"].is_string(), "{body}");
    }
}

async fn agents_are_models(client: &Client) {
    let request = client.http.get(client.url("/v1/models")).bearer_auth(client.fact("api_key"));
    let body: Value = request.send().await.expect("the edge answers").json().await.expect("JSON");
    let ids: Vec<_> = body["data"].as_array().expect("a list").iter().map(|model| model["id"].clone()).collect();
    assert!(ids.contains(&json!(format!("agent:{}", client.fact("agent_id")))), "{body}");
}

async fn nothing_is_kept_unless_a_conversation_is_named(client: &Client) {
    let get = async |path: &str| {
        let request = client.http.get(client.url(path)).bearer_auth(client.fact("api_key"));
        request.send().await.expect("the edge answers").json::<Value>().await.expect("JSON")
    };
    let id = |body: &Value| body["id"].as_str().expect("an id").trim_start_matches("chatcmpl-").to_owned();
    let answer = ask(client, &question(client, &json!({}))).send().await.expect("the edge answers");
    let task = client.task(&id(&answer.json().await.expect("JSON"))).await;
    assert_eq!((&task["status"], &task["session_id"]), (&json!("completed"), &Value::Null), "no session, no history");
    let named = ask(client, &question(client, &json!({}))).header("X-Conversation-ID", "kept-1");
    assert_eq!(named.send().await.expect("the edge answers").status(), 200);
    let messages = get("/api/v1/conversations/kept-1/messages").await["messages"].clone();
    assert_eq!(messages.as_array().expect("messages").len(), 2, "{messages}");
}

async fn all_agents_are_models_however_many(client: &Client) {
    let make = |number: usize| {
        let agent =
            json!({ "agent_id": format!("many-{number:03}"), "name": "One of many", "system_prompt": "You help." });
        client.http.post(client.url("/api/v1/agents")).bearer_auth(client.fact("api_key")).json(&agent).send()
    };
    for number in 0..120 {
        assert_eq!(make(number).await.expect("the edge answers").status(), 201);
    }
    let request = client.http.get(client.url("/v1/models")).bearer_auth(client.fact("api_key"));
    let body: Value = request.send().await.expect("the edge answers").json().await.expect("JSON");
    let ids: std::collections::HashSet<_> =
        body["data"].as_array().expect("a list").iter().map(|model| model["id"].as_str().expect("an id")).collect();
    let missing = (0..120).map(|number| format!("agent:many-{number:03}")).find(|id| !ids.contains(id.as_str()));
    assert_eq!(missing, None);
}

async fn a_model_that_may_not_be_used_is_none(client: &Client, other: &Client) {
    let asleep = json!({ "is_active": false });
    let path = client.url("/api/v1/agents/many-000");
    let changed = client.http.patch(path).bearer_auth(client.fact("api_key")).json(&asleep).send().await;
    assert_eq!(changed.expect("the edge answers").status(), 200);
    let model = async |client: &Client, id: &str| {
        let request = client.http.get(client.url(&format!("/v1/models/{id}"))).bearer_auth(client.fact("api_key"));
        let answer = request.send().await.expect("the edge answers");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    let (status, found) = model(client, "agent:many-001").await;
    assert_eq!((status, &found["id"], &found["object"]), (200, &json!("agent:many-001"), &json!("model")));
    let (status, nothing) = model(client, "agent:nobody").await;
    let error = &nothing["error"];
    assert_eq!((status, &error["type"], &error["param"]), (404, &json!("invalid_request_error"), &json!("model")));
    for (client, id) in [(other, "agent:many-001"), (client, "agent:many-000"), (client, "gpt-4o"), (client, "agent:x")]
    {
        assert_eq!(model(client, id).await, (404, nothing.clone()), "{id}");
    }
}

async fn limits_have_openais_headers(client: &Client) {
    let answer = ask(client, &question(client, &json!({}))).send().await.expect("the edge answers");
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(header("x-ratelimit-limit-requests"), "10");
    assert!(header("x-ratelimit-reset-requests").ends_with('s'));
    assert_eq!(header("x-ratelimit-limit-tokens"), "500000");
    assert!(header("ratelimit-policy").contains("\"minute\";q=10"));
    let stream = ask(client, &question(client, &json!({ "stream": true }))).send().await.expect("the edge answers");
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    for name in ["ratelimit-policy", "ratelimit", "x-ratelimit-remaining", "x-ratelimit-remaining-requests"] {
        assert!(stream.headers().contains_key(name), "a stream says how the limits stand, too: {name}");
    }
}

#[tokio::test]
async fn a_model_is_told_what_the_client_keeps_and_stops_when_the_client_goes_away() {
    let provider = OpenAi::start().await;
    provider.say("One two three four five six seven eight nine ten.");
    let folder = tempfile::tempdir().expect("a folder");
    let url = provider.base_url();
    let settings = [WORDS, ("LLM_BASE_URL", url.as_str()), ("LLM_API_KEY", "canary-key-1234")];
    let _nooble = Nooble::up(folder.path(), &["--demo"], &settings).await;
    let client = Client::of_demo(folder.path(), "enterprise");
    let plain = json!({ "agent_id": "plain-1", "name": "Plain", "system_prompt": "You help." });
    let made = client.http.post(client.url("/api/v1/agents")).bearer_auth(client.fact("api_key")).json(&plain);
    assert_eq!(made.send().await.expect("the edge answers").status(), 201);
    let messages = json!([
        { "role": "user", "content": "my name is Ada" },
        { "role": "assistant", "content": "hello Ada" },
        { "role": "user", "content": "what is my name?" },
    ]);
    let body = json!({ "model": "agent:plain-1", "messages": messages, "stream": true });
    let answer = ask(&client, &body).send().await.expect("the edge answers").text().await.expect("a stream");
    assert!(answer.contains("[DONE]"), "{answer}");
    let told = format!("{:?}", provider.received());
    for text in ["my name is Ada", "hello Ada", "what is my name?"] {
        assert!(told.contains(text), "{text} in {told}");
    }

    provider.set_mode(Mode::Gated);
    let answer = ask(&client, &body).send().await.expect("the edge answers");
    provider.release(2);
    let mut stream = answer.bytes_stream();
    let first = stream.next().await.expect("the role").expect("a chunk");
    drop(stream);
    let text = String::from_utf8_lossy(&first).into_owned();
    let id = text.split("chatcmpl-").nth(1).and_then(|rest| rest.split('"').next()).expect("the task's id").to_owned();
    testkit::eventually(PATIENCE, || async { client.task(&id).await["status"] == "cancelled" }).await;
    provider.release(100);
}

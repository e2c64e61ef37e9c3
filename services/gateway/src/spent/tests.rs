use super::*;

fn request(headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::post(ROUTE).header("authorization", "Bearer a").header("x-tenant-id", "acme");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn refused() -> Response {
    let body = r#"{"status":429,"trace_id":"0af7651916cd43dd8448eb211c80319c","retry_after":40}"#;
    let over = OverLimit { tier: "free", ends: Duration::from_secs(40) };
    let response = Response::builder().status(429).header("ratelimit", "r=0").header("traceresponse", "00-0af7");
    response.extension(over).body(Body::from(body)).unwrap()
}

async fn text(response: Response) -> String {
    let body = axum::body::to_bytes(response.into_body(), LONGEST).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Somebody was refused lately.
async fn spent() -> Spent {
    let spent = Spent::new(CancellationToken::new());
    spent.note(None, refused()).await;
    spent
}

#[tokio::test]
async fn while_nobody_was_refused_no_request_is_looked_at() {
    let spent = Spent::new(CancellationToken::new());
    assert!(spent.same(&request(&[])).is_none());
    spent.note(None, Response::new(Body::from("{}"))).await;
    assert!(spent.same(&request(&[])).is_none());
    spent.note(None, refused()).await;
    let same = spent.same(&request(&[])).expect("somebody was refused");
    assert!(spent.answer(same, &HeaderMap::new()).is_none(), "it is not known by which request");
}

#[tokio::test]
async fn who_goes_on_gets_the_same_answer_under_another_id_and_without_the_trace() {
    let spent = spent().await;
    let same = spent.same(&request(&[])).unwrap();
    assert!(spent.answer(same, &HeaderMap::new()).is_none());
    let first = spent.note(Some(same), refused()).await;
    assert!(text(first).await.contains("trace_id"), "the first answer is passed on as it is");
    let asked = request(&[("x-request-id", "again-7"), ("content-length", "9")]);
    let again = spent.answer(spent.same(&asked).unwrap(), asked.headers()).expect("the answer stands");
    assert_eq!(
        (again.status().as_u16(), &again.headers()["x-request-id"]),
        (429, &HeaderValue::from_static("again-7"))
    );
    assert_eq!(again.headers()["ratelimit"], "r=0");
    assert!(!again.headers().contains_key("traceresponse"));
    let body = text(again).await;
    assert!(body.contains("retry_after") && !body.contains("trace_id"), "{body}");
}

#[tokio::test]
async fn another_field_is_another_request() {
    let spent = spent().await;
    let same = spent.same(&request(&[])).unwrap();
    spent.note(Some(same), refused()).await;
    for other in [("x-agent-id", "other"), ("authorization", "Bearer b"), ("origin", "https://elsewhere.example")] {
        let other = spent.same(&request(&[other])).unwrap();
        assert!(spent.answer(other, &HeaderMap::new()).is_none());
    }
    let mut elsewhere = request(&[]);
    elsewhere.extensions_mut().insert(ClientAddress([10, 0, 0, 7].into()));
    assert!(spent.answer(spent.same(&elsewhere).unwrap(), &HeaderMap::new()).is_none());
}

#[tokio::test]
async fn a_repetition_and_a_recorded_trace_are_always_looked_at() {
    let spent = spent().await;
    assert!(spent.same(&request(&[("idempotency-key", "k-1")])).is_none());
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0";
    assert!(spent.same(&request(&[("traceparent", &format!("{trace}1"))])).is_none());
    assert!(spent.same(&request(&[("traceparent", &format!("{trace}0"))])).is_some());
    let get = Request::get(ROUTE).body(()).unwrap();
    let elsewhere = Request::post("/api/v1/agents").body(()).unwrap();
    let asking = Request::post(format!("{ROUTE}?a=b")).body(()).unwrap();
    assert!([get, elsewhere, asking].iter().all(|other| spent.same(other).is_none()));
}

#[tokio::test]
async fn what_was_let_in_is_not_remembered_and_nothing_once_the_process_drains() {
    let draining = CancellationToken::new();
    let spent = Spent::new(draining.clone());
    spent.note(None, refused()).await;
    let same = spent.same(&request(&[])).unwrap();
    spent.note(Some(same), Response::new(Body::from("{}"))).await;
    assert!(spent.answer(same, &HeaderMap::new()).is_none());
    spent.note(Some(same), refused()).await;
    draining.cancel();
    assert!(spent.answer(same, &HeaderMap::new()).is_none());
}

#[tokio::test]
async fn an_answer_does_not_outlive_its_window() {
    let spent = spent().await;
    let same = spent.same(&request(&[])).unwrap();
    let mut response = refused();
    response.extensions_mut().insert(OverLimit { tier: "free", ends: Duration::ZERO });
    spent.note(Some(same), response).await;
    assert!(spent.answer(same, &HeaderMap::new()).is_none());
}

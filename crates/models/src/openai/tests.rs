use std::time::{Duration, Instant};

use futures::{FutureExt as _, StreamExt as _};
use testkit::openai::{Mode, OpenAi};

use crate::{
    EmbeddingConfig, Endpoint, Error, LanguageModel as _, NOT_FOUND, Passage, Piece, Prompt, collect, open_embedder,
};

use super::OpenAiChat;

const KEY: &str = "sk-very-secret";

/// Patient where a test does not wait, impatient between retries.
fn endpoint(server: &OpenAi) -> Endpoint {
    let mut endpoint = Endpoint::new(server.base_url(), KEY, "test-model");
    endpoint.timeouts.retry_base = Duration::from_millis(1);
    endpoint
}

fn model(server: &OpenAi) -> OpenAiChat {
    OpenAiChat::new(&endpoint(server)).expect("the endpoint is well formed")
}

fn question(text: &str) -> Prompt {
    Prompt { question: text.to_owned(), max_tokens: 100, temperature: 0.5, ..Prompt::default() }
}

fn grounded(text: &str) -> Prompt {
    let passage = |text: &str| Passage { text: text.to_owned(), ..Passage::default() };
    Prompt { passages: Some(vec![passage("One."), passage("Two."), passage("Three.")]), ..question(text) }
}

fn status(code: u16, times: usize) -> Mode {
    Mode::Status { code, retry_after: None, times }
}

async fn fails(server: &OpenAi) -> Error {
    match model(server).answer(question("Hello")).await {
        Err(error) => error,
        Ok(answer) => collect(answer).await.expect_err("the server misbehaves"),
    }
}

#[tokio::test]
async fn an_answer_arrives_in_parts_with_its_usage() {
    let server = OpenAi::start().await;
    server.say("Good morning to you, señor.");
    let answer = model(&server).answer(question("Hello")).await.expect("accepted");
    let pieces: Vec<Piece> = answer.map(|piece| piece.expect("well formed")).collect().await;
    let (last, deltas) = pieces.split_last().expect("there are pieces");
    let text: String = deltas
        .iter()
        .map(|piece| match piece {
            Piece::Delta(words) => words.as_str(),
            Piece::Done(_) => panic!("two ends"),
        })
        .collect();
    assert_eq!((text.as_str(), deltas.len()), ("Good morning to you, señor.", 4));
    let Piece::Done(finish) = last else { panic!("no end") };
    assert_eq!((finish.model.as_str(), finish.usage.output, finish.found), ("test-model", 5, true));
    assert_eq!(finish.usage.total, finish.usage.input + finish.usage.output);
}

#[tokio::test]
async fn the_request_is_what_compatible_servers_expect() {
    let server = OpenAi::start().await;
    let prompt = Prompt { system: "Be brief.".to_owned(), model: Some("agents-own".to_owned()), ..question("Hello") };
    collect(model(&server).answer(prompt).await.expect("accepted")).await.expect("complete");
    let received = server.received().remove(0);
    let expected = serde_json::json!({
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        "model": "agents-own",
        "max_tokens": 100,
        "temperature": 0.5,
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    assert_eq!(received.body, expected);
    assert_eq!(received.path, "/v1/chat/completions");
    assert_eq!(received.headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(received.headers["content-type"], "application/json");
}

#[tokio::test]
async fn the_first_words_are_here_before_the_provider_has_finished() {
    let server = OpenAi::start().await;
    server.set_mode(Mode::Gated);
    server.say("slow words");
    server.set_parts(2);
    let mut answer = model(&server).answer(question("Hello")).await.expect("accepted");
    assert!(answer.next().now_or_never().is_none(), "nothing is let out yet");
    server.release(1);
    assert_eq!(answer.next().await, Some(Ok(Piece::Delta("slow ".to_owned()))));
    assert!(answer.next().now_or_never().is_none(), "the rest is held back still");
    server.release(2);
    assert_eq!(answer.next().await, Some(Ok(Piece::Delta("words".to_owned()))));
    assert!(matches!(answer.next().await, Some(Ok(Piece::Done(_)))));
    assert_eq!(answer.next().await, None);
}

#[tokio::test]
async fn what_passes_by_is_retried_and_what_does_not_is_not() {
    for (code, requests) in [(429, 3), (500, 3), (503, 3), (408, 3)] {
        let server = OpenAi::start().await;
        server.set_mode(status(code, 2));
        let answer = model(&server).answer(question("Hello")).await.expect("the third time it works");
        assert_eq!(collect(answer).await.expect("complete").0, "Hello");
        assert_eq!(server.received().len(), requests);
    }
    for code in [400, 401, 403, 404] {
        let server = OpenAi::start().await;
        server.set_mode(status(code, 1));
        let error = fails(&server).await;
        assert_eq!(error, Error::rejected(format!("status {code}, scripted_error")));
        assert_eq!(server.received().len(), 1);
    }
}

#[tokio::test]
async fn a_provider_that_stays_away_is_given_up_with_its_hint() {
    let server = OpenAi::start().await;
    server.set_mode(status(503, usize::MAX));
    let error = fails(&server).await;
    assert!(matches!(error, Error::Unavailable { retry_after: None, .. }), "{error}");
    assert_eq!(server.received().len(), 3);

    let server = OpenAi::start().await;
    server.set_mode(Mode::Status { code: 429, retry_after: Some("60".to_owned()), times: usize::MAX });
    let error = fails(&server).await;
    assert_eq!(error.retry_after(), Some(Duration::from_mins(1)));
    assert_eq!(server.received().len(), 1, "a minute is longer than anyone waits here");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_after_what_arrived() {
    let server = OpenAi::start().await;
    server.set_mode(Mode::Cut { after: 2 });
    server.say("one two three four");
    let answer = model(&server).answer(question("Hello")).await.expect("accepted");
    let pieces: Vec<_> = answer.collect().await;
    assert!(matches!(pieces.last(), Some(Err(Error::Broken { .. }))), "{pieces:?}");
    assert!(pieces.iter().rev().skip(1).all(|piece| matches!(piece, Ok(Piece::Delta(_)))));
    assert_eq!(server.received().len(), 1, "nothing is retried once an answer has begun");
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_an_error_that_passes_by() {
    let server = OpenAi::start().await;
    server.set_mode(Mode::Garbage);
    let error = fails(&server).await;
    assert!(matches!(error, Error::Broken { .. }) && error.is_transient(), "{error}");
}

#[tokio::test]
async fn silence_is_not_waited_for_for_ever() {
    let server = OpenAi::start().await;
    server.set_mode(Mode::Silent);
    let mut impatient = endpoint(&server);
    impatient.timeouts.first_byte = Duration::from_millis(50);
    let model = OpenAiChat::new(&impatient).expect("well formed");
    let error = model.answer(question("Hello")).await.err().expect("no answer comes");
    assert_eq!(error, Error::unavailable("no answer in time"));
    assert!(server.received().len() <= 1, "slow is not retried");

    server.set_mode(Mode::Gated);
    impatient.timeouts.first_byte = Duration::from_secs(30);
    impatient.timeouts.idle = Duration::from_millis(50);
    let model = OpenAiChat::new(&impatient).expect("well formed");
    let answer = model.answer(question("Hello")).await.expect("the head comes");
    assert_eq!(collect(answer).await, Err(Error::unavailable("no answer in time")));
}

#[tokio::test]
async fn the_callers_deadline_is_kept() {
    let server = OpenAi::start().await;
    server.set_mode(Mode::Gated);
    let soon = || Some(Instant::now() + Duration::from_millis(50));
    let model = model(&server);
    // The head comes at once; should the machine be slower than that, the deadline holds all the same.
    let answered = async { collect(model.answer(Prompt { deadline: soon(), ..question("Hello") }).await?).await };
    assert_eq!(answered.await, Err(Error::DeadlineExceeded));
    server.set_mode(Mode::Silent);
    let error = model.answer(Prompt { deadline: soon(), ..question("Hello") }).await.err();
    assert_eq!(error, Some(Error::DeadlineExceeded));
}

#[tokio::test]
async fn nobody_listening_is_told_apart_from_a_refusal() {
    // Bound and not listening: the port is nobody else's, and connecting to it is refused.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = socket.local_addr().expect("a bound socket has an address");
    let mut endpoint = Endpoint::new(format!("http://{address}/v1"), KEY, "test-model");
    endpoint.timeouts.retry_base = Duration::from_millis(1);
    let error = OpenAiChat::new(&endpoint).expect("well formed").answer(question("Hello")).await.err();
    assert_eq!(error, Some(Error::unavailable("connection failed")));
}

#[tokio::test]
async fn a_model_that_takes_no_temperature_is_asked_without_from_then_on() {
    let server = OpenAi::start().await;
    server.set_mode(Mode::Without("temperature"));
    let model = model(&server);
    for requests in [2, 3] {
        let answer = model.answer(question("Hello")).await.expect("accepted without");
        assert_eq!(collect(answer).await.expect("complete").0, "Hello");
        assert_eq!(server.received().len(), requests);
    }
    server.set_mode(Mode::Without("messages"));
    let error = model.answer(question("Hello")).await.err();
    assert_eq!(error, Some(Error::rejected("status 400, unsupported_value")));
}

#[tokio::test]
async fn a_grounded_answer_says_what_it_rests_on() {
    let server = OpenAi::start().await;
    let table: [(&str, &[usize], bool); 4] = [
        ("It is so [2], and so [3][2].", &[1, 2], true),
        ("It is so, says nobody.", &[0, 1, 2], true),
        (NOT_FOUND, &[], false),
        ("Cites what is not there [9].", &[0, 1, 2], true),
    ];
    for (text, cited, found) in table {
        server.say(text);
        let answer = model(&server).answer(grounded("Why?")).await.expect("accepted");
        let (said, finish) = collect(answer).await.expect("complete");
        assert_eq!((said.as_str(), finish.cited.as_slice(), finish.found), (text, cited, found));
    }
}

#[tokio::test]
async fn without_passages_nobody_is_asked_what_they_say() {
    let server = OpenAi::start().await;
    let prompt = Prompt { passages: Some(Vec::new()), ..question("Why?") };
    let (said, finish) = collect(model(&server).answer(prompt).await.expect("no request")).await.expect("complete");
    assert_eq!((said.as_str(), finish.found), (NOT_FOUND, false));
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn the_key_is_not_printed() {
    let server = OpenAi::start().await;
    let model = model(&server);
    assert!(!format!("{model:?} {:?}", endpoint(&server)).contains(KEY));
}

#[tokio::test]
async fn vectors_come_in_the_order_of_the_texts_and_of_unit_length() {
    let server = OpenAi::start().await;
    let config =
        EmbeddingConfig::OpenAi { endpoint: endpoint(&server), dimensions: None, relevance_threshold: Some(0.4) };
    let embedder = open_embedder(&config).await.expect("the server tells the dimensions");
    assert_eq!((embedder.model().dimensions, embedder.model().name.as_str()), (8, "test-model"));
    assert!((embedder.model().relevance_threshold - 0.4).abs() < f32::EPSILON);
    let texts: Vec<String> = (0..150).map(|number| format!("text {number}")).collect();
    let embeddings = embedder.embed(&texts).await.expect("the server works");
    assert_eq!((embeddings.vectors.len(), embeddings.total_tokens), (150, 300));
    assert_eq!(server.received().len(), 1 + 3, "one to learn the dimensions, three batches");
    for place in [0, 70, 149] {
        let alone = embedder.embed(&texts[place..=place]).await.expect("the server works");
        assert_eq!(alone.vectors[0], embeddings.vectors[place]);
        let length: f32 = alone.vectors[0].iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-5);
    }
}

#[tokio::test]
async fn vectors_that_do_not_fit_are_refused() {
    let server = OpenAi::start().await;
    let open = |dimensions| {
        let config = EmbeddingConfig::OpenAi { endpoint: endpoint(&server), dimensions, relevance_threshold: None };
        async move { open_embedder(&config).await.expect("well formed") }
    };
    let texts = ["a".to_owned()];
    let error = open(Some(9)).await.embed(&texts).await.expect_err("the server has eight");
    assert!(matches!(error, Error::Broken { .. }), "{error}");
    server.set_mode(Mode::Garbage);
    let error = open(Some(8)).await.embed(&texts).await.expect_err("the server says nonsense");
    assert!(matches!(error, Error::Broken { .. }), "{error}");
    server.set_mode(status(500, 1));
    assert!(open(Some(8)).await.embed(&texts).await.is_ok(), "the second time it works");
}

#[tokio::test]
async fn openais_own_models_are_known_and_can_be_shortened() {
    let server = OpenAi::start().await;
    let mut endpoint = endpoint(&server);
    endpoint.model = "text-embedding-3-small".to_owned();
    let config =
        |dimensions| EmbeddingConfig::OpenAi { endpoint: endpoint.clone(), dimensions, relevance_threshold: None };
    let whole = open_embedder(&config(None)).await.expect("known");
    assert_eq!((whole.model().dimensions, whole.model().window), (1536, 8191));
    assert!(server.received().is_empty());
    let short = open_embedder(&config(Some(256))).await.expect("known");
    assert_eq!(short.model().name, "text-embedding-3-small-256");
    let embeddings = short.embed(&["a".to_owned()]).await.expect("the server works");
    assert_eq!(embeddings.vectors[0].len(), 256);
}

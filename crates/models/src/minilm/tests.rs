#![expect(clippy::disallowed_methods, reason = "a test finds the model by the environment of the test run")]

use std::path::PathBuf;

use super::{Input, MiniLm, PIECE_TOKENS, WINDOW, pieces};
use crate::embed::cosine;
use crate::{Embedder, EmbeddingConfig, Error, Tokens};

fn model_dir() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/models/all-minilm-l6-v2");
    std::env::var("NOOBLE_MODEL_DIR").map_or_else(|_| PathBuf::from(default), PathBuf::from)
}

async fn open() -> MiniLm {
    let dir = model_dir();
    let message = format!("the model is not in {}: run `deploy/fetch-model.sh` on it, or `make test`", dir.display());
    MiniLm::open(dir).await.expect(&message)
}

async fn embed(model: &MiniLm, texts: &[&str]) -> Vec<Vec<f32>> {
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    model.embed(&texts).await.expect("the model works").vectors
}

#[tokio::test]
async fn vectors_are_those_of_the_original_implementation() {
    let model = open().await;
    let vectors = embed(&model, &["This is an example sentence", "Each sentence is converted"]).await;
    let expected = [0.067_656_88_f32, 0.063_495_9, 0.048_713_1, 0.079_304_9];
    for (got, expected) in vectors[0].iter().zip(expected) {
        assert!((got - expected).abs() < 1e-5, "{got} is not {expected}");
    }
    for vector in &vectors {
        assert_eq!(vector.len(), model.model().dimensions);
        assert!((cosine(vector, vector) - 1.0).abs() < 1e-5);
    }
    assert_eq!(model.model().dimensions, 384);
}

#[tokio::test]
async fn a_text_has_the_same_vector_alone_and_among_others() {
    let model = open().await;
    let long = "A longer sentence about queues, workers, leases and what happens to them. ".repeat(6);
    let many: Vec<&str> = std::iter::repeat_n(["short", long.as_str(), ""], 25).flatten().collect();
    let among = embed(&model, &many).await;
    for (index, text) in ["short", long.as_str(), ""].into_iter().enumerate() {
        let alone = embed(&model, &[text]).await;
        for other in among.iter().skip(index).step_by(3) {
            assert!(cosine(&alone[0], other) > 0.999_99);
        }
    }
    assert!(embed(&model, &[]).await.is_empty());
}

const PASSAGES: [&str; 5] = [
    "When a worker is killed, its lease runs out after 30 seconds and another worker takes the task over.",
    "An API key is shown once, when it is created, and only its hash is kept. A lost key cannot be recovered: revoke it \
     and create another. Keys are sent in the Authorization header as a Bearer token or in the header X-API-Key. A key \
     has scopes: tenant keys submit work and read results, admin keys may look into the queues of all tenants, pause \
     them and purge them.",
    "# Limits\n\nEvery tier has a limit of requests per minute and one per day.\n\n| tier | per minute | per day |\n|---|---|\
     ---|\n| free | 10 | 100 |\n| advance | 100 | 5,000 |\n| professional | 1,000 | 50,000 |\n| enterprise | 10,000 | \
     unlimited |\n\nA request beyond the limit is answered with status 429 and the header Retry-After. Reading results, \
     polling tasks and open sockets cost nothing; a chat message, a document and a workflow run cost one request each.",
    "Documents are uploaded as multipart requests. Text, Markdown, HTML and PDF are accepted; scanned PDFs without a text \
     layer are refused, as are encrypted ones. A document is cut into passages, each passage becomes a vector, and the \
     vectors are stored in the collection. Progress is shown on the session's socket and in the task.",
    "The botanical garden was founded in 1755 by King Ferdinand VI and moved to its present site in 1781. It holds three \
     terraces, two greenhouses and a collection of about 5,500 living species, among them ferns, roses and bonsai.",
];

const RELEVANT: [(&str, usize); 15] = [
    ("What happens to a task when its worker dies?", 0),
    ("How long is a lease?", 0),
    ("Who redoes lost work?", 0),
    ("I lost my key, what can I do?", 1),
    ("In which header do I send my credentials?", 1),
    ("What may admin keys do?", 1),
    ("How many calls a day are allowed in the free plan?", 2),
    ("What happens when I send too many requests?", 2),
    ("Does polling a task cost anything?", 2),
    ("Which file types can I upload?", 3),
    ("Why was my scanned PDF refused?", 3),
    ("Where do I see the progress of my upload?", 3),
    ("When was the garden founded?", 4),
    ("How many species are there?", 4),
    ("Which king established the garden?", 4),
];

const UNRELATED: [&str; 8] = [
    "What is the capital of France?",
    "How do I cook paella?",
    "Who won the championship?",
    "What is the boiling point of mercury?",
    "Recommend me a good film for tonight",
    "How do I change the oil of my car?",
    "Who is the president of the company?",
    "Is the restaurant open on Sundays?",
];

#[tokio::test]
async fn the_threshold_parts_relevant_from_unrelated() {
    let model = open().await;
    let passages = embed(&model, &PASSAGES).await;
    let threshold = model.model().relevance_threshold;
    let mut wrong = Vec::new();
    for (question, passage) in RELEVANT {
        let near = cosine(&embed(&model, &[question]).await[0], &passages[passage]);
        if near < threshold {
            wrong.push(format!("{question} is relevant and measures {near}"));
        }
    }
    for question in UNRELATED {
        let vector = &embed(&model, &[question]).await[0];
        let far = passages.iter().map(|passage| cosine(vector, passage)).fold(-1.0, f32::max);
        if far >= threshold {
            wrong.push(format!("{question} is unrelated and measures {far}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn what_fits_the_window_is_read_whole_and_the_rest_is_cut() {
    let model = open().await;
    let fits = vec!["word"; WINDOW - 2].join(" ");
    assert_eq!(model.count_tokens(&fits), WINDOW);
    let longer = format!("{fits} more words than fit");
    assert!(model.count_tokens(&longer) > WINDOW);
    let counter = Tokens::open(&EmbeddingConfig::MiniLm { dir: model_dir() }).await.expect("the model is there");
    assert_eq!(counter.count(&longer), model.count_tokens(&longer));
    assert_eq!((counter.model(), counter.window()), (model.model().name.as_str(), model.model().window));
    let texts = [fits, longer, "a b".to_owned()];
    let embeddings = model.embed(&texts).await.expect("the model works");
    assert_eq!(embeddings.total_tokens, WINDOW + WINDOW + 4);
    assert!(cosine(&embeddings.vectors[0], &embeddings.vectors[1]) > 0.999_99);
}

#[tokio::test]
async fn a_missing_or_altered_model_is_said_at_start() {
    let empty = tempfile::tempdir().expect("a directory");
    let error = MiniLm::open(empty.path().to_owned()).await.expect_err("nothing is there");
    assert!(matches!(&error, Error::Setup(message) if message.contains("fetch-model.sh")), "{error}");
    for file in ["config.json", "tokenizer.json"] {
        std::fs::copy(model_dir().join(file), empty.path().join(file)).expect("the model is there");
    }
    std::fs::write(empty.path().join("model.safetensors"), b"something else").expect("writable");
    let error = MiniLm::open(empty.path().to_owned()).await.expect_err("the weights are not the expected ones");
    assert!(matches!(&error, Error::Setup(message) if message.contains("SHA-256")), "{error}");
}

#[test]
fn no_piece_is_longer_than_allowed_and_no_text_is_lost() {
    let input = |(place, length): (usize, usize)| Input { place, ids: vec![0; length] };
    let lengths = [3, 3, 4, 10, 40, 100, 200, 256, 256, 256];
    let pieces = pieces(lengths.into_iter().enumerate().map(input).collect());
    let mut places = Vec::new();
    for piece in &pieces {
        let longest = piece.iter().map(|input| input.ids.len()).max().unwrap_or(0);
        assert!(piece.len() * longest <= PIECE_TOKENS);
        places.extend(piece.iter().map(|input| input.place));
    }
    assert_eq!(places, (0..lengths.len()).collect::<Vec<_>>());
}

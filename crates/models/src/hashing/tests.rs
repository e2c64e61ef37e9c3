use super::{Hashing, RELEVANCE_THRESHOLD, vector_of};
use crate::Embedder as _;
use crate::embed::cosine;

const PASSAGES: [&str; 4] = [
    "A queue is named by its domain, its context and its tier. Each tier has queues of its own, and workers serve the \
     tiers by weight, so that an enterprise tenant waits less than a free one and nobody starves.",
    "API keys are created by an administrator and shown once. A key that is lost cannot be read again: revoke it and \
     create a new one.",
    "Documents are uploaded with the REST interface. Text, Markdown, HTML and PDF are accepted; scanned pages without a \
     text layer are refused.",
    "When a worker is killed, its lease runs out after thirty seconds and another worker takes the task over.",
];

const RELEVANT: [(&str, usize); 8] = [
    ("How is a queue named?", 0),
    ("Which tenants wait less in the queues?", 0),
    ("How do I create an API key?", 1),
    ("What do I do when I have lost my key?", 1),
    ("Which documents are accepted for upload?", 2),
    ("Can I upload a PDF?", 2),
    ("What happens when a worker is killed?", 3),
    ("When does the lease of a task run out?", 3),
];

const UNRELATED: [&str; 6] = [
    "What is the capital of France?",
    "How long do I boil an egg?",
    "Who won the football championship in 1998?",
    "Recommend me a novel about the sea",
    "¿Cuál es la receta de la tortilla de patatas?",
    "Is it going to rain tomorrow in Madrid?",
];

fn similarity(question: &str, passage: &str) -> f32 {
    cosine(&vector_of(question).0, &vector_of(passage).0)
}

#[test]
fn the_threshold_parts_relevant_from_unrelated() {
    for (question, passage) in RELEVANT {
        let near = similarity(question, PASSAGES[passage]);
        assert!(near >= RELEVANCE_THRESHOLD, "{question} is relevant and measures {near}");
    }
    for question in UNRELATED {
        for passage in PASSAGES {
            let far = similarity(question, passage);
            assert!(far < RELEVANCE_THRESHOLD, "{question} is unrelated and measures {far}");
        }
    }
}

#[test]
fn the_right_passage_is_the_nearest() {
    for (question, right) in RELEVANT {
        let nearest = (0..PASSAGES.len())
            .max_by(|a, b| similarity(question, PASSAGES[*a]).total_cmp(&similarity(question, PASSAGES[*b])))
            .expect("there are passages");
        assert_eq!(nearest, right, "{question}");
    }
}

#[tokio::test]
async fn vectors_are_stable_and_of_unit_length() {
    let embedder = Hashing::new();
    let texts = ["The same text".to_owned(), "The same text".to_owned(), String::new()];
    let embeddings = embedder.embed(&texts).await.expect("hashing cannot fail");
    assert_eq!(embeddings.vectors[0], embeddings.vectors[1]);
    assert_eq!(embeddings.total_tokens, 6);
    for vector in &embeddings.vectors {
        assert_eq!(vector.len(), embedder.model().dimensions);
        assert!((cosine(vector, vector) - 1.0).abs() < 1e-5);
    }
    // Stored vectors must stay comparable: the places of two features, fixed.
    let places: Vec<_> = vector_of("zebra").0.iter().enumerate().filter(|(_, x)| **x != 0.0).map(|(i, _)| i).collect();
    assert_eq!(places, ZEBRA);
}

const ZEBRA: [usize; 2] = [105, 377];

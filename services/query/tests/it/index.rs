use std::path::Path;
use std::sync::Arc;

use action::{CollectionId, TenantId};
use fault::Fault as _;
use query::{Chunk, Error, Hit, Index, Part, Question, Stats};

const MODEL: &str = "test-model";

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

fn collection(name: &str) -> CollectionId {
    name.parse().unwrap()
}

async fn open(dir: &Path) -> Index {
    Index::open(&dir.join("query.db"), 1 << 20).await.unwrap()
}

/// A part with one chunk a vector, the whole version.
fn whole(collection: &str, document: &str, version: u64, vectors: &[[f32; 3]]) -> Part {
    Part {
        collection: collection.parse().unwrap(),
        document: document.parse().unwrap(),
        title: format!("Title of {document}"),
        version,
        model: MODEL.to_owned(),
        chunks: chunks(0, document, version, vectors),
        total: Some(u32::try_from(vectors.len()).unwrap()),
    }
}

fn chunks(first: u32, document: &str, version: u64, vectors: &[[f32; 3]]) -> Vec<Chunk> {
    let chunk = |(index, vector): (u32, &[f32; 3])| Chunk {
        index,
        text: format!("{document} v{version} #{index}"),
        start: u64::from(index) * 10,
        end: u64::from(index) * 10 + 8,
        vector: vector.to_vec(),
    };
    (first..).zip(vectors).map(chunk).collect()
}

fn question(vector: [f32; 3]) -> Arc<Question> {
    Arc::new(Question::new(vector.to_vec(), MODEL.to_owned()).unwrap())
}

async fn search(index: &Index, who: &str, collections: &[&str], vector: [f32; 3]) -> Vec<Hit> {
    let collections: Vec<_> = collections.iter().map(|name| collection(name)).collect();
    index.search(&tenant(who), &collections, question(vector), 5, 0.1).await.unwrap()
}

fn texts(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.text.as_str()).collect()
}

#[track_caller]
fn names_field<T: std::fmt::Debug>(outcome: Result<T, Error>, field: &str) {
    assert_eq!(outcome.unwrap_err().failure().field_name(), Some(field));
}

#[tokio::test]
async fn the_nearest_chunks_come_first_and_those_below_the_threshold_do_not_come() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path()).await;
    let vectors = [[0.0, 5.0, 0.0], [3.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]];
    assert_eq!(index.add(&tenant("acme"), whole("manuals", "doc", 1, &vectors)).await.unwrap(), 5);
    let hits = search(&index, "acme", &["manuals"], [2.0, 0.0, 0.0]).await;
    assert_eq!(texts(&hits), ["doc v1 #1", "doc v1 #2"]);
    assert!((hits[0].similarity - 1.0).abs() < 1e-6 && (hits[1].similarity - 0.5_f32.sqrt()).abs() < 1e-6);
    assert_eq!((hits[1].start, hits[1].end, hits[1].title.as_str()), (20, 28, "Title of doc"));
    let one = index.search(&tenant("acme"), &[collection("manuals")], question([1.0, 0.1, 0.0]), 1, 0.0).await;
    assert_eq!(texts(&one.unwrap()), ["doc v1 #1"]);
}

#[tokio::test]
async fn tenants_and_collections_do_not_see_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path()).await;
    let vector = [[1.0, 0.0, 0.0]];
    // The same names everywhere: only the tenant and the collection tell them apart.
    index.add(&tenant("acme"), whole("manuals", "doc", 1, &vector)).await.unwrap();
    index.add(&tenant("acme"), whole("letters", "letter", 1, &vector)).await.unwrap();
    index.add(&tenant("other"), whole("manuals", "doc", 7, &vector)).await.unwrap();
    assert_eq!(texts(&search(&index, "acme", &["manuals"], [1.0, 0.0, 0.0]).await), ["doc v1 #0"]);
    assert_eq!(texts(&search(&index, "other", &["manuals", "letters"], [1.0, 0.0, 0.0]).await), ["doc v7 #0"]);
    let both = search(&index, "acme", &["manuals", "letters", "manuals", "nowhere"], [1.0, 0.0, 0.0]).await;
    assert_eq!(texts(&both), ["doc v1 #0", "letter v1 #0"]);
    assert!(search(&index, "nobody", &["manuals"], [1.0, 0.0, 0.0]).await.is_empty());
    let stats = index.stats(&tenant("acme"), &collection("manuals")).await.unwrap();
    assert_eq!(stats, Stats { documents: 1, chunks: 1 });
    assert_eq!(index.stats(&tenant("nobody"), &collection("manuals")).await.unwrap(), Stats::default());
}

#[tokio::test]
async fn a_version_appears_as_a_whole_and_replaces_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path()).await;
    let acme = tenant("acme");
    index.add(&acme, whole("manuals", "doc", 1, &[[1.0, 0.0, 0.0]; 3])).await.unwrap();
    let first = Part { total: None, ..whole("manuals", "doc", 2, &[[1.0, 0.0, 0.0]]) };
    assert_eq!(index.add(&acme, first.clone()).await.unwrap(), 3, "the earlier version is still found");
    assert_eq!(texts(&search(&index, "acme", &["manuals"], [1.0, 0.0, 0.0]).await).len(), 3);
    let last = Part { chunks: chunks(1, "doc", 2, &[[1.0, 0.0, 0.0]]), total: Some(2), ..first.clone() };
    for _ in 0..2 {
        assert_eq!(index.add(&acme, last.clone()).await.unwrap(), 2, "a part that comes again changes nothing");
        assert_eq!(index.add(&acme, first.clone()).await.unwrap(), 2);
    }
    let hits = search(&index, "acme", &["manuals"], [1.0, 0.0, 0.0]).await;
    assert_eq!(texts(&hits), ["doc v2 #0", "doc v2 #1"]);
    let late = index.add(&acme, whole("manuals", "doc", 1, &[[1.0, 0.0, 0.0]; 4])).await.unwrap();
    assert_eq!(late, 2, "an earlier version that comes late changes nothing");
}

#[tokio::test]
async fn a_document_that_moves_leaves_its_old_collection() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path()).await;
    let vector = [[1.0, 0.0, 0.0]];
    index.add(&tenant("acme"), whole("manuals", "doc", 1, &vector)).await.unwrap();
    assert_eq!(search(&index, "acme", &["manuals"], [1.0, 0.0, 0.0]).await.len(), 1);
    index.add(&tenant("acme"), whole("letters", "doc", 2, &vector)).await.unwrap();
    assert!(search(&index, "acme", &["manuals"], [1.0, 0.0, 0.0]).await.is_empty());
    assert_eq!(texts(&search(&index, "acme", &["letters"], [1.0, 0.0, 0.0]).await), ["doc v2 #0"]);
}

#[tokio::test]
async fn processes_that_share_the_tables_see_each_others_changes_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (open(dir.path()).await, open(dir.path()).await);
    for version in 1..=4 {
        let (writer, reader) = if version % 2 == 0 { (&one, &two) } else { (&two, &one) };
        writer.add(&tenant("acme"), whole("manuals", "doc", version, &[[1.0, 0.0, 0.0]])).await.unwrap();
        let found = search(reader, "acme", &["manuals"], [1.0, 0.0, 0.0]).await;
        assert_eq!(texts(&found), [format!("doc v{version} #0")]);
    }
}

#[tokio::test]
async fn an_attempt_that_was_given_up_leaves_nothing_in_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path()).await;
    let acme = tenant("acme");
    let begun = Part { total: None, model: "older".to_owned(), ..whole("manuals", "doc", 1, &[[0.0, 1.0, 0.0]; 5]) };
    index.add(&acme, begun).await.unwrap();
    assert_eq!(index.add(&acme, whole("manuals", "doc", 1, &[[1.0, 0.0, 0.0]; 2])).await.unwrap(), 2);
    assert_eq!(search(&index, "acme", &["manuals"], [1.0, 0.0, 0.0]).await.len(), 2);
}

#[tokio::test]
async fn parts_that_do_not_fit_together_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path()).await;
    let acme = tenant("acme");
    let first = Part { total: None, ..whole("manuals", "doc", 1, &[[1.0, 0.0, 0.0]]) };
    let second = Part { chunks: chunks(1, "doc", 1, &[[1.0, 0.0, 0.0]]), ..first.clone() };
    names_field(index.add(&acme, second.clone()).await, "chunks");
    index.add(&acme, first.clone()).await.unwrap();
    names_field(index.add(&acme, Part { model: "other".to_owned(), ..second.clone() }).await, "model");
    names_field(index.add(&acme, Part { collection: collection("letters"), ..second.clone() }).await, "collection_id");
    let mut shorter = second.clone();
    shorter.chunks[0].vector.pop();
    names_field(index.add(&acme, shorter).await, "model");
    names_field(index.add(&acme, Part { total: Some(3), ..second.clone() }).await, "total_chunks");
    names_field(index.add(&acme, Part { total: Some(1), ..second.clone() }).await, "total_chunks");
    names_field(index.add(&acme, Part { chunks: Vec::new(), ..second.clone() }).await, "chunks");
    for broken in [[0.0, 0.0, 0.0], [f32::NAN, 0.0, 0.0]] {
        names_field(index.add(&acme, whole("manuals", "doc", 2, &[broken])).await, "chunks");
    }
    assert!(search(&index, "acme", &["manuals"], [1.0, 0.0, 0.0]).await.is_empty());
    assert_eq!(index.add(&acme, Part { total: Some(2), ..second }).await.unwrap(), 2);
}

#[tokio::test]
async fn vectors_of_another_model_are_never_compared() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path()).await;
    let acme = tenant("acme");
    let older = Part { model: "older".to_owned(), ..whole("manuals", "old", 1, &[[1.0, 0.0, 0.0]]) };
    index.add(&acme, older).await.unwrap();
    let outcome = index.search(&acme, &[collection("manuals")], question([1.0, 0.0, 0.0]), 5, 0.0).await;
    names_field(outcome, "collection_ids");
    index.add(&acme, whole("manuals", "new", 1, &[[1.0, 0.0, 0.0]])).await.unwrap();
    assert_eq!(texts(&search(&index, "acme", &["manuals"], [1.0, 0.0, 0.0]).await), ["new v1 #0"]);
}

#[tokio::test]
async fn an_index_larger_than_its_memory_finds_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (roomy, tight) = (open(dir.path()).await, Index::open(&dir.path().join("query.db"), 64).await.unwrap());
    for number in 0..40_u8 {
        let angle = f32::from(number) / 40.0;
        let document = format!("doc-{number}");
        let vectors = [[angle.cos(), angle.sin(), 0.0], [angle.sin(), 0.2, angle.cos()]];
        roomy.add(&tenant("acme"), whole("manuals", &document, 1, &vectors)).await.unwrap();
    }
    for vector in [[1.0, 0.0, 0.0], [0.3, 0.5, 0.1], [0.0, 0.2, 1.0]] {
        let (one, two) = (search(&roomy, "acme", &["manuals"], vector), search(&tight, "acme", &["manuals"], vector));
        let (one, two) = (one.await, two.await);
        assert_eq!(one.len(), 5);
        assert_eq!(one, two);
        assert!(one.windows(2).all(|pair| pair[0].similarity >= pair[1].similarity));
    }
}

#[tokio::test]
async fn a_version_with_a_gap_in_its_numbers_does_not_appear() {
    let dir = tempfile::tempdir().unwrap();
    let index = open(dir.path()).await;
    let acme = tenant("acme");
    let vector = [[1.0, 0.0, 0.0]];
    let first = Part { total: None, ..whole("manuals", "doc", 1, &vector) };
    let far = Part { chunks: chunks(7, "doc", 1, &vector), ..first.clone() };
    let last = Part { chunks: chunks(1, "doc", 1, &vector), total: Some(3), ..first.clone() };
    index.add(&acme, first.clone()).await.unwrap();
    index.add(&acme, far).await.unwrap();
    names_field(index.add(&acme, last.clone()).await, "chunks");
    assert!(search(&index, "acme", &["manuals"], [1.0, 0.0, 0.0]).await.is_empty());
    // Whoever cuts the document anew is not bothered by what was there.
    index.add(&acme, first).await.unwrap();
    assert_eq!(index.add(&acme, Part { total: Some(2), ..last }).await.unwrap(), 2);
}

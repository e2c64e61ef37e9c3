use action::{Action, ExecutionContext, Status, Tier};
use futures::{StreamExt as _, stream};
use proto::ingestion::v1::upload_document_request::Part;
use proto::ingestion::v1::{
    DocumentHeader, ListDocumentsRequest, ProcessDocument, ProcessDocumentResult, UploadDocumentRequest,
};
use proto::task::v1::frame::Body;
use session::{Log, Position};

use crate::mesh::{Mesh, PATIENCE, header};

const GUIDE: &str = "# Coffee machine\n\n## Descaling\n\nThe machine must be descaled every three months. \
    Use the descaling powder of the maker only.\n\n## Warranty\n\nThe warranty of the machine lasts twenty four months. \
    Batteries are covered for six months.\n";

#[tokio::test]
async fn an_uploaded_document_is_found_and_answers_questions_with_sources() {
    let mesh = Mesh::start().await;
    let who = mesh.tenant("acme", Tier::Free, "manuals").await;
    let session = DocumentHeader {
        title: "The manual".to_owned(),
        session_id: "session-1".to_owned(),
        ..header("manuals", "manual.md")
    };
    let uploaded = who.upload(session, GUIDE.as_bytes()).await.unwrap();
    let task = uploaded.task.unwrap();
    let result: ProcessDocumentResult = who.result(&task).await;
    assert_eq!((result.chunks, result.characters), (2, GUIDE.chars().count() as u64));

    let document = who.document(&result.document_id).await.unwrap();
    assert_eq!((document.status(), document.chunks, document.title.as_str()), (Status::Completed, 2, "The manual"));
    assert_eq!(document.media_type, "text/markdown");
    assert_eq!(document.task_id, task.task_id);

    let log = Log::session(&who.tenant, &"session-1".parse().unwrap());
    let page = mesh.kit.sessions.read(&log, Position::default(), 100).await.unwrap();
    let stage = |body| match body {
        Some(Body::TaskUpdate(update)) => Some(update.stage),
        _ => None,
    };
    let stages: Vec<String> = page.frames.into_iter().filter_map(|frame| stage(frame.body)).collect();
    assert_eq!(stages, ["extracting", "chunking", "embedding", "indexing"]);

    let found = who.search("manuals", "How long does the warranty of the machine last?").await;
    let best = &found.sources[0];
    assert!(best.passage.contains("twenty four months"), "{found:?}");
    let (start, end) = (usize::try_from(best.start).unwrap(), usize::try_from(best.end).unwrap());
    assert_eq!(GUIDE.chars().skip(start).take(end - start).collect::<String>(), best.passage);
    assert_eq!((best.index, best.title.as_str(), best.collection_id.as_str()), (1, "The manual", "manuals"));

    let answer = who.ask("manuals", "How long does the warranty of the machine last?").await;
    assert!(answer.found && answer.response.contains("twenty four months"), "{answer:?}");
    assert!(!answer.sources.is_empty() && answer.sources[0].passage.contains("twenty four months"));
    assert!(answer.tokens_used.is_some_and(|tokens| tokens.total > 0));

    let answer = who.ask("manuals", "Who won the football championship yesterday?").await;
    assert!(!answer.found && answer.sources.is_empty(), "{answer:?}");
    assert_eq!(answer.response, "This was not found in the documents.");
    mesh.end().await;
}

#[tokio::test]
async fn processing_again_after_a_crash_gives_the_same() {
    let mesh = Mesh::start().await;
    let who = mesh.tenant("acme", Tier::Enterprise, "manuals").await;
    let protected = include_bytes!("fixtures/owner-password.pdf");
    let result = who.ingest(header("manuals", "terms.pdf"), protected).await;
    let folder = mesh.dir.path().join("objects/acme").join(&result.document_id);
    let version = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    let payload = ProcessDocument {
        object_key: format!("acme/{}/{version}", result.document_id),
        document_id: result.document_id.clone(),
        collection_id: "manuals".to_owned(),
        title: "terms.pdf".to_owned(),
        media_type: "application/pdf".to_owned(),
        version: version.parse().unwrap(),
    };
    let context = ExecutionContext::collection("manuals".parse().unwrap());
    let again = Action::root(who.tenant.clone(), Tier::Enterprise, context.clone(), &payload);
    let task = mesh.kit.queue.submit(again).await.unwrap().task;
    assert_eq!(who.result::<ProcessDocumentResult>(&task).await, result);
    let found = who.search("manuals", "How long does the warranty last?").await;
    assert_eq!(found.sources.len(), 1, "{found:?}");
    assert!(found.sources[0].passage.contains("twenty four months"));

    // The bytes of another tenant cannot be named.
    let foreign = ProcessDocument { object_key: format!("other/{}/{version}", result.document_id), ..payload };
    let task =
        mesh.kit.queue.submit(Action::root(who.tenant.clone(), Tier::Free, context, &foreign)).await.unwrap().task;
    assert_eq!(who.ended(&task).await.error.unwrap().field, "object_key");
    mesh.end().await;
}

#[tokio::test]
async fn uploading_again_replaces_and_other_tenants_see_nothing() {
    let mesh = Mesh::start().await;
    let acme = mesh.tenant("acme", Tier::Professional, "manuals").await;
    let other = mesh.tenant("other", Tier::Professional, "manuals").await;
    let named = DocumentHeader { document_id: "manual".to_owned(), ..header("manuals", "manual.txt") };
    acme.ingest(named.clone(), b"The zebra eats grass in the morning.").await;
    acme.ingest(named, b"The giraffe eats leaves in the evening.").await;
    let found = acme.search("manuals", "What does the giraffe eat in the evening?").await;
    assert_eq!(found.sources.len(), 1, "{found:?}");
    assert!(found.sources[0].passage.contains("giraffe"));
    assert!(other.search("manuals", "What does the giraffe eat in the evening?").await.sources.is_empty());
    assert_eq!(other.document("manual").await.unwrap_err().code(), tonic::Code::NotFound);
    // The bytes of the version before are gone, too.
    let folder = mesh.dir.path().join("objects/acme/manual");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
    let request = ListDocumentsRequest { collection_id: "manuals".to_owned(), ..ListDocumentsRequest::default() };
    let listed = mesh.kit.peers.ingestion(acme.identity()).list_documents(request).await.unwrap().into_inner();
    assert_eq!(listed.documents.len(), 1);
    mesh.end().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_at_once_and_leaves_nothing_behind() {
    let mesh = Mesh::start().await;
    let who = mesh.tenant("acme", Tier::Free, "manuals").await;
    let large = vec![b'a'; 5 * 1024 * 1024 + 1];
    let encrypted = include_bytes!("fixtures/encrypted.pdf");
    let mut control = vec![b'a'; 5000];
    control.push(0);
    let cases: [(&str, &[u8], &str); 9] = [
        ("a.pdf", encrypted, "DOCUMENT_ENCRYPTED"),
        ("a.pdf", b"%PDF-1.7\nnothing of the kind", "DOCUMENT_UNREADABLE"),
        ("a.pdf", b"no pdf at all", "DOCUMENT_UNREADABLE"),
        ("a.txt", b"\x00\x01\x02\x03 binary", "DOCUMENT_UNREADABLE"),
        ("a.txt", &control, "DOCUMENT_UNREADABLE"),
        ("a.md", b" \n\n ", "DOCUMENT_EMPTY"),
        ("a.txt", b"", "DOCUMENT_EMPTY"),
        ("a.docx", b"PK\x03\x04 an office document", "UNSUPPORTED_DOCUMENT_TYPE"),
        ("a.txt", &large, "BODY_TOO_LARGE"),
    ];
    for (name, bytes, reason) in cases {
        let refusal = who.upload(header("manuals", name), bytes).await.unwrap_err();
        assert_eq!(fault::Failure::from_status(&refusal).reason().id, reason, "{name}: {refusal:?}");
    }
    let refusal = who.upload(header("nowhere", "a.txt"), b"text").await.unwrap_err();
    assert_eq!(fault::Failure::from_status(&refusal).reason().id, "COLLECTION_NOT_FOUND");
    let headless = UploadDocumentRequest { part: Some(Part::Data(b"text".to_vec())) };
    let refusal = who.send(vec![headless]).await.unwrap_err();
    assert_eq!(fault::Failure::from_status(&refusal).field_name(), Some("header"));
    assert_eq!(std::fs::read_dir(mesh.dir.path().join("objects/.incoming")).unwrap().count(), 0);
    assert!(!mesh.dir.path().join("objects/acme").exists());
    // None of it was charged.
    let windows = mesh.kit.quota.status(&who.tenant, Tier::Free).await.unwrap();
    assert!(windows.iter().all(|window| window.remaining == window.limit), "{windows:?}");
    mesh.end().await;
}

#[tokio::test]
async fn an_upload_that_its_sender_breaks_off_leaves_nothing_behind() {
    let mesh = Mesh::start().await;
    let who = mesh.tenant("acme", Tier::Free, "manuals").await;
    let message = |part| UploadDocumentRequest { part: Some(part) };
    let half = [Part::Header(header("manuals", "a.txt")), Part::Data(b"Half of a text".to_vec())].map(message);
    let incoming = mesh.dir.path().join("objects/.incoming");
    let arriving = || std::fs::read_dir(&incoming).unwrap().count();
    let arrived = testkit::eventually(PATIENCE, || async {
        std::fs::read_dir(&incoming).unwrap().any(|file| file.unwrap().metadata().unwrap().len() > 0)
    });
    let mut client = mesh.kit.peers.ingestion(who.identity());
    tokio::select! {
        answer = client.upload_document(stream::iter(half).chain(stream::pending())) => panic!("{answer:?}"),
        () = arrived => {}
    }
    testkit::eventually(PATIENCE, || async { arriving() == 0 }).await;
    assert!(!mesh.dir.path().join("objects/acme").exists());
    let windows = mesh.kit.quota.status(&who.tenant, Tier::Free).await.unwrap();
    assert!(windows.iter().all(|window| window.remaining == window.limit), "{windows:?}");
    mesh.end().await;
}

#[tokio::test]
async fn a_document_of_more_chunks_than_the_tier_allows_fails_and_is_not_found() {
    let mesh = Mesh::start().await;
    let who = mesh.tenant("acme", Tier::Free, "manuals").await;
    let sections = (0..501).map(|n| format!("## Section {n}\n\nSomething about the number {n}.\n\n"));
    let text: String = sections.collect();
    let uploaded = who.upload(header("manuals", "long.md"), text.as_bytes()).await.unwrap();
    let task = who.ended(&uploaded.task.unwrap()).await;
    assert_eq!((task.status(), task.error.unwrap().reason.as_str()), (Status::Failed, "DOCUMENT_TOO_LONG"));
    let document = who.document(&uploaded.document.unwrap().document_id).await.unwrap();
    assert_eq!(document.status(), Status::Failed);
    assert!(document.error.contains("500"), "{}", document.error);
    assert!(who.search("manuals", "Something about the number 7").await.sources.is_empty());
    mesh.end().await;
}

#[tokio::test]
async fn nothing_is_accepted_while_redis_is_away_and_nothing_is_left_of_it() {
    let mesh = Mesh::start().await;
    let who = mesh.tenant("acme", Tier::Enterprise, "manuals").await;
    mesh.redis.pause();
    let refusal = who.upload(header("manuals", "a.txt"), b"some text").await.unwrap_err();
    mesh.redis.resume();
    assert_eq!(refusal.code(), tonic::Code::Unavailable, "{refusal:?}");
    let folder = mesh.dir.path().join("objects/acme");
    let left = std::fs::read_dir(folder).map_or(0, |documents| {
        documents.map(|document| std::fs::read_dir(document.unwrap().path()).unwrap().count()).sum::<usize>()
    });
    assert_eq!(left, 0);
    mesh.end().await;
}

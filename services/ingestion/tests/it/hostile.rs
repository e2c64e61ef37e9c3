//! PDFs that were made to exhaust whoever reads them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use action::Tier;
use flate2::{Compress, Compression, FlushCompress, write::ZlibEncoder};

use crate::mesh::{Mesh, config, header};

/// Writes a PDF of these objects, of which the first is the catalog.
fn pdf(objects: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"%PDF-1.4\n".to_vec();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (number, object) in (1..).zip(objects) {
        writeln!(table, "{:010} 00000 n ", file.len()).unwrap();
        writeln!(file, "{number} 0 obj").unwrap();
        file.extend(object);
        file.extend(b"\nendobj\n");
    }
    let (start, size) = (file.len(), objects.len() + 1);
    write!(file, "{table}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n").unwrap();
    file
}

fn stream(dictionary: &str, bytes: &[u8]) -> Vec<u8> {
    let mut object = format!("<< {dictionary} /Length {} >>\nstream\n", bytes.len()).into_bytes();
    object.extend(bytes);
    object.extend(b"\nendstream");
    object
}

/// Writes a PDF of one page with this content; the objects after it have the numbers from 5.
fn page(resources: &str, content: Vec<u8>, more: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let page =
        format!("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R /Resources << {resources} >> >>");
    let mut objects = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        page.into_bytes(),
        content,
    ];
    objects.extend(more);
    pdf(&objects)
}

fn form(draws: usize, content: &str) -> Vec<u8> {
    let resources = format!("/Resources << /XObject << /F {draws} 0 R >> >>");
    stream(&format!("/Type /XObject /Subtype /Form /BBox [0 0 9 9] {resources}"), content.as_bytes())
}

fn form_that_draws_itself() -> Vec<u8> {
    page("/XObject << /F 5 0 R >>", stream("", b"/F Do"), [form(5, "/F Do")])
}

/// Each of forty forms draws the next one twice.
fn forms_without_number() -> Vec<u8> {
    let forms = (0..40).map(|at| form(6 + at, "/F Do /F Do")).chain([form(5, "q Q")]);
    page("/XObject << /F 5 0 R >>", stream("", b"/F Do"), forms)
}

/// A page looks for its size at its parent, which is its own parent.
fn parents_in_a_circle() -> Vec<u8> {
    pdf(&[
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 /Parent 2 0 R >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << >> >>".to_vec(),
        stream("", b"q Q"),
    ])
}

/// Operators that pack to a block of which a thousand make a thousand times as much, packed again.
fn packed_twice() -> Vec<u8> {
    let mebibyte = b"q Q ".repeat(1 << 18);
    let mut block = Vec::with_capacity(1 << 16);
    Compress::new(Compression::best(), false).compress_vec(&mebibyte, &mut block, FlushCompress::Full).unwrap();
    let inner = [b"\x78\x9c".to_vec(), block.repeat(4096)].concat();
    let mut outer = ZlibEncoder::new(Vec::new(), Compression::best());
    outer.write_all(&inner).unwrap();
    page("", stream("/Filter [/FlateDecode /FlateDecode]", &outer.finish().unwrap()), [])
}

#[tokio::test]
async fn pdfs_made_to_exhaust_their_reader_are_refused_and_end_nothing() {
    let mut config = config();
    // The time of the processor is what ends most of them; an ordinary document takes a fraction of it.
    config.reader.as_mut().unwrap().limits.cpu = Duration::from_secs(3);
    let mesh = Mesh::with(config).await;
    let who = mesh.tenant("acme", Tier::Enterprise, "manuals").await;
    let cases = [
        ("itself", form_that_draws_itself()),
        ("forms", forms_without_number()),
        ("parents", parents_in_a_circle()),
        ("packed", packed_twice()),
    ];
    for (name, bytes) in cases {
        assert!(bytes.len() < 100_000, "{name}: {}", bytes.len());
        let began = Instant::now();
        let refusal = who.upload(header("manuals", "a.pdf"), &bytes).await.unwrap_err();
        let reason = fault::Failure::from_status(&refusal).reason().id;
        assert_eq!(reason, "DOCUMENT_UNREADABLE", "{name}: {refusal:?}");
        assert!(refusal.message().contains("too long or too much memory"), "{name}: {refusal:?}");
        assert!(began.elapsed() < Duration::from_secs(30), "{name}");
    }
    let protected = include_bytes!("fixtures/owner-password.pdf");
    assert!(who.ingest(header("manuals", "terms.pdf"), protected).await.chunks > 0);
    mesh.end().await;
}

#[tokio::test]
async fn a_reader_that_does_not_end_is_ended_by_the_clock() {
    let mut config = config();
    let limits = &mut config.reader.as_mut().unwrap().limits;
    (limits.cpu, limits.clock) = (Duration::from_mins(1), Duration::from_millis(500));
    let mesh = Mesh::with(config).await;
    let who = mesh.tenant("acme", Tier::Free, "manuals").await;
    let began = Instant::now();
    let refusal = who.upload(header("manuals", "a.pdf"), &forms_without_number()).await.unwrap_err();
    assert_eq!(fault::Failure::from_status(&refusal).reason().id, "DOCUMENT_UNREADABLE");
    assert!(began.elapsed() < Duration::from_secs(20));
    mesh.end().await;
}

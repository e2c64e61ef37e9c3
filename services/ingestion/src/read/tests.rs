use std::fmt::Write as _;
use std::io::Write as _;

use super::{Readers, text};
use crate::{Error, MediaType};

/// Writes a PDF of one page with these lines.
fn pdf(lines: &[&str]) -> Vec<u8> {
    let shown = lines.iter().fold(String::new(), |shown, line| shown + "(" + line + ") Tj T* ");
    let content = format!("BT /F1 12 Tf 72 720 Td 16 TL {shown}ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut file = String::from("%PDF-1.4\n");
    let mut table = String::from("xref\n0 6\n0000000000 65535 f \n");
    for (number, object) in (1..).zip(objects) {
        writeln!(table, "{:010} 00000 n ", file.len()).unwrap();
        writeln!(file, "{number} 0 obj\n{object}\nendobj").unwrap();
    }
    let start = file.len();
    write!(file, "{table}trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n").unwrap();
    file.into_bytes()
}

#[track_caller]
fn check(bytes: &[u8], kind: MediaType, expected: &str) {
    assert_eq!(text(bytes, kind).expect("it can be read").trim(), expected);
}

#[test]
fn the_lines_of_a_pdf_are_read_in_order() {
    let found = text(&pdf(&["The warranty lasts 24 months.", "Batteries are excluded."]), MediaType::Pdf).unwrap();
    let (first, second) = (found.find("The warranty lasts 24 months."), found.find("Batteries are excluded."));
    assert!(first.is_some() && first < second, "{found:?}");
}

#[test]
fn a_pdf_that_needs_a_password_is_encrypted_and_one_that_is_only_protected_is_read() {
    let locked = include_bytes!("../../tests/it/fixtures/encrypted.pdf");
    assert!(matches!(text(locked, MediaType::Pdf), Err(Error::Encrypted)));
    let protected = include_bytes!("../../tests/it/fixtures/owner-password.pdf");
    assert!(text(protected, MediaType::Pdf).unwrap().contains("twenty four months"));
}

#[test]
fn a_pdf_without_text_is_empty() {
    assert!(matches!(text(&pdf(&[]), MediaType::Pdf), Err(Error::Empty)));
}

#[test]
fn a_small_pdf_that_unpacks_to_very_much_is_refused() {
    let mut packing = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let blanks = vec![b' '; 1 << 20];
    for _ in 0..130 {
        packing.write_all(&blanks).unwrap();
    }
    let packed = packing.finish().unwrap();
    assert!(packed.len() < 200_000);
    let mut file = b"%PDF-1.4\n1 0 obj\n<< /Length 1 /Filter /FlateDecode >>\nstream\r\n".to_vec();
    file.extend(packed);
    file.extend(b"\nendstream\nendobj\n%%EOF");
    assert!(matches!(text(&file, MediaType::Pdf), Err(Error::Unreadable(why)) if why.contains("unpacks")));
}

#[tokio::test]
async fn damaged_pdfs_are_unreadable_and_end_nothing_but_the_reading() {
    let readers = Readers::new(1, None);
    let whole = pdf(&["some text"]);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("damaged.pdf");
    for cut in (5..whole.len()).step_by(23) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let outcome = readers.text(path.clone(), MediaType::Pdf).await;
        assert!(matches!(outcome, Err(Error::Unreadable(_) | Error::Empty) | Ok(_)), "{outcome:?}");
    }
    std::fs::write(&path, b"%PDF-1.7\nnothing of the kind").unwrap();
    assert!(matches!(readers.text(path, MediaType::Pdf).await, Err(Error::Unreadable(_))));
}

#[tokio::test]
async fn a_reader_that_panics_is_an_error_and_frees_its_slot() {
    let readers = Readers::new(1, None);
    for _ in 0..3 {
        let outcome = readers.run(Error::Unreadable("it broke"), || -> Result<(), Error> { panic!("secret") }).await;
        assert!(matches!(outcome, Err(Error::Unreadable("it broke"))));
    }
}

#[test]
fn a_page_gives_its_content_without_scripts_navigation_and_markup() {
    let page = r#"<!doctype html><html><head><title>Shop</title><style>p{}</style></head><body>
        <nav><a href="/">Home</a></nav>
        <h1>Warranty &amp; repair</h1>
        <p>It lasts <b>24 months</b>, see <a href="https://example.com/x">the terms</a>. A_b &lt; c.</p>
        <ul><li>One</li><li>Two</li></ul><script>alert("no")</script><footer>Imprint</footer></body></html>"#;
    check(
        page.as_bytes(),
        MediaType::Html,
        "# Warranty & repair\n\nIt lasts **24 months**, see the terms. A_b < c.\n\n- One\n- Two",
    );
}

#[tokio::test]
async fn a_page_nested_without_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep.html");
    for step in ["<div>", "<b><i>", "<div></span>", "<UL><li>"] {
        std::fs::write(&path, format!("<html>{}x", step.repeat(20_000))).unwrap();
        assert!(matches!(Readers::new(1, None).text(path.clone(), MediaType::Html).await, Err(Error::Unreadable(_))));
    }
    std::fs::write(&path, format!("<html>{}", "<p>one <br> <li>two <div>three</div>".repeat(5_000))).unwrap();
    assert!(Readers::new(1, None).text(path, MediaType::Html).await.is_ok());
}

#[test]
fn a_page_without_content_is_empty() {
    assert!(matches!(text(b"<html><script>1</script></html>", MediaType::Html), Err(Error::Empty)));
}

#[test]
fn text_is_read_in_the_encodings_it_comes_in() {
    check("Größe: 5 €".as_bytes(), MediaType::Text, "Größe: 5 €");
    check(b"\xef\xbb\xbfplain", MediaType::Text, "plain");
    check(b"Gr\xf6\xdfe: 5 \x80", MediaType::Text, "Größe: 5 €");
    check(b"\xff\xfeh\0\xf6\0", MediaType::Text, "hö");
    check(b"\xfe\xff\0h\0\xf6", MediaType::Text, "hö");
    check(b"# Title\n\n*as it is*", MediaType::Markdown, "# Title\n\n*as it is*");
}

#[test]
fn bytes_that_are_not_text_are_unreadable_and_blanks_are_empty() {
    assert!(matches!(text(b"abc\0def", MediaType::Text), Err(Error::Unreadable(_))));
    assert!(matches!(text(b"\xff\xfe\0\xd8\0\0", MediaType::Text), Err(Error::Unreadable(_))));
    assert!(matches!(text(b" \n\t ", MediaType::Markdown), Err(Error::Empty)));
}

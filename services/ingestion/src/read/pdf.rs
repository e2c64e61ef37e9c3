//! The text of a PDF.

use pdf_extract::{Document, Error as Pdf, PlainTextOutput, output_doc};

use super::reflow::reflow;
use super::{DAMAGED, NO_PAGES, UNPACKS, tidy, unpack};
use crate::Error;

/// Opens a PDF, decrypting it where no password is needed.
pub(crate) fn open(bytes: &[u8]) -> Result<Document, Error> {
    if unpack::is_too_much(bytes) {
        return Err(Error::Unreadable(UNPACKS));
    }
    let mut document = Document::load_mem(bytes).map_err(|error| refusal(&error))?;
    if document.is_encrypted() {
        // Files that are only protected against changes open with the empty password.
        document.decrypt("").map_err(|_| Error::Encrypted)?;
    }
    if document.get_pages().is_empty() {
        return Err(Error::Unreadable(NO_PAGES));
    }
    Ok(document)
}

/// Reads the text of a PDF, page after page.
pub(crate) fn text(bytes: &[u8]) -> Result<String, Error> {
    let document = open(bytes)?;
    let mut text = String::new();
    output_doc(&document, &mut PlainTextOutput::new(&mut text)).map_err(|_| Error::Unreadable(DAMAGED))?;
    Ok(reflow(&tidy(&text.replace('\0', ""))))
}

fn refusal(error: &Pdf) -> Error {
    match error {
        Pdf::Decryption(_) | Pdf::InvalidPassword | Pdf::UnsupportedSecurityHandler(_) => Error::Encrypted,
        _ => Error::Unreadable(DAMAGED),
    }
}

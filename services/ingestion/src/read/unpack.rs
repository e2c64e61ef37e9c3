//! How much a PDF unpacks to, found out before it is opened: a reader takes the memory that a file makes it take.

use std::io::Read;

use flate2::read::ZlibDecoder;

/// Most bytes that one stream may unpack to; a page in colour at 600 dots per inch takes 100 MB.
const STREAM: u64 = 128 << 20;
/// Most bytes that all streams may unpack to, images aside: those are not unpacked for their text.
const ALL: u64 = 512 << 20;
/// Most bytes that are unpacked to find out, images and what only looks like a stream included.
const EFFORT: u64 = 8 << 30;
/// A stream's dictionary stands before it, within this many bytes mostly.
const DICTIONARY: usize = 512;

/// Tells whether streams of a PDF unpack to more than a reader should be asked to hold. Packings other than the usual one
/// are not looked into.
pub(super) fn is_too_much(pdf: &[u8]) -> bool {
    let (mut all, mut effort) = (0, 0);
    for (at, _) in pdf.windows(6).enumerate().filter(|(_, word)| word == b"stream") {
        let rest = pdf[at + 6..].trim_ascii_start();
        // What zlib begins with.
        if rest.first() != Some(&0x78) {
            continue;
        }
        let size = unpacked(rest);
        effort += size;
        let dictionary = &pdf[at.saturating_sub(DICTIONARY)..at];
        if !dictionary.windows(6).any(|word| word == b"/Image") {
            all += size;
        }
        if size > STREAM || all > ALL || effort > EFFORT {
            return true;
        }
    }
    false
}

/// Counts what a stream unpacks to, as far as the bound; damage ends it.
fn unpacked(packed: &[u8]) -> u64 {
    let mut unpacking = ZlibDecoder::new(packed).take(STREAM + 1);
    let mut piece = vec![0; 64 << 10];
    let mut size = 0;
    while let Ok(read @ 1..) = unpacking.read(&mut piece) {
        size += read as u64;
    }
    size
}

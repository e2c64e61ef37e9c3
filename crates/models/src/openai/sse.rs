//! Server-sent events, parsed as they arrive, wherever the network cuts them.
//!
//! Follows the WHATWG standard as far as APIs use it: lines end with LF, CR or CRLF; `data` lines of one event are joined
//! with LF; comments and other fields are passed over; an event ends with an empty line. Only the data is kept.

/// The longest event that is read, in bytes; a longer one is no token of an answer.
const LONGEST: usize = 1 << 20;

/// An event was longer than can be meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// A parser of one stream.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    data: Option<Vec<u8>>,
    after_cr: bool,
    started: bool,
}

impl Parser {
    /// Takes the next bytes of the stream and returns the data of the events that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            let is_second_half = std::mem::take(&mut self.after_cr) && byte == b'\n';
            match byte {
                b'\n' if is_second_half => {}
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    events.extend(self.end_of_line());
                }
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.as_ref().map_or(0, Vec::len) > LONGEST {
                return Err(TooLong);
            }
        }
        Ok(events)
    }

    fn end_of_line(&mut self) -> Option<Vec<u8>> {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.started, true) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if line.is_empty() {
            return self.data.take();
        }
        let value = match line.strip_prefix(b"data") {
            Some([]) => &[],
            Some([b':', b' ', value @ ..] | [b':', value @ ..]) => value,
            _ => return None,
        };
        match &mut self.data {
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            None => self.data = Some(value.to_vec()),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LONGEST, Parser, TooLong};

    fn parse(chunks: &[&[u8]]) -> Vec<String> {
        let mut parser = Parser::default();
        let events = chunks.iter().flat_map(|chunk| parser.push(chunk).expect("no event is too long"));
        events.map(|event| String::from_utf8(event).expect("the tests write UTF-8")).collect()
    }

    #[test]
    fn streams_are_read_as_the_standard_says() {
        let table: [(&str, &[&str]); 12] = [
            ("data: one\n\ndata: two\n\n", &["one", "two"]),
            ("data: one\r\n\r\ndata: two\r\n\r\n", &["one", "two"]),
            ("data: one\r\rdata: two\r\r", &["one", "two"]),
            ("data:one\n\n", &["one"]),
            ("data:  one\n\n", &[" one"]),
            ("data: one\ndata: two\n\n", &["one\ntwo"]),
            ("data\ndata: x\n\n", &["\nx"]),
            (": a comment\n\n:\ndata: one\n\n", &["one"]),
            ("event: delta\nid: 7\nretry: 3\ndata: one\n\n", &["one"]),
            ("data: [DONE]\n\n", &["[DONE]"]),
            ("\u{feff}data: one\n\n", &["one"]),
            ("data: never ended", &[]),
        ];
        for (text, expected) in table {
            assert_eq!(parse(&[text.as_bytes()]), expected, "{text:?}");
        }
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut parser = Parser::default();
        assert_eq!(parser.push(&vec![b'x'; LONGEST]), Ok(Vec::new()));
        assert_eq!(parser.push(b"x"), Err(TooLong));
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_network_cuts(
            lines in prop::collection::vec("(data: ?|: |event: |)[a-zñ€\u{1F600}]{0,8}(\n|\r|\r\n)", 0..12),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let text = format!("{}\n\n", lines.concat());
            let bytes = text.as_bytes();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            places.extend([0, bytes.len()]);
            places.sort_unstable();
            let chunks: Vec<&[u8]> = places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(parse(&chunks), parse(&[bytes]));
        }
    }
}

//! The few shapes of protobuf that a span needs, appended to a buffer.
//!
//! Nothing is collected first: a span that is sent is one buffer, where generated messages would be a hundred pieces of text that one
//! thread makes and another one frees.

/// How a field is written that has no length in front.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

/// What an attribute may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scalar<'a> {
    Text(&'a str),
    Number(i64),
    Float(f64),
    Flag(bool),
}

/// Appends a text, bytes, or a message that is written already.
pub(super) fn bytes(to: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    head(to, field, bytes.len());
    to.extend_from_slice(bytes);
}

/// Appends a number that is mostly small.
pub(super) fn number(to: &mut Vec<u8>, field: u32, number: u64) {
    key(to, field, VARINT);
    varint(to, number);
}

pub(super) fn fixed64(to: &mut Vec<u8>, field: u32, number: u64) {
    key(to, field, FIXED64);
    to.extend_from_slice(&number.to_le_bytes());
}

pub(super) fn fixed32(to: &mut Vec<u8>, field: u32, number: u32) {
    key(to, field, FIXED32);
    to.extend_from_slice(&number.to_le_bytes());
}

/// Appends a `KeyValue`, whose value is an `AnyValue`.
pub(super) fn attribute(to: &mut Vec<u8>, field: u32, name: &str, value: Scalar<'_>) {
    const NAME: u32 = 1;
    const VALUE: u32 = 2;
    let size = value.size();
    head(to, field, part(name.len()) + part(size));
    bytes(to, NAME, name.as_bytes());
    head(to, VALUE, size);
    value.write(to);
}

impl Scalar<'_> {
    const TEXT: u32 = 1;
    const FLAG: u32 = 2;
    const NUMBER: u32 = 3;
    const FLOAT: u32 = 4;

    /// How many bytes the `AnyValue` takes.
    fn size(self) -> usize {
        match self {
            Self::Text(text) => part(text.len()),
            Self::Number(number) => 1 + width(number.cast_unsigned()),
            Self::Float(_) => 1 + size_of::<f64>(),
            Self::Flag(_) => 2,
        }
    }

    fn write(self, to: &mut Vec<u8>) {
        match self {
            Self::Text(text) => bytes(to, Self::TEXT, text.as_bytes()),
            Self::Number(value) => number(to, Self::NUMBER, value.cast_unsigned()),
            Self::Float(value) => fixed64(to, Self::FLOAT, value.to_bits()),
            Self::Flag(is_set) => number(to, Self::FLAG, is_set.into()),
        }
    }
}

/// Appends what stands before something that has a length.
fn head(to: &mut Vec<u8>, field: u32, length: usize) {
    key(to, field, LENGTH);
    varint(to, length as u64);
}

fn key(to: &mut Vec<u8>, field: u32, shape: u32) {
    varint(to, u64::from(field << 3 | shape));
}

fn varint(to: &mut Vec<u8>, mut number: u64) {
    loop {
        // Seven bits a byte, the lowest first; all but the last one say that more come.
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            to.push(low);
            return;
        }
        to.push(low | 0x80);
    }
}

/// How many bytes something takes within a message, with what stands before it; its field has a number below 16.
fn part(length: usize) -> usize {
    1 + width(length as u64) + length
}

/// How many bytes [`varint`] writes.
fn width(number: u64) -> usize {
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

//! Reading what scripts answer.

use redis::Value;

use crate::Error;

/// The values of an array, read one after the other.
pub(crate) struct Reply(std::vec::IntoIter<Value>);

impl Reply {
    pub(crate) fn new(value: Value) -> Result<Self, Error> {
        match value {
            Value::Array(values) => Ok(Self(values.into_iter())),
            other => Err(unexpected("an array", &other)),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        match self.0.next() {
            Some(Value::BulkString(bytes)) => Ok(bytes),
            Some(Value::SimpleString(text)) => Ok(text.into_bytes()),
            other => Err(unexpected("bytes", &other.unwrap_or(Value::Nil))),
        }
    }

    pub(crate) fn text(&mut self) -> Result<String, Error> {
        String::from_utf8(self.bytes()?).map_err(|_| Error::Data("text that is not UTF-8".to_owned()))
    }

    pub(crate) fn number(&mut self) -> Result<u64, Error> {
        let value = self.0.next().unwrap_or(Value::Nil);
        let number = match &value {
            Value::Int(number) => u64::try_from(*number).ok(),
            Value::BulkString(bytes) => std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()),
            _ => None,
        };
        number.ok_or_else(|| unexpected("a number", &value))
    }

    /// Tells whether a number comes next.
    pub(crate) fn is_number(&self) -> bool {
        matches!(self.0.as_slice().first(), Some(Value::Int(_)))
    }

    pub(crate) fn signed(&mut self) -> Result<i64, Error> {
        match self.0.next() {
            Some(Value::Int(number)) => Ok(number),
            other => Err(unexpected("a number", &other.unwrap_or(Value::Nil))),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

fn unexpected(wanted: &str, found: &Value) -> Error {
    let kind = match found {
        Value::Nil => "nothing",
        Value::Int(_) => "a number",
        Value::BulkString(_) | Value::SimpleString(_) => "a text",
        Value::Array(_) => "an array",
        _ => "something else",
    };
    Error::Data(format!("{kind} instead of {wanted} in a script's answer"))
}

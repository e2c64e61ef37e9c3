//! Messages of the contract as JSON, by the descriptors that every service reflects.

use std::sync::LazyLock;

use anyhow::{Context as _, Result};
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(proto::DESCRIPTORS).expect("the generated descriptors decode"));

/// Names as in the contract, and numbers as numbers.
const OPTIONS: SerializeOptions = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);

/// Encodes the message that a JSON text describes. `type_url` names its type.
pub(crate) fn encode(type_url: &str, json: &str) -> Result<Vec<u8>> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let message = DynamicMessage::deserialize(descriptor(type_url)?, &mut reader)?;
    reader.end()?;
    Ok(message.encode_to_vec())
}

/// Shows an encoded message. `type_url` names its type.
pub(crate) fn decode(type_url: &str, bytes: &[u8]) -> Result<Value> {
    let message = DynamicMessage::decode(descriptor(type_url)?, bytes)?;
    Ok(message.serialize_with_options(serde_json::value::Serializer, &OPTIONS)?)
}

/// Shows a message.
pub(crate) fn show<M: Message + Name>(message: &M) -> Result<Value> {
    decode(&M::type_url(), &message.encode_to_vec())
}

fn descriptor(type_url: &str) -> Result<MessageDescriptor> {
    let name = type_url.rsplit('/').next().unwrap_or_default();
    POOL.get_message_by_name(name).with_context(|| format!("`{name}` is not in the contract"))
}

#[cfg(test)]
mod tests {
    use proto::embedding::v1::GenerateEmbeddings;

    use super::*;

    #[test]
    fn a_payload_survives_the_way_through_json() {
        let url = GenerateEmbeddings::type_url();
        let bytes = encode(&url, r#"{"texts": ["one", "two"]}"#).unwrap();
        let message = GenerateEmbeddings::decode(bytes.as_slice()).unwrap();
        assert_eq!(message.texts, ["one", "two"]);
        assert_eq!(show(&message).unwrap(), serde_json::json!({ "texts": ["one", "two"] }));
    }

    #[test]
    fn a_field_that_the_payload_does_not_have_is_refused() {
        let url = GenerateEmbeddings::type_url();
        for json in [r#"{"text": "one"}"#, r#"{"texts": "one"}"#, "{} {}", "nothing"] {
            assert!(encode(&url, json).is_err(), "{json}");
        }
        assert!(encode("type.googleapis.com/cooking.v1.Soup", "{}").is_err());
    }
}

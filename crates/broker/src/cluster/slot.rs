//! Which slot a command belongs to.

use redis::{Arg, Cmd};

/// Slots of a cluster.
pub(crate) const SLOTS: u16 = 16384;

/// Returns the slot of a key: of what stands in its first braces, if something does.
pub(crate) fn of_key(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let length = rest.iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &rest[..length])
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// Returns the slot of a command's first key; none for a command without keys. Whether the other keys lie in it, too, is for
/// the server to say.
pub(crate) fn of_command(command: &Cmd) -> Option<u16> {
    let word = |argument| match argument {
        Arg::Simple(word) => word,
        // A cursor is never a key.
        _ => b"0".as_slice(),
    };
    let words: Vec<&[u8]> = command.args_iter().map(word).collect();
    key(&words).map(of_key)
}

fn key<'a>(words: &[&'a [u8]]) -> Option<&'a [u8]> {
    let name = words.first()?.to_ascii_uppercase();
    match name.as_slice() {
        b"EVAL" | b"EVALSHA" | b"EVAL_RO" | b"EVALSHA_RO" | b"FCALL" | b"FCALL_RO" | b"BLMPOP" | b"BZMPOP" => {
            counted(words, 2)
        }
        b"LMPOP" | b"ZMPOP" | b"SINTERCARD" | b"ZINTER" | b"ZUNION" | b"ZDIFF" | b"ZINTERCARD" => counted(words, 1),
        b"XREAD" | b"XREADGROUP" => {
            let streams = words.iter().position(|word| word.eq_ignore_ascii_case(b"STREAMS"))?;
            words.get(streams + 1).copied()
        }
        b"XGROUP" | b"XINFO" | b"OBJECT" | b"MEMORY" | b"BITOP" => words.get(2).copied(),
        b"ACL" | b"ASKING" | b"AUTH" | b"BGREWRITEAOF" | b"BGSAVE" | b"CLIENT" | b"CLUSTER" | b"COMMAND"
        | b"CONFIG" | b"DBSIZE" | b"DEBUG" | b"ECHO" | b"EXEC" | b"FLUSHALL" | b"FLUSHDB" | b"FUNCTION" | b"HELLO"
        | b"INFO" | b"KEYS" | b"LASTSAVE" | b"LATENCY" | b"MODULE" | b"MULTI" | b"PING" | b"PUBLISH" | b"PUBSUB"
        | b"RANDOMKEY" | b"READONLY" | b"READWRITE" | b"ROLE" | b"SAVE" | b"SCAN" | b"SCRIPT" | b"SELECT"
        | b"SLOWLOG" | b"TIME" | b"WAIT" | b"WAITAOF" => None,
        _ => words.get(1).copied(),
    }
}

/// Returns the first of the keys whose number stands at a place.
fn counted<'a>(words: &[&'a [u8]], place: usize) -> Option<&'a [u8]> {
    let count: usize = std::str::from_utf8(words.get(place)?).ok()?.parse().ok()?;
    (count > 0).then(|| words.get(place + 1).copied()).flatten()
}

/// CRC-16/XMODEM, which the cluster specification names.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
    }

    #[test]
    fn what_stands_in_the_first_braces_decides_unless_it_is_empty() {
        assert_eq!(of_key(b"{user1000}.following"), of_key(b"user1000"));
        assert_eq!(of_key(b"foo{{bar}}zap"), of_key(b"{bar"));
        assert_eq!(of_key(b"foo{bar}{zap}"), of_key(b"bar"));
        assert_ne!(of_key(b"foo{}{bar}"), of_key(b"bar"));
        assert_ne!(of_key(b"foo{bar"), of_key(b"bar"));
    }

    #[test]
    fn the_first_key_of_a_command_is_found() {
        for (command, expected) in [
            ("GET k", Some("k")),
            ("evalsha hash 2 k l argument", Some("k")),
            ("EVAL source 0 k", None),
            ("XREADGROUP GROUP g c BLOCK 0 STREAMS k >", Some("k")),
            ("XREAD COUNT 1 streams k 0", Some("k")),
            ("XINFO STREAM k", Some("k")),
            ("BLMPOP 1 2 k l LEFT", Some("k")),
            ("LMPOP 1 k LEFT", Some("k")),
            ("BLMOVE k l LEFT RIGHT 1", Some("k")),
            ("PUBLISH channel message", None),
            ("WAITAOF 1 1 100", None),
            ("SCRIPT LOAD source", None),
            ("PING", None),
        ] {
            let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
            assert_eq!(key(&words), expected.map(str::as_bytes), "{command}");
        }
    }
}

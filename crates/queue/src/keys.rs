//! The names of keys and the choice of partitions, the only place that writes them; the scripts add the suffixes that
//! `lua/entry.lua` lists.

use action::{ActionId, Domain};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::Error;

/// Returns the partition of a tenant. Growing the number of partitions moves only the tenants that go to new ones.
pub(crate) fn partition(tenant: &str, partitions: u32) -> u32 {
    jump_hash(fnv1a(tenant.as_bytes()), partitions)
}

/// Returns the tag of a partition: all its keys begin with it and lie in one slot of a cluster.
pub(crate) fn tag(domain: Domain, partition: u32) -> String {
    format!("{{nq:{domain}:{partition}}}:")
}

/// Returns the hash that says over how many partitions a domain's tenants are spread.
pub(crate) fn spread(domain: Domain) -> String {
    format!("{{nq:{domain}:partitions}}")
}

/// Writes an id as it stands in keys: 22 characters instead of 36, in every key, list and lease.
pub(crate) fn entry_id(id: ActionId) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// Reads an id as it stands in keys.
pub(crate) fn read_entry_id(text: &str) -> Option<ActionId> {
    ActionId::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

/// Returns the list into which replies to a process are put.
pub(crate) fn inbox(process: &str) -> String {
    format!("{{nq:inbox:{process}}}")
}

/// Returns the list that holds the reply which the process is just taking out of its inbox.
pub(crate) fn inbox_taken(inbox: &str) -> String {
    format!("{inbox}:taken")
}

/// Returns what says that a process still reads its inbox.
pub(crate) fn inbox_open(inbox: &str) -> String {
    format!("{inbox}:open")
}

/// Returns the monitoring key of a queue that the mission names.
pub(crate) fn queue_stats(queue: &str) -> String {
    format!("queue_stats:{queue}")
}

/// Checks that an id may stand in keys and lease members.
pub(crate) fn check_id(field: &'static str, id: &str) -> Result<(), Error> {
    let fits =
        (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte));
    if fits { Ok(()) } else { Err(Error::Id { field }) }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Jump consistent hash (Lamping and Veach).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the published algorithm computes in doubles; its values stay below 2^53"
)]
fn jump_hash(mut key: u64, buckets: u32) -> u32 {
    let (mut bucket, mut next) = (-1_i64, 0_i64);
    while next < i64::from(buckets) {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1_u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as i64;
    }
    bucket.max(0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_stay_or_go_to_the_new_partition() {
        for tenant in (0..2000).map(|i| format!("tenant-{i}")) {
            let (before, after) = (partition(&tenant, 4), partition(&tenant, 5));
            assert!(before < 4 && (after == before || after == 4), "{tenant}: {before} -> {after}");
        }
        assert_eq!(partition("anybody", 1), 0);
    }

    #[test]
    fn an_id_in_a_key_is_short_and_reads_back() {
        let id = ActionId::new();
        let written = entry_id(id);
        assert_eq!((written.len(), read_entry_id(&written)), (22, Some(id)));
        assert!(check_id("action_id", &written).is_ok());
        for text in ["", "short", "!!!!!!!!!!!!!!!!!!!!!!"] {
            assert_eq!(read_entry_id(text), None, "{text}");
        }
    }

    #[test]
    fn ids_with_other_characters_are_refused() {
        for id in ["a", "A.b_c@d-9", &"x".repeat(128)] {
            assert!(check_id("id", id).is_ok(), "{id}");
        }
        for id in ["", "a b", "a:b", "{a}", "ä", "a\n", &"x".repeat(129)] {
            assert!(check_id("id", id).is_err(), "{id}");
        }
    }
}

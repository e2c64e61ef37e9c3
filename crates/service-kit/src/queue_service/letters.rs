//! Dead letters: listed, shown, replayed, deleted.

use fault::{Failure, reason};
use proto::queue::v1 as wire;
use queue::Letters;
use tonic::Status;

use super::{QueueFacade, field};
use crate::task_service::page_size;

/// Why actions are given up.
const WHYS: [&str; 5] = ["exhausted", "rejected", "poison", "expired", "malformed"];

/// Most entries that one call names.
const MOST_ENTRIES: usize = 1_000;

/// Most characters of an entry's id: three numbers and what is between them.
const LONGEST_ENTRY: usize = 64;

impl QueueFacade {
    pub(super) async fn list_letters(
        &self,
        asked: wire::ListDeadLettersRequest,
    ) -> Result<wire::ListDeadLettersResponse, Status> {
        let domain = field::domain(&asked.domain)?;
        let size = page_size(asked.page_size)?;
        let tenant = field::tenant(&asked.tenant_id)?;
        let letters = Letters::Matching { why: why(asked.why)?, tenant, older_than: None };
        let listed = self.queue.dead_letters(domain, &letters, size, &asked.page_token).await?;
        let (dead_letters, next_page_token) = listed;
        Ok(wire::ListDeadLettersResponse { dead_letters, next_page_token })
    }

    pub(super) async fn letter(
        &self,
        asked: wire::GetDeadLetterRequest,
    ) -> Result<wire::GetDeadLetterResponse, Status> {
        let domain = field::domain(&asked.domain)?;
        check_entry("entry_id", &asked.entry_id)?;
        let found = self.queue.dead_letter(domain, &asked.entry_id).await?;
        let unknown = || Failure::new(&reason::NOT_FOUND, "there is no such dead letter").field("entry_id");
        Ok(wire::GetDeadLetterResponse { dead_letter: Some(found.ok_or_else(unknown)?) })
    }

    pub(super) async fn replay_letters(
        &self,
        asked: wire::ReplayDeadLettersRequest,
    ) -> Result<wire::ReplayDeadLettersResponse, Status> {
        let choice = asked.choice.ok_or_else(|| field::missing("choice"))?;
        let domain = field::domain(&choice.domain)?;
        let done = self.queue.replay(domain, &chosen(choice)?).await?;
        Ok(wire::ReplayDeadLettersResponse { replayed: done.replayed, left: done.left })
    }

    pub(super) async fn delete_letters(
        &self,
        asked: wire::DeleteDeadLettersRequest,
    ) -> Result<wire::DeleteDeadLettersResponse, Status> {
        let choice = asked.choice.ok_or_else(|| field::missing("choice"))?;
        let domain = field::domain(&choice.domain)?;
        let deleted = self.queue.delete_dead_letters(domain, &chosen(choice)?).await?;
        Ok(wire::DeleteDeadLettersResponse { deleted })
    }
}

/// Reads which dead letters are meant. A choice says one thing: nothing, and two things that exclude each other, are
/// refused, because what is replayed or deleted cannot be called back.
fn chosen(choice: wire::DeadLetterChoice) -> Result<Letters, Failure> {
    let filtered = !choice.why.is_empty() || !choice.tenant_id.is_empty() || choice.older_than.is_some();
    let named = !choice.entry_ids.is_empty();
    match (named, filtered, choice.all) {
        (false, false, false) => Err(field::invalid("choice", "name entries, a why, a tenant or an age, or set `all`")),
        (true, true, _) | (true, _, true) => Err(field::invalid(
            "entry_ids",
            "entries that are named cannot be filtered: name them, or say what matches",
        )),
        (_, true, true) => Err(field::invalid("all", "`all` leaves nothing to filter: leave it out")),
        (true, false, false) => {
            if choice.entry_ids.len() > MOST_ENTRIES {
                return Err(field::invalid("entry_ids", "`entry_ids` has at most 1,000 entries"));
            }
            choice.entry_ids.iter().try_for_each(|entry| check_entry("entry_ids", entry))?;
            Ok(Letters::Named(choice.entry_ids))
        }
        (false, _, _) => Ok(Letters::Matching {
            why: why(choice.why)?,
            tenant: field::tenant(&choice.tenant_id)?,
            older_than: field::duration("older_than", choice.older_than)?,
        }),
    }
}

fn why(text: String) -> Result<Option<String>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    if !WHYS.contains(&text.as_str()) {
        return Err(field::invalid("why", format!("`why` is one of {}", WHYS.join(", "))));
    }
    Ok(Some(text))
}

/// Checks the position of a dead letter: `{ms}-{seq}`, with the partition and a dot before it where there are several.
fn check_entry(field: &'static str, entry: &str) -> Result<(), Failure> {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = entry.split_once('.').filter(|(partition, _)| number(partition));
    let whole = whole.and_then(|(_, position)| position.split_once('-'));
    if entry.len() <= LONGEST_ENTRY && whole.is_some_and(|(ms, seq)| number(ms) && number(seq)) {
        return Ok(());
    }
    Err(super::field::invalid(
        field,
        "an entry is named as the list of dead letters shows it, e.g. `0.1700000000000-0`",
    ))
}

//! Where a caller wants an action to be executed.

use std::collections::BTreeMap;
use std::time::SystemTime;

use action::ExecutionContext;
use fault::{Failure, Fault as _, reason};
use proto::action::v1 as wire;

/// Most agents, and most collections, that a caller from outside may name: each is looked up before the work is accepted.
const PARTICIPANTS: usize = 16;
/// Most facts of a caller from outside, and the most bytes of a fact's name and value: they travel with every action.
const FACTS: usize = 16;
const FACT_NAME: usize = 64;
const FACT_VALUE: usize = 256;

/// Reads a context; one from outside has its bounds.
pub(super) fn read(given: Option<wire::ExecutionContext>, outside: bool) -> Result<ExecutionContext, Failure> {
    let given = given.ok_or(action::Error::Missing("context")).map_err(|error| error.failure())?;
    if outside {
        check_number("context.agents", given.agents.len())?;
        check_number("context.collections", given.collections.len())?;
    }
    let context = ExecutionContext::from_proto(given).map_err(|error| error.failure())?;
    if outside {
        check_facts(&context.metadata)?;
    }
    Ok(ExecutionContext { created_at: SystemTime::now(), ..context })
}

fn check_number(field: &str, number: usize) -> Result<(), Failure> {
    if number <= PARTICIPANTS {
        return Ok(());
    }
    Err(wrong(field, format!("`{field}` names at most {PARTICIPANTS}")))
}

fn check_facts(facts: &BTreeMap<String, String>) -> Result<(), Failure> {
    let fits = |name: &str, value: &str| name.len() <= FACT_NAME && value.len() <= FACT_VALUE;
    if facts.len() <= FACTS && facts.iter().all(|(name, value)| fits(name, value)) {
        return Ok(());
    }
    let bounds = format!("at most {FACTS} facts, a name of at most {FACT_NAME} bytes, a value of at most {FACT_VALUE}");
    Err(wrong("context.metadata", bounds))
}

fn wrong(field: &str, text: String) -> Failure {
    Failure::new(&reason::INVALID_FIELD, text).field(field)
}

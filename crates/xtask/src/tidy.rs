//! Checks the rules of the house that no compiler knows: who may depend on whom, and what a newcomer finds where.

mod dependencies;
mod files;

use anyhow::{Result, bail};

/// Fails with every rule that is broken, and where.
pub(crate) fn check() -> Result<()> {
    let mut broken = dependencies::check()?;
    broken.extend(files::check()?);
    broken.sort();
    if broken.is_empty() {
        return Ok(());
    }
    bail!("the house is not tidy:\n  {}", broken.join("\n  "))
}

//! `nooble queue pause|resume|purge|check`.

use std::io::Write as _;

use action::Tier;
use anyhow::{Result, bail};
use proto::queue::v1::{CheckQueuesResponse, PauseRequest, PurgeRequest, ResumeRequest, Selection, Violation};
use serde_json::{Value, json};

use crate::mesh::{Operator, print_json, refused};

/// Whose claims are meant.
#[derive(clap::Args, Debug)]
pub(super) struct Claims {
    /// Domain, e.g. `execution`.
    domain: String,
    /// Only this tier: free, advance, professional or enterprise.
    #[arg(long, conflicts_with = "tenant")]
    tier: Option<Tier>,
    /// Only this tenant.
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    operator: Operator,
}

impl Claims {
    pub(super) async fn pause(self) -> Result<()> {
        let request = PauseRequest { selection: Some(self.selection()) };
        self.operator.queues().await?.pause(request).await.map_err(|status| refused(&status))?;
        self.told("paused")
    }

    pub(super) async fn resume(self) -> Result<()> {
        let request = ResumeRequest { selection: Some(self.selection()) };
        self.operator.queues().await?.resume(request).await.map_err(|status| refused(&status))?;
        self.told("resumed")
    }

    fn selection(&self) -> Selection {
        selection(&self.domain, self.tier, self.tenant.as_deref())
    }

    fn told(&self, done: &str) -> Result<()> {
        let Self { domain, tier, tenant, operator } = self;
        if operator.json {
            let tier = tier.map(Tier::as_str);
            return print_json(&json!({ "done": done, "domain": domain, "tier": tier, "tenant_id": tenant }));
        }
        let part = tier.map(|tier| format!(", tier {tier}")).unwrap_or_default();
        let whose = tenant.as_ref().map(|tenant| format!(", tenant {tenant}")).unwrap_or_default();
        say(&format!("{done}: {domain}{part}{whose}"))
    }
}

/// What is ended.
#[derive(clap::Args, Debug)]
pub(super) struct Purge {
    /// Domain, e.g. `execution`.
    domain: String,
    /// Only this tier: free, advance, professional or enterprise.
    #[arg(long)]
    tier: Option<Tier>,
    /// Only this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Only this context of the tenant, e.g. `agent-1`.
    #[arg(long, requires = "tenant")]
    context: Option<String>,
    /// The whole domain.
    #[arg(long, conflicts_with_all = ["tier", "tenant", "context"])]
    all: bool,
    /// Why, for the records and callbacks.
    #[arg(long, default_value = "")]
    reason: String,
    /// Say that it is meant: what is ended stays ended.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    operator: Operator,
}

impl Purge {
    pub(super) async fn run(self) -> Result<()> {
        if !self.yes {
            bail!("a purge cannot be undone: add --yes when it is meant");
        }
        let request = PurgeRequest {
            selection: Some(selection(&self.domain, self.tier, self.tenant.as_deref())),
            context_id: self.context.unwrap_or_default(),
            all: self.all,
            reason: self.reason,
        };
        let answer = self.operator.queues().await?.purge(request).await.map_err(|status| refused(&status))?;
        let purged = answer.into_inner().purged;
        if self.operator.json {
            return print_json(&json!({ "purged": purged }));
        }
        say(&format!("{purged} actions were ended as cancelled"))
    }
}

fn selection(domain: &str, tier: Option<Tier>, tenant: Option<&str>) -> Selection {
    Selection {
        domain: domain.to_owned(),
        tier: tier.map_or(0, |tier| tier.to_proto().into()),
        tenant_id: tenant.unwrap_or_default().to_owned(),
    }
}

/// Shows what a check found. Fails when something contradicts the rules, after repairing where that was asked for.
pub(super) fn checked(answer: &CheckQueuesResponse, repaired: bool, as_json: bool) -> Result<()> {
    let left = if repaired { &answer.remaining } else { &answer.violations };
    if as_json {
        let list = |found: &[Violation]| -> Value {
            found.iter().map(|found| json!({ "domain": found.domain, "text": found.text })).collect()
        };
        let (violations, remaining) = (list(&answer.violations), list(&answer.remaining));
        print_json(&json!({ "violations": violations, "repaired": repaired, "remaining": remaining }))?;
    } else {
        let mut out = std::io::stdout().lock();
        for found in &answer.violations {
            let fate = match repaired {
                true if !left.contains(found) => "repaired ",
                true => "remains  ",
                false => "",
            };
            writeln!(out, "{fate}{:<14}{}", found.domain, found.text)?;
        }
        for found in left.iter().filter(|found| !answer.violations.contains(found)) {
            writeln!(out, "new      {:<14}{}", found.domain, found.text)?;
        }
        if answer.violations.is_empty() && left.is_empty() {
            writeln!(out, "nothing contradicts the rules")?;
        }
    }
    match (left.len(), repaired) {
        (0, _) => Ok(()),
        (left, true) => bail!("{left} contradictions remain"),
        (left, false) => bail!("{left} contradictions; --repair repairs them"),
    }
}

/// Prints one line.
pub(super) fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

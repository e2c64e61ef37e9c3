//! `nooble queue limits`: shows and changes limits and shares of a domain.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use action::{Tier, time};
use anyhow::{Result, bail};
use proto::queue::v1::{DomainLimits, GetLimitsRequest, Sharing, TenantLimits, TierLimits, UpdateLimitsRequest};
use serde_json::{Map, Value, json};

use crate::mesh::{Operator, print_json, refused};
use crate::span;

#[derive(clap::Subcommand, Debug)]
pub(super) enum Limits {
    /// What is in force.
    Show {
        /// Domain, e.g. `execution`.
        domain: String,
        #[command(flatten)]
        operator: Operator,
    },
    /// Change what is named; the rest stays as it is.
    Set(Box<Set>),
}

/// What changes.
#[derive(clap::Args, Debug)]
pub(super) struct Set {
    /// Domain, e.g. `execution`.
    domain: String,
    /// How tiers share busy workers: `weighted`, or `strict` with a reserve.
    #[arg(long, value_parser = sharing)]
    sharing: Option<Sharing>,
    /// Percent of the slots that strict sharing gives by weight nevertheless, 0 to 100.
    #[arg(long)]
    reserve: Option<u32>,
    /// Most actions of one tenant before the next tenant's turn, 1 to 64.
    #[arg(long)]
    quantum: Option<u32>,
    /// Most actions of one tenant that run at once; 0 = no limit.
    #[arg(long)]
    tenant_in_flight: Option<u64>,
    /// Most waiting actions of one queue; 0 = no limit.
    #[arg(long)]
    queue_depth: Option<u64>,
    /// Most waiting actions of one tenant; 0 = no limit.
    #[arg(long)]
    tenant_depth: Option<u64>,
    /// Share of a tier, `enterprise=8`; may be given for several.
    #[arg(long, value_name = "TIER=N", value_parser = of_tier::<u32>)]
    weight: Vec<(Tier, u32)>,
    /// Most waiting actions of a tier in a partition, `free=1000`; 0 = no limit.
    #[arg(long, value_name = "TIER=N", value_parser = of_tier::<u64>)]
    depth: Vec<(Tier, u64)>,
    /// Age from which a tier's weight grows, `free=30s`; 0s = never.
    #[arg(long, value_name = "TIER=SPAN", value_parser = ageing)]
    ageing: Vec<(Tier, Duration)>,
    /// Most actions of this tenant that run at once, `acme-1=5`; 0 = the domain's limit again.
    #[arg(long, value_name = "TENANT=N", value_parser = of_tenant)]
    tenant: Vec<(String, u64)>,
    #[command(flatten)]
    operator: Operator,
}

impl Limits {
    pub(super) async fn run(self) -> Result<()> {
        match self {
            Self::Show { domain, operator } => {
                let request = GetLimitsRequest { domain };
                let answer = operator.queues().await?.get_limits(request).await.map_err(|status| refused(&status))?;
                let answer = answer.into_inner();
                shown(&answer.limits.unwrap_or_default(), Some(&answer.tenants), operator.json)
            }
            Self::Set(set) => {
                let request = set.request();
                if request.limits == Some(DomainLimits::default()) && request.tenants.is_empty() {
                    bail!("nothing is to change: name a limit, e.g. --quantum 8");
                }
                let client = set.operator.queues().await?;
                let answer = { client }.update_limits(request).await.map_err(|status| refused(&status))?;
                shown(&answer.into_inner().limits.unwrap_or_default(), None, set.operator.json)
            }
        }
    }
}

impl Set {
    /// Puts what was said about each tier together.
    pub(super) fn request(&self) -> UpdateLimitsRequest {
        let mut tiers: BTreeMap<Tier, TierLimits> = BTreeMap::new();
        let mut of = |tier: Tier, change: &dyn Fn(&mut TierLimits)| {
            let empty = || TierLimits { tier: tier.to_proto().into(), ..TierLimits::default() };
            change(tiers.entry(tier).or_insert_with(empty));
        };
        for (tier, weight) in &self.weight {
            of(*tier, &|limits| limits.weight = Some(*weight));
        }
        for (tier, depth) in &self.depth {
            of(*tier, &|limits| limits.depth = Some(*depth));
        }
        for (tier, ageing) in &self.ageing {
            of(*tier, &|limits| limits.ageing = Some(time::duration_to_proto(*ageing)));
        }
        let tenants = self.tenant.iter();
        UpdateLimitsRequest {
            domain: self.domain.clone(),
            limits: Some(DomainLimits {
                sharing: self.sharing.unwrap_or_default().into(),
                reserve_percent: self.reserve,
                quantum: self.quantum,
                tenant_in_flight: self.tenant_in_flight,
                queue_depth: self.queue_depth,
                tenant_depth: self.tenant_depth,
                tiers: tiers.into_values().rev().collect(),
            }),
            tenants: tenants
                .map(|(tenant, in_flight)| TenantLimits { tenant_id: tenant.clone(), in_flight: *in_flight })
                .collect(),
        }
    }
}

fn sharing(text: &str) -> Result<Sharing, String> {
    match text {
        "weighted" => Ok(Sharing::Weighted),
        "strict" => Ok(Sharing::Strict),
        _ => Err("sharing is weighted or strict".to_owned()),
    }
}

fn of_tier<N: std::str::FromStr>(text: &str) -> Result<(Tier, N), String> {
    let (tier, number) = text.split_once('=').ok_or("write TIER=N, e.g. enterprise=8")?;
    let tier = tier.parse().map_err(|error: action::Error| error.to_string())?;
    Ok((tier, number.parse().map_err(|_| format!("`{number}` is no number"))?))
}

fn ageing(text: &str) -> Result<(Tier, Duration), String> {
    let (tier, age) = text.split_once('=').ok_or("write TIER=SPAN, e.g. free=30s")?;
    let tier = tier.parse().map_err(|error: action::Error| error.to_string())?;
    Ok((tier, span::parse(age)?))
}

fn of_tenant(text: &str) -> Result<(String, u64), String> {
    let (tenant, number) = text.split_once('=').ok_or("write TENANT=N, e.g. acme-1=5")?;
    Ok((tenant.to_owned(), number.parse().map_err(|_| format!("`{number}` is no number"))?))
}

/// Shows what is in force; an answer to a change does not tell of all tenants.
fn shown(limits: &DomainLimits, tenants: Option<&[TenantLimits]>, as_json: bool) -> Result<()> {
    if as_json {
        return print_json(&limits_json(limits, tenants));
    }
    lines(&mut std::io::stdout().lock(), limits, tenants.unwrap_or_default())
}

fn limits_json(limits: &DomainLimits, tenants: Option<&[TenantLimits]>) -> Value {
    let tier = |limits: &TierLimits| {
        let ageing = span::json(limits.ageing.as_ref());
        let name = Tier::from_proto(limits.tier).map_or_else(|_| limits.tier.to_string(), |tier| tier.to_string());
        (name, json!({ "weight": limits.weight, "depth": limits.depth, "ageing_seconds": ageing }))
    };
    let mut shown = json!({
        "sharing": word(limits.sharing()), "reserve_percent": limits.reserve_percent, "quantum": limits.quantum,
        "tenant_in_flight": limits.tenant_in_flight, "queue_depth": limits.queue_depth,
        "tenant_depth": limits.tenant_depth, "tiers": limits.tiers.iter().map(tier).collect::<Map<_, _>>(),
    });
    if let Some(tenants) = tenants {
        let own = tenants.iter().map(|tenant| (tenant.tenant_id.clone(), json!({ "in_flight": tenant.in_flight })));
        shown["tenants"] = own.collect::<Map<_, _>>().into();
    }
    shown
}

pub(super) fn lines(out: &mut impl Write, limits: &DomainLimits, tenants: &[TenantLimits]) -> Result<()> {
    let most = |limit: Option<u64>| match limit {
        Some(0) => "no limit".to_owned(),
        Some(limit) => limit.to_string(),
        None => "-".to_owned(),
    };
    let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    writeln!(out, "{:<18}{}", "sharing", word(limits.sharing()))?;
    writeln!(out, "{:<18}{} %", "reserve", number(limits.reserve_percent))?;
    writeln!(out, "{:<18}{}", "quantum", number(limits.quantum))?;
    writeln!(out, "{:<18}{}", "tenant in flight", most(limits.tenant_in_flight))?;
    writeln!(out, "{:<18}{}", "queue depth", most(limits.queue_depth))?;
    writeln!(out, "{:<18}{}", "tenant depth", most(limits.tenant_depth))?;
    writeln!(out, "\n{:<14}{:>8}{:>12}{:>10}", "tier", "weight", "depth", "ageing")?;
    for tier in &limits.tiers {
        let name = Tier::from_proto(tier.tier).map_or_else(|_| tier.tier.to_string(), |tier| tier.to_string());
        let ageing = tier.ageing.as_ref().filter(|age| age.seconds > 0 || age.nanos > 0);
        let (weight, depth, ageing) = (number(tier.weight), most(tier.depth), span::of(ageing));
        writeln!(out, "{name:<14}{weight:>8}{depth:>12}{ageing:>10}")?;
    }
    if !tenants.is_empty() {
        writeln!(out, "\n{:<40}{:>10}", "tenant", "in flight")?;
    }
    for tenant in tenants {
        writeln!(out, "{:<40}{:>10}", tenant.tenant_id, tenant.in_flight)?;
    }
    Ok(())
}

fn word(sharing: Sharing) -> &'static str {
    match sharing {
        Sharing::Unspecified => "-",
        Sharing::Weighted => "weighted",
        Sharing::Strict => "strict",
    }
}

//! `nooble limits`: how a tenant's limits stand.

use std::io::Write;

use action::Tier;
use anyhow::{Context as _, Result};
use proto::management::v1::management_service_client::ManagementServiceClient;
use proto::management::v1::{GetTenantLimitsRequest, GetTenantLimitsResponse, Tenant, TenantLimit};
use serde_json::{Value, json};

use crate::mesh::{Access, print_json, refused};
use crate::span;

/// Shows how a tenant's limits stand.
#[derive(clap::Args, Debug)]
pub(crate) struct Limits {
    /// Tenant to look at; without one, the one that the key belongs to.
    #[arg(required_unless_present_any = ["tier", "key_file"])]
    tenant_id: Option<String>,
    #[command(flatten)]
    access: Access,
}

impl Limits {
    /// Runs the command.
    pub(crate) async fn run(self) -> Result<()> {
        let mut client = ManagementServiceClient::new(self.access.connect().await?);
        let request = GetTenantLimitsRequest { tenant_id: self.tenant_id.unwrap_or_default() };
        let answer = client.get_tenant_limits(request).await.map_err(|status| refused(&status))?.into_inner();
        let GetTenantLimitsResponse { tenant, limits } = answer;
        let tenant = tenant.context("the answer names the tenant")?;
        if self.access.json() {
            return print_json(&document(&tenant, &limits));
        }
        table(&mut std::io::stdout().lock(), &tenant, &limits)
    }
}

/// Writes one line a limit.
fn table(out: &mut impl Write, tenant: &Tenant, limits: &[TenantLimit]) -> Result<()> {
    let state = if tenant.is_active { "" } else { ", suspended" };
    writeln!(out, "{} ({}{state})", tenant.tenant_id, tier_name(tenant))?;
    if limits.is_empty() {
        writeln!(out, "no limits")?;
        return Ok(());
    }
    writeln!(out, "{:<16}{:>12}{:>12}{:>12}  resets in", "limit", "allowed", "used", "left")?;
    for limit in limits {
        let TenantLimit { name, limit: allowed, used, remaining, .. } = limit;
        let reset = span::of(limit.resets_in.as_ref());
        writeln!(out, "{name:<16}{allowed:>12}{used:>12}{remaining:>12}  {reset}")?;
    }
    Ok(())
}

fn document(tenant: &Tenant, limits: &[TenantLimit]) -> Value {
    let limit = |limit: &TenantLimit| {
        json!({
            "name": limit.name, "limit": limit.limit, "used": limit.used, "remaining": limit.remaining,
            "resets_in_seconds": span::json(limit.resets_in.as_ref()),
        })
    };
    json!({
        "tenant_id": tenant.tenant_id, "tier": tier_name(tenant), "is_active": tenant.is_active,
        "limits": limits.iter().map(limit).collect::<Value>(),
    })
}

/// Returns the word for a tier; a number for one of a later version.
fn tier_name(tenant: &Tenant) -> String {
    Tier::from_proto(tenant.tier).map_or_else(|_| tenant.tier.to_string(), |tier| tier.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser, Debug)]
    struct Line {
        #[command(flatten)]
        _limits: Limits,
    }

    fn acme() -> Tenant {
        let tier = Tier::Advance.to_proto().into();
        Tenant { tenant_id: "acme".to_owned(), tier, is_active: true, ..Tenant::default() }
    }

    fn limit(name: &str, limit: u64, used: u64, seconds: Option<i64>) -> TenantLimit {
        let resets_in = seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
        TenantLimit { name: name.to_owned(), limit, used, remaining: limit - used, resets_in }
    }

    fn shown(tenant: &Tenant, limits: &[TenantLimit]) -> String {
        let mut out = Vec::new();
        table(&mut out, tenant, limits).expect("memory can be written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_limit_is_a_line_and_says_when_everything_is_left_again() {
        let limits = [limit("minute", 50, 12, Some(37)), limit("tasks", 20, 3, None)];
        let expected = "acme (advance)\n\
            limit                allowed        used        left  resets in\n\
            minute                    50          12          38  37.0s\n\
            tasks                     20           3          17  -\n";
        assert_eq!(shown(&acme(), &limits), expected);
        let document = document(&acme(), &limits);
        assert_eq!(document["limits"][0]["resets_in_seconds"], json!(37.0));
        assert_eq!(document["limits"][1]["resets_in_seconds"], Value::Null);
        assert_eq!((&document["tier"], &document["limits"][1]["used"]), (&json!("advance"), &json!(3)));
    }

    #[test]
    fn a_tenant_without_limits_and_one_that_is_suspended_are_said_to_be() {
        let suspended = Tenant { is_active: false, ..acme() };
        assert_eq!(shown(&suspended, &[]), "acme (advance, suspended)\nno limits\n");
    }

    #[test]
    fn a_tenant_is_named_unless_the_key_says_whose_limits_are_meant() {
        for line in ["limits acme", "limits acme --json", "limits --tier free", "limits --key-file key"] {
            assert!(Line::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        let error = Line::try_parse_from(["limits"]).expect_err("an operator has no limits");
        assert_eq!(error.kind(), clap::error::ErrorKind::MissingRequiredArgument);
    }
}

//! What was seen last, and the rates that two looks give.

use std::collections::HashMap;
use std::time::Duration;

use action::time;
use proto::queue::v1::{DomainStats, GetSystemOverviewResponse, TenantLoad};
use tokio::time::Instant;

/// One look.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// All domains.
    pub(super) overview: GetSystemOverviewResponse,
    /// Domain whose tenants these are.
    pub(super) selected: String,
    /// Its busiest tenants.
    pub(super) tenants: Vec<TenantLoad>,
    /// When the look was over, by the clock of this process.
    pub(super) taken: Instant,
}

/// What is shown.
#[derive(Debug)]
pub(super) struct Model {
    /// Where the figures come from, for the title.
    pub(super) address: String,
    /// Domain whose tiers and tenants are shown.
    pub(super) selected: String,
    /// What was seen last; none before the first look.
    pub(super) sample: Option<Sample>,
    /// Why the last look failed; none when it did not.
    pub(super) problem: Option<String>,
    /// Claims a second by domain and tier, once two looks were taken.
    rates: HashMap<(String, i32), f64>,
}

impl Model {
    pub(super) fn new(address: &str, selected: &str) -> Self {
        Self {
            address: address.to_owned(),
            selected: selected.to_owned(),
            sample: None,
            problem: None,
            rates: HashMap::new(),
        }
    }

    /// Takes a new look. Rates come from the figures' own clock where they have one: two looks of the same second would
    /// otherwise show how long the answers took.
    pub(super) fn take(&mut self, sample: Sample) {
        if let Some(before) = &self.sample {
            let apart = sample.taken.saturating_duration_since(before.taken);
            for domain in &sample.overview.domains {
                let earlier = before.overview.domains.iter().find(|earlier| earlier.domain == domain.domain);
                let Some(earlier) = earlier else { continue };
                let seconds = between(earlier, domain).unwrap_or(apart).as_secs_f64();
                // Two looks at once tell nothing new; the rates stay what they were.
                if seconds <= 0.0 {
                    continue;
                }
                for tier in &domain.tiers {
                    let of_earlier = earlier.tiers.iter().find(|earlier| earlier.tier == tier.tier);
                    // A counter that went back was lost with its Redis.
                    let claims = of_earlier.and_then(|earlier| tier.claimed.checked_sub(earlier.claimed));
                    #[expect(clippy::cast_precision_loss, reason = "claims between two looks are far below 2^52")]
                    let rate = claims.unwrap_or_default() as f64 / seconds;
                    self.rates.insert((domain.domain.clone(), tier.tier), rate);
                }
            }
        }
        self.problem = None;
        self.sample = Some(sample);
    }

    /// Returns the claims a second of a tier; none before two looks were taken.
    pub(super) fn rate(&self, domain: &str, tier: i32) -> Option<f64> {
        self.rates.get(&(domain.to_owned(), tier)).copied()
    }

    /// Returns the claims a second of a domain.
    pub(super) fn rate_of(&self, stats: &DomainStats) -> Option<f64> {
        let rates: Option<Vec<f64>> = stats.tiers.iter().map(|tier| self.rate(&stats.domain, tier.tier)).collect();
        rates.filter(|rates| !rates.is_empty()).map(|rates| rates.iter().sum())
    }

    /// Returns the domains of the last look.
    pub(super) fn domains(&self) -> &[DomainStats] {
        self.sample.as_ref().map(|sample| sample.overview.domains.as_slice()).unwrap_or_default()
    }

    /// Returns the domain that is selected, as far as it was seen.
    pub(super) fn current(&self) -> Option<&DomainStats> {
        self.domains().iter().find(|stats| stats.domain == self.selected)
    }

    /// Returns the busiest tenants of the selected domain; none until a look was taken since it was selected.
    pub(super) fn tenants(&self) -> &[TenantLoad] {
        let sample = self.sample.as_ref().filter(|sample| sample.selected == self.selected);
        sample.map(|sample| sample.tenants.as_slice()).unwrap_or_default()
    }

    /// Selects the next domain, or the one before.
    pub(super) fn step(&mut self, forward: bool) {
        let domains = self.domains();
        let Some(last) = domains.len().checked_sub(1) else { return };
        let now = domains.iter().position(|stats| stats.domain == self.selected).unwrap_or_default();
        let next = match (forward, now) {
            (true, now) if now == last => 0,
            (true, now) => now + 1,
            (false, 0) => last,
            (false, now) => now - 1,
        };
        self.selected = domains[next].domain.clone();
    }
}

fn between(earlier: &DomainStats, later: &DomainStats) -> Option<Duration> {
    let (earlier, later) = (earlier.at.as_ref()?, later.at.as_ref()?);
    time::from_proto(*later).duration_since(time::from_proto(*earlier)).ok()
}

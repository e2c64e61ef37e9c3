//! `nooble queue top`: the queues live, in a terminal, as plain text or as JSON. It only reads.

mod sample;
mod screen;
mod view;

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::Result;
use proto::queue::v1::queue_service_client::QueueServiceClient;
use proto::queue::v1::{GetSystemOverviewRequest, ListBusiestTenantsRequest};
use sample::{Model, Sample};

use crate::mesh::{Keyed, Operator, refused};
use crate::span;

/// Shortest time between two looks: the server reads all domains for each.
const SHORTEST: Duration = Duration::from_millis(100);

/// Tenants that are shown of the selected domain.
const TENANTS: i32 = 20;

/// Shows the queues live.
#[derive(clap::Args, Debug)]
pub(super) struct Top {
    /// Domain whose tiers and tenants are shown first.
    #[arg(default_value = "execution")]
    domain: action::Domain,
    /// Time between two looks.
    #[arg(long, default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// Print one frame and end; so it is too when standard output is no terminal. It has no rates, which need two looks.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    operator: Operator,
}

impl Top {
    pub(super) async fn run(self) -> Result<()> {
        let source = Source { client: self.operator.queues().await? };
        let model = Model::new(&self.operator.grpc, self.domain.as_str());
        match (self.operator.json, self.once || !std::io::stdout().is_terminal()) {
            (true, _) => self.stream(&source, model).await,
            (false, true) => self.plain(&source, model).await,
            (false, false) => screen::run(source, model, self.interval).await,
        }
    }

    /// Prints one frame.
    async fn plain(&self, source: &Source, mut model: Model) -> Result<()> {
        model.take(source.look(model.selected.clone()).await?);
        write!(std::io::stdout(), "{}", view::plain(&model))?;
        Ok(())
    }

    /// Prints one JSON object a look, until nobody reads them any more.
    async fn stream(&self, source: &Source, mut model: Model) -> Result<()> {
        let mut clock = tokio::time::interval(self.interval);
        loop {
            clock.tick().await;
            model.take(source.look(model.selected.clone()).await?);
            let mut out = std::io::stdout().lock();
            match writeln!(out, "{}", view::json(&model)).and_then(|()| out.flush()) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                written => written?,
            }
            if self.once {
                return Ok(());
            }
        }
    }
}

/// Where the figures come from.
#[derive(Clone)]
struct Source {
    client: QueueServiceClient<Keyed>,
}

impl Source {
    /// Looks at all domains, and at the tenants of one.
    async fn look(&self, selected: String) -> Result<Sample> {
        let (mut one, mut other) = (self.client.clone(), self.client.clone());
        let tenants = ListBusiestTenantsRequest { domain: selected.clone(), limit: TENANTS };
        let overview = one.get_system_overview(GetSystemOverviewRequest {});
        let (overview, tenants) = tokio::join!(overview, other.list_busiest_tenants(tenants));
        let overview = overview.map_err(|status| refused(&status))?.into_inner();
        let tenants = tenants.map_err(|status| refused(&status))?.into_inner().tenants;
        Ok(Sample { overview, selected, tenants, taken: tokio::time::Instant::now() })
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = span::parse(text)?;
    if interval < SHORTEST { Err("the interval is at least 100ms".to_owned()) } else { Ok(interval) }
}

#[cfg(test)]
mod tests;

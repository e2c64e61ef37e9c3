//! The command line of the edge benchmark.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::case::{self, Size, Stage};
use super::report::Report;
use crate::machine::{self, Machine};

/// The gateway beside bare axum and tonic in the same run: CPU a request, refusals, limits, sockets, pushes, a crash.
#[derive(clap::Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command are independent of each other")]
pub struct Edge {
    /// A first look instead of figures to publish.
    #[arg(long)]
    quick: bool,
    /// How often everything that measures time is repeated.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
    /// Only these cases, separated by commas: chat, refused, limiter, sockets, crash.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Print one JSON object and nothing else.
    #[arg(long)]
    json: bool,
    /// Write edge.json and edge.md into this folder.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Compare also on a busy machine.
    #[arg(long)]
    force: bool,
    /// Fail when a figure that must be reached is missed.
    #[arg(long)]
    check: bool,
}

impl Edge {
    /// Runs the command.
    pub async fn run(self) -> Result<()> {
        // The harness waits for processes; it must not hold up the runtime.
        let (edge, report) = tokio::task::spawn_blocking(move || self.measure().map(|report| (self, report))).await??;
        if let Some(folder) = &edge.out {
            write(folder, &report)?;
        }
        let mut out = std::io::stdout().lock();
        if edge.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&report.json)?)?;
        } else {
            write!(out, "{}", report.markdown)?;
        }
        let missed = report.missed();
        if !report.ratios {
            bail!("the machine was busy, so nothing was compared; try again on a quiet one, or use --force");
        }
        if edge.check && !missed.is_empty() {
            bail!("missed: {}", missed.join("; "));
        }
        Ok(())
    }

    fn measure(&self) -> Result<Report> {
        let names = case::ALL.map(|case| case.name);
        if let Some(unknown) = self.only.iter().find(|name| !names.contains(&name.as_str())) {
            bail!("there is no case {unknown}; there are {}", names.join(", "));
        }
        let machine = Machine::look();
        let ratios = self.force || !machine.is_busy();
        let rounds = usize::from(self.rounds);
        let size = if self.quick { Size::quick(rounds) } else { Size::full(rounds) };
        let enough = machine::raise_open_files();
        // Both kinds of sockets, and what else is open.
        let needed = 2 * size.sockets as u64 + 1_000;
        if enough < needed {
            bail!("{needed} open files are needed and {enough} allowed; raise `ulimit -n`, or use --quick");
        }
        let program = std::env::current_exe().context("find this program")?;
        let mut say = |text: &str| {
            // Standard output is for the report alone.
            if !self.json {
                let _ = writeln!(std::io::stderr().lock(), "{text}");
            }
        };
        let mut stage = Stage::start(&program, size, &mut say)?;
        for case in
            case::ALL.iter().filter(|case| self.only.is_empty() || self.only.iter().any(|name| name == case.name))
        {
            (stage.say)(&format!("{}: {}", case.name, case.about));
            case.run(&mut stage).with_context(|| format!("case {}", case.name))?;
        }
        Ok(Report::new(&stage.results, &machine, rounds, self.quick, ratios))
    }
}

fn write(folder: &Path, report: &Report) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    std::fs::write(folder.join("edge.json"), serde_json::to_string_pretty(&report.json)?)?;
    std::fs::write(folder.join("edge.md"), &report.markdown)?;
    Ok(())
}

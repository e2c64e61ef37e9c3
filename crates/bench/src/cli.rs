//! The command line of the queue benchmark, for `nooble bench queue` and for the small program of this crate, which is
//! quick to build while one works on the queues.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use crate::compare::{self, Options};
use crate::peer::{self, Peer, Places};
use crate::report::Report;
use crate::scenario::Size;
use crate::server::Persistence;
use anyhow::{Context as _, Result, bail};

/// Our queues and others on the same work in the same run, on a Redis of its own.
#[derive(clap::Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command are independent of each other")]
pub struct Queue {
    /// Who is measured beside ours, separated by commas; `none` for ours alone, `all` for everybody known,
    /// also those in Rust, whose first build takes minutes.
    #[arg(long, default_value = "bullmq,arq,dramatiq,celery,rq")]
    peers: String,
    /// A first look instead of figures to publish.
    #[arg(long)]
    quick: bool,
    /// How often everything that measures time is repeated.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
    /// Only cases whose names begin so, separated by commas, e.g. `drain,pickup.1000`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Print one JSON object and nothing else.
    #[arg(long)]
    json: bool,
    /// Write bench.json, bench.md and chart.svg into this folder.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Compare also on a busy machine.
    #[arg(long)]
    force: bool,
    /// Fail when a figure that must be reached is missed.
    #[arg(long)]
    check: bool,
    /// Let Redis keep an append-only file, synced every second.
    #[arg(long)]
    everysec: bool,
    /// Reach Redis through its unix socket instead of loopback TCP.
    #[arg(long)]
    unix: bool,
    /// Folder that peers are installed in.
    #[arg(long, default_value = ".tools/bench")]
    tools: PathBuf,
}

impl Queue {
    /// Runs the command.
    pub async fn run(self) -> Result<()> {
        let options = self.options()?;
        let quiet = self.json && !std::io::stderr().is_terminal();
        let mut say = move |text: &str| {
            // Standard output is for the report alone.
            if !quiet {
                let _ = writeln!(std::io::stderr().lock(), "{text}");
            }
        };
        // The harness waits for processes; it must not hold up the runtime.
        let measured = tokio::task::spawn_blocking(move || compare::run(&options, &mut say)).await??;
        let report = Report::new(&measured, self.force);
        if let Some(folder) = &self.out {
            write(folder, &report)?;
        }
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&report.json)?)?;
        } else {
            write!(out, "{}", report.markdown)?;
        }
        self.judge(&report)
    }

    fn judge(&self, report: &Report) -> Result<()> {
        let missed: Vec<&str> = report.missed().iter().map(|row| row.what).collect();
        if !report.ratios {
            bail!("the machine was busy, so nothing was compared; try again on a quiet one, or use --force");
        }
        if self.check && !missed.is_empty() {
            bail!("missed: {}", missed.join("; "));
        }
        Ok(())
    }

    fn options(&self) -> Result<Options> {
        Ok(Options {
            peers: chosen(&self.peers)?,
            size: if self.quick { Size::Quick } else { Size::Full },
            rounds: usize::from(self.rounds),
            only: self.only.clone(),
            persistence: if self.everysec { Persistence::EverySecond } else { Persistence::None },
            unix: self.unix,
            places: Places {
                ours: std::env::current_exe().context("find this program")?,
                tools: std::path::absolute(&self.tools)?,
            },
        })
    }
}

fn chosen(names: &str) -> Result<Vec<&'static Peer>> {
    match names {
        "all" => return Ok(peer::ALL.iter().collect()),
        "none" => return Ok(Vec::new()),
        _ => {}
    }
    let known = || peer::ALL.iter().map(|peer| peer.name).collect::<Vec<_>>().join(", ");
    names
        .split(',')
        .map(|name| Peer::find(name.trim()).with_context(|| format!("no peer {name}; there are {}", known())))
        .collect()
}

fn write(folder: &Path, report: &Report) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    std::fs::write(folder.join("bench.json"), serde_json::to_string_pretty(&report.json)?)?;
    std::fs::write(folder.join("bench.md"), &report.markdown)?;
    std::fs::write(folder.join("chart.svg"), &report.svg)?;
    Ok(())
}

//! The settings of a process, beside those of its services.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use service_kit::Settings;

pub(crate) use service_kit::config::Invalid;

/// What holds for the whole process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// Redis to use; none lets `nooble up` run its own.
    pub(crate) redis_url: Option<String>,
    /// Where the HTTP edge listens.
    pub(crate) http: SocketAddr,
    /// Where spans are exported to.
    pub(crate) otlp_endpoint: Option<String>,
    /// Share of traces that are recorded, 0 to 1.
    pub(crate) sampled: f64,
    /// Directives of the log, e.g. `info` or `info,queue=debug`.
    pub(crate) log_level: String,
    /// Whether the log is JSON rather than for eyes.
    pub(crate) log_json: bool,
}

impl Process {
    /// Reads the settings.
    pub(crate) fn read(settings: &mut Settings) -> Self {
        let redis_url = settings.secret("REDIS_URL").map(|url| url.expose().to_owned());
        // Accepting a value and keeping the tables elsewhere would be worse than refusing it.
        if settings.optional::<String>("DATABASE_URL").is_some() {
            settings.reject("DATABASE_URL", "this version keeps its tables in SQLite below --data-dir; leave it unset");
        }
        Self {
            redis_url,
            http: settings.get("HTTP_ADDRESS", SocketAddr::from(([127, 0, 0, 1], 8008))),
            otlp_endpoint: settings.optional("OTEL_EXPORTER_OTLP_ENDPOINT"),
            sampled: settings.get_in("OTEL_TRACES_SAMPLER_ARG", 1.0, 0.0..=1.0),
            log_level: settings.text("LOG_LEVEL", "info"),
            log_json: settings.choose("LOG_FORMAT", "pretty", &[("pretty", false), ("json", true)]),
        }
    }

    /// Starts logs, traces and metrics.
    pub(crate) fn telemetry(&self) -> anyhow::Result<telemetry::Guard> {
        let log_format = if self.log_json { telemetry::LogFormat::Json } else { telemetry::LogFormat::Pretty };
        Ok(telemetry::init(telemetry::Config {
            service: "nooble".to_owned(),
            log_level: self.log_level.to_lowercase(),
            log_format,
            otlp_endpoint: self.otlp_endpoint.clone(),
            sample_ratio: self.sampled,
        })?)
    }
}

/// Makes sure that a directory is there and can be written to; a mistake is a wrong configuration.
pub(crate) fn data_dir(settings: &mut Settings, path: &Path) -> PathBuf {
    let probe = path.join(".writable");
    let written = std::fs::create_dir_all(path).and_then(|()| std::fs::write(&probe, b""));
    match written {
        Ok(()) => {
            let _ = std::fs::remove_file(probe);
        }
        Err(error) => settings.reject("--data-dir", format!("{} cannot be written: {error}", path.display())),
    }
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commented_reference_says_what_the_code_does() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/config/nooble.toml");
        service_kit::config::assert_reference(path, |settings| {
            Process::read(settings);
            crate::models::read(settings);
        });
    }
}

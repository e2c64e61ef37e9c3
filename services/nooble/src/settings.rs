//! The settings of a process, beside those of its services.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use service_kit::Settings;
use service_kit::config::Value;

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
    /// What is shown there.
    pub(crate) otlp_headers: telemetry::Headers,
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
            otlp_headers: otlp_headers(settings),
            sampled: settings.get_in("OTEL_TRACES_SAMPLER_ARG", 1.0, 0.0..=1.0),
            log_level: log_level(settings),
            log_json: settings.choose("LOG_FORMAT", "pretty", &[("pretty", false), ("json", true)]),
        }
    }

    /// Starts logs, traces and metrics.
    pub(crate) fn telemetry(&self) -> anyhow::Result<telemetry::Guard> {
        let log_format = if self.log_json { telemetry::LogFormat::Json } else { telemetry::LogFormat::Pretty };
        Ok(telemetry::init(telemetry::Config {
            service: "nooble".to_owned(),
            log_level: self.log_level.clone(),
            log_format,
            otlp_endpoint: self.otlp_endpoint.clone(),
            otlp_headers: self.otlp_headers.clone(),
            sample_ratio: self.sampled,
        })?)
    }
}

fn otlp_headers(settings: &mut Settings) -> telemetry::Headers {
    const NAME: &str = "OTEL_EXPORTER_OTLP_HEADERS";
    let Some(text) = settings.secret(NAME) else { return telemetry::Headers::default() };
    text.expose().parse().unwrap_or_else(|error: telemetry::Error| {
        settings.reject(NAME, error.to_string());
        telemetry::Headers::default()
    })
}

/// Reads the level of the log: LOG_LEVEL, and failing that the mission's ORCHESTRATOR_LOG_LEVEL, which is one word.
fn log_level(settings: &mut Settings) -> String {
    let own: Option<Level> = settings.optional("ORCHESTRATOR_LOG_LEVEL");
    let default = own.map_or("info", |level| level.0);
    in_our_words(&settings.text("LOG_LEVEL", default))
}

/// A level as one word, ours or Python's.
struct Level(&'static str);

impl Value for Level {
    fn parse(text: &str) -> Result<Self, String> {
        let words = ["trace", "debug", "info", "warn", "error"];
        let word = in_our_words(text.trim());
        let found = words.into_iter().find(|known| *known == word);
        found.map(Self).ok_or_else(|| "is not one of DEBUG, INFO, WARNING, ERROR".to_owned())
    }

    fn render(&self) -> String {
        self.0.to_owned()
    }
}

/// Writes a level as the log knows it; directives are passed on as they are.
fn in_our_words(text: &str) -> String {
    let text = text.to_lowercase();
    match text.as_str() {
        "warning" => "warn".to_owned(),
        "critical" | "fatal" => "error".to_owned(),
        _ => text,
    }
}

/// Refuses to leave access unvalidated where anybody else may call: every address must be the loopback.
pub(crate) fn check_validation(settings: &mut Settings, enabled: bool, addresses: &[(&str, SocketAddr)]) {
    let open = addresses.iter().find(|(_, address)| !address.ip().to_canonical().is_loopback());
    if let (false, Some((name, address))) = (enabled, open) {
        let text = format!("can be false only where every address is the loopback, and {name} is {address}");
        settings.reject("ORCHESTRATOR_ENABLE_ACCESS_VALIDATION", text);
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

    #[test]
    fn the_missions_log_level_is_the_default_of_ours() {
        for (pairs, level) in [
            (&[][..], "info"),
            (&[("ORCHESTRATOR_LOG_LEVEL", "DEBUG")], "debug"),
            (&[("ORCHESTRATOR_LOG_LEVEL", "WARNING")], "warn"),
            (&[("ORCHESTRATOR_LOG_LEVEL", "critical")], "error"),
            (&[("ORCHESTRATOR_LOG_LEVEL", "ERROR"), ("LOG_LEVEL", "info,queue=debug")], "info,queue=debug"),
            (&[("LOG_LEVEL", "WARNING")], "warn"),
        ] {
            let mut settings = Settings::from_pairs(pairs);
            let process = Process::read(&mut settings);
            assert_eq!((process.log_level.as_str(), settings.finish()), (level, Ok(())), "{pairs:?}");
        }
        let mut settings = Settings::from_pairs(&[("ORCHESTRATOR_LOG_LEVEL", "LOUD")]);
        Process::read(&mut settings);
        assert!(settings.finish().unwrap_err().to_string().contains("ORCHESTRATOR_LOG_LEVEL: `LOUD` is not one of"));
    }

    #[test]
    fn access_is_unvalidated_on_the_loopback_only() {
        for (enabled, address, good) in [
            (false, "127.0.0.1:50051", true),
            (false, "127.8.0.1:0", true),
            (false, "[::1]:50051", true),
            (false, "[::ffff:127.0.0.1]:50051", true),
            (false, "0.0.0.0:50051", false),
            (false, "[::]:50051", false),
            (false, "10.0.0.7:50051", false),
            (true, "0.0.0.0:50051", true),
        ] {
            let mut settings = Settings::default();
            let loopback = ("HTTP_ADDRESS", "127.0.0.1:8008".parse().unwrap());
            check_validation(&mut settings, enabled, &[loopback, ("GRPC_ADDRESS", address.parse().unwrap())]);
            let refused = settings.finish().err().map(|invalid| invalid.to_string()).unwrap_or_default();
            assert_eq!(refused.is_empty(), good, "{address}");
            assert!(
                good || refused.contains("ORCHESTRATOR_ENABLE_ACCESS_VALIDATION") && refused.contains("GRPC_ADDRESS")
            );
        }
    }
}

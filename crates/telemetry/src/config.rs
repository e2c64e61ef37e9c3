//! What can be chosen, and what can be wrong about it.

use crate::Headers;

/// How the process tells about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `service.name` of traces and metrics, e.g. `nooble-query`.
    pub service: String,
    /// Directives for the logs, `info` or finer such as `info,queue=debug`; an empty text means `info`.
    pub log_level: String,
    /// Form of the logs, which go to standard error.
    pub log_format: LogFormat,
    /// Collector for OTLP over gRPC, e.g. `http://127.0.0.1:4317`; without one nothing is exported.
    pub otlp_endpoint: Option<String>,
    /// What the collector is shown with every export.
    pub otlp_headers: Headers,
    /// Share of new traces that is recorded, 0.0 to 1.0; a trace that arrives from outside keeps its decision.
    pub sample_ratio: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            service: "nooble".to_owned(),
            log_level: "info".to_owned(),
            log_format: LogFormat::Pretty,
            otlp_endpoint: None,
            otlp_headers: Headers::default(),
            sample_ratio: 1.0,
        }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    Json,
    /// Coloured text on a terminal, plain text elsewhere.
    #[default]
    Pretty,
}

/// Telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process has started it already.
    #[error("telemetry has been started already")]
    AlreadyStarted,
    /// The directives for the logs do not parse.
    #[error("`{0}` is not a log level or a list of directives such as info,queue=debug")]
    LogLevel(String),
    /// The sampling ratio is no share.
    #[error("the sampling ratio must be between 0 and 1")]
    SampleRatio,
    /// The collector's address is not usable.
    #[error("the OTLP endpoint is not usable: {0}")]
    Endpoint(String),
    /// The headers for the collector are not usable.
    #[error("the OTLP headers are not pairs such as name=value,name=value")]
    Headers,
    /// Metrics could not be registered.
    #[error("metrics could not be registered: {0}")]
    Metrics(String),
}

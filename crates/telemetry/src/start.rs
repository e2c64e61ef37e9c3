//! Starts everything once, and ends it in bounded time.

use std::io::IsTerminal as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_otlp::{MetricExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use tokio::runtime::Runtime;
use tonic::metadata::MetadataMap;
use tracing::Subscriber;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

use crate::export::{Collector, Outbox, Sending};
use crate::filter::Logged;
use crate::gather::Gathering;
use crate::json::JsonLines;
use crate::pretty::WithSpan;
use crate::warned::Warnings;
use crate::{Config, Error, LogFormat, filter, metric, origin};

/// How long an export may take before it is given up.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the end of the process waits for the last export.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

static STARTED: AtomicBool = AtomicBool::new(false);
/// Whether spans are made.
static MAKES_SPANS: AtomicBool = AtomicBool::new(false);
/// Where those of traces that are kept go; none where nobody takes them.
static OUTBOX: OnceLock<Outbox> = OnceLock::new();

/// Starts logs, traces and metrics for this process.
///
/// It needs no asynchronous runtime: exports run on one of their own. Everything in `config` is checked before
/// anything is started, so a failed start can be repeated.
pub fn init(config: Config) -> Result<Guard, Error> {
    let logged = Logged::by(&config.log_level)?;
    if !(0.0..=1.0).contains(&config.sample_ratio) {
        return Err(Error::SampleRatio);
    }
    let resource = Resource::builder().with_service_name(config.service).build();
    let to = |endpoint| Export::to(endpoint, config.otlp_headers.metadata(), &resource);
    let export = config.otlp_endpoint.as_deref().map(to).transpose()?;
    if STARTED.swap(true, Ordering::SeqCst) {
        return Err(Error::AlreadyStarted);
    }
    origin::keep(config.sample_ratio);
    let mut meters = SdkMeterProvider::builder().with_resource(resource).with_reader(metric::reader()?);
    let mut spans = None;
    if let Some(Export { collector, metrics, runtime }) = export {
        meters = meters.with_reader(PeriodicReader::builder(metrics).build());
        spans = Some(Spans::begin(collector, runtime));
    }
    let lines = (config.log_format == LogFormat::Json).then(Gathering::to_stderr);
    let guard = Guard { spans, meters: meters.build(), lines: lines.clone() };
    MAKES_SPANS.store(true, Ordering::Release);
    metric::install(&guard.meters);
    let warnings = Warnings.with_filter(filter::traces());
    let subscriber = Registry::default().with(warnings).with(log(lines, logged));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::AlreadyStarted)?;
    Ok(guard)
}

/// Keeps telemetry alive; [`Guard::shutdown`] sends what is left. Lines of the log are written when it is dropped at the latest.
#[derive(Debug)]
pub struct Guard {
    spans: Option<Spans>,
    meters: SdkMeterProvider,
    lines: Option<Gathering>,
}

impl Guard {
    /// Sends everything that is finished now. Waits at most a few seconds; with no collector it returns at once.
    pub fn flush(&self) {
        if let Some(spans) = &self.spans {
            let (spans, meters) = (spans.sending.clone(), self.meters.clone());
            bounded(move || {
                spans.flush();
                let _ = meters.force_flush();
            });
        }
    }

    /// Sends what is left, spans first, and stops. Waits at most a few seconds, whatever the collector does.
    pub fn shutdown(self) {
        let spans = self.spans.as_ref().map(|spans| spans.sending.clone());
        let meters = self.meters.clone();
        bounded(move || {
            if let Some(spans) = spans {
                spans.flush();
            }
            let _ = meters.shutdown_with_timeout(EXPORT_TIMEOUT);
        });
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(lines) = &self.lines {
            lines.flush();
        }
    }
}

/// Tells whether spans are made.
pub(crate) fn makes_spans() -> bool {
    MAKES_SPANS.load(Ordering::Acquire)
}

/// Returns where spans go that are of traces that are kept, if anybody takes them.
pub(crate) fn outbox() -> Option<&'static Outbox> {
    OUTBOX.get()
}

/// Lets spans be made in a process that shows them to nobody.
pub(crate) fn without_export() {
    MAKES_SPANS.store(true, Ordering::Release);
}

/// Does something that may wait for the network on a thread of its own, and gives up on it when it takes too long.
fn bounded(work: impl FnOnce() + Send + 'static) {
    let (done, finished) = std::sync::mpsc::channel();
    let spawned = std::thread::Builder::new().name("telemetry-flush".to_owned()).spawn(move || {
        work();
        let _ = done.send(());
    });
    if spawned.is_ok() {
        let _ = finished.recv_timeout(SHUTDOWN_TIMEOUT);
    }
}

/// The way to the collector. Its connection lives on a runtime of its own, so that a busy or ending product neither
/// delays an export nor loses the last one.
struct Export {
    collector: Collector,
    metrics: MetricExporter,
    runtime: Background,
}

impl Export {
    fn to(endpoint: &str, headers: MetadataMap, about: &Resource) -> Result<Self, Error> {
        let runtime = Background::start().map_err(|error| Error::Endpoint(error.to_string()))?;
        let (collector, metrics) = {
            let _within = runtime.0.as_ref().map(Runtime::enter);
            let metrics = MetricExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_TIMEOUT);
            let metrics = metrics.with_metadata(headers.clone());
            (Collector::at(endpoint, EXPORT_TIMEOUT, headers, about)?, metrics.build())
        };
        Ok(Self { collector, metrics: metrics.map_err(|error| Error::Endpoint(error.to_string()))?, runtime })
    }
}

/// Spans on their way to the collector.
#[derive(Debug)]
struct Spans {
    sending: Sending,
    _runtime: Background,
}

impl Spans {
    fn begin(collector: Collector, runtime: Background) -> Self {
        let (sending, work) = Sending::begin(OUTBOX.get_or_init(Outbox::default), collector);
        if let Some(runtime) = &runtime.0 {
            runtime.spawn(work);
        }
        Self { sending, _runtime: runtime }
    }
}

/// A runtime that may be dropped anywhere; dropping a plain one inside another would panic.
#[derive(Debug)]
struct Background(Option<Runtime>);

impl Background {
    fn start() -> std::io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads(1)
            .thread_name("telemetry-export")
            .enable_all()
            .build()
            .map(|runtime| Self(Some(runtime)))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Logs go to standard error: standard output belongs to what a command answers. As JSON where there is something that
/// gathers lines, and else for the eye.
fn log<S>(lines: Option<Gathering>, logged: Logged) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    if let Some(lines) = lines {
        return Box::new(JsonLines::new(lines, logged));
    }
    let colours = std::io::stderr().is_terminal();
    let most = logged.most();
    let shown = FilterFn::new(move |metadata| logged.shows(metadata)).with_max_level_hint(most);
    let layer = tracing_subscriber::fmt::layer().compact().fmt_fields(WithSpan::default());
    let layer = layer.with_ansi(colours).with_writer(std::io::stderr);
    Box::new(layer.with_filter(shown))
}

//! Starts everything once, and ends it in bounded time.

use std::io::IsTerminal as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, TracerProviderBuilder,
};
use tokio::runtime::{EnterGuard, Runtime};
use tracing::Subscriber;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

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
/// How long a finished span waits for company.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// How many go together when most traces are kept; one batch goes at a time, so this bounds how many are sent in a second.
const MANY: usize = 512;
/// How many go together when few are. Those that wait are kept in memory that a busy process would rather have for its requests: a
/// trace cost it up to three times as much when many went together.
const FEW: usize = 64;
/// Share of the traces from which on they are many.
const MOST: f64 = 0.25;

static STARTED: AtomicBool = AtomicBool::new(false);
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Starts logs, traces and metrics for this process.
///
/// It needs no asynchronous runtime: exports run on one of their own. Everything in `config` is checked before
/// anything is started, so a failed start can be repeated.
pub fn init(config: Config) -> Result<Guard, Error> {
    let logged = Logged::by(&config.log_level)?;
    if !(0.0..=1.0).contains(&config.sample_ratio) {
        return Err(Error::SampleRatio);
    }
    let export = config.otlp_endpoint.as_deref().map(Export::to).transpose()?;
    if STARTED.swap(true, Ordering::SeqCst) {
        return Err(Error::AlreadyStarted);
    }
    let resource = Resource::builder().with_service_name(config.service).build();
    let mut tracers = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        // What is not kept is never shown to it.
        .with_sampler(Sampler::AlwaysOn);
    origin::keep(config.sample_ratio);
    let mut meters = SdkMeterProvider::builder().with_resource(resource).with_reader(metric::reader()?);
    let mut runtime = None;
    if let Some(export) = export {
        tracers = batched(tracers, export.spans, if config.sample_ratio < MOST { FEW } else { MANY });
        meters = meters.with_reader(PeriodicReader::builder(export.metrics).build());
        runtime = Some(export.runtime);
    }
    let lines = (config.log_format == LogFormat::Json).then(Gathering::to_stderr);
    let guard = Guard { tracers: tracers.build(), meters: meters.build(), runtime, lines: lines.clone() };
    let _ = TRACER.set(guard.tracers.tracer("nooble"));
    metric::install(&guard.meters);
    let warnings = Warnings.with_filter(filter::traces());
    let subscriber = Registry::default().with(warnings).with(log(lines, logged));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::AlreadyStarted)?;
    Ok(guard)
}

/// Keeps telemetry alive; [`Guard::shutdown`] sends what is left. Lines of the log are written when it is dropped at the latest.
#[derive(Debug)]
pub struct Guard {
    tracers: SdkTracerProvider,
    meters: SdkMeterProvider,
    runtime: Option<Background>,
    lines: Option<Gathering>,
}

impl Guard {
    /// Sends everything that is finished now. Waits at most a few seconds; with no collector it returns at once.
    pub fn flush(&self) {
        if self.runtime.is_some() {
            let (tracers, meters) = (self.tracers.clone(), self.meters.clone());
            bounded(move || {
                let _ = tracers.force_flush();
                let _ = meters.force_flush();
            });
        }
    }

    /// Sends what is left, spans first, and stops. Waits at most a few seconds, whatever the collector does.
    pub fn shutdown(self) {
        let (tracers, meters) = (self.tracers.clone(), self.meters.clone());
        bounded(move || {
            let _ = tracers.shutdown_with_timeout(EXPORT_TIMEOUT);
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

pub(crate) fn tracer() -> Option<&'static SdkTracer> {
    TRACER.get()
}

/// Lets spans be made in a process that shows them to nobody.
pub(crate) fn without_export() {
    TRACER.get_or_init(|| SdkTracerProvider::builder().build().tracer("nooble"));
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
    spans: SpanExporter,
    metrics: MetricExporter,
    runtime: Background,
}

impl Export {
    fn to(endpoint: &str) -> Result<Self, Error> {
        let runtime = Background::start().map_err(|error| Error::Endpoint(error.to_string()))?;
        let entered = runtime.enter();
        let spans = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_TIMEOUT).build();
        let metrics =
            MetricExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT_TIMEOUT).build();
        drop(entered);
        let refused = |error: ExporterBuildError| Error::Endpoint(error.to_string());
        Ok(Self { spans: spans.map_err(refused)?, metrics: metrics.map_err(refused)?, runtime })
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

    fn enter(&self) -> Option<EnterGuard<'_>> {
        self.0.as_ref().map(Runtime::enter)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn batched(tracers: TracerProviderBuilder, exporter: SpanExporter, together: usize) -> TracerProviderBuilder {
    let config = BatchConfigBuilder::default().with_scheduled_delay(BATCH_DELAY).with_max_export_batch_size(together);
    tracers.with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(config.build()).build())
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

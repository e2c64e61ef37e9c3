//! Settings.

use std::time::Duration;

use service_kit::Settings;

use crate::ReaderProgram;

/// Settings of the ingestion service; `deploy/config/ingestion.toml` explains them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Documents that are processed at a time.
    pub slots: usize,
    /// Documents that are read at a time; reading takes the processor and holds the whole document in memory.
    pub readers: usize,
    /// Time for processing a document, waiting included.
    pub job_timeout: Duration,
    /// Chunks that are embedded in one piece; small, so that a chat never waits long behind a document.
    pub embed_batch: usize,
    /// Pieces of one document that are embedded at a time.
    pub embed_in_flight: usize,
    /// Documents up to this size are read while they are uploaded, so that one without text or damaged inside is refused
    /// at once; of larger ones only what is quickly seen is checked.
    pub inspect_bytes: u64,
    /// Longest pause between two messages of an upload.
    pub upload_idle_timeout: Duration,
    /// Longest time in which the bytes of an upload must have come. No setting.
    pub upload_timeout: Duration,
    /// Uploads of one tenant at a time. No setting.
    pub uploads_per_tenant: usize,
    /// Program that reads PDFs in a process of its own, named by whoever runs the service. No setting. Without it they are
    /// read in this process, and one that was made for it can end the process.
    pub reader: Option<ReaderProgram>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            slots: 4,
            readers: 2,
            job_timeout: Duration::from_hours(1),
            embed_batch: 8,
            embed_in_flight: 2,
            inspect_bytes: 1 << 20,
            upload_idle_timeout: Duration::from_secs(30),
            upload_timeout: Duration::from_mins(5),
            uploads_per_tenant: 2,
            reader: None,
        }
    }
}

impl Config {
    /// Reads the settings; mistakes are noted in `settings`.
    pub fn read(settings: &mut Settings) -> Self {
        let default = Self::default();
        Self {
            slots: settings.get_in("INGESTION_SLOTS", default.slots, 1..=256),
            readers: settings.get_in("INGESTION_READERS", default.readers, 1..=64),
            job_timeout: settings.get_in("INGESTION_JOB_TIMEOUT", default.job_timeout, Duration::from_secs(1)..),
            embed_batch: settings.get_in("INGESTION_EMBED_BATCH", default.embed_batch, 1..=64),
            embed_in_flight: settings.get_in("INGESTION_EMBED_IN_FLIGHT", default.embed_in_flight, 1..=16),
            inspect_bytes: settings.get("INGESTION_INSPECT_BYTES", default.inspect_bytes),
            upload_idle_timeout: settings.get_in(
                "INGESTION_UPLOAD_IDLE_TIMEOUT",
                default.upload_idle_timeout,
                Duration::from_secs(1)..,
            ),
            upload_timeout: default.upload_timeout,
            uploads_per_tenant: default.uploads_per_tenant,
            reader: default.reader,
        }
    }
}

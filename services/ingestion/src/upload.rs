//! Taking a document: its bytes go to the object store as they come, are checked, and become a task.

use action::{Action, CollectionId, Deadline, DocumentId, ExecutionContext, SessionId, TaskId, TenantId, Tier};
use fault::{Failure, Fault as _, reason};
use futures::{Stream, StreamExt as _};
use proto::ingestion::v1::upload_document_request::Part;
use proto::ingestion::v1::{Document, DocumentHeader, ProcessDocument, UploadDocumentRequest};
use proto::task::v1::Task;
use quota::UsageKind;
use service_kit::{Caller, Spend};
use tonic::Status;

use crate::again::{Before, in_flight};
use crate::documents::Entry;
use crate::ingestion::now_ms;
use crate::media::HEAD;
use crate::objects::{Incoming, ObjectKey, Stored};
use crate::{Error, Ingestion, MediaType};

/// Longest title and longest name of a file, in characters.
const NAME_CHARS: usize = 300;

/// What is known about a document before its bytes, checked.
pub(crate) struct Header {
    pub(crate) tenant: TenantId,
    tier: Tier,
    pub(crate) collection: CollectionId,
    pub(crate) document: DocumentId,
    pub(crate) task: TaskId,
    /// Whether the task was chosen by the sender, who would send it again with the same one.
    pub(crate) may_come_again: bool,
    session: Option<SessionId>,
    pub(crate) title: String,
    file_name: String,
    claim: String,
}

impl Ingestion {
    /// Takes a document of the caller's tenant: header first, then the bytes. Nothing is left behind when it is refused.
    ///
    /// # Errors
    ///
    /// Those of the header; `IDEMPOTENCY_MISMATCH` when its task took another document; [`Error::TooLarge`],
    /// [`Error::Unsupported`], [`Error::Encrypted`], [`Error::Unreadable`], [`Error::Empty`]; those of the caller's limits and of
    /// the queue; `OVERLOADED` while the tenant has as many uploads going as it may, `DEADLINE_EXCEEDED` when the bytes do not
    /// come in time.
    pub async fn upload<S>(&self, caller: &Caller, mut stream: S) -> Result<(Task, Document), Error>
    where
        S: Stream<Item = Result<UploadDocumentRequest, Status>> + Send + Unpin,
    {
        let _turn = self.turns.take(&caller.tenant()?.0)?;
        let header = match self.next(&mut stream).await? {
            Some(Part::Header(header)) => Header::read(caller, header)?,
            _ => return Err(field("header", "must come first")),
        };
        caller.assert_unlimited()?;
        self.kit.admission.access_collection(caller, &header.collection).await?;
        self.look(caller).await?;
        let receiving = tokio::time::timeout(self.config.upload_timeout, self.receive(&header, &mut stream));
        let (stored, kind) = receiving.await.map_err(|_| late("the upload took too long"))??;
        let entered = match self.before(&header, &stored).await? {
            Before::Taken(taken) => return Ok(*taken),
            Before::Entered(entry) => Some(*entry),
            Before::Nothing => None,
        };
        self.inspect(&stored, kind).await?;
        // A task that was charged before is charged nothing.
        let spend = Spend::from(UsageKind::Collection).of_task(header.task, 0).lasting(self.config.job_timeout * 2);
        let admitted = self.kit.admission.admit(caller, spend).await.map_err(Failure::from)?;
        let accepted = self.accept(caller, header, &stored, kind, entered).await;
        if let (Err(error), Some(admitted)) = (&accepted, admitted)
            && !error.failure().leaves_doubt()
        {
            self.kit.admission.refund(&admitted.receipt).await;
        }
        accepted
    }

    /// Refuses a caller whose limits are used up before its bytes are taken and read. Charges nothing.
    async fn look(&self, caller: &Caller) -> Result<(), Error> {
        if caller.admitted && caller.service.is_some() {
            return Ok(());
        }
        let (tenant, tier) = caller.tenant()?;
        self.kit.quota.look(&tenant, tier).await.map_err(|error| error.failure().into())
    }

    /// Writes the bytes to the object store and finds out what they are, as early as possible.
    async fn receive<S>(&self, header: &Header, stream: &mut S) -> Result<(Stored, MediaType), Error>
    where
        S: Stream<Item = Result<UploadDocumentRequest, Status>> + Send + Unpin,
    {
        let limit = self.kit.tiers.of(header.tier).max_document_bytes;
        let mut incoming = self.objects.begin().await?;
        let mut kind = None;
        while let Some(part) = self.next(stream).await? {
            let Part::Data(bytes) = part else { return Err(field("header", "must come once")) };
            if incoming.seen().size + bytes.len() as u64 > limit {
                return Err(Error::TooLarge { limit });
            }
            incoming.write(&bytes).await?;
            if kind.is_none() && incoming.seen().head.len() == HEAD {
                kind = Some(header.kind(&incoming)?);
            }
        }
        // An upload that its sender reset ends here like one that is complete. The server notices when the handler next
        // waits, and drops it: with this pause it does before half a document is taken for a whole one.
        tokio::task::yield_now().await;
        if !incoming.seen().has_ink {
            return Err(Error::Empty);
        }
        let kind = kind.map_or_else(|| header.kind(&incoming), Ok)?;
        if kind != MediaType::Pdf && !incoming.seen().may_be_text() {
            return Err(Error::Unreadable("the bytes are not text"));
        }
        Ok((incoming.complete().await?, kind))
    }

    /// Reads small documents at once, so that one without text is refused before anything is promised; of large ones, and
    /// they are PDFs mostly, looks whether they can be opened.
    async fn inspect(&self, stored: &Stored, kind: MediaType) -> Result<(), Error> {
        let path = stored.path().to_owned();
        if stored.seen.size <= self.config.inspect_bytes {
            self.readers.text(path, kind).await.map(drop)
        } else {
            self.readers.open(path, kind).await
        }
    }

    /// Makes the document's entry unless it has one, gives its bytes their place and enqueues its processing; takes all of it
    /// back when the queue does not accept.
    async fn accept(
        &self,
        caller: &Caller,
        header: Header,
        stored: &Stored,
        kind: MediaType,
        entered: Option<Entry>,
    ) -> Result<(Task, Document), Error> {
        let entry = match entered {
            Some(entry) => entry,
            None => self.enter(&header, stored, kind).await?,
        };
        let version = u64::try_from(entry.version).unwrap_or_default();
        let key = ObjectKey { tenant: header.tenant.clone(), document: header.document.clone(), version };
        let mut action = self.action(&header, &key, kind);
        action.user.clone_from(&caller.user);
        let accepted = async {
            self.objects.place(stored, &key).await?;
            let submitted = self.kit.queue.submit(action).await.map_err(|error| error.failure())?;
            Ok(submitted.task)
        };
        match accepted.await {
            Ok(task) => Ok((task, entry.to_proto())),
            Err(error) => {
                self.documents.remove(&header.tenant, &entry.document_id, entry.version).await?;
                self.objects.remove(&key).await?;
                Err(error)
            }
        }
    }

    async fn enter(&self, header: &Header, stored: &Stored, kind: MediaType) -> Result<Entry, Error> {
        let now = now_ms();
        let version = self.documents.next_version(&header.tenant, &header.document, now).await?;
        let entry = header.entry(stored, kind, version, now);
        match self.documents.insert(&header.tenant, &entry).await {
            Err(store::Error::Exists(_)) if header.may_come_again => Err(in_flight()),
            inserted => Ok(inserted.map(|()| entry)?),
        }
    }

    fn action(&self, header: &Header, key: &ObjectKey, kind: MediaType) -> Action {
        let context = ExecutionContext::collection(header.collection.clone());
        let payload = ProcessDocument {
            document_id: header.document.to_string(),
            collection_id: header.collection.to_string(),
            title: header.title.clone(),
            media_type: kind.as_str().to_owned(),
            object_key: key.text(),
            version: key.version,
        };
        let mut action = Action::root(header.tenant.clone(), header.tier, context, &payload);
        action.session.clone_from(&header.session);
        action.deadline = Deadline::Within(self.config.job_timeout);
        action.named(header.task)
    }

    async fn next<S>(&self, stream: &mut S) -> Result<Option<Part>, Error>
    where
        S: Stream<Item = Result<UploadDocumentRequest, Status>> + Send + Unpin,
    {
        let next = tokio::time::timeout(self.config.upload_idle_timeout, stream.next()).await;
        match next.map_err(|_| late("the upload paused for too long"))? {
            None => Ok(None),
            Some(Ok(message)) => message.part.map(Some).ok_or_else(|| field("part", "must be set")),
            Some(Err(status)) => Err(Failure::from_status(&status).into()),
        }
    }
}

impl Header {
    fn read(caller: &Caller, header: DocumentHeader) -> Result<Self, Error> {
        let (tenant, tier) = caller.tenant()?;
        let collection = header.collection_id.parse()?;
        let may_come_again = !header.task_id.is_empty();
        let task = if may_come_again {
            // Whoever comes from outside cannot choose one.
            caller.inside()?;
            header.task_id.parse()?
        } else {
            TaskId::new()
        };
        let document: DocumentId = match header.document_id.as_str() {
            "" => format!("doc-{task}").parse()?,
            id => id.parse()?,
        };
        let session = Some(header.session_id).filter(|id| !id.is_empty()).map(|id| id.parse()).transpose()?;
        check_name("file_name", &header.file_name)?;
        check_name("title", &header.title)?;
        let title = [&header.title, &header.file_name]
            .into_iter()
            .map(|name| name.trim())
            .find(|name| !name.is_empty())
            .map_or_else(|| document.to_string(), str::to_owned);
        let (file_name, claim) = (header.file_name, header.media_type);
        Ok(Self { tenant, tier, collection, document, task, may_come_again, session, title, file_name, claim })
    }

    fn kind(&self, incoming: &Incoming) -> Result<MediaType, Error> {
        MediaType::of(&incoming.seen().head, &self.file_name, &self.claim)
    }

    fn entry(&self, stored: &Stored, kind: MediaType, version: u64, now: u64) -> Entry {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        Entry {
            document_id: self.document.to_string(),
            version: number(version),
            collection_id: self.collection.to_string(),
            title: self.title.clone(),
            media_type: kind.as_str().to_owned(),
            size_bytes: number(stored.seen.size),
            sha256: stored.sha256.clone(),
            status: "pending".to_owned(),
            chunks: 0,
            error: String::new(),
            task_id: self.task.to_string(),
            created_at: number(now),
        }
    }
}

fn check_name(name: &'static str, text: &str) -> Result<(), Error> {
    if text.chars().count() > NAME_CHARS {
        return Err(field(name, format!("must have at most {NAME_CHARS} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(field(name, "must not hold control characters"));
    }
    Ok(())
}

fn late(text: &str) -> Error {
    Failure::new(&reason::DEADLINE_EXCEEDED, text).into()
}

fn field(field: &'static str, text: impl Into<String>) -> Error {
    Error::Field { field, text: text.into() }
}

//! One upload to ingestion: a stream that is complete only when it was finished on purpose.

use axum::extract::multipart::Field;
use fault::Failure;
use futures::future::BoxFuture;
use proto::ingestion::v1::upload_document_request::Part as Wire;
use proto::ingestion::v1::{DocumentHeader, UploadDocumentRequest, UploadDocumentResponse};
use service_kit::Caller;
use tokio::sync::mpsc;
use tonic::{Response, Status};

use crate::documents::{too_large, unreadable};
use crate::edge::Edge;

/// Bytes of one message.
const PIECE: usize = 256 * 1024;
/// Messages that wait for the transport.
const AHEAD: usize = 2;

type Answer = Result<Response<UploadDocumentResponse>, Status>;

/// A document on its way. Dropping it before [`Upload::finish`] resets the call: ingestion must not take half a document
/// for a whole one.
pub(crate) struct Upload {
    call: BoxFuture<'static, Answer>,
    parts: mpsc::Sender<Next>,
}

enum Next {
    Part(Wire),
    End,
}

impl Upload {
    /// Opens the call and says what the document is. Ingestion charges the limits when it accepts.
    pub(crate) fn start(edge: &Edge, caller: &Caller, header: DocumentHeader) -> Self {
        let (parts, receiver) = mpsc::channel(AHEAD);
        let mut header = Some(header);
        let stream = futures::stream::unfold(receiver, move |mut receiver| {
            let first = header.take().map(Wire::Header);
            async move {
                let part = match first {
                    Some(part) => part,
                    None => match receiver.recv().await {
                        Some(Next::Part(part)) => part,
                        Some(Next::End) => return None,
                        // Nobody finished it: the end of the stream must not be seen.
                        None => std::future::pending().await,
                    },
                };
                Some((UploadDocumentRequest { part: Some(part) }, receiver))
            }
        });
        let mut request = tonic::Request::new(stream);
        request.set_timeout(edge.config.upload_timeout);
        let mut client = edge.peers.ingestion(caller);
        let call = Box::pin(async move { client.upload_document(request).await });
        Self { call, parts }
    }

    /// Passes the file on, piece by piece. Fails when it is too large, breaks off, or ingestion refuses it.
    pub(crate) async fn feed(&mut self, mut file: Field<'_>, most: u64) -> Result<(), Failure> {
        let mut passed = 0;
        loop {
            let chunk = tokio::select! {
                answer = &mut self.call => return Err(early(answer)),
                chunk = file.chunk() => chunk.map_err(|error| unreadable(&error))?,
            };
            let Some(mut chunk) = chunk else { return Ok(()) };
            passed += chunk.len() as u64;
            if passed > most {
                return Err(too_large(most));
            }
            while !chunk.is_empty() {
                let piece = chunk.split_to(chunk.len().min(PIECE));
                self.pass(Next::Part(Wire::Data(piece.to_vec()))).await?;
            }
        }
    }

    /// Says that the document is whole, and returns what became of it.
    pub(crate) async fn finish(mut self) -> Result<UploadDocumentResponse, Failure> {
        self.pass(Next::End).await?;
        let answer = self.call.await.map_err(|status| Failure::from_status(&status))?;
        Ok(answer.into_inner())
    }

    async fn pass(&mut self, next: Next) -> Result<(), Failure> {
        tokio::select! {
            answer = &mut self.call => Err(early(answer)),
            // It fails only after the call has ended, which the other branch tells.
            Ok(()) = self.parts.send(next) => Ok(()),
        }
    }
}

/// An answer before the document was whole is a refusal.
fn early(answer: Answer) -> Failure {
    match answer {
        Err(status) => Failure::from_status(&status),
        Ok(_) => Failure::internal(),
    }
}

//! What is put on the server of one recording, request by request (PROTOCOL.md, "Creating and filling a recording").

use bytes::Bytes;
use vault_proto::envelope::Envelope;
use vault_proto::geometry::MAX_PARTS;
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::problem::ProblemCode;
use vault_proto::statements::{FinalSeal, SegmentSeal};
use vault_proto::wire::{self, CreateRecording, OpenSegment, RecordingRecord};

use super::connection::Connection;
use crate::effects::Method;
use crate::error::ClientError;

/// Most bytes of a recording's statements.
pub(crate) const MAX_RECORD: usize = 16 * 1024 * 1024;

/// One recording of one server. Every write may be repeated.
#[derive(Clone)]
pub(crate) struct ServerRecording {
    connection: Connection,
    recording: RecordingId,
}

impl ServerRecording {
    pub(crate) const fn new(connection: Connection, recording: RecordingId) -> Self {
        Self { connection, recording }
    }

    /// How it is asked.
    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) async fn create(&self, body: &CreateRecording) -> Result<(), ClientError> {
        self.connection.send_json(Method::Post, wire::path::RECORDINGS, body).await.map(drop)
    }

    pub(crate) async fn open(&self, segment: u32, body: &OpenSegment) -> Result<(), ClientError> {
        let path = wire::path::segment(&self.recording, segment);
        self.connection.send_json(Method::Put, &path, body).await.map(drop)
    }

    pub(crate) async fn part(
        &self,
        (segment, part): (u32, u32),
        ciphertext: Bytes,
        hash: Digest,
        progress: Option<&str>,
    ) -> Result<(), ClientError> {
        let path = wire::path::part(&self.recording, segment, part);
        self.connection.put_part(&path, ciphertext, hash, progress).await.map(drop)
    }

    pub(crate) async fn seal(&self, seal: &Envelope<SegmentSeal>) -> Result<(), ClientError> {
        let path = wire::path::seal(&self.recording, seal.unverified().index);
        self.put(&path, seal.bytes().to_vec(), "application/json").await
    }

    /// The details, then the final seal.
    pub(crate) async fn end(
        &self,
        details: Vec<u8>,
        final_seal: &Envelope<FinalSeal>,
    ) -> Result<(), ClientError> {
        self.put(&wire::path::details(&self.recording), details, "application/octet-stream").await?;
        let final_seal = final_seal.bytes().to_vec();
        self.put(&wire::path::final_seal(&self.recording), final_seal, "application/json").await
    }

    async fn put(&self, path: &str, bytes: Vec<u8>, kind: &'static str) -> Result<(), ClientError> {
        self.connection.send_bytes(Method::Put, path, bytes.into(), kind).await.map(drop)
    }

    /// Drops a segment of which nothing can be sealed: its key died with its process.
    pub(crate) async fn abandon(&self, segment: u32) -> Result<(), ClientError> {
        self.connection.delete(&wire::path::segment(&self.recording, segment)).await
    }

    /// Everything the server has of the recording's statements.
    pub(crate) async fn record(&self) -> Result<RecordingRecord, ClientError> {
        self.connection.get_json(&wire::path::recording(&self.recording), None, MAX_RECORD).await
    }

    /// Hashes of a segment's parts up to the first gap; none if there is no such segment.
    pub(crate) async fn part_hashes(&self, segment: u32) -> Result<Vec<Digest>, ClientError> {
        let path = wire::path::parts(&self.recording, segment);
        match self.connection.get(&path, None, None, 32 * MAX_PARTS as usize).await {
            Ok(body) => Ok(body.as_chunks::<32>().0.iter().map(|hash| Digest::from_bytes(*hash)).collect()),
            Err(ClientError::Refused(problem)) if problem.known_code() == Some(ProblemCode::NotFound) => {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }
}

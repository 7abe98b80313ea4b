//! Which objects rows name.

use rusqlite::Connection;
use vault_proto::ids::RecordingId;
use vault_proto::object::Object;

use super::rows::{all, damaged, first, number};
use super::{Named, NamedRecording, NamedSegment, StoreError};
use crate::authorize::Action;

/// Recordings of one page.
const PAGE: u32 = 100;

pub(super) fn named(
    db: &Connection,
    recording: RecordingId,
    segment: Option<u32>,
) -> Result<Option<Named>, StoreError> {
    first(
        db,
        "SELECT details_digest IS NOT NULL, final_seal IS NOT NULL, segments.segment IS NOT NULL, seal IS NOT NULL,
                EXISTS (SELECT 1 FROM events WHERE events.recording = ?1 AND events.segment = ?2 AND action = ?3)
         FROM recordings LEFT JOIN segments ON segments.number = recordings.number AND segments.segment = ?2
         WHERE recordings.recording = ?1",
        (recording.as_bytes(), segment, Action::AbandonSegment.name()),
        |row| {
            let (is_there, sealed): (bool, bool) = (row.get(2)?, row.get(3)?);
            Ok(Named {
                details: row.get(0)?,
                final_seal: row.get(1)?,
                segment: is_there.then_some(NamedSegment { sealed }),
                abandoned: row.get(4)?,
            })
        },
    )
}

pub(super) fn recordings(db: &Connection, after: u64) -> Result<Vec<NamedRecording>, StoreError> {
    type Columns = (i64, [u8; 16], i64, Option<i64>, bool);
    let page: Vec<Columns> = all(
        db,
        "SELECT number, recording, key_length, details_length, final_seal IS NOT NULL FROM recordings
         WHERE number > ?1 ORDER BY number LIMIT ?2",
        (number(after)?, PAGE),
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)),
    )?;
    page.into_iter()
        .map(|(number, recording, key, details, is_final)| {
            let length = |bytes: i64| u64::try_from(bytes).map_err(|error| damaged(&error));
            let key = (Object::Key { generation: 0 }, length(key)?);
            let mut objects = vec![(Object::Manifest, 1), key];
            if let Some(details) = details {
                objects.push((Object::Details, length(details)?));
            }
            if is_final {
                objects.push((Object::Final, 1));
            }
            let segments: Vec<(u32, i64, bool)> = all(
                db,
                "SELECT segment, run_bytes, seal IS NOT NULL FROM segments WHERE number = ?1",
                [number],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )?;
            for (segment, bytes, sealed) in segments {
                objects.push((Object::Header { segment }, 1));
                objects.push((Object::Body { segment }, length(bytes)?));
                if sealed {
                    objects.push((Object::Parts { segment }, 32));
                    objects.push((Object::Seal { segment }, 1));
                }
            }
            Ok(NamedRecording {
                number: length(number)?,
                recording: RecordingId::from_bytes(recording),
                objects,
            })
        })
        .collect()
}

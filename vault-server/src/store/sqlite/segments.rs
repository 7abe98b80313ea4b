//! Segments and their parts.

use rusqlite::{Connection, Row};
use vault_proto::geometry::PartChunks;
use vault_proto::ids::{Digest, RecordingId};
use vault_proto::timestamp::Timestamp;

use super::recordings::{count, length, number, touch};
use super::rows::{all, damaged, first, write};
use super::{NewPart, NewSeal, NewSegment, PartRow, SegmentRow, StoreError, Stored, is_too_far_ahead};
use crate::authorize::Action;

struct Columns {
    index: u32,
    track: u8,
    part_chunks: u8,
    header: [u8; 32],
    parts: u32,
    bytes: i64,
    ended: bool,
    parts_root: Option<[u8; 32]>,
    seal: Option<Vec<u8>>,
    progress: Option<Vec<u8>>,
}

const COLUMNS: &str = "segment, track, part_chunks, header, run_parts, run_bytes, run_ended, parts_root, seal,
    (SELECT envelope FROM progress
     WHERE progress.number = segments.number AND progress.segment = segments.segment AND progress.parts <= run_parts
     ORDER BY progress.parts DESC LIMIT 1)";

impl Columns {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            index: row.get(0)?,
            track: row.get(1)?,
            part_chunks: row.get(2)?,
            header: row.get(3)?,
            parts: row.get(4)?,
            bytes: row.get(5)?,
            ended: row.get(6)?,
            parts_root: row.get(7)?,
            seal: row.get(8)?,
            progress: row.get(9)?,
        })
    }

    fn part_chunks(&self) -> Result<PartChunks, StoreError> {
        PartChunks::try_from(self.part_chunks).map_err(|error| damaged(&error))
    }

    fn into_row(self) -> Result<SegmentRow, StoreError> {
        Ok(SegmentRow {
            index: self.index,
            track: self.track,
            part_chunks: self.part_chunks()?,
            header: Digest::from_bytes(self.header),
            parts: self.parts,
            bytes: u64::try_from(self.bytes).map_err(|error| damaged(&error))?,
            parts_root: self.parts_root.map(Digest::from_bytes),
            seal: self.seal,
            progress: self.progress,
        })
    }
}

fn columns(db: &Connection, number: i64, index: u32) -> Result<Option<Columns>, StoreError> {
    first(
        db,
        &format!("SELECT {COLUMNS} FROM segments WHERE number = ?1 AND segment = ?2"),
        (number, index),
        Columns::read,
    )
}

pub(super) fn segments(db: &Connection, recording: RecordingId) -> Result<Vec<SegmentRow>, StoreError> {
    all(
        db,
        &format!("SELECT {COLUMNS} FROM segments WHERE number = ?1 ORDER BY segment"),
        [number(db, recording)?],
        Columns::read,
    )?
    .into_iter()
    .map(Columns::into_row)
    .collect()
}

pub(super) fn segment(db: &Connection, recording: RecordingId, index: u32) -> Result<SegmentRow, StoreError> {
    columns(db, number(db, recording)?, index)?.ok_or(StoreError::NotFound)?.into_row()
}

pub(super) fn open(
    db: &Connection,
    recording: RecordingId,
    segment: &NewSegment,
    at: Timestamp,
) -> Result<Stored, StoreError> {
    let number = number(db, recording)?;
    if let Some(stored) = columns(db, number, segment.index)? {
        let same = stored.track == segment.track
            && stored.part_chunks == u8::from(segment.part_chunks)
            && stored.header == *segment.header.as_bytes();
        return if same { Ok(Stored::Same) } else { Err(StoreError::Conflict) };
    }
    let finished: bool =
        first(db, "SELECT final_seal IS NOT NULL FROM recordings WHERE number = ?1", [number], |row| {
            row.get(0)
        })?
        .ok_or(StoreError::NotFound)?;
    let follows = match segment.index.checked_sub(1) {
        None => true,
        Some(previous) => columns(db, number, previous)?.is_some_and(|previous| previous.seal.is_some()),
    };
    if finished || !follows {
        return Err(StoreError::OutOfOrder);
    }
    write(
        db,
        "INSERT INTO segments (number, segment, track, part_chunks, header, header_length)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (
            number,
            segment.index,
            segment.track,
            u8::from(segment.part_chunks),
            segment.header.as_bytes(),
            segment.header_length,
        ),
    )?;
    count(db, number, i64::from(segment.header_length))?;
    touch(db, number, at)?;
    Ok(Stored::New)
}

fn read_part(row: &Row<'_>) -> rusqlite::Result<PartRow> {
    Ok(PartRow { digest: Digest::from_bytes(row.get(0)?), length: row.get(1)? })
}

fn part_of(db: &Connection, number: i64, segment: u32, part: u32) -> Result<Option<PartRow>, StoreError> {
    first(
        db,
        "SELECT digest, length FROM parts WHERE number = ?1 AND segment = ?2 AND part = ?3",
        (number, segment, part),
        read_part,
    )
}

pub(super) fn part(
    db: &Connection,
    recording: RecordingId,
    segment: u32,
    part: u32,
) -> Result<Option<PartRow>, StoreError> {
    part_of(db, number(db, recording)?, segment, part)
}

pub(super) fn add_part(
    db: &Connection,
    recording: RecordingId,
    new: &NewPart,
    at: Timestamp,
) -> Result<Stored, StoreError> {
    let number = number(db, recording)?;
    let stored = part_of(db, number, new.segment, new.part)?;
    if stored.is_some_and(|stored| stored != new.row) {
        return Err(StoreError::Conflict);
    }
    let segment = columns(db, number, new.segment)?.ok_or(StoreError::OutOfOrder)?;
    if stored.is_some() {
        return Ok(Stored::Same);
    }
    if segment.seal.is_some() || is_too_far_ahead(new.part, segment.parts) {
        return Err(StoreError::OutOfOrder);
    }
    write(
        db,
        "INSERT INTO parts (number, segment, part, digest, length) VALUES (?1, ?2, ?3, ?4, ?5)",
        (number, new.segment, new.part, new.row.digest.as_bytes(), new.row.length),
    )?;
    add_bytes(db, number, i64::from(new.row.length))?;
    if let Some(envelope) = &new.progress {
        write(
            db,
            "INSERT INTO progress (number, segment, parts, envelope) VALUES (?1, ?2, ?3, ?4)",
            (number, new.segment, new.part + 1, envelope),
        )?;
        count(db, number, length(envelope)?)?;
    }
    extend_run(db, number, &segment)?;
    touch(db, number, at)?;
    Ok(Stored::New)
}

/// Moves the end of a segment's run over the parts that are now there.
fn extend_run(db: &Connection, number: i64, segment: &Columns) -> Result<(), StoreError> {
    let part_chunks = segment.part_chunks()?;
    let (mut parts, mut bytes, mut ended) = (segment.parts, segment.bytes, segment.ended);
    while !ended {
        let Some(part) = part_of(db, number, segment.index, parts)? else {
            break;
        };
        ended = usize::try_from(part.length).ok() != Some(part_chunks.full_length(parts));
        parts += 1;
        bytes += i64::from(part.length);
    }
    if parts == segment.parts {
        return Ok(());
    }
    write(
        db,
        "UPDATE segments SET run_parts = ?3, run_bytes = ?4, run_ended = ?5 WHERE number = ?1 AND segment = ?2",
        (number, segment.index, parts, bytes, ended),
    )?;
    // The newest that is covered proves all that older ones do.
    let covered: Vec<i64> = all(
        db,
        "DELETE FROM progress WHERE number = ?1 AND segment = ?2 AND parts <
             (SELECT max(parts) FROM progress WHERE number = ?1 AND segment = ?2 AND parts <= ?3)
         RETURNING length(envelope)",
        (number, segment.index, parts),
        |row| row.get(0),
    )?;
    count(db, number, -covered.iter().sum::<i64>())
}

/// Counts bytes of parts that are stored now, or fewer if `bytes` is negative.
fn add_bytes(db: &Connection, number: i64, bytes: i64) -> Result<(), StoreError> {
    write(
        db,
        "UPDATE recordings SET bytes = bytes + ?2, stored = stored + ?2 WHERE number = ?1",
        (number, bytes),
    )
    .map(drop)
}

pub(super) fn parts(
    db: &Connection,
    recording: RecordingId,
    segment: u32,
) -> Result<Vec<PartRow>, StoreError> {
    let number = number(db, recording)?;
    let run = columns(db, number, segment)?.ok_or(StoreError::NotFound)?.parts;
    all(
        db,
        "SELECT digest, length FROM parts WHERE number = ?1 AND segment = ?2 AND part < ?3 ORDER BY part",
        (number, segment, run),
        read_part,
    )
}

pub(super) fn seal(
    db: &Connection,
    recording: RecordingId,
    seal: &NewSeal,
    at: Timestamp,
) -> Result<Stored, StoreError> {
    let number = number(db, recording)?;
    let segment = columns(db, number, seal.segment)?.ok_or(StoreError::OutOfOrder)?;
    match segment.seal {
        Some(stored) if stored == seal.envelope => return Ok(Stored::Same),
        Some(_) => return Err(StoreError::Conflict),
        None if segment.parts < seal.parts => return Err(StoreError::OutOfOrder),
        None => {}
    }
    let previous = match seal.segment.checked_sub(1) {
        None => None,
        Some(previous) => columns(db, number, previous)?.and_then(|previous| previous.seal),
    };
    if previous.map(|previous| Digest::of(&previous)) != seal.previous {
        return Err(StoreError::OutOfOrder);
    }
    drop_parts(db, number, seal.segment, seal.parts)?;
    // Beside the seal its list of part hashes becomes an object.
    count(db, number, length(&seal.envelope)?.saturating_add(32 * i64::from(seal.parts)))?;
    let bytes = i64::try_from(seal.body_length).map_err(|_| StoreError::OutOfOrder)?;
    write(
        db,
        "UPDATE segments SET run_parts = ?3, run_bytes = ?4, run_ended = 1, parts_root = ?5, seal = ?6
         WHERE number = ?1 AND segment = ?2",
        (number, seal.segment, seal.parts, bytes, seal.parts_root.as_bytes(), &seal.envelope),
    )?;
    touch(db, number, at)?;
    Ok(Stored::New)
}

/// Drops the parts of a segment from number `from` on.
fn drop_parts(db: &Connection, number: i64, segment: u32, from: u32) -> Result<(), StoreError> {
    let dropped: Vec<i64> = all(
        db,
        "DELETE FROM parts WHERE number = ?1 AND segment = ?2 AND part >= ?3 RETURNING length",
        (number, segment, from),
        |row| row.get(0),
    )?;
    let progress: Vec<i64> = all(
        db,
        "DELETE FROM progress WHERE number = ?1 AND segment = ?2 AND parts > ?3 RETURNING length(envelope)",
        (number, segment, from),
        |row| row.get(0),
    )?;
    add_bytes(db, number, -dropped.iter().sum::<i64>())?;
    count(db, number, -progress.iter().sum::<i64>())?;
    // That they were dropped is on record; that they were stored would stay for each time that they are.
    write(
        db,
        "DELETE FROM events WHERE recording = (SELECT recording FROM recordings WHERE number = ?1)
             AND action = ?4 AND ifnull(segment, -1) = ?2 AND ifnull(part, -1) >= ?3",
        (number, segment, from, Action::StorePart.name()),
    )
    .map(drop)
}

pub(super) fn abandon(
    db: &Connection,
    recording: RecordingId,
    segment: u32,
    at: Timestamp,
) -> Result<Stored, StoreError> {
    let number = number(db, recording)?;
    match columns(db, number, segment)? {
        None => return Ok(Stored::Same),
        Some(stored) if stored.seal.is_some() => return Err(StoreError::OutOfOrder),
        Some(_) => {}
    }
    drop_parts(db, number, segment, 0)?;
    write(
        db,
        "UPDATE recordings SET stored = stored - (SELECT header_length FROM segments
             WHERE segments.number = ?1 AND segment = ?2) WHERE number = ?1",
        (number, segment),
    )?;
    write(db, "DELETE FROM segments WHERE number = ?1 AND segment = ?2", (number, segment))?;
    touch(db, number, at)?;
    Ok(Stored::New)
}

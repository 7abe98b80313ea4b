//! What passed through the proxy, as HTTP/1.1: requests in their order, and their answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use vault_proto::geometry::PartChunks;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Method.
    pub method: String,
    /// Path, with its query.
    pub path: String,
    /// First and last byte that it asks for, with a `Range`.
    pub range: Option<(u64, u64)>,
    /// `Content-Digest`, as sent: names the body without holding it.
    pub digest: String,
    /// Status of the answer; `None` if the server sent none before the connection ended.
    pub status: Option<u16>,
    /// `X-Request-Id` of the answer.
    pub request_id: String,
}

impl Exchange {
    /// Whether the server said that it has it.
    pub fn acknowledged(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    fn is_put(&self) -> bool {
        self.method == "PUT"
    }

    /// Recording and segment of a request that opens a segment.
    pub fn opened_segment(&self) -> Option<(String, u32)> {
        let words = self.recording_path()?;
        let [recording, "segments", segment] = *words.as_slice() else {
            return None;
        };
        self.is_put().then_some((recording.to_owned(), segment.parse().ok()?))
    }

    /// Recording, segment and part of a request that sends a part.
    pub fn sent_part(&self) -> Option<(String, u32, u32)> {
        let words = self.recording_path()?;
        let [recording, "segments", segment, "parts", part] = *words.as_slice() else {
            return None;
        };
        self.is_put().then_some((recording.to_owned(), segment.parse().ok()?, part.parse().ok()?))
    }

    /// Segment and part of a request that fetches a part.
    pub fn fetched_part(&self) -> Option<(u32, u32)> {
        let words = self.recording_path()?;
        let [_, "segments", segment, "body"] = *words.as_slice() else {
            return None;
        };
        let first = self.range.filter(|_| self.method == "GET")?.0;
        Some((segment.parse().ok()?, u32::try_from(first / PartChunks::FIFTEEN.ciphertext() as u64).ok()?))
    }

    fn recording_path(&self) -> Option<Vec<&str>> {
        Some(self.path.strip_prefix("/v1/recordings/")?.split('/').collect())
    }
}

/// All requests that passed, in the order of their heads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic(pub Vec<Exchange>);

/// What the traffic tells about the parts of one recording.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartsSent {
    /// Requests that sent a part, finished or not.
    pub requests: usize,
    /// Different parts among them: segment, opening of the segment, number.
    pub different: usize,
    /// Different parts that were acknowledged.
    pub acknowledged: usize,
    /// Acknowledged parts of the first segment, from part 0 without a gap.
    pub unbroken: usize,
}

impl Traffic {
    /// Counts the parts that were sent of a recording.
    ///
    /// Fails the test if a key and nonce could have been used twice: a part's key is that of the header its segment was
    /// opened with and its nonces are those of its number, so no number may ever be sent with two contents under one
    /// header, and no header may open two segments.
    pub fn parts_of(&self, recording: &str) -> PartsSent {
        let mut openings: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
        let mut contents: BTreeMap<(u32, usize, u32), &str> = BTreeMap::new();
        let mut acknowledged = BTreeSet::new();
        let mut requests = 0;
        for exchange in &self.0 {
            if let Some((of, segment)) = exchange.opened_segment()
                && of == recording
            {
                let before = openings.entry(segment).or_default();
                if before.last() != Some(&exchange.digest.as_str()) {
                    before.push(&exchange.digest);
                }
            }
            if let Some((of, segment, part)) = exchange.sent_part()
                && of == recording
            {
                requests += 1;
                let opening = openings.get(&segment).expect("a segment is opened before its parts").len();
                let content = *contents.entry((segment, opening, part)).or_insert(&exchange.digest);
                assert_eq!(
                    content, exchange.digest,
                    "part {part} of segment {segment} was sealed twice with one key"
                );
                if exchange.acknowledged() {
                    acknowledged.insert((segment, opening, part));
                }
            }
        }
        let headers: Vec<&str> = openings.values().flatten().copied().collect();
        let different: BTreeSet<&str> = headers.iter().copied().collect();
        assert_eq!(headers.len(), different.len(), "one header opened two segments");
        let unbroken = (0..).take_while(|part| acknowledged.contains(&(0, 1, *part))).count();
        PartsSent { requests, different: contents.len(), acknowledged: acknowledged.len(), unbroken }
    }
}

/// One direction of a connection, cut into heads and bodies.
#[derive(Debug, Default)]
pub(super) struct Framing {
    head: Vec<u8>,
    body_left: u64,
}

const HEAD_END: &[u8] = b"\r\n\r\n";

impl Framing {
    /// Takes bytes; gives the head that they complete, and how many of them were taken. Without a head all were.
    pub(super) fn take(&mut self, bytes: &[u8]) -> (usize, Option<String>) {
        let mut taken = usize::try_from(self.body_left).unwrap_or(usize::MAX).min(bytes.len());
        self.body_left -= taken as u64;
        for &byte in bytes.iter().skip(taken) {
            taken += 1;
            self.head.push(byte);
            if self.head.ends_with(HEAD_END) {
                let head = String::from_utf8_lossy(&std::mem::take(&mut self.head)).into_owned();
                let length = header(&head, "content-length").unwrap_or("0");
                self.body_left = length.parse().expect("a length");
                return (taken, Some(head));
            }
        }
        (taken, None)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// What of a request's head is kept.
pub(super) fn request(head: &str) -> Exchange {
    let mut words = head.split_whitespace();
    let mut word = || words.next().unwrap_or_default().to_owned();
    Exchange {
        method: word(),
        path: word(),
        range: header(head, "range").and_then(|range| {
            let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?))
        }),
        digest: header(head, "content-digest").unwrap_or_default().to_owned(),
        status: None,
        request_id: String::new(),
    }
}

/// Notes an answer at the oldest request of its connection that waits for one.
pub(super) fn answer(head: &str, waiting: &mut VecDeque<usize>, traffic: &mut Traffic) {
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let request_id = request_id(head);
    if let Some(exchange) = waiting.pop_front().and_then(|index| traffic.0.get_mut(index)) {
        exchange.status = status;
        exchange.request_id = request_id;
    }
}

/// The request id in an answer's head.
pub fn request_id(head: &str) -> String {
    header(head, "x-request-id").unwrap_or_default().to_owned()
}

//! The faults by name, and what each of them does.

use std::fmt;
use std::str::FromStr;

use vault_proto::ids::AccountId;

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident $text:literal $what:literal;)*) => {
        /// One way to lie.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum FaultKind {
            $($(#[$doc])* $name,)*
        }

        impl FaultKind {
            /// All faults.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name on the command line.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// What the server does.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$name => $what),* }
            }
        }
    };
}

faults! {
    /// The list holds recordings of other people, and all of their objects are handed out.
    CrossList "cross-list" "lists everybody's recordings to everybody, and hands out whatever is asked for";
    /// No caller is refused anything that is stored.
    AuthoriseEveryone "authorise-everyone" "hands out whatever is asked for, to anyone";
    /// A recording is missing from the list.
    HideRecording "hide-recording" "leaves the recording out of every list and denies that it exists";
    /// A list without an end.
    EndlessList "endless-list" "gives a list whose pages never end";
    /// Every object comes from another recording.
    SwapRecording "swap-recording" "hands out another recording in its place, whole";
    /// Every object comes from another recording of the same patient.
    SwapRecordingSamePatient "swap-recording-same-patient" "hands out another recording of the same patient, whole";
    /// The manifest of another recording, with the statements that it names.
    SwapManifest "swap-manifest" "hands out the manifest of another recording";
    /// Under the digests of its statements, those of another recording of the same kind.
    SwapStatements "swap-statements" "hands out another account's statements under the digests that the manifest names";
    /// Under the digests of its key lists, certificates of the same accounts.
    SwapKinds "swap-kinds" "hands out certificates under the digests of key lists";
    /// A statement by the operator under the digest of one of its statements.
    OwnStatements "own-statements" "hands out statements that the operator made under the digests that the manifest names";
    /// A signature that was changed.
    EditStatements "edit-statements" "changes one digit of the signatures of its statements";
    /// The statements are denied.
    HideStatements "hide-statements" "denies one of the statements that the manifest names";
    /// Fewer statements than were asked for.
    FewerStatements "fewer-statements" "answers with fewer statements than were asked for";
    /// Segment 0 of another recording, with its seal.
    SwapSegment "swap-segment" "puts a segment of another recording in, with its seal";
    /// Segments 0 and 1 of the same recording are exchanged.
    ExchangeSegments "exchange-segments" "exchanges the first two segments of the recording, each with its seal";
    /// The seal of another recording's segment 0.
    SwapSeal "swap-seal" "puts the segment seal of another recording in";
    /// The final seal of another recording.
    SwapFinal "swap-final" "puts the final seal of another recording in";
    /// The header of another recording.
    SwapHeader "swap-header" "hands out the header of another recording";
    /// The header of an earlier segment.
    ReplayOldHeader "replay-old-header" "hands out the header of an earlier segment in place of a later one's";
    /// The key object of another recording.
    SwapKey "swap-key" "hands out the key object of another recording";
    /// One bit of the key object is changed.
    EditKey "edit-key" "changes one bit of the key object";
    /// The key object is denied.
    HideKey "hide-key" "denies that the recording has a key object";
    /// A further stanza in the key object.
    KeyAddsReader "key-adds-reader" "adds a stanza for the operator's key to the key object";
    /// The key object made anew by a reader.
    RewrapKey "rewrap-key" "hands out a key object that a colluding reader made: the same key, for the operator too";
    /// Body and part list of another recording.
    SwapBody "swap-body" "hands out the body and the part list of another recording";
    /// The body of another recording, with the right part list.
    SwapBodyOnly "swap-body-only" "hands out the body of another recording with this one's part list";
    /// Details of another recording.
    SwapDetails "swap-details" "hands out the details of another recording";
    /// One bit of the details is changed.
    EditDetails "edit-details" "changes one bit of the sealed details";
    /// A part is missing.
    DropPart "drop-part" "leaves a part out of body and part list";
    /// A part comes twice.
    DoublePart "double-part" "hands out a part twice";
    /// Parts in another order.
    ReorderParts "reorder-parts" "exchanges two parts";
    /// The body ends too early.
    Truncate "truncate" "cuts the body short";
    /// A part is appended.
    AppendPart "append-part" "appends a copy of the first part";
    /// The final seal is denied.
    HideFinal "hide-final" "denies that the recording has an end";
    /// The last segment is denied, the final seal is not.
    HideLastSegment "hide-last-segment" "denies the last segment and keeps the final seal";
    /// A middle segment is denied.
    HideFirstSegment "hide-first-segment" "denies the first segment";
    /// An age file that was never sealed as part of a recording.
    PlantAgeFile "plant-age-file" "puts a stock age file to the readers' keys in place of the segment";
    /// A recording that the server made.
    PlantRecording "plant-recording" "lists and serves a recording sealed by keys that the operator made";
    /// A body by another reader.
    ReauthorBody "reauthor-body" "puts a body in that a colluding reader wrote under the true header";
    /// A body by another reader, with a seal they signed.
    ReauthorSealedBody "reauthor-sealed-body" "puts a body and a seal in that a colluding reader wrote and signed";
    /// Keys of another account.
    SwapKeyList "swap-key-list" "answers with another account's keys";
    /// The recipient in the key list is replaced, without a signature.
    EditKeyList "edit-key-list" "replaces the encryption key in the account's signed key list";
    /// The server's own account under the requested name.
    OwnKeyList "own-key-list" "answers with a key list signed by a root that the operator made";
    /// The newest key list is denied.
    OldKeyList "old-key-list" "denies the account's newest key list";
    /// A certificate of another organisation.
    OtherTenantCertificate "other-tenant-certificate" "answers with a certificate of an organisation that the operator made";
    /// A header that uses another suite.
    DowngradeHeader "downgrade-header" "hands out a header of the older suite";
    /// The suite in the manifest is changed.
    DowngradeSuite "downgrade-suite" "changes the suite in the manifest to the older one";
    /// A suite nobody knows.
    UnknownSuite "unknown-suite" "changes the suite in the manifest to one that does not exist";
    /// A statement of a version nobody knows.
    NewerVersion "newer-version" "gives the manifest the type of a later version";
    /// A header with a low-order share.
    LowOrderKey "low-order-key" "hands out a header whose key share is a low-order point";
    /// A third reader in the manifest.
    PolicyAddsReader "policy-adds-reader" "adds the operator to the readers in the manifest";
    /// Another policy in the manifest.
    PolicyChanged "policy-changed" "changes the policy in the manifest to one that lets the operator read";
    /// A further stanza in the header.
    HeaderAddsReader "header-adds-reader" "adds a stanza for the operator's key to the header";
    /// Other bytes than the range that was asked for.
    LieAboutRange "lie-about-range" "answers a range with the bytes after it";
    /// The whole body in answer to a range.
    IgnoreRange "ignore-range" "answers a range with the whole body";
    /// An answer without an end.
    EndlessAnswer "endless-answer" "answers with bytes that never end";
    /// A redirection.
    Redirect "redirect" "sends the client to another place for the body";
}

/// A fault that is switched on: everywhere, or for one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is done.
    pub kind: FaultKind,
    /// To which recording or account, by id; `None` means every one.
    pub target: Option<String>,
    /// With what: the recording or account that stands in; `None` means one that the server chooses.
    pub with: Option<String>,
    /// Only this caller is lied to.
    pub only_for: Option<AccountId>,
}

impl Fault {
    /// A fault for every target and every caller.
    pub const fn everywhere(kind: FaultKind) -> Self {
        Self { kind, target: None, with: None, only_for: None }
    }

    /// A fault that concerns one target.
    pub fn on(kind: FaultKind, target: &str) -> Self {
        Self { target: Some(target.to_owned()), ..Self::everywhere(kind) }
    }

    /// A fault that puts one thing in place of another.
    pub fn swap(kind: FaultKind, target: &str, with: &str) -> Self {
        Self { with: Some(with.to_owned()), ..Self::on(kind, target) }
    }

    /// The same, for one caller only.
    #[must_use]
    pub const fn only_for(mut self, caller: AccountId) -> Self {
        self.only_for = Some(caller);
        self
    }

    /// Whether it concerns `target` when `caller` asks.
    pub fn concerns(&self, target: &str, caller: Option<AccountId>) -> bool {
        self.target.as_deref().is_none_or(|own| own == target)
            && (self.only_for.is_none() || self.only_for == caller)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.kind.what())?;
        if let Some(target) = &self.target {
            write!(f, " (for {target})")?;
        }
        if let Some(with) = &self.with {
            write!(f, " (with {with})")?;
        }
        Ok(())
    }
}

impl FromStr for Fault {
    type Err = String;

    /// `NAME`, `NAME=TARGET` or `NAME=TARGET,WITH`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, targets) = text.split_once('=').map_or((text, None), |(name, rest)| (name, Some(rest)));
        let kind = FaultKind::ALL.iter().copied().find(|kind| kind.name() == name);
        let kind = kind.ok_or_else(|| format!("there is no fault {name:?}; --help lists them"))?;
        let mut targets = targets.into_iter().flat_map(|targets| targets.splitn(2, ','));
        let mut next = || targets.next().filter(|text| !text.is_empty()).map(str::to_owned);
        Ok(Self { kind, target: next(), with: next(), only_for: None })
    }
}

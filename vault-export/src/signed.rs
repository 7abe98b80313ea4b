//! What an export says of itself, checked: whose it is, with which list of recordings it was made, and which files
//! belong to it. Needs no key and no file, only what stands in some.

use std::str;

use vault_engine::error::ClientError;
use vault_engine::home::own_list::OwnList;
use vault_proto::envelope::{Envelope, Statement, StatementError, Verified};
use vault_proto::ids::{AccountId, Digest, OrganisationId};
use vault_proto::members::FoundMember;
use vault_proto::named_statements::NamedStatements;
use vault_proto::recording::Refusal;
use vault_proto::recording_list::{CheckedList, check_export};
use vault_proto::statements::{Export, RecordingList};

use crate::layout::SUMS;
use crate::sums::{Sums, read_sums};

/// Whose an export claims to be. Nothing of it is checked yet.
pub struct Claim {
    list: Envelope<RecordingList>,
    export: Envelope<Export>,
}

/// What an export says of itself, with the signatures checked.
pub struct Signed {
    /// The list of recordings that it was made with.
    pub list: CheckedList,
    /// When it was made, and of what.
    pub export: Verified<Export>,
    /// The files that belong to it.
    pub sums: Sums,
}

/// How the list of an export stands to the lists that a home has signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListAge {
    /// It is the home's newest.
    Newest,
    /// The home has signed newer ones since.
    Superseded,
    /// The home did not sign it: another device of the account did, or this home before it was restored. Whether there
    /// is a newer one cannot be told.
    Unknown,
}

impl Claim {
    /// Reads [`proof::LIST`](crate::layout::proof::LIST) and [`proof::EXPORT`](crate::layout::proof::EXPORT).
    ///
    /// # Errors
    /// [`ClientError::Open`].
    pub fn parse(list: &[u8], export: &[u8]) -> Result<Self, ClientError> {
        Ok(Self { list: parse(list)?, export: parse(export)? })
    }

    /// The account that it claims to be of.
    pub fn account(&self) -> AccountId {
        self.list.unverified().account
    }

    /// The organisation that it claims the account to be of.
    pub fn organisation(&self) -> OrganisationId {
        self.list.unverified().organisation
    }

    /// The statements by which its account is trusted.
    pub fn named_statements(&self) -> impl Iterator<Item = Digest> {
        self.export.unverified().member.statements()
    }

    /// Checks that a device of `account`, whom `organisation` certifies, signed this list with what it names, and that
    /// it signed these sums. `named` are the statements of [`Self::named_statements`]; the others are
    /// [`proof::LIST_OBJECT`](crate::layout::proof::LIST_OBJECT) and [`SUMS`].
    ///
    /// # Errors
    /// [`ClientError::Open`] for the first check that fails.
    pub fn check(
        &self,
        organisation: OrganisationId,
        account: AccountId,
        named: &NamedStatements,
        list_object: &[u8],
        sums: &[u8],
    ) -> Result<Signed, ClientError> {
        let claimed = &self.export.unverified().member;
        if claimed.account != account {
            return Err(Refusal::MixUp("it is the export of another account".to_owned()).into());
        }
        let member = FoundMember::find(claimed, Some(self.export.key_id()), named)
            .map_err(unreadable)?
            .verify_signatures(organisation)
            .map_err(|error| Refusal::NotEntitled(error.to_string()))?;
        let list = CheckedList::check(&member, &self.list, list_object)?;
        let export = check_export(&member, &list, &self.export, sums)?;
        let sums = str::from_utf8(sums).ok().and_then(read_sums);
        let sums = sums.ok_or_else(|| Refusal::Damaged(format!("{SUMS} is not of the usual form")))?;
        Ok(Signed { list, export, sums })
    }
}

impl Signed {
    /// How its list stands to those of a home, of which `newest` is the newest.
    pub fn age_beside(&self, newest: &OwnList) -> ListAge {
        let number = self.list.statement().number;
        let known =
            usize::try_from(number).ok().and_then(|number| newest.history.get(number.checked_sub(1)?));
        match known {
            Some(known) if *known != self.list.statement().digest() => ListAge::Unknown,
            Some(_) if newest.history.len() as u64 > number => ListAge::Superseded,
            Some(_) => ListAge::Newest,
            None => ListAge::Unknown,
        }
    }
}

fn parse<T: Statement>(bytes: &[u8]) -> Result<Envelope<T>, ClientError> {
    Envelope::parse(bytes).map_err(unreadable)
}

fn unreadable(error: StatementError) -> ClientError {
    match error {
        StatementError::Newer { .. } => Refusal::NewerFormat(error.to_string()).into(),
        other => Refusal::Damaged(other.to_string()).into(),
    }
}

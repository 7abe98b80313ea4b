use crate::ids::AccountId;

use super::{Manifest, ReaderRole, Role};

/// Whom a recording is of, and who sealed it: the one place that says who reads it and who may seal it (FORMAT.md,
/// "Kinds" and "Trust"). Server, readers, sealers and exports ask here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Participants {
    /// The patient.
    pub patient: AccountId,
    /// The clinician.
    pub clinician: AccountId,
    /// The account whose device seals.
    pub sealer: AccountId,
}

impl Participants {
    /// Who reads it, and as what, in the order of a manifest's readers.
    pub const fn readers(&self) -> [(AccountId, ReaderRole); 2] {
        [(self.patient, ReaderRole::Patient), (self.clinician, ReaderRole::Clinician)]
    }

    /// Whether `account` reads it.
    pub fn is_reader(&self, account: AccountId) -> bool {
        self.readers().iter().any(|(reader, _)| *reader == account)
    }

    /// Everybody who takes part in it, each once: its readers, then its sealer unless it is one of them.
    pub fn all(&self) -> Vec<AccountId> {
        let mut all = self.readers().map(|(reader, _)| reader).to_vec();
        if !self.is_reader(self.sealer) {
            all.push(self.sealer);
        }
        all
    }

    /// As [`Self::all`], ascending: the order of a manifest's members.
    pub fn ascending(&self) -> Vec<AccountId> {
        let mut all = self.all();
        all.sort_unstable();
        all
    }

    /// Whether `account` takes part in it.
    pub fn has(&self, account: AccountId) -> bool {
        account == self.sealer || self.is_reader(account)
    }

    /// Whether its sealer may seal it, certified as `role`: as a recorder, or in that role as one of its readers.
    pub fn may_be_sealed_as(&self, role: Role) -> bool {
        role == Role::Recorder
            || self
                .readers()
                .iter()
                .any(|(reader, as_what)| (*reader, as_what.certified()) == (self.sealer, Some(role)))
    }
}

impl Manifest {
    /// Who takes part in the recording.
    pub const fn participants(&self) -> Participants {
        Participants { patient: self.patient, clinician: self.clinician, sealer: self.sealer }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENT: AccountId = AccountId::from_bytes([1; 32]);
    const CLINICIAN: AccountId = AccountId::from_bytes([2; 32]);
    const OTHER: AccountId = AccountId::from_bytes([3; 32]);

    fn sealed_by(sealer: AccountId) -> Participants {
        Participants { patient: PATIENT, clinician: CLINICIAN, sealer }
    }

    #[test]
    fn readers_are_patient_and_clinician_whoever_seals() {
        for sealer in [PATIENT, CLINICIAN, OTHER] {
            let people = sealed_by(sealer);
            assert!(people.is_reader(PATIENT) && people.is_reader(CLINICIAN) && !people.is_reader(OTHER));
            assert!(people.has(PATIENT) && people.has(CLINICIAN));
            assert_eq!(people.has(OTHER), sealer == OTHER);
        }
        assert_eq!(sealed_by(PATIENT).all(), [PATIENT, CLINICIAN]);
        assert_eq!(sealed_by(CLINICIAN).all(), [PATIENT, CLINICIAN]);
        assert_eq!(sealed_by(OTHER).all(), [PATIENT, CLINICIAN, OTHER]);
        let turned = Participants { patient: OTHER, clinician: CLINICIAN, sealer: PATIENT };
        assert_eq!(turned.all(), [OTHER, CLINICIAN, PATIENT]);
        assert_eq!(turned.ascending(), [PATIENT, CLINICIAN, OTHER]);
    }

    #[test]
    fn only_recorders_and_its_own_people_in_their_roles_seal_it() {
        let may = |sealer| {
            Role::ALL.into_iter().filter(|role| sealed_by(sealer).may_be_sealed_as(*role)).collect::<Vec<_>>()
        };
        assert_eq!(may(PATIENT), [Role::Patient, Role::Recorder]);
        assert_eq!(may(CLINICIAN), [Role::Clinician, Role::Recorder]);
        assert_eq!(may(OTHER), [Role::Recorder]);
    }
}

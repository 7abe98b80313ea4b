//! Locking, unlocking, and files that are not what they should be.

use vault_proto::statements::Suite;

use super::*;

static_assertions::assert_not_impl_any!(DeviceSecrets: Clone, std::fmt::Debug, serde::Serialize);
static_assertions::assert_not_impl_any!(RegistrarSecrets: Clone, std::fmt::Debug, serde::Serialize);

fn passphrase() -> SecretString {
    SecretString::from("correct horse")
}

fn device(suite: Suite) -> DeviceSecrets {
    DeviceSecrets {
        account_root: PublicKey::from_bytes([9; 32]),
        device: SigningKey::generate().unwrap(),
        epoch: 3,
        identity: Identity::generate(suite).unwrap(),
    }
}

fn contents(secrets: &DeviceSecrets) -> String {
    let file = secrets.lock(&passphrase(), WorkFactor::LEAST).unwrap();
    String::from_utf8(passphrase_file::unlock(&passphrase(), &file).unwrap().to_vec()).unwrap()
}

#[test]
fn secrets_come_back() {
    for suite in [Suite::X25519, Suite::Pq] {
        let secrets = device(suite);
        let again =
            DeviceSecrets::unlock(&passphrase(), &secrets.lock(&passphrase(), WorkFactor::LEAST).unwrap())
                .unwrap();
        assert_eq!(again.account(), secrets.account());
        assert_eq!(again.device.public(), secrets.device.public());
        assert_eq!(again.epoch, 3);
        assert_eq!(*again.identity.export(), *secrets.identity.export());
    }
    let secrets =
        RegistrarSecrets { root: SigningKey::generate().unwrap(), issuer: SigningKey::generate().unwrap() };
    let file = secrets.lock(&passphrase(), WorkFactor::LEAST).unwrap();
    let again = RegistrarSecrets::unlock(&passphrase(), &file).unwrap();
    assert_eq!(
        (again.root.public(), again.issuer.public()),
        (secrets.root.public(), secrets.issuer.public())
    );
    assert!(matches!(DeviceSecrets::unlock(&passphrase(), &file), Err(IdentityFileError::Contents(1))));
}

#[test]
fn a_wrong_passphrase_and_a_cut_or_edited_file_give_nothing() {
    let file = device(Suite::X25519).lock(&passphrase(), WorkFactor::LEAST).unwrap();
    let wrong = DeviceSecrets::unlock(&SecretString::from("correct horsf"), &file);
    assert!(matches!(wrong, Err(IdentityFileError::Unlock(UnlockError::WrongPassphrase))));
    for length in [0, 1, 30, file.len() / 2, file.len() - 1] {
        let cut = DeviceSecrets::unlock(&passphrase(), &file[..length]);
        assert!(matches!(cut, Err(IdentityFileError::Unlock(_))), "{length}");
    }
    for at in [0, 25, 60, 100, file.len() / 2, file.len() - 1] {
        let mut edited = file.clone();
        edited[at] ^= 1;
        assert!(DeviceSecrets::unlock(&passphrase(), &edited).is_err(), "{at}");
    }
}

#[test]
fn what_is_inside_has_one_form() {
    let text = contents(&device(Suite::X25519));
    let lines: Vec<&str> = text.lines().collect();
    for (change, line) in [
        (format!("{text}\n"), 7),
        (format!("{text}# more\n"), 6),
        (text.trim_end().to_owned(), 6),
        (text.replace("identity v1", "identity v2"), 1),
        (text.replace("# epoch: 3", "# epoch: 03"), 4),
        (text.replace("# epoch: 3", "# epoch: +3"), 4),
        (text.replace("# epoch: 3", "# epoch: 0"), 4),
        (text.replace("# epoch: 3", "# epoch: 4294967296"), 4),
        (text.replace('\n', "\r\n"), 1),
        ([lines[0], lines[2], lines[1], lines[3], lines[4], ""].join("\n"), 2),
        ([lines[0], lines[1], lines[2], lines[4], ""].join("\n"), 4),
        (text.replace("AGE-SECRET", "age-secret"), 5),
        (String::new(), 1),
    ] {
        let file = passphrase_file::lock(&passphrase(), change.as_bytes(), WorkFactor::LEAST).unwrap();
        match DeviceSecrets::unlock(&passphrase(), &file).err() {
            Some(IdentityFileError::Contents(found)) => assert_eq!(found, line, "{line}"),
            other => panic!("line {line}: {other:?}"),
        }
    }
    let file = passphrase_file::lock(&passphrase(), b"\xff\xfe", WorkFactor::LEAST).unwrap();
    let refused = DeviceSecrets::unlock(&passphrase(), &file).err();
    assert!(matches!(refused, Some(IdentityFileError::Contents(1))));
}

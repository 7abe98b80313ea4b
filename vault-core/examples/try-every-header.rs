//! Tries an identity on every age header below a folder: what somebody can open who was handed a server's whole store.
//!
//! `try-every-header IDENTITY-FILE FOLDER`, passphrase in `VAULT_PASSPHRASE`. Prints one line a header; exit code 0 if
//! any of them gave its file key to the identity, 1 if none did, 2 if something could not be read.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example that is run by hand")]

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use secrecy::SecretString;
use vault_core::identity::{Identity, unwrap_header};
use vault_core::identity_file::DeviceSecrets;
use vault_proto::age_header::Header;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("try-every-header: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(file), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: try-every-header IDENTITY-FILE FOLDER".into());
    };
    let passphrase = SecretString::from(std::env::var("VAULT_PASSPHRASE")?);
    let secrets = DeviceSecrets::unlock(&passphrase, &fs::read(file)?)?;
    let (mut tried, mut opened) = (0, 0);
    try_folder(Path::new(&folder), &secrets.identity, &mut tried, &mut opened)?;
    println!("{opened} of {tried} headers open");
    if tried == 0 { Err("there is no header in that folder".into()) } else { Ok(opened > 0) }
}

fn try_folder(folder: &Path, identity: &Identity, tried: &mut u32, opened: &mut u32) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            try_folder(&path, identity, tried, opened)?;
        } else if let Ok((header, _)) = Header::parse(&fs::read(&path)?) {
            let opens = unwrap_header(&[identity], &header).is_ok_and(|key| key.verify(&header).is_ok());
            println!("{}: {}", path.display(), if opens { "opens" } else { "does not open" });
            *tried += 1;
            *opened += u32::from(opens);
        }
    }
    Ok(())
}

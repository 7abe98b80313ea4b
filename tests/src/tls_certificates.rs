//! Authorities of TLS and certificates for servers on the loopback address, made by openssl.

use std::path::Path;
use std::process::Command;

/// Whether there is an openssl to make them with; says so if not.
#[expect(clippy::print_stderr, reason = "who reads the tests' output is told what was left out")]
pub fn can_be_made() -> bool {
    let is_there = openssl().arg("version").output().is_ok_and(|output| output.status.success());
    if !is_there {
        eprintln!("skipped: there is no openssl to make certificates with");
    }
    is_there
}

fn openssl() -> Command {
    Command::new(std::env::var_os("OPENSSL_BIN").unwrap_or_else(|| "openssl".into()))
}

fn make(folder: &Path, arguments: &str) {
    let output =
        openssl().args(arguments.split_whitespace()).current_dir(folder).output().expect("openssl runs");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes an authority: `NAME.pem` and `NAME.key` in a folder.
pub fn make_authority(folder: &Path, name: &str) {
    make(
        folder,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.pem -days 30
             -subj /CN={name} -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign"
        ),
    );
}

/// Makes a certificate for 127.0.0.1 that an authority vouches for: `server.pem` and `server.key` in its folder.
pub fn make_server_certificate(folder: &Path, authority: &str) {
    let extensions = "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n";
    std::fs::write(folder.join("extensions"), extensions).expect("a file is written");
    make(
        folder,
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=server",
    );
    make(
        folder,
        &format!(
            "x509 -req -in server.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial -days 30
             -extfile extensions -out server.pem"
        ),
    );
}

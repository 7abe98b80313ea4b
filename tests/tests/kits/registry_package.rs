//! Files of a package that this workspace is built with, as cargo unpacked it from the registry.

#![expect(clippy::panic, reason = "a test's helpers fail by panicking, as its test functions do")]

use std::path::{Path, PathBuf};

/// The text of a file of `package`, in the version that `Cargo.lock` names.
pub(crate) fn read(package: &str, file: &str) -> String {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    let lock = std::fs::read_to_string(&lock).unwrap_or_else(|error| panic!("{}: {error}", lock.display()));
    let versions: Vec<&str> = lock
        .split("[[package]]")
        .filter_map(|entry| entry.split_once(&format!("name = \"{package}\"\nversion = \"")))
        .filter_map(|(_, rest)| rest.split('"').next())
        .collect();
    let [version] = versions[..] else { panic!("versions of {package} in Cargo.lock: {versions:?}") };
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let sources = home.unwrap_or_else(|| panic!("neither CARGO_HOME nor HOME is set")).join("registry/src");
    let registries = std::fs::read_dir(&sources)
        .unwrap_or_else(|error| panic!("{}: {error}; cargo's registry is expected there", sources.display()));
    let candidates: Vec<PathBuf> = registries
        .map(|registry| registry.unwrap_or_else(|error| panic!("{}: {error}", sources.display())).path())
        .map(|registry| registry.join(format!("{package}-{version}")).join(file))
        .collect();
    candidates
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .unwrap_or_else(|| panic!("{file} of {package} {version} is at none of {candidates:?}"))
}

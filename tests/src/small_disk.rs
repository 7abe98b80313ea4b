//! A small file system, which a test can fill.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::World;

/// A file system of a few MiB. Needs root; gone when dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of this size, as `mount` understands it; `None` if that is not allowed here, which is said.
    pub fn mount(at: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&at).expect("the folder is made");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&at);
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(at));
        }
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must be able to mount a small disk");
        say("SKIPPED: only root can mount a small disk");
        None
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Moves the data folder of a world's server to it.
    pub fn take_data(&self, world: &mut World) {
        world.tamper(|world| {
            let copied = Command::new("cp").arg("-a").arg(world.data()).arg(&self.0).status();
            assert!(copied.expect("cp runs").success());
            std::fs::rename(world.data(), world.folder().join("data.before")).expect("the folder is moved");
            std::os::unix::fs::symlink(self.0.join("data"), world.data()).expect("the link is made");
        });
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Takes all that is left, to the last byte.
    pub fn fill(&self) {
        let mut ballast =
            OpenOptions::new().create(true).append(true).open(self.ballast()).expect("the ballast opens");
        while ballast.write_all(&[1; 4096]).is_ok() {}
    }

    /// Gives back what [`Self::fill`] took.
    pub fn make_room(&self) {
        std::fs::remove_file(self.ballast()).expect("the ballast is there");
    }
}

/// Tells whoever runs the test.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so where it prints")]
fn say(line: &str) {
    println!("{line}");
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

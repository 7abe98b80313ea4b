//! A real nginx in front of a server.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// An address for an nginx that does not run yet. It listens already, and whoever connects waits.
pub struct Front(TcpListener);

/// A running nginx; stopped when dropped.
pub struct Nginx(Child);

impl Front {
    /// A free port.
    pub fn reserve() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a free port"))
    }

    /// The same address, for an nginx that follows on the first.
    pub fn again(&self) -> Self {
        Self(self.0.try_clone().expect("a socket can be cloned"))
    }

    /// Host and port: what its configuration is to listen on.
    pub fn authority(&self) -> String {
        self.0.local_addr().expect("an address").to_string()
    }

    /// Starts nginx with `servers` in its block `http`, which listen on [`Self::authority`] and nowhere else; what
    /// nginx writes goes into a folder of its own.
    pub fn start(self, folder: &Path, servers: &str) -> Nginx {
        let folder = folder.join(format!("nginx-{}", self.0.local_addr().expect("an address").port()));
        std::fs::create_dir_all(&folder).expect("a folder is made");
        let path = folder.display();
        // Its workers are its own user, who may write here.
        let owner = Command::new("id").arg("-un").output().expect("id runs").stdout;
        let owner = String::from_utf8_lossy(&owner).trim().to_owned();
        let own = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {path}/{name};\n"))
            .concat();
        let text = format!(
            "user {owner};\ndaemon off;\npid {path}/pid;\nerror_log {path}/log;\nevents {{}}\nhttp {{\naccess_log off;\n{own}{servers}\n}}\n"
        );
        let configuration = folder.join("nginx.conf");
        std::fs::write(&configuration, text).expect("a file is written");
        let program = std::env::var_os("NGINX_BIN").unwrap_or_else(|| "nginx".into());
        let child = Command::new(program)
            .arg("-p")
            .arg(&folder)
            .arg("-c")
            .arg(&configuration)
            // As from an nginx before it: the socket that it is to listen on, which nobody else can get meanwhile.
            .env("NGINX", "0;")
            .stdin(Stdio::from(OwnedFd::from(self.0)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        Nginx(child)
    }
}

/// Whether there is an nginx; says so if not.
#[expect(clippy::print_stderr, reason = "who reads the tests' output is told what was left out")]
pub fn is_there() -> bool {
    let program = std::env::var_os("NGINX_BIN").unwrap_or_else(|| "nginx".into());
    let is_there = Command::new(program).arg("-v").stderr(Stdio::null()).status().is_ok();
    if !is_there {
        eprintln!("skipped: there is no nginx");
    }
    is_there
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Asked, and not killed: its workers go with it then.
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

//! Names under which clients reach a server, as they stand in what requests are signed for (PROTOCOL.md, section 2).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Longest host name, by DNS.
const LONGEST_HOST: usize = 253;
/// Longest part of one between two dots.
const LONGEST_LABEL: usize = 63;

/// `HOST` or `HOST:PORT`, as clients write it: in lower case, and without the port that is the default of a scheme. The
/// server may stand behind a proxy that ends TLS, so the default of either scheme is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority(String);

/// What is no [`Authority`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}; type what clients have after https://, such as {instead}")]
pub struct AuthorityError {
    why: &'static str,
    instead: String,
}

impl Authority {
    /// The names of a server that was given none: the address that it listens on, and what a loopback address is
    /// called. `None` if it listens on every address of its machine, which is no name that anybody types.
    pub fn of_listener(address: SocketAddr) -> Option<Vec<Self>> {
        let host = address.ip().to_canonical();
        if host.is_unspecified() {
            return None;
        }
        let port = address.port();
        let mut names = vec![Self(without_default_port(&format!("{}:{port}", bracketed(address.ip()))))];
        if host.is_loopback() {
            names.push(Self(without_default_port(&format!("localhost:{port}"))));
        }
        Some(names)
    }

    /// The name, as it is signed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Authority {
    type Err = AuthorityError;

    /// Reads a name as somebody types it, in any case, with or without a default port.
    ///
    /// # Errors
    /// [`AuthorityError`] for everything else that an address can have: a scheme, a user, a path.
    fn from_str(text: &str) -> Result<Self, AuthorityError> {
        parse(text).map(Self).map_err(|why| {
            let instead = parse(&meant(text)).unwrap_or_else(|_| "vault.example".to_owned());
            AuthorityError { why, instead }
        })
    }
}

/// In lower case and without a default port, whatever it is.
pub(crate) fn normalised(authority: &str) -> String {
    without_default_port(&authority.to_ascii_lowercase())
}

fn without_default_port(authority: &str) -> String {
    let bare = authority.strip_suffix(":443").or_else(|| authority.strip_suffix(":80"));
    bare.unwrap_or(authority).to_owned()
}

/// What of an address is its name.
fn meant(text: &str) -> String {
    let text = text.trim();
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text = text.split(['/', '?', '#']).next().unwrap_or_default();
    let text = text.rsplit('@').next().unwrap_or_default();
    let (host, port) = text.split_at(text.rfind(':').unwrap_or(text.len()));
    format!("{}{port}", host.strip_suffix('.').unwrap_or(host))
}

fn parse(text: &str) -> Result<String, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.contains("://") {
        return Err("a scheme is no part of it");
    }
    if text.contains(['/', '?', '#', '\\']) {
        return Err("a path is no part of it");
    }
    if text.contains('@') {
        return Err("a user is no part of it");
    }
    if !text.is_ascii() {
        return Err("it has letters beyond ASCII, which clients send in their ASCII form (xn--…)");
    }
    if text.bytes().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control()) {
        return Err("it has a blank in it");
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err("an IPv6 address stands in brackets");
    }
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            (IpAddr::V6(address.parse().map_err(|_| "it is no IPv6 address")?).into(), port)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let (host, port) = text.split_at(end);
            (Host::parse(host)?, port)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(digits) => Some(port_number(digits).ok_or("the port is no number from 1 to 65535")?),
        None if port.is_empty() => None,
        None => return Err("something follows on its bracket"),
    };
    let host = match host {
        Host::Address(address) if address.to_canonical().is_unspecified() => {
            return Err("it is every address of a machine, and no name of one");
        }
        Host::Address(address) => bracketed(address),
        Host::Name(name) => name,
    };
    Ok(port.map_or_else(|| host.clone(), |port| without_default_port(&format!("{host}:{port}"))))
}

enum Host {
    Address(IpAddr),
    Name(String),
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self::Address(address)
    }
}

impl Host {
    fn parse(host: &str) -> Result<Self, &'static str> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_label = |label: &str| (1..=LONGEST_LABEL).contains(&label.len()) && label.bytes().all(allowed);
        if host.len() > 1 && host.ends_with('.') {
            return Err("a dot at the end of a name is no part of it");
        }
        if host.len() > LONGEST_HOST || !host.split('.').all(is_label) {
            return Err("it is no host name");
        }
        // Clients read a name that ends in a number as an IPv4 address, however it is spelt, and write it in full.
        match host.rsplit('.').next() {
            Some(last) if last.bytes().all(|byte| byte.is_ascii_digit()) => {
                let address: Ipv4Addr = host.parse().map_err(|_| "it is no IPv4 address")?;
                Ok(IpAddr::V4(address).into())
            }
            _ => Ok(Self::Name(host.to_ascii_lowercase())),
        }
    }
}

fn port_number(digits: &str) -> Option<u16> {
    let port: u16 = digits.parse().ok()?;
    (port > 0 && port.to_string() == digits).then_some(port)
}

/// An address as it stands in an authority, which has one spelling: that of URLs, where an IPv4 address inside an IPv6
/// one is two groups like any other.
fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(_) => {
                let [.., high, low] = address.segments();
                format!("[::ffff:{high:x}:{low:x}]")
            }
            None => format!("[{address}]"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        text.parse::<Authority>().unwrap().to_string()
    }

    #[test]
    fn names_are_taken_as_clients_write_them() {
        for (text, name) in [
            ("vault.example", "vault.example"),
            ("VAULT.Example", "vault.example"),
            ("vault.example:443", "vault.example"),
            ("vault.example:80", "vault.example"),
            ("vault.example:8440", "vault.example:8440"),
            ("localhost:8440", "localhost:8440"),
            ("host_1", "host_1"),
            ("xn--rztin-gra.example", "xn--rztin-gra.example"),
            ("192.168.0.7:8440", "192.168.0.7:8440"),
            ("[::1]:8440", "[::1]:8440"),
            ("[::1]:443", "[::1]"),
            ("[2001:DB8:0:0::1]", "[2001:db8::1]"),
            ("[::ffff:1.2.3.4]:8440", "[::ffff:102:304]:8440"),
        ] {
            assert_eq!(parsed(text), name, "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_what_to_type() {
        for (text, why, instead) in [
            ("https://vault.example", "a scheme", "vault.example"),
            ("https://Vault.Example:8440/v1?a#b", "a scheme", "vault.example:8440"),
            ("https://user:word@vault.example/", "a scheme", "vault.example"),
            ("vault.example/", "a path", "vault.example"),
            ("vault.example/v1", "a path", "vault.example"),
            ("user@vault.example", "a user", "vault.example"),
            (" vault.example", "a blank", "vault.example"),
            ("vault example", "a blank", "vault.example"),
            ("vault\u{7}example", "a blank", "vault.example"),
            ("", "empty", "vault.example"),
            ("ärztin.example", "ASCII", "vault.example"),
            ("::1", "brackets", "vault.example"),
            ("[::1", "host name", "vault.example"),
            ("[::1]8440", "bracket", "vault.example"),
            ("[1.2.3.4]", "IPv6", "vault.example"),
            ("fe80::1:8440", "brackets", "vault.example"),
            ("vault.example:", "port", "vault.example"),
            ("vault.example:0", "port", "vault.example"),
            ("vault.example:0443", "port", "vault.example"),
            ("vault.example:65536", "port", "vault.example"),
            ("vault.example:https", "port", "vault.example"),
            (":8440", "host name", "vault.example"),
            ("8440", "IPv4", "vault.example"),
            ("127.1", "IPv4", "vault.example"),
            ("vault..example", "host name", "vault.example"),
            ("x.example.", "a dot", "x.example"),
            ("x.example.:8440", "a dot", "x.example:8440"),
            ("https://x.example./", "a scheme", "x.example"),
            ("x.example..", "a dot", "vault.example"),
            (".", "host name", "vault.example"),
            ("*.example", "host name", "vault.example"),
            ("0.0.0.0:8440", "every address", "vault.example"),
            ("[::]:8440", "every address", "vault.example"),
        ] {
            let error = text.parse::<Authority>().unwrap_err();
            assert!(error.why.contains(why), "{text:?}: {error}");
            assert_eq!(error.instead, instead, "{text:?}");
        }
    }

    #[test]
    fn a_listener_has_the_names_of_its_address_unless_it_is_every_address() {
        let names = |address: &str| {
            let names = Authority::of_listener(address.parse().unwrap());
            names.map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(names("127.0.0.1:8440").unwrap(), ["127.0.0.1:8440", "localhost:8440"]);
        assert_eq!(names("127.0.0.1:80").unwrap(), ["127.0.0.1", "localhost"]);
        assert_eq!(names("[::1]:8440").unwrap(), ["[::1]:8440", "localhost:8440"]);
        assert_eq!(names("192.168.0.7:8440").unwrap(), ["192.168.0.7:8440"]);
        assert_eq!(names("[fe80::1%2]:8440").unwrap(), ["[fe80::1]:8440"]);
        for every in ["0.0.0.0:8440", "[::]:8440", "[::ffff:0.0.0.0]:8440"] {
            assert_eq!(names(every), None, "{every}");
        }
    }
}

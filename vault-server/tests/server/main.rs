//! The server through its own front door: raw HTTP against [`vault_server::serve`] on a free port.

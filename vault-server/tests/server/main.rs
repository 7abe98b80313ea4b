//! The server through its own front door: raw HTTP against [`vault_server::serve`] on a free port. Statements are built
//! here with a bare Ed25519 library: nothing of what clients use to seal takes part.

#[cfg(test)]
mod blob_conformance;
#[cfg(test)]
mod clock_jumps;
#[cfg(test)]
mod comparisons;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod data_folder;
#[cfg(test)]
mod documentation;
#[cfg(test)]
mod ended_certificates;
#[cfg(test)]
mod enrolment;
#[cfg(test)]
mod exhaustion;
#[cfg(test)]
mod filling;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod garbage;
#[cfg(test)]
mod happy_path;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod leftovers;
#[cfg(test)]
mod newest_manifest;
#[cfg(test)]
mod operation;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod request_signatures;
#[cfg(test)]
mod room;
#[cfg(test)]
mod seal_only_devices;
#[cfg(test)]
mod shut_out;
#[cfg(test)]
mod statements;
#[cfg(test)]
mod store_conformance;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod support;
#[cfg(test)]
mod two_writers;

//! What people do, through the real programs from end to end, and what each gets that goes wrong.

mod behind_nginx;
mod compare;
mod completions;
mod damaged_media;
mod ended_certificates;
mod export;
mod first_steps;
mod full_disk;
mod homes;
mod interruption;
mod live_recording;
mod main_job;
mod memory;
mod play;
mod random_access;
mod refusals;
mod server_names;
mod terminals;
mod trust_in_keys;
mod umasks;

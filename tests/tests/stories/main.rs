//! What people do, through the real programs from end to end, and what each gets that goes wrong.

mod compare;
mod damaged_media;
mod export;
mod interruption;
mod live_recording;
mod main_job;
mod memory;
mod play;
mod random_access;
mod refusals;
mod trust_in_keys;

//! What people do, through the real programs from end to end, and what each gets that goes wrong.

mod away_at_the_beginning;
mod behind_nginx_slow;
mod compare;
mod completions;
mod damaged_media;
mod empty_recordings;
mod ended_certificates_slow;
mod export;
mod first_steps;
mod full_disk_slow;
mod homes;
mod interruption_slow;
mod live_recording;
mod main_job;
mod memory;
mod play;
mod random_access;
mod refusals;
mod server_names;
mod terminals;
mod trust_in_keys;
mod umasks_slow;

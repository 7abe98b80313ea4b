//! What takes minutes: large, long and many recordings, and an export in the hands of outside programs.

mod export_500_slow;
mod export_outside_slow;
mod five_minutes_slow;
mod large_slow;
mod media_formats_slow;
mod two_hours_slow;

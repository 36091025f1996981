//! To be written.
/// x
pub struct SqliteJournal;
/// x
pub struct SqliteSettings;

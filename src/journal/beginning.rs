//! A journal that begins with nothing.

/// Says that there was no journal: on a machine whose disk was not mounted, or with a misspelt `journal.url`, nothing else would.
pub(super) fn tell(journal: &str) {
    tracing::info!(
        journal,
        "began a new journal, which knows of no call: if there was one before, see whether journal.url and its disk are the same"
    );
}

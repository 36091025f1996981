//! The other tasks on a leg, as their facts tell.

use super::calls::CallQuery;
use super::error::JournalError;
use super::parts::Reading;
use crate::call::sid::{CallSid, TaskSid};
use crate::call::{Call, Neighbour};

/// Tasks that may have named the same leg. More than a few are a mistake in somebody's flow.
const MOST: usize = 16;

/// What tasks other than `own` have on this leg.
///
/// # Errors
/// When it cannot be read.
pub async fn neighbours<J>(journal: &J, leg: &CallSid, own: &TaskSid) -> Result<Vec<Neighbour>, JournalError>
where
    J: Reading + ?Sized,
{
    let query = CallQuery { find: Some(leg.to_string()), limit: MOST, ..CallQuery::default() };
    let mut found = Vec::new();
    for row in journal.calls(query).await?.into_iter().filter(|row| row.call != *own) {
        let facts = match journal.facts(&row.call, 0).await {
            Ok(facts) => facts,
            // It is quarantined itself, and what it may have on the leg is what can be read of it.
            Err(JournalError::Unreadable { readable, .. }) => readable,
            Err(error) => return Err(error),
        };
        found.extend(Call::fold(facts.iter().map(|(_, fact)| fact)).neighbour(leg));
    }
    Ok(found)
}

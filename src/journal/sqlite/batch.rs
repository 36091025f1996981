//! Facts that share a commit: written into the open transaction, then taken into memory once that is durable.

use super::live::{CallId, Live};
use super::packing::{self, Unpacked};
use super::projection::{self, Projected};
use super::queue::{Answer, WriteFact};
use super::schedule::Schedule;
use crate::call::fact::{EpochMs, Fact};
use crate::call::sid::{CallSid, TaskSid};
use crate::journal::answers::{Waiting, answer_all};
use crate::journal::calls::wakes;
use crate::journal::foresight::{Consulted, Taken};
use crate::journal::{Claim, Foreseen, Ingested, JournalError, NewFact, Seq};
use rusqlite::{CachedStatement, Connection, params};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A fact that was committed.
pub(super) struct Committed {
    pub(super) call: CallId,
    pub(super) seq: Seq,
    pub(super) fact: Arc<Fact>,
    /// Its place in the file.
    pub(super) place: i64,
    /// What came from outside: it reopens its call and, if it `wakes`, makes it due.
    pub(super) is_event: bool,
    pub(super) wakes: bool,
}

/// What was written into the transaction so far.
pub(super) struct Batch<'a> {
    live: &'a Live,
    /// Not after `now`, which leases are counted from.
    began: Instant,
    now: EpochMs,
    facts: Vec<Committed>,
    /// Calls that memory does not know, by their tasks.
    found: HashMap<TaskSid, Found>,
    /// The last number of each call of which something was written.
    seqs: BTreeMap<CallId, Seq>,
    next_id: CallId,
    /// Of the next fact. Given by us, because SQLite would give those of deleted facts again.
    place: i64,
    /// Calls whose claims hold once this is durable.
    taken: Vec<TakenCall>,
    completions: Completions,
}

/// A call that was taken before its events are durable.
struct TakenCall {
    id: CallId,
    /// Its schedule, if nothing of it is committed.
    before: Schedule,
    has_first: bool,
    taken: Taken,
}

/// A call that memory does not know.
enum Found {
    /// Nor does the file.
    New(CallId),
    /// It was over.
    Over(Box<Projected>),
}

impl Found {
    fn id(&self) -> CallId {
        match self {
            Found::New(id) => *id,
            Found::Over(call) => call.id,
        }
    }

    fn last_seq(&self) -> Seq {
        match self {
            Found::New(_) => 0,
            Found::Over(call) => call.last_seq,
        }
    }
}

/// Who waits, and what is answered once the transaction is durable.
#[derive(Default)]
struct Completions {
    ingested: Vec<(Waiting, Ingested)>,
    appended: Vec<(Answer<Seq>, Result<Seq, JournalError>)>,
}

impl Completions {
    fn answer(self, committed: &Result<(), JournalError>) {
        for (answer, appended) in self.appended {
            // Whoever no longer waits needs no answer.
            drop(answer.send(committed.clone().and(appended)));
        }
        let answer = |ingested| committed.clone().map(|()| ingested);
        answer_all(self.ingested.into_iter().map(|(waiting, ingested)| (waiting, answer(ingested))));
    }
}

impl<'a> Batch<'a> {
    /// For so many facts.
    pub(super) fn new(live: &'a Live, began: Instant, now: EpochMs, expected: usize) -> Self {
        let (next_id, place) = {
            let calls = live.lock();
            (calls.next_id, calls.last_place + 1)
        };
        let (facts, taken, completions) = (Vec::with_capacity(expected), Vec::new(), Completions::default());
        Self {
            live,
            began,
            now,
            facts,
            found: HashMap::with_capacity(expected),
            seqs: BTreeMap::new(),
            next_id,
            place,
            taken,
            completions,
        }
    }

    /// Writes a fact.
    ///
    /// # Errors
    /// What SQLite said. Whoever waits is answered with the others.
    pub(super) fn write(&mut self, file: &mut Statements<'_>, fact: WriteFact) -> rusqlite::Result<()> {
        match fact {
            WriteFact::Ingest(new, waiting) => {
                let written = self.ingest(file, new);
                let ingested = written.as_ref().copied().unwrap_or(Ingested::Duplicate);
                self.completions.ingested.push((waiting, ingested));
                written.map(drop)
            }
            WriteFact::Append(claim, fact, answer) => match self.append(file, &claim, fact) {
                Ok(appended) => {
                    self.completions.appended.push((answer, appended));
                    Ok(())
                }
                Err(error) => {
                    self.completions.appended.push((answer, Ok(0)));
                    Err(error)
                }
            },
        }
    }

    /// A fact that is not written any more, because one before it could not be.
    pub(super) fn skip(&mut self, fact: WriteFact) {
        match fact {
            WriteFact::Ingest(_, waiting) => self.completions.ingested.push((waiting, Ingested::Duplicate)),
            WriteFact::Append(_, _, answer) => self.completions.appended.push((answer, Ok(0))),
        }
    }

    fn ingest(&mut self, file: &mut Statements<'_>, new: NewFact) -> rusqlite::Result<Ingested> {
        let NewFact { call: task, identity, fact } = new;
        let known = self.live.lock().of_task(&task).map(|(id, call)| (id, call.last_seq));
        let (id, last_seq) = match known {
            Some(known) => known,
            None => {
                let found = self.find(file, &task)?;
                let (id, last_seq) = (found.id(), found.last_seq());
                if let Found::Over(_) = found {
                    match packing::unpack(file.connection, id, &identity, self.place)? {
                        Unpacked::Duplicate => return Ok(Ingested::Duplicate),
                        Unpacked::Rows(made) => self.place += made,
                    }
                }
                (id, last_seq)
            }
        };
        let seq = self.seqs.get(&id).copied().unwrap_or(last_seq) + 1;
        let first = (seq == 1).then_some(&task);
        if !file.insert(self.place, id, seq, first, Some(&identity), &fact)? {
            return Ok(Ingested::Duplicate);
        }
        let wakes = wakes(&fact.kind, seq);
        self.wrote(Committed { call: id, seq, fact, place: self.place, is_event: true, wakes });
        Ok(Ingested::New)
    }

    fn append(
        &mut self,
        file: &mut Statements<'_>,
        claim: &Claim,
        fact: Arc<Fact>,
    ) -> rusqlite::Result<Result<Seq, JournalError>> {
        let id = match self.live.lock().appending(claim) {
            Ok(id) => id,
            Err(lost) => return Ok(Err(lost)),
        };
        let seq = self.last_seq(id) + 1;
        match file.insert(self.place, id, seq, None, None, &fact) {
            Ok(_) => {
                self.wrote(Committed { call: id, seq, fact, place: self.place, is_event: false, wakes: false });
                Ok(Ok(seq))
            }
            Err(error) => {
                self.live.lock().not_appended(id);
                Err(error)
            }
        }
    }

    /// Lets the worker take the calls that these events make due, and writes what it does first about each.
    ///
    /// # Errors
    /// What SQLite said.
    pub(super) fn foresee(
        &mut self,
        file: &mut Statements<'_>,
        consulted: &Consulted,
        lease: Duration,
    ) -> rusqlite::Result<()> {
        let Some(foresight) = consulted.foresight() else { return Ok(()) };
        let mut news: BTreeMap<CallId, Vec<(Seq, Fact)>> = BTreeMap::new();
        for fact in self.facts.iter().filter(|fact| fact.wakes) {
            news.entry(fact.call).or_default();
        }
        for fact in &self.facts {
            news.entry(fact.call).and_modify(|news| news.push((fact.seq, Fact::clone(&fact.fact))));
        }
        for (id, news) in news {
            let Some((claim, before)) = self.live.lock().foresee(id, news.len(), lease, self.now) else { continue };
            let is_alone = |leg: &CallSid| is_alone(file.connection, self.live, id, leg);
            let Some(Foreseen { first }) = foresight.foresee(&claim, self.began, news, &is_alone) else {
                self.live.lock().foreseen(id, Some(before));
                continue;
            };
            let seq = self.last_seq(id) + 1;
            let taken = Taken::new(claim, foresight.clone());
            self.taken.push(TakenCall { id, before, has_first: first.is_some(), taken });
            if let Some(fact) = first.map(Arc::new) {
                file.insert(self.place, id, seq, None, None, &fact)?;
                self.wrote(Committed { call: id, seq, fact, place: self.place, is_event: false, wakes: false });
            }
        }
        Ok(())
    }

    fn wrote(&mut self, fact: Committed) {
        self.seqs.insert(fact.call, fact.seq);
        self.place += 1;
        self.facts.push(fact);
    }

    /// Looks for a call that memory does not know, and gives it a number when the file does not know it either.
    fn find(&mut self, file: &mut Statements<'_>, task: &TaskSid) -> rusqlite::Result<&Found> {
        Ok(match self.found.entry(task.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(match projection::found(file.connection, &mut file.find, task)? {
                Some(call) => Found::Over(Box::new(call)),
                None => {
                    self.next_id += 1;
                    Found::New(self.next_id - 1)
                }
            }),
        })
    }

    /// Of a call that memory knows, or of which something was written.
    fn last_seq(&self, id: CallId) -> Seq {
        let written = self.seqs.get(&id).copied();
        written.unwrap_or_else(|| self.live.lock().get(id).map_or(0, |call| call.last_seq))
    }

    /// Takes what is durable into memory and answers whoever waits. Says whether a call became due.
    pub(super) fn committed(self) -> bool {
        let mut calls = self.live.lock();
        // What was found for a duplicate stays where it is.
        for (task, found) in self.found.into_iter().filter(|(_, found)| self.seqs.contains_key(&found.id())) {
            match found {
                Found::New(id) => calls.begin(id, task, self.now),
                Found::Over(call) => calls.load(*call, self.now),
            }
        }
        let mut becomes_due = false;
        for fact in self.facts {
            becomes_due |= calls.committed(fact, self.now);
        }
        for taken in self.taken.iter().filter(|taken| !taken.has_first) {
            calls.foreseen(taken.id, None);
        }
        drop(calls);
        self.taken.into_iter().for_each(|call| call.taken.durable());
        self.completions.answer(&Ok(()));
        becomes_due
    }

    /// Nothing of it is in the file: forgets it and says so to whoever waits.
    pub(super) fn failed(self, error: &JournalError) {
        let mut calls = self.live.lock();
        let is_taken = |id: CallId| self.taken.iter().any(|taken| taken.id == id);
        for fact in self.facts.iter().filter(|fact| !fact.is_event && !is_taken(fact.call)) {
            calls.not_appended(fact.call);
        }
        for taken in &self.taken {
            calls.foreseen(taken.id, Some(taken.before));
        }
        drop(calls);
        drop(self.taken);
        self.completions.answer(&Err(error.clone()));
    }
}

/// Whether no other call is known on a leg. That the file knows none is remembered.
fn is_alone(connection: &Connection, live: &Live, id: CallId, leg: &CallSid) -> bool {
    {
        let calls = live.lock();
        if calls.alone_on(id).as_ref() == Some(leg) {
            return true;
        }
        if !calls.is_alone(id, leg) {
            return false;
        }
    }
    let is_alone = projection::is_alone(connection, id, leg).unwrap_or(false);
    if is_alone {
        live.lock().found_alone(id, leg);
    }
    is_alone
}

/// What a batch asks of the file, prepared once for all its facts.
pub(super) struct Statements<'c> {
    connection: &'c Connection,
    insert: CachedStatement<'c>,
    find: CachedStatement<'c>,
    /// The text of the fact that is inserted.
    body: Vec<u8>,
}

impl<'c> Statements<'c> {
    /// # Errors
    /// What SQLite said.
    pub(super) fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        let insert = connection.prepare_cached(
            "INSERT INTO fact (id, call, seq, task, identity, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (call, identity) DO NOTHING",
        )?;
        Ok(Self { connection, insert, find: projection::finding(connection)?, body: Vec::new() })
    }

    /// Returns whether it is new: only an identity can be there already.
    fn insert(
        &mut self,
        place: i64,
        call: CallId,
        seq: Seq,
        task: Option<&TaskSid>,
        identity: Option<&str>,
        fact: &Fact,
    ) -> rusqlite::Result<bool> {
        self.body.clear();
        serde_json::to_writer(&mut self.body, fact)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let body = str::from_utf8(&self.body)?;
        let inserted = self.insert.execute(params![place, call, seq, task.map(TaskSid::as_str), identity, body])?;
        Ok(inserted == 1)
    }
}

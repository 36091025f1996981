//! The task that commits events, as many as have gathered at once.

use super::error::{Unexpected, objects_to_a_value};
use super::foreseen::{self, Ahead, Taker};
use super::handed::Handed;
use super::ops::{body, millis};
use super::session::{BY_INDEX, Sessions, Work};
use super::sql::{Statement, Value, now_ms};
use super::wake;
use crate::call::fact::EpochMs;
use crate::journal::answers::{Waiting, answer_all};
use crate::journal::calls::{customer, wakes};
use crate::journal::foresight::Consulted;
use crate::journal::{Ingested, JournalError, NewFact, Seq};
use crate::telemetry::metrics::Commits;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};
use tokio_postgres::Row;

/// How far the mark of the newest event may lag behind: one row that every commit writes would put all commits in a queue.
const MARK_LAG_MS: EpochMs = 1_000;

/// What the task is sent.
pub(super) enum Message {
    Ingest(Box<Event>),
    Close,
}

/// An event and who waits for it.
pub(super) struct Event {
    pub(super) fact: NewFact,
    pub(super) waiting: Waiting,
}

/// Commits batches.
pub(super) struct Batcher {
    pub(super) sessions: Arc<Sessions>,
    pub(super) batch_limit: usize,
    pub(super) hint: Arc<Notify>,
    /// What a NOTIFY carries: which process sent it. `None` when none is sent.
    pub(super) origin: Option<String>,
    pub(super) mark: AtomicI64,
    pub(super) commits: Commits,
    /// Who decides ahead what is done first about a call.
    pub(super) consulted: Arc<Consulted>,
    /// Where facts of claimed calls go.
    pub(super) handed: Arc<Handed>,
    pub(super) lease: Duration,
    /// Which process takes calls.
    pub(super) keeper: i64,
}

impl Batcher {
    /// Commits until it is told to close.
    pub(super) async fn run(self, mut queue: mpsc::UnboundedReceiver<Message>) {
        while let Some(first) = queue.recv().await {
            let (mut batch, mut closing) = (Vec::new(), false);
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Ingest(event) => batch.push(*event),
                    Message::Close => closing = true,
                }
                next = if batch.len() < self.batch_limit { queue.try_recv().ok() } else { None };
            }
            if !batch.is_empty() {
                self.commit(batch).await;
            }
            if closing {
                return;
            }
        }
    }

    /// One transaction for the whole batch; every event is answered, after the commit or with its failure.
    async fn commit(&self, batch: Vec<Event>) {
        let facts: Vec<&NewFact> = batch.iter().map(|event| &event.fact).collect();
        let foresight = self.consulted.foresight();
        let ahead = foresight.map_or_else(Vec::new, |foresight| Ahead::of(&facts, &foresight));
        let is_divisible = batch.len() > 1 || !ahead.is_empty();
        match self.ingest(&facts, ahead).await {
            Ok(answers) => {
                answer_all(batch.into_iter().zip(answers).map(|(event, ingested)| (event.waiting, Ok(ingested))));
            }
            // One event must not take the others down with it, nor what is done about it.
            Err(JournalError::Unavailable { reason }) if is_divisible && objects_to_a_value(&reason) => {
                for event in batch {
                    let alone = self.ingest(&[&event.fact], Vec::new()).await;
                    let answer = alone.map(|answers| answers.first().copied().unwrap_or(Ingested::Duplicate));
                    answer_all([(event.waiting, answer)]);
                }
            }
            Err(error) => answer_all(batch.into_iter().map(|event| (event.waiting, Err(error.clone())))),
        }
    }

    async fn ingest(&self, facts: &[&NewFact], ahead: Vec<Ahead<'_>>) -> Result<Vec<Ingested>, JournalError> {
        let taker = Taker { keeper: self.keeper, lease_ms: millis(self.lease), origin: self.origin.as_deref() };
        let batch = Batch::of(facts, &ahead, taker, &self.mark)?;
        let began = Instant::now();
        #[expect(clippy::cast_precision_loss, reason = "a batch has at most journal.batch_limit writes")]
        self.commits.writes.observe(batch.events.len() as f64);
        let ended = self.sessions.run(&batch).await;
        self.commits.seconds.observe(began.elapsed().as_secs_f64());
        let new = ended?;
        if !new.identities.is_empty() {
            self.mark.fetch_max(batch.newest, Ordering::Relaxed);
        }
        if new.makes_due {
            self.hint.notify_one();
        }
        for (call, _) in ahead.into_iter().zip(&new.taken).filter(|(_, is_taken)| **is_taken) {
            call.durable(&self.handed);
        }
        // The first of one identity is the new one.
        let mut left = new.identities;
        let answer = |fact: &&NewFact| match left.remove(&fact.identity) {
            Some(seq) => {
                self.handed.ingested(&fact.call, seq, &fact.fact);
                Ingested::New
            }
            None => Ingested::Duplicate,
        };
        Ok(facts.iter().map(answer).collect())
    }
}

/// What is new of a batch.
#[derive(Default)]
struct New {
    /// With the number of each.
    identities: BTreeMap<String, Seq>,
    /// A call is due for it.
    makes_due: bool,
    /// Of each call that was to be taken, whether it is.
    taken: Vec<bool>,
}

/// A batch, each identity once.
struct Batch<'a> {
    events: Vec<(&'a NewFact, String)>,
    /// No call has more than one.
    is_of_one_each: bool,
    newest: EpochMs,
    /// Calls that are to be taken.
    ahead: &'a [Ahead<'a>],
    taker: Taker<'a>,
    mark: &'a AtomicI64,
}

impl<'a> Batch<'a> {
    fn of(
        facts: &[&'a NewFact],
        ahead: &'a [Ahead<'a>],
        taker: Taker<'a>,
        mark: &'a AtomicI64,
    ) -> Result<Self, JournalError> {
        let (mut seen, mut calls) = (BTreeSet::new(), BTreeSet::new());
        let mut batch = Self { events: Vec::new(), is_of_one_each: true, newest: 0, ahead, taker, mark };
        for event in facts.iter().copied() {
            if seen.insert(&event.identity) {
                batch.events.push((event, body(&event.fact)?));
                batch.is_of_one_each &= calls.insert(&event.call);
                // Only TaskRouter keeps records to read from.
                if event.fact.kind.task_view().is_some() {
                    batch.newest = batch.newest.max(event.fact.at);
                }
            }
        }
        Ok(batch)
    }

    /// A column each, as ARRIVED names them.
    fn columns(&self) -> Vec<Value<'_>> {
        let (mut tasks, mut identities, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
        let (mut parks, mut customers, mut wake) = (Vec::new(), Vec::new(), Vec::new());
        for (event, body) in &self.events {
            let NewFact { call, identity, fact } = event;
            tasks.push(call.as_str());
            identities.push(identity.as_str());
            bodies.push(body.as_str());
            parks.push(fact.kind.parks());
            customers.push(customer(&fact.kind).map(|sid| sid.as_str()));
            wake.push(wakes(&fact.kind, 1));
        }
        vec![
            Value::Texts(tasks),
            Value::Texts(identities),
            Value::Texts(bodies),
            Value::OptionalTruths(parks),
            Value::OptionalTexts(customers),
            Value::Truths(wake),
        ]
    }
}

impl Work for Batch<'_> {
    type Output = New;
    const REPEATABLE: bool = true;

    fn settings(&self) -> &'static str {
        if self.ahead.is_empty() { "" } else { BY_INDEX }
    }

    /// A call's row is locked before its facts are numbered, so that numbers follow commits; rows are locked in the order of
    /// their keys, so that two batches do not wait for each other. One NOTIFY is for the whole commit, which takes a lock
    /// that the whole server shares.
    fn statements(&self) -> Vec<Statement<'_>> {
        // No row is locked when another process has just done it.
        let marked = "marked AS (
            UPDATE taskrouter_streams.mark SET at_ms = $7
            WHERE name = 'newest_event' AND at_ms <= $7 - $8 AND EXISTS (SELECT FROM fresh)), ";
        let is_marked_since = self.newest < self.mark.load(Ordering::Relaxed) + MARK_LAG_MS;
        let told = ", CASE WHEN is_due AND row_number() OVER () = 1 THEN pg_notify($9, $10) END";
        let text = [
            ARRIVED,
            if is_marked_since { "" } else { marked },
            &numbered(self.is_of_one_each),
            "SELECT identity, seq, is_due",
            if self.taker.origin.is_some() { told } else { "" },
            " FROM added CROSS JOIN woken",
        ];
        let mut values = self.columns();
        values.extend([
            Value::Number(self.newest),
            Value::Number(MARK_LAG_MS),
            Value::Text(wake::CHANNEL),
            Value::Text(self.taker.origin.unwrap_or_default()),
            Value::Texts(self.ahead.iter().map(Ahead::call).collect()),
        ]);
        let mut statements = vec![Statement::new(text.concat(), values)];
        if !self.ahead.is_empty() {
            statements.push(foreseen::takes(self.ahead, &self.taker));
        }
        statements
    }

    fn output(&self, rows: Vec<Row>) -> Result<New, Unexpected> {
        let mut new = New::default();
        let added = rows.len().saturating_sub(self.ahead.len());
        for row in rows.iter().take(added) {
            new.identities.insert(row.try_get(0)?, row.try_get(1)?);
            new.makes_due |= row.try_get::<_, bool>(2)?;
        }
        for row in rows.iter().skip(added) {
            new.taken.push(row.try_get(0)?);
        }
        new.makes_due |= new.taken.contains(&false);
        Ok(new)
    }
}

/// What is new of what has arrived, in its order.
const ARRIVED: &str = "WITH fresh AS MATERIALIZED (
    SELECT * FROM unnest($1, $2, $3, $4, $5, $6) WITH ORDINALITY
        AS arrived (task, identity, body, parked, customer, wakes, place)
    WHERE NOT EXISTS (
        SELECT FROM taskrouter_streams.fact
        WHERE fact.call = (SELECT id FROM taskrouter_streams.call WHERE call.task = arrived.task)
          AND fact.identity = arrived.identity OFFSET 0)), ";

/// The row of each call that it would be if it were new, where a call has several events in the batch; and the number of each event.
const OF_SEVERAL: [&str; 2] = [
    concat!(
        "SELECT task, count(*), CASE WHEN bool_or(wakes) OR count(*) > 1 THEN ",
        now_ms!(),
        " END, ",
        now_ms!(),
        ",
            (array_agg(parked ORDER BY place DESC) FILTER (WHERE parked IS NOT NULL))[1],
            (array_agg(customer ORDER BY place DESC) FILTER (WHERE customer IS NOT NULL))[1]
        FROM fresh GROUP BY task ORDER BY task"
    ),
    "last_seq - count(*) OVER (PARTITION BY task) + row_number() OVER (PARTITION BY task ORDER BY place)",
];

/// The same where none has, as it nearly always is: the server plans and does this sooner.
const OF_ONE_EACH: [&str; 2] = [
    concat!(
        "SELECT task, 1, CASE WHEN wakes THEN ",
        now_ms!(),
        " END, ",
        now_ms!(),
        ", parked, customer FROM fresh ORDER BY task"
    ),
    "last_seq",
];

fn numbered(of_one_each: bool) -> String {
    let [rows, number] = if of_one_each { OF_ONE_EACH } else { OF_SEVERAL };
    format!(
        "numbered AS (
        INSERT INTO taskrouter_streams.call AS known (task, last_seq, due_ms, changed_ms, parked, customer)
        {rows}
        ON CONFLICT (task) DO UPDATE SET
            last_seq = known.last_seq + EXCLUDED.last_seq,
            due_ms = CASE WHEN known.leased THEN known.due_ms ELSE EXCLUDED.changed_ms END,
            over_ms = NULL,
            changed_ms = EXCLUDED.changed_ms,
            parked = coalesce(EXCLUDED.parked, known.parked),
            customer = coalesce(EXCLUDED.customer, known.customer)
        RETURNING id, task, last_seq, due_ms IS NOT NULL AND task <> ALL ($11) AS is_due),
    added AS (
        INSERT INTO taskrouter_streams.fact (call, seq, identity, body)
        SELECT id, {number}, identity, body FROM fresh JOIN numbered USING (task)
        RETURNING identity, seq),
    woken AS (SELECT bool_or(is_due) AS is_due FROM numbered) "
    )
}

//! The task that commits events, as many as have gathered at once.

use super::error::{Unexpected, objects_to_a_value};
use super::ops::body;
use super::session::{Sessions, Work};
use super::sql::{Statement, Value, now_ms};
use crate::call::fact::EpochMs;
use crate::journal::answers::{Waiting, answer_all};
use crate::journal::calls::{customer, wakes};
use crate::journal::{Ingested, JournalError, NewFact};
use crate::telemetry::metrics::Commits;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;
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
        match self.ingest(&facts).await {
            Ok(answers) => {
                answer_all(batch.into_iter().zip(answers).map(|(event, ingested)| (event.waiting, Ok(ingested))));
            }
            // One event must not take the others down with it.
            Err(JournalError::Unavailable { reason }) if batch.len() > 1 && objects_to_a_value(&reason) => {
                for event in batch {
                    let alone = self.ingest(&[&event.fact]).await;
                    let answer = alone.map(|answers| answers.first().copied().unwrap_or(Ingested::Duplicate));
                    answer_all([(event.waiting, answer)]);
                }
            }
            Err(error) => answer_all(batch.into_iter().map(|event| (event.waiting, Err(error.clone())))),
        }
    }

    async fn ingest(&self, facts: &[&NewFact]) -> Result<Vec<Ingested>, JournalError> {
        let batch = Batch::of(facts, self.origin.as_deref(), &self.mark)?;
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
        // The first of one identity is the new one.
        let mut left = new.identities;
        let answer = |fact: &&NewFact| match left.remove(&fact.identity) {
            true => Ingested::New,
            false => Ingested::Duplicate,
        };
        Ok(facts.iter().map(answer).collect())
    }
}

/// What is new of a batch.
#[derive(Default)]
struct New {
    identities: BTreeSet<String>,
    /// A call is due for it.
    makes_due: bool,
}

/// A batch, each identity once.
struct Batch<'a> {
    events: Vec<(&'a NewFact, String)>,
    newest: EpochMs,
    origin: Option<&'a str>,
    mark: &'a AtomicI64,
}

impl<'a> Batch<'a> {
    fn of(facts: &[&'a NewFact], origin: Option<&'a str>, mark: &'a AtomicI64) -> Result<Self, JournalError> {
        let mut seen = BTreeSet::new();
        let mut batch = Self { events: Vec::new(), newest: 0, origin, mark };
        for event in facts.iter().copied() {
            if seen.insert(&event.identity) {
                batch.events.push((event, body(&event.fact)?));
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
            NUMBERED,
            "SELECT identity, is_due",
            if self.origin.is_some() { told } else { "" },
            " FROM added CROSS JOIN woken",
        ];
        let mut values = self.columns();
        values.extend([
            Value::Number(self.newest),
            Value::Number(MARK_LAG_MS),
            Value::Text(super::wake::CHANNEL),
            Value::Text(self.origin.unwrap_or_default()),
        ]);
        vec![Statement::new(text.concat(), values)]
    }

    fn output(&self, rows: Vec<Row>) -> Result<New, Unexpected> {
        let mut new = New::default();
        for row in &rows {
            new.identities.insert(row.try_get(0)?);
            new.makes_due |= row.try_get::<_, bool>(1)?;
        }
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

const NUMBERED: &str = concat!(
    "numbered AS (
        INSERT INTO taskrouter_streams.call AS known (task, last_seq, due_ms, changed_ms, parked, customer)
        SELECT task, count(*), CASE WHEN bool_or(wakes) OR count(*) > 1 THEN ",
    now_ms!(),
    " END, ",
    now_ms!(),
    ",
            (array_agg(parked ORDER BY place DESC) FILTER (WHERE parked IS NOT NULL))[1],
            (array_agg(customer ORDER BY place DESC) FILTER (WHERE customer IS NOT NULL))[1]
        FROM fresh GROUP BY task ORDER BY task
        ON CONFLICT (task) DO UPDATE SET
            last_seq = known.last_seq + EXCLUDED.last_seq,
            due_ms = CASE WHEN known.leased THEN known.due_ms ELSE EXCLUDED.changed_ms END,
            over_ms = NULL,
            changed_ms = EXCLUDED.changed_ms,
            parked = coalesce(EXCLUDED.parked, known.parked),
            customer = coalesce(EXCLUDED.customer, known.customer)
        RETURNING id, task, last_seq, due_ms IS NOT NULL AS is_due),
    added AS (
        INSERT INTO taskrouter_streams.fact (call, seq, identity, body)
        SELECT id,
            last_seq - count(*) OVER (PARTITION BY task) + row_number() OVER (PARTITION BY task ORDER BY place),
            identity, body
        FROM fresh JOIN numbered USING (task)
        RETURNING identity),
    woken AS (SELECT bool_or(is_due) AS is_due FROM numbered) "
);

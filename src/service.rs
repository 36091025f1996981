//! The composition root: the one place where settings, listeners, journal, client and worker are put together.
//!
//! [`Service::start`] makes a running service of [`Settings`], [`Service::run_until`] keeps it until a signal or a failed journal,
//! and [`Service::stop`] ends it in order. Commands, benches, tests and the simulator's testbed all start it here.

mod descriptors;
mod error;
mod opening;
mod supervisor;

use descriptors::{admin_connections, max_connections};
pub use error::{RunError, StartError};
pub(crate) use opening::postgres_settings;
use supervisor::{ADMIN, PUBLIC};
pub use supervisor::{Ended, Supervisor};

use crate::call::Policy;
use crate::call::rules::Destination;
use crate::config::{self, Mode, Settings};
use crate::console::view::AccountNames;
use crate::console::{ConsoleSettings, console};
use crate::http::{
    self, AdminSettings, ConnectionLimits, IngressSettings, Listener, ListenerHandle, PauseEntry, PauseKey,
};
use crate::ingest::pause_requests::PauseRequests;
use crate::journal::{Journal, Outage};
use crate::recording::{Known, Recorder};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;
use crate::telemetry::{COMMIT, VERSION};
use crate::twilio::client::{Client, ClientError, delivery_timeout};
use crate::twilio::signature::{Verifier, VerifierError};
use crate::twilio::witness::Witness;
use crate::worker::{
    Accounts, BackfillSettings, Backfiller, Source, StreamGauges, Worker, WorkerAccount, WorkerSettings,
};
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// For everything to close when nothing is left of `shutdown.grace_ms`: a journal that answers needs no more.
const LAST_MOMENT: Duration = Duration::from_millis(500);

const WORKER: &str = "dispatcher";

/// A running service.
pub struct Service {
    public: SocketAddr,
    admin: SocketAddr,
    journal: Arc<dyn Journal>,
    servers: Vec<ListenerHandle>,
    tasks: Supervisor,
    traces: Traces,
    recorder: Option<Arc<Recorder>>,
    stop: CancellationToken,
    grace: Duration,
}

impl Service {
    /// Binds both listeners, opens the journal, for which it may have to wait, and starts to work.
    ///
    /// # Errors
    /// When something that the settings name cannot be had.
    pub async fn start(settings: &Settings) -> Result<Self, StartError> {
        let max_connections = max_connections(&settings.server)?;
        let metrics = Arc::new(Metrics::new(VERSION, COMMIT));
        let (public_listener, public) = bind("server.listen", settings.server.listen)?;
        let (admin_listener, admin) = bind("admin.listen", settings.admin.listen)?;
        let journal = opening::open(settings, &metrics.commits, &public_listener, &admin_listener).await?;
        let traces = Traces::new(settings.traces.as_ref(), &metrics)?;
        let recorder =
            settings.record.as_ref().map(|folder| Arc::new(Recorder::start(folder, known(settings), metrics.clone())));
        let witness = recorder.clone().map(|recorder| -> Arc<dyn Witness> { recorder });
        let accounts = accounts(settings, witness.as_ref())?;
        accounts.all().for_each(|account| metrics.begin_account(&account.account));
        let outage = Arc::new(Outage::default());
        let requests = pause_requests(settings, journal.clone(), metrics.clone());
        let mut ingress = ingress_settings(settings, &traces, outage.clone(), max_connections)?;
        ingress.pauses =
            settings.pause.secret.as_ref().map(|secret| PauseEntry::new(requests.clone(), PauseKey::new(secret)));
        ingress.witness = witness;
        let sources = accounts.all().cloned().zip(settings.by_account());
        let sources = sources.map(|(account, (_, own))| Source { account, interest: own.interest() }).collect();
        let (own, look_back) = (journal.clone(), backfill_settings(settings, &traces));
        let backfiller = Backfiller::since_the_newest_event(own, sources, outage, metrics.clone(), look_back).await;
        if settings.mode == Mode::Shadow {
            tracing::warn!(
                "mode = \"shadow\": calls that begin now are decided and shown, in the console and by `calls show`, and not commanded; one that began live is finished live"
            );
        }
        let grace = settings.shutdown.grace;
        let stop = CancellationToken::new();
        let operators = console(journal.clone(), metrics.clone(), console_settings(settings), requests, stop.clone());
        let listen = |key, address, reason| StartError::Listen { key, address, reason };
        let servers = [
            http::public(ingress, journal.clone(), metrics.clone(), public_listener)
                .map_err(|reason| listen("server.listen", public, reason))?,
            http::admin(journal.clone(), metrics.clone(), operators, admin_listener, admin_settings(settings))
                .map_err(|reason| listen("admin.listen", admin, reason))?,
        ];
        let worker = Worker::new(journal.clone(), accounts, metrics.clone(), worker_settings(settings, &traces));
        let janitor = prune_loop(journal.clone(), metrics.clone(), settings.journal.clone(), stop.clone());
        let stream_gauges = StreamGauges::new(journal.clone(), metrics, settings.admin.stream_gauges);
        let handles = servers.iter().map(Listener::handle).collect();
        let mut tasks = Supervisor::default();
        for (name, server) in [PUBLIC, ADMIN].into_iter().zip(servers) {
            tasks.spawn(name, server.run());
        }
        tasks.spawn(WORKER, worker.run(stop.clone()));
        tasks.spawn("janitor", unfailing(janitor));
        tasks.spawn("backfill", unfailing(backfiller.run(stop.clone())));
        tasks.spawn("stream gauges", unfailing(stream_gauges.run(stop.clone())));
        Ok(Self { public, admin, journal, servers: handles, tasks, traces, recorder, stop, grace })
    }

    /// Where events arrive.
    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// Where the probes answer.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The journal, to look at.
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.journal
    }

    /// Works until `shutdown` resolves, then stops in order.
    ///
    /// # Errors
    /// When the journal has failed for good, or a task has ended: the process must stop.
    pub async fn run_until(mut self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let failure = tokio::select! {
            () = shutdown => None,
            error = self.journal.failed() => Some(RunError::Journal(error)),
            Ended { task, reason, .. } = self.tasks.ended() => Some(RunError::Ended { task, reason }),
        };
        if let Some(error) = &failure {
            tracing::error!(%error, "the service stops");
        }
        self.stop().await;
        failure.map_or(Ok(()), Err)
    }

    /// Stops accepting, lets the steps under way finish, gives the calls back and closes the journal, within
    /// `shutdown.grace_ms`. What is left over goes on after the next start.
    pub async fn stop(self) {
        let Self { journal, servers, mut tasks, traces, recorder, stop, grace, .. } = self;
        let deadline = Instant::now() + grace;
        stop.cancel();
        let orderly = async {
            for server in &servers {
                server.stop().await;
            }
            tasks.join(&[PUBLIC, ADMIN, WORKER]).await;
        };
        if tokio::time::timeout_at(deadline, orderly).await.is_err() {
            tracing::warn!(
                "steps were still under way when shutdown.grace_ms ran out; the next start goes on with them"
            );
        }
        // What still runs is aborted.
        drop(tasks);
        // At once, so that a collector which does not answer takes nothing of the journal's time.
        let last = deadline.max(Instant::now() + LAST_MOMENT);
        let traces = async {
            if tokio::time::timeout_at(last, traces.close()).await.is_err() {
                tracing::warn!("the last traces were not exported in time: check traces.otlp_url");
            }
        };
        let recorder = async {
            if let Some(recorder) = recorder {
                recorder.close(last.saturating_duration_since(Instant::now())).await;
            }
        };
        tokio::join!(close(&*journal, last), traces, recorder);
    }
}

/// What it cannot finish by `last` the next start does.
async fn close(journal: &dyn Journal, last: Instant) {
    match tokio::time::timeout_at(last, journal.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "the journal could not be closed cleanly; the next start recovers it");
        }
        Err(_) => tracing::warn!("the journal did not close in time; the next start recovers it"),
    }
}

/// A task that logs its failures itself and goes on.
async fn unfailing(task: impl Future<Output = ()>) -> Result<(), Infallible> {
    task.await;
    Ok(())
}

/// Deletes what is past retention, every `prune_every`, until `stop`.
async fn prune_loop(
    journal: Arc<dyn Journal>,
    metrics: Arc<Metrics>,
    settings: config::JournalConfig,
    stop: CancellationToken,
) {
    loop {
        let pruned = journal.prune(settings.retention).await;
        metrics.work.round("janitor", pruned.is_ok());
        match pruned {
            Ok(0) => {}
            Ok(calls) => tracing::info!(calls, "calls past retention were deleted from the journal"),
            Err(error) => tracing::warn!(%error, "calls past retention could not be deleted; trying again later"),
        }
        tokio::select! {
            () = tokio::time::sleep(settings.prune_every) => {}
            () = stop.cancelled() => return,
        }
    }
}

fn admin_settings(settings: &Settings) -> AdminSettings {
    AdminSettings {
        connections: admin_connections(&settings.server),
        shutdown_grace_s: settings.shutdown.grace.as_secs(),
    }
}

fn bind(key: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let listen = |reason| StartError::Listen { key, address, reason };
    let listener = TcpListener::bind(address).map_err(listen)?;
    let bound = listener.local_addr().map_err(listen)?;
    Ok((listener, bound))
}

fn ingress_settings(
    settings: &Settings,
    traces: &Traces,
    outage: Arc<Outage>,
    max_connections: usize,
) -> Result<IngressSettings, VerifierError> {
    let server = &settings.server;
    let mut accounts = Vec::new();
    for (_, settings) in settings.by_account() {
        accounts.push(http::IngressAccount {
            verifier: Verifier::new(&server.public_url, settings.twilio.auth_tokens.clone())?,
            account: settings.twilio.account_sid.clone(),
            workspace: settings.twilio.workspace_sid.clone(),
            interest: settings.interest(),
        });
    }
    Ok(IngressSettings {
        accounts,
        witness: None,
        traces: traces.clone(),
        outage,
        assignment: settings.assignment.clone(),
        pauses: None,
        body_limit_bytes: server.body_limit_bytes,
        form_pairs_limit: server.form_pairs_limit,
        event_streams_body_limit_bytes: server.event_streams_body_limit_bytes,
        event_streams_bytes_limit: server.event_streams_bytes_limit,
        ingest_at_once: settings.journal.batch_limit,
        late_after: settings.backfill.max_age,
        retry_after_s: server.retry_after.as_secs(),
        threads: server.threads,
        client_timeout: server.client_timeout,
        keep_alive: server.keep_alive,
        connections: ConnectionLimits {
            max: max_connections,
            per_peer: server.max_connections_per_peer,
            uncapped: server.uncapped_peers.clone(),
            head_bytes: server.head_limit_bytes,
            unverified_bytes: server.unverified_bytes_limit,
        },
        shutdown_grace_s: settings.shutdown.grace.as_secs(),
    })
}

fn console_settings(settings: &Settings) -> ConsoleSettings {
    let config::AdminConfig { listen, token, read_token, identity_header, login_delay, live_every, live_views, .. } =
        settings.admin.clone();
    let named = |(name, own): (String, Settings)| (own.twilio.account_sid, name);
    let accounts = AccountNames(settings.by_account().into_iter().map(named).collect());
    let is_private = listen.ip().is_loopback();
    ConsoleSettings { token, read_token, identity_header, is_private, login_delay, live_every, live_views, accounts }
}

fn pause_requests(settings: &Settings, journal: Arc<dyn Journal>, metrics: Arc<Metrics>) -> PauseRequests {
    PauseRequests::new(journal, metrics, settings.pause.confirm_within, settings.mode == Mode::Shadow)
}

fn worker_settings(settings: &Settings, traces: &Traces) -> WorkerSettings {
    WorkerSettings {
        max_calls: settings.worker.max_calls,
        kept_calls: settings.worker.kept_calls,
        poll: settings.worker.poll,
        shadow: settings.mode == Mode::Shadow,
        traces: traces.clone(),
    }
}

/// What the configuration says of what is recorded.
fn known(settings: &Settings) -> Known {
    let accounts = settings.by_account();
    Known {
        fields: accounts.iter().flat_map(|(_, own)| own.interest().fields).collect(),
        name_prefixes: accounts.iter().map(|(_, own)| own.streams.name_prefix.clone()).collect(),
        accounts: accounts
            .into_iter()
            .map(|(_, own)| (own.twilio.account_sid.clone(), own.twilio.workspace_sid))
            .collect(),
    }
}

/// What each account's calls are worked on with.
fn accounts(settings: &Settings, witness: Option<&Arc<dyn Witness>>) -> Result<Accounts, ClientError> {
    let account = |settings: &Settings| -> Result<WorkerAccount, ClientError> {
        Ok(WorkerAccount {
            account: settings.twilio.account_sid.clone(),
            client: Arc::new(Client::new(settings.client(http::STREAM_STATUS_PATH))?.shown_to(witness.cloned())),
            policy: policy(settings),
        })
    };
    let mut further = Vec::new();
    for (_, settings) in settings.by_account().iter().skip(1) {
        further.push(account(settings)?);
    }
    Ok(Accounts::new(account(settings)?, further))
}

fn backfill_settings(settings: &Settings, traces: &Traces) -> BackfillSettings {
    let Settings { backfill, retry, .. } = settings;
    BackfillSettings {
        max_age: backfill.max_age,
        traces: traces.clone(),
        again: backfill.again,
        silence: backfill.silence,
        overlap: backfill.overlap,
        max_events: backfill.max_events,
        retry_first: retry.first,
        retry_cap: retry.cap,
        give_up: retry.give_up,
    }
}

/// The core's limits for the first account's calls.
pub fn policy(settings: &Settings) -> Policy {
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let Settings { redirect, retry, streams, eligibility, .. } = settings;
    let (connect, request) = (settings.twilio.connect_timeout, settings.twilio.request_timeout);
    let destinations = streams.destinations.iter().map(|destination| Destination {
        tracks: destination.track.cost(),
        parameters: destination.parameters.clone(),
        confirms: destination.status_callback,
        on_hold: destination.on_hold,
    });
    Policy {
        strategy: streams.strategy,
        channels: eligibility.channels.clone(),
        outbound: eligibility.outbound,
        outbound_wait_ms: ms(eligibility.outbound_wait),
        destinations: destinations.collect(),
        rules: streams.rules.clone(),
        track_budget: streams.track_budget,
        name_prefix: streams.name_prefix.clone(),
        verify_guard_ms: ms(redirect.verify_guard),
        rejoin_ms: ms(redirect.rejoin),
        doubt_ms: ms(retry.doubt),
        landing_ms: ms(connect + delivery_timeout(connect, request) + retry.landing_margin),
        poll_ms: redirect.poll.iter().copied().map(ms).collect(),
        reading_max_age_ms: ms(redirect.reading_max_age),
        retry_first_ms: ms(retry.first),
        retry_cap_ms: ms(retry.cap),
        give_up_ms: ms(retry.give_up),
        slow_retry_ms: ms(retry.slow),
        end_grace_ms: ms(streams.end_grace),
        confirm_ms: ms(streams.confirm_within),
        restart_ms: ms(streams.restart_after),
        restart_cap_ms: ms(streams.restart_cap),
        restart_limit: u32::try_from(streams.restart_limit).unwrap_or(u32::MAX),
        verify_per_mille: streams.verify_per_mille,
        quiet_ms: ms(streams.quiet_check),
        watch_ms: ms(redirect.watch),
        hold_poll_ms: ms(streams.hold_poll),
        pause_confirm_ms: ms(settings.pause.confirm_within),
        pause_max_ms: ms(settings.pause.max),
        pause_on_expiry: settings.pause.on_expiry,
        pause_recording: settings.pause.recording,
    }
}

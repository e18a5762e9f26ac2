use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use reqwest::Client;
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    chatkit::now,
    mcp::{
        connection::{self, Connection, Running},
        fault::Fault,
        file::{ServerFile, Transport},
        hub::Hub,
        identity::Identity,
    },
};

/// What connecting may take.
const CONNECT: Duration = Duration::from_secs(15);
/// What closing may take: a program is asked twice before it is killed.
const CLOSE: Duration = Duration::from_secs(8);
/// What noticing a broken connection may take.
const NOTICE: Duration = Duration::from_secs(2);
/// Between tries, doubled each time; after the last the breaker is open.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// The least time between tries of a server that somebody wants to use.
const WANTED_PAUSE: Duration = Duration::from_secs(3);
/// Failures in a row after which the server is tried rarely.
const BREAKER: u32 = 6;
const BREAKER_PAUSE: Duration = Duration::from_mins(5);
/// A connection that held so long was a good one.
const GOOD: Duration = Duration::from_secs(30);
/// After so many failures in a row its tools are not offered any more.
const LOST: u32 = 2;
/// An HTTP connection of one user that is not used for so long is closed.
const IDLE: Duration = Duration::from_mins(10);

/// A server, and what it takes to connect to it.
pub struct Target {
    pub file: ServerFile,
    pub hub: Hub,
    /// For HTTP.
    pub client: Option<Client>,
    /// Cancelled when nobody uses the server any more.
    pub closing: CancellationToken,
}

/// A connection that comes and goes: it is made when it is needed, made again when it breaks, and closed when
/// it is idle.
pub struct Link {
    target: Arc<Target>,
    /// Whether it needs nobody: then it is made again by itself.
    is_own: bool,
    /// Of the identity that it is made with.
    fingerprint: [u8; 32],
    state: watch::Sender<State>,
    /// Failures in a row.
    failures: Mutex<u32>,
    used: Mutex<Instant>,
    in_use: Mutex<usize>,
    try_now: Notify,
}

/// What became of a connection.
#[derive(Clone)]
pub enum State {
    /// It is made when it is needed.
    Stopped,
    Connecting {
        since: Instant,
    },
    Ready(Arc<Connection>),
    Failed {
        fault: Fault,
        since: Instant,
        /// Nobody tries before.
        next_try: Instant,
        next_try_at: Timestamp,
    },
}

/// Counts as a use of the link until it is dropped.
pub struct Use(Arc<Link>);

/// Why a connection ended.
enum End {
    /// Nobody wants it any more.
    Unused,
    Broke(Fault),
}

impl Link {
    pub fn new(target: Arc<Target>, is_own: bool, fingerprint: [u8; 32]) -> Arc<Self> {
        Arc::new(Self {
            target,
            is_own,
            fingerprint,
            state: watch::Sender::new(State::Stopped),
            failures: Mutex::new(0),
            used: Mutex::new(Instant::now()),
            in_use: Mutex::new(0),
            try_now: Notify::new(),
        })
    }

    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Keeps the connection from being idle.
    pub fn hold(self: &Arc<Self>) -> Use {
        *lock(&self.in_use) += 1;
        Use(self.clone())
    }

    /// Whether it fails again and again, so that nobody should count on it.
    pub fn is_lost(&self) -> bool {
        !matches!(*self.state.borrow(), State::Ready(_)) && *lock(&self.failures) >= LOST
    }

    pub fn is_idle(&self, pause: Duration) -> bool {
        *lock(&self.in_use) == 0 && lock(&self.used).elapsed() >= pause
    }

    /// Whether it is made with this identity. Others may use it while it stands.
    pub fn is_of(&self, identity: &Identity) -> bool {
        self.fingerprint == identity.fingerprint()
    }

    /// Begins to connect where that is due, and whose link it is.
    pub fn begin(self: &Arc<Self>, identity: &Identity) {
        if !self.is_of(identity) {
            return;
        }
        let begins = self.state.send_if_modified(|state| {
            match state {
                State::Stopped => (),
                State::Failed { since, .. } if self.is_own => {
                    // Whoever keeps it waits for its next try, which may be now.
                    if since.elapsed() >= WANTED_PAUSE && *lock(&self.failures) < BREAKER {
                        *state = State::Connecting { since: Instant::now() };
                        self.try_now.notify_one();
                    }
                    return false;
                }
                State::Failed { next_try, .. } if *next_try <= Instant::now() => (),
                State::Failed { .. } | State::Connecting { .. } | State::Ready(_) => return false,
            }
            *state = State::Connecting { since: Instant::now() };
            true
        });
        if begins {
            *lock(&self.used) = Instant::now();
            self.target.hub.tell_change();
            self.target.hub.tasks.spawn(self.clone().keep(identity.clone()));
        }
    }

    /// The connection, once it stands.
    pub async fn ready(self: &Arc<Self>, identity: &Identity) -> Result<Arc<Connection>, Fault> {
        self.begin(identity);
        if !self.is_of(identity) && !matches!(self.state(), State::Ready(_)) {
            return Err(Fault::Broken);
        }
        let mut states = self.state.subscribe();
        let state = states
            .wait_for(|state| match state {
                State::Ready(connection) => !connection.peer.is_transport_closed(),
                State::Failed { .. } | State::Stopped => true,
                State::Connecting { .. } => false,
            })
            .await
            .map(|it| it.clone());
        match state {
            Ok(State::Ready(connection)) => Ok(connection),
            Ok(State::Failed { fault, .. }) => Err(fault),
            Ok(State::Stopped | State::Connecting { .. }) | Err(_) => {
                Err(Fault::Other("it was stopped".to_owned()))
            }
        }
    }

    /// Waits until it is noticed that the connection broke.
    pub async fn lost(&self) {
        let mut states = self.state.subscribe();
        let noticed = states.wait_for(|state| match state {
            State::Ready(connection) => !connection.peer.is_transport_closed(),
            State::Stopped | State::Connecting { .. } | State::Failed { .. } => true,
        });
        let _ = timeout(NOTICE, noticed).await;
    }

    /// Makes the connection and keeps it, to its end.
    async fn keep(self: Arc<Self>, identity: Identity) {
        loop {
            let fault = match self.connect(&identity).await {
                Ok((connection, running)) => {
                    match self.watch(Arc::new(connection), running).await {
                        End::Unused => return,
                        End::Broke(fault) => fault,
                    }
                }
                Err(fault) => fault,
            };
            if self.target.closing.is_cancelled() {
                return self.set(State::Stopped);
            }
            let pause = self.fail(fault);
            if !self.is_own {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => (),
                () = self.try_now.notified() => (),
                () = self.target.closing.cancelled() => return self.set(State::Stopped),
                () = self.target.hub.closing.cancelled() => return self.set(State::Stopped),
            }
            // It has turned out to want each user's login.
            if self.target.file.rules.is_per_user() {
                return self.set(State::Stopped);
            }
            self.set(State::Connecting { since: Instant::now() });
        }
    }

    async fn connect(&self, identity: &Identity) -> Result<(Connection, Running), Fault> {
        let Target { file, hub, client, closing } = &*self.target;
        let connecting = connection::connect(file, hub, client.as_ref(), identity.clone());
        tokio::select! {
            result = timeout(CONNECT, connecting) => {
                result.unwrap_or(Err(Fault::Timeout(CONNECT.as_secs())))
            }
            () = closing.cancelled() => Err(Fault::Broken),
            () = hub.closing.cancelled() => Err(Fault::Broken),
        }
    }

    /// Offers the connection until it breaks or is not wanted any more, and closes it.
    async fn watch(&self, connection: Arc<Connection>, running: Running) -> End {
        let Target { file, hub, closing, .. } = &*self.target;
        let protocol = &connection.info.protocol;
        tracing::info!(
            server = %file.id, protocol = %protocol,
            "MCP server `{}` is connected ({protocol})", file.id
        );
        let begun = Instant::now();
        self.set(State::Ready(connection.clone()));
        let stop = running.cancellation_token();
        let mut ended = Box::pin(running.waiting());
        let end = tokio::select! {
            _ = &mut ended => {
                self.note_end(begun);
                return End::Broke(connection.end().map_or(Fault::Broken, Fault::Ended));
            }
            () = connection.closed() => End::Broke(Fault::Broken),
            () = connection.listen() => End::Broke(Fault::Broken),
            () = closing.cancelled() => End::Unused,
            () = hub.closing.cancelled() => End::Unused,
            () = self.idle() => End::Unused,
        };
        self.note_end(begun);
        let close = async move {
            stop.cancel();
            let _ = timeout(CLOSE, ended).await;
        };
        match &end {
            // Whoever wants it again meanwhile has another one made.
            End::Unused => {
                self.set(State::Stopped);
                close.await;
            }
            End::Broke(_) => {
                hub.tasks.spawn(close);
            }
        }
        end
    }

    fn note_end(&self, begun: Instant) {
        if begun.elapsed() >= GOOD {
            *lock(&self.failures) = 0;
        }
    }

    /// Waits until nobody has used the connection for its time.
    async fn idle(&self) {
        let pause = match &self.target.file.transport {
            Transport::Stdio(program) => program.idle_timeout,
            Transport::Http { .. } if self.is_own => return std::future::pending().await,
            Transport::Http { .. } => IDLE,
        };
        loop {
            let used = *lock(&self.used);
            tokio::time::sleep_until((used + pause).into()).await;
            if self.is_idle(pause) {
                return;
            }
            if *lock(&self.in_use) > 0 {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Notes a failure, and gives the time until the next try.
    fn fail(&self, fault: Fault) -> Duration {
        let failures = {
            let mut failures = lock(&self.failures);
            *failures = failures.saturating_add(1);
            *failures
        };
        let pause = if failures >= BREAKER {
            BREAKER_PAUSE
        } else {
            (FIRST_PAUSE * 2_u32.pow(failures - 1)).min(LONGEST_PAUSE)
        };
        let id = &self.target.file.id;
        tracing::warn!(
            server = %id,
            "MCP server `{id}` is not available: {fault}; it is tried again in {} s", pause.as_secs()
        );
        let next_try_at = now().checked_add(pause).unwrap_or_else(|_| now());
        let since = Instant::now();
        self.set(State::Failed { fault, since, next_try: since + pause, next_try_at });
        pause
    }

    fn set(&self, state: State) {
        self.state.send_replace(state);
        self.target.hub.tell_change();
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        *lock(&self.0.used) = Instant::now();
        let mut in_use = lock(&self.0.in_use);
        *in_use = in_use.saturating_sub(1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

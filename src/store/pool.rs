use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{ConnectOptions, Database, Error};
use sqlx_core::transaction::TransactionManager;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{info, warn};

use super::{StoreError, errors};

/// Connections to a database server. They are made when they are needed, and again after the server was away.
///
/// Not sqlx's pool: that one asks each connection whether it is alive whenever it comes back, and most of ours come back after a
/// single question.
pub struct Pool<C: Server>(Arc<Inner<C>>);

/// How a pool goes about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolLimits {
    /// Connections at most.
    pub size: u32,
    pub connect_timeout: Duration,
    /// How long one waits for a free connection, or for the server to come back.
    pub acquire_timeout: Duration,
    /// How long a statement may take.
    pub statement_timeout: Duration,
}

/// A kind of connection to a server.
pub trait Server: sqlx::Connection + Sized + 'static {
    /// After it is connected.
    fn set_up(&mut self, limits: &PoolLimits) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A connection on loan.
pub struct Lent<'a, C: Server> {
    pool: &'a Pool<C>,
    /// There until it is dropped.
    connection: Option<C>,
    permit: Option<OwnedSemaphorePermit>,
    state: LentState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LentState {
    Ready,
    /// In the middle of something: dropped like that, nobody knows what would come next.
    Busy,
    /// To be rolled back.
    Open,
}

struct Inner<C: Server> {
    options: <C as sqlx::Connection>::Options,
    limits: PoolLimits,
    permits: Arc<Semaphore>,
    /// The one used last is the last.
    idle: Mutex<Vec<Idle<C>>>,
    outage: Mutex<Option<Outage>>,
}

struct Idle<C> {
    connection: C,
    since: Instant,
}

/// The server cannot be reached.
struct Outage {
    since: Instant,
    tried: Instant,
    problem: String,
}

/// One that was used within this is taken to be alive.
const FRESH: Duration = Duration::from_secs(1);
const PING: Duration = Duration::from_secs(2);
/// Between two tries to connect.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections that are made at the start.
const WARM: usize = 2;

impl<C: Server> Pool<C> {
    pub fn new(options: <C as sqlx::Connection>::Options, limits: PoolLimits) -> Self {
        let size = usize::try_from(limits.size).unwrap_or(Semaphore::MAX_PERMITS);
        Self(Arc::new(Inner {
            options,
            limits,
            permits: Arc::new(Semaphore::new(size)),
            idle: Mutex::default(),
            outage: Mutex::default(),
        }))
    }

    /// A connection that nobody else ever gets.
    pub async fn connect(&self) -> Result<C, Error> {
        let limits = &self.0.limits;
        let connect = async {
            let mut connection = self.0.options.connect().await?;
            connection.set_up(limits).await?;
            Ok(connection)
        };
        within(limits.connect_timeout, connect).await
    }

    /// The same, for statements that may take any time.
    pub async fn connect_without_limits(&self) -> Result<C, Error> {
        within(self.0.limits.connect_timeout, self.0.options.connect()).await
    }

    /// Makes the first connections, and tries each of them.
    pub async fn warm(&self) -> Result<(), Error> {
        let size = usize::try_from(self.0.limits.size).unwrap_or(WARM);
        for _ in 0..WARM.min(size) {
            let mut connection = self.connect().await?;
            within(PING, connection.ping()).await?;
            self.put_back(connection);
        }
        Ok(())
    }

    /// How many connections are idle, and how many at work.
    pub fn connections(&self) -> (usize, usize) {
        let idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).len();
        let size = usize::try_from(self.0.limits.size).unwrap_or(usize::MAX);
        (idle, size.saturating_sub(self.0.permits.available_permits()))
    }

    pub async fn lend(&self) -> Result<Lent<'_, C>, StoreError> {
        let limits = &self.0.limits;
        let deadline = Instant::now() + limits.acquire_timeout;
        self.refuse_in_outage()?;
        let permits = Arc::clone(&self.0.permits);
        let permit =
            match tokio::time::timeout(limits.acquire_timeout, permits.acquire_owned()).await {
                Ok(Ok(permit)) => permit,
                Ok(Err(_)) => return Err(StoreError::closed()),
                Err(_) => return Err(StoreError::Unavailable(self.describe_busy())),
            };
        while let Some(mut idle) = self.take_idle() {
            if idle.since.elapsed() < FRESH || within(PING, idle.connection.ping()).await.is_ok() {
                return Ok(self.lent(idle.connection, permit));
            }
        }
        loop {
            let err = match self.connect().await {
                Ok(connection) => {
                    self.end_outage();
                    return Ok(self.lent(connection, permit));
                }
                Err(err) => err,
            };
            let problem = errors::describe_connect(&err);
            let is_old = self.note_outage(&problem);
            if is_old || Instant::now() + PAUSE > deadline {
                return Err(StoreError::Unavailable(problem));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits for what runs.
    pub async fn close(&self) {
        let permits = &self.0.permits;
        let wait = permits.acquire_many(self.0.limits.size);
        // Who has one then is not waited for any longer.
        let _ = tokio::time::timeout(self.0.limits.statement_timeout, wait).await;
        permits.close();
        while let Some(idle) = self.take_idle() {
            let _ = within(PING, idle.connection.close()).await;
        }
    }

    const fn lent(&self, connection: C, permit: OwnedSemaphorePermit) -> Lent<'_, C> {
        Lent {
            pool: self,
            connection: Some(connection),
            permit: Some(permit),
            state: LentState::Ready,
        }
    }

    fn take_idle(&self) -> Option<Idle<C>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put_back(&self, connection: C) {
        let idle = Idle { connection, since: Instant::now() };
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
    }

    /// What happened to one connection happened to all.
    fn forget_idle(&self) {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn describe_busy(&self) -> String {
        if let Some(outage) = &*self.0.outage.lock().unwrap_or_else(PoisonError::into_inner) {
            return outage.problem.clone();
        }
        let size = self.0.limits.size;
        warn!(
            size,
            "all {size} connections to the database were busy for too long: raise `pool` in [store], or see what keeps the database"
        );
        format!("all {size} connections to the database are busy")
    }

    /// Once the server has been away for longer than anybody waits for it, nobody waits: now and then one asks.
    fn refuse_in_outage(&self) -> Result<(), StoreError> {
        let mut outage = self.0.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(outage) = outage.as_mut() else { return Ok(()) };
        let is_old = outage.since.elapsed() > self.0.limits.acquire_timeout;
        if is_old && outage.tried.elapsed() < FRESH {
            return Err(StoreError::Unavailable(outage.problem.clone()));
        }
        outage.tried = Instant::now();
        Ok(())
    }

    /// Says whether it has been away for long.
    fn note_outage(&self, problem: &str) -> bool {
        let mut outage = self.0.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let outage = outage.get_or_insert_with(|| {
            warn!("the store is not available, it is tried again: {problem}");
            Outage { since: now, tried: now, problem: String::new() }
        });
        outage.tried = now;
        problem.clone_into(&mut outage.problem);
        outage.since.elapsed() > self.0.limits.acquire_timeout
    }

    fn end_outage(&self) {
        let ended = self.0.outage.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(outage) = ended {
            let seconds = outage.since.elapsed().as_secs();
            info!(seconds, "the store is available again after {seconds} s");
        }
    }
}

impl<C: Server> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Server> Lent<'_, C> {
    /// For one thing, whose result [`Self::end`] is told.
    pub fn start(&mut self) -> &mut C {
        self.state = LentState::Busy;
        self.connection.as_mut().expect("it is there until it is dropped")
    }

    pub fn end<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Err(err) if errors::is_lost(err) => self.pool.forget_idle(),
            Ok(_) | Err(_) => self.state = LentState::Ready,
        }
        result
    }

    /// How long one waits for an answer: the server itself should have given up before.
    pub fn patience(&self) -> Duration {
        self.pool.0.limits.statement_timeout + PING
    }

    /// Ends a transaction that nobody ended, before anybody else gets the connection.
    pub fn roll_back_later(&mut self) {
        if self.state == LentState::Ready {
            self.state = LentState::Open;
        }
    }
}

impl<C: Server> Drop for Lent<'_, C> {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        match self.state {
            LentState::Ready => self.pool.put_back(connection),
            // The server ends what it was at.
            LentState::Busy => drop(connection),
            LentState::Open => {
                let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
                let (pool, permit) = (self.pool.clone(), self.permit.take());
                runtime.spawn(async move {
                    let done = within(
                        PING,
                        <C::Database as Database>::TransactionManager::rollback(&mut connection),
                    )
                    .await;
                    if done.is_ok() {
                        pool.put_back(connection);
                    }
                    drop(permit);
                });
            }
        }
    }
}

/// Fails like a lost connection where it takes longer.
pub async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

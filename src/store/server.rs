use std::{future::Future, time::Duration};

use sqlx::{Error, migrate::Migrate};
use tokio::sync::Mutex;
use tracing::{error, warn};

use super::{
    Dialect, Role, StoreError, errors, migrations,
    pool::{Lent, Pool, PoolLimits, Server, within},
};

/// A database on a server. What PostgreSQL and MySQL have in common is in this file.
pub struct ServerDatabase<C: Peer> {
    pub pool: Pool<C>,
    /// None where we are no server of ours, but a command beside one.
    presence: Option<Mutex<Presence<C>>>,
    place: Place,
}

/// What tells other processes that we are there: a lock that ends with its connection, however we end.
struct Presence<C> {
    connection: Option<C>,
    /// Why there is none.
    problem: Option<&'static str>,
}

/// Who else has the database open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nobody: what is pending was left by processes that ended.
    Alone,
    /// Others, who may be at work.
    Shared,
}

/// A kind of server that we keep data on.
pub trait Peer: Server + Migrate {
    const DIALECT: Dialect;
    /// Whether several processes may serve from it at once.
    const TAKES_SEVERAL: bool;

    /// Keeps other processes from migrating until the connection ends.
    fn lock_migrations(&mut self) -> impl Future<Output = Result<(), Error>> + Send;

    /// Takes the lock that says that a process is there, and says whether there was another one.
    fn take_place(&mut self) -> impl Future<Output = Result<Place, Error>> + Send;

    /// Lets others in, once what was pending is finished.
    fn share_place(&mut self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// For migrations, which may wait for another process or for large tables.
const MIGRATION: Duration = Duration::from_hours(1);
const PATIENCE: Duration = Duration::from_secs(5);
const TAKEN: &str = "another process serves from this database, and only PostgreSQL can be shared: stop it, and start this one again";

impl<C: Peer> ServerDatabase<C> {
    /// Connects, migrates, and takes its place. Fails with what is wrong and what to do, without an address: it is told to
    /// clients.
    pub async fn open(
        options: <C as sqlx::Connection>::Options,
        limits: PoolLimits,
        role: Role,
    ) -> Result<Self, String> {
        let pool = Pool::<C>::new(options, limits);
        let mut first = pool.connect().await.map_err(|err| errors::describe_connect(&err))?;
        let (presence, place) = match role {
            Role::Server => {
                let place =
                    first.take_place().await.map_err(|err| errors::describe_connect(&err))?;
                let connection = match place {
                    Place::Shared if !C::TAKES_SEVERAL => None,
                    Place::Alone | Place::Shared => Some(first),
                };
                let problem = connection.is_none().then_some(TAKEN);
                (Some(Mutex::new(Presence { connection, problem })), place)
            }
            Role::Guest => (None, Place::Shared),
        };
        if presence.is_none() || C::TAKES_SEVERAL || place == Place::Alone {
            migrate(&pool).await.map_err(|err| migrations::describe("the database", &err))?;
        }
        pool.warm().await.map_err(|err| errors::describe_connect(&err))?;
        Ok(Self { pool, presence, place })
    }

    /// Lets others in, once what was pending is finished.
    pub async fn share(&self) -> Result<(), Error> {
        match &self.presence {
            Some(presence) if self.is_alone() => match &mut presence.lock().await.connection {
                Some(connection) => connection.share_place().await,
                None => Ok(()),
            },
            Some(_) | None => Ok(()),
        }
    }

    pub const fn is_alone(&self) -> bool {
        matches!(self.place, Place::Alone)
    }

    /// Whether another process was there that must not be.
    pub const fn is_taken(&self) -> bool {
        self.presence.is_some() && !self.is_alone() && !C::TAKES_SEVERAL
    }

    /// How many connections are idle, and how many at work.
    pub fn connections(&self) -> (usize, usize) {
        self.pool.connections()
    }

    pub async fn lend(&self) -> Result<Lent<'_, C>, StoreError> {
        self.pool.lend().await
    }

    /// Why others cannot know that we are there.
    pub async fn check(&self) -> Result<(), StoreError> {
        let Some(presence) = &self.presence else { return Ok(()) };
        match presence.lock().await.problem {
            Some(problem) => Err(StoreError::Unavailable(problem.to_owned())),
            None => Ok(()),
        }
    }

    /// Sees that others still know that we are there.
    pub async fn keep_place(&self) {
        let Some(presence) = &self.presence else { return };
        let mut presence = presence.lock().await;
        if let Some(connection) = &mut presence.connection {
            if within(PATIENCE, connection.ping()).await.is_ok() {
                return;
            }
            presence.connection = None;
        }
        // While the server is away, what is asked of it says so.
        let Ok(mut connection) = self.pool.connect().await else { return };
        match within(PATIENCE, connection.take_place()).await {
            Ok(Place::Shared) if !C::TAKES_SEVERAL => {
                if presence.problem.is_none() {
                    error!("{TAKEN}");
                }
                presence.problem = Some(TAKEN);
            }
            Ok(place) => {
                if place == Place::Alone
                    && let Err(err) = within(PATIENCE, connection.share_place()).await
                {
                    warn!("other processes cannot be told that this one is there: {err}");
                    return;
                }
                *presence = Presence { connection: Some(connection), problem: None };
            }
            Err(err) => warn!("other processes cannot be told that this one is there: {err}"),
        }
    }

    pub async fn close(&self) {
        self.pool.close().await;
        if let Some(presence) = &self.presence
            && let Some(connection) = presence.lock().await.connection.take()
        {
            let _ = within(PATIENCE, connection.close()).await;
        }
    }
}

async fn migrate<C: Peer>(pool: &Pool<C>) -> anyhow::Result<()> {
    // Apart from the pool's: its statements may take their time.
    let mut connection = pool.connect_without_limits().await?;
    within(MIGRATION, connection.lock_migrations()).await?;
    let done = migrations::run(&mut connection, C::DIALECT).await;
    // The lock ends with it.
    let _ = within(PATIENCE, connection.close()).await;
    Ok(done?)
}

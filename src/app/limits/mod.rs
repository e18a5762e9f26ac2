//! What each user, organisation and address may take of the server, counted in the store, so that several servers on
//! one database share it.
//!
//! Requests and turns are taken from the store in blocks, so that few of them write. What is left of the block that
//! another server holds is not there for this one: near its end a limit may be a little lower than it says.

mod payer;
mod shares;
mod streams;

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tracing::warn;

use crate::{
    chatkit::now,
    config::{Limits, Measure},
    store::{LimitKey, Store, StoreError},
    telemetry::count,
};

use self::shares::{Share, Taken};
pub use self::{
    payer::{Payer, Scope},
    streams::StreamPermit,
};

/// A count may be asked for once more so soon after its limit was reached: another server may have given back.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Counts that are kept in memory before those of the past are taken away.
const MANY: usize = 20_000;
/// After how many seconds one of those that run may have ended.
const STREAM_SECONDS: i64 = 5;

/// What was taken of limits, as far as this process knows.
pub struct Limiter {
    store: Store,
    shares: Mutex<HashMap<(String, Measure), Share>>,
    streams: streams::Streams,
}

/// A limit that is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    pub measure: Measure,
    pub scope: Scope,
    pub limit: u64,
    /// When there is more; none: when one of those that run has ended.
    pub until: Option<Timestamp>,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { measure, scope, limit, until } = self;
        let who = match scope {
            Scope::User => "you have reached your limit",
            Scope::Org => "your organisation has reached its limit",
            Scope::Address => "your network address has reached its limit",
        };
        write!(f, "{who} of {limit} {}: ", measure.noun())?;
        match until {
            Some(until) => write!(f, "there is more at {}", until.strftime("%H:%M:%S UTC")),
            None => f.write_str("wait until one of them has ended"),
        }
    }
}

impl Exceeded {
    /// How long to wait before another try, in seconds.
    pub fn retry_after(&self, now: Timestamp) -> u64 {
        let until = self.until.map_or(STREAM_SECONDS, |it| it.as_second() - now.as_second());
        u64::try_from(until).unwrap_or_default().max(1)
    }
}

/// A limit of which little is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearlyExceeded {
    pub measure: Measure,
    pub scope: Scope,
    pub limit: u64,
    pub left: u64,
    pub until: Timestamp,
}

impl NearlyExceeded {
    /// For the user.
    pub fn message(&self) -> String {
        let Self { measure, scope, limit, left, until } = self;
        let whose = match scope {
            Scope::User => "your",
            Scope::Org => "your organisation's",
            Scope::Address => "your network address's",
        };
        let until = until.strftime("%H:%M UTC");
        format!("{left} of {whose} {limit} {} are left until {until}", measure.noun())
    }
}

/// What a turn was let in with.
#[derive(Debug, Default)]
pub struct Admitted {
    pub permit: Option<StreamPermit>,
    /// What the user is told at its beginning.
    pub near: Vec<NearlyExceeded>,
}

impl Limiter {
    pub fn new(store: Store) -> Self {
        Self { streams: streams::Streams::default(), shares: Mutex::default(), store }
    }

    /// Takes so much of what is counted at once. Where one of the limits has not so much left, nothing is taken.
    pub async fn take(
        &self,
        limits: &Limits,
        payer: &Payer<'_>,
        measure: Measure,
        amount: u64,
    ) -> Result<Vec<NearlyExceeded>, Exceeded> {
        let mut near = Vec::new();
        let mut taken = Vec::new();
        for (scope, subject, limit) in payer.limited_by(limits, measure) {
            match self.take_one(&subject, measure, limit, amount).await {
                Ok(left) => {
                    taken.push((subject, limit));
                    near.extend(left.map(|(left, until)| NearlyExceeded {
                        measure,
                        scope,
                        limit,
                        left,
                        until,
                    }));
                }
                Err(until) => {
                    for (subject, _) in taken {
                        self.with_share(&subject, measure, |share| share.put_back(amount));
                    }
                    count::limited(measure.name(), scope.name());
                    return Err(Exceeded { measure, scope, limit, until: Some(until) });
                }
            }
        }
        Ok(near)
    }

    /// Whether there is anything left of what is known afterwards only.
    pub async fn check(
        &self,
        limits: &Limits,
        payer: &Payer<'_>,
        measure: Measure,
    ) -> Result<Vec<NearlyExceeded>, Exceeded> {
        let mut near = Vec::new();
        for (scope, subject, limit) in payer.limited_by(limits, measure) {
            let window = Window::of(measure, now());
            let used = match self.store.limits().find(window.key(&subject, measure)).await {
                Ok(used) => u64::try_from(used).unwrap_or_default(),
                Err(err) => {
                    forgive(&err);
                    continue;
                }
            };
            let left = limit.saturating_sub(used);
            if left == 0 {
                count::limited(measure.name(), scope.name());
                return Err(Exceeded { measure, scope, limit, until: Some(window.end()) });
            }
            let is_news = self
                .with_share(&subject, measure, |share| share.is_news(window.since, left, limit));
            if is_news {
                near.push(NearlyExceeded { measure, scope, limit, left, until: window.end() });
            }
        }
        Ok(near)
    }

    /// Counts what was used, whatever is left.
    pub async fn spend(&self, limits: &Limits, payer: &Payer<'_>, measure: Measure, amount: u64) {
        if amount == 0 {
            return;
        }
        let amount = i64::try_from(amount).unwrap_or(i64::MAX);
        for (_, subject, _) in payer.limited_by(limits, measure) {
            let window = Window::of(measure, now());
            let added = self.store.limits().add(window.key(&subject, measure), amount).await;
            if let Err(err) = added {
                forgive(&err);
            }
        }
    }

    /// Takes a place among the turns that run at one time, until the permit is dropped.
    pub async fn stream(
        &self,
        limits: &Limits,
        payer: &Payer<'_>,
    ) -> Result<StreamPermit, Exceeded> {
        let mut permit = self.streams.permit();
        for (scope, subject, limit) in payer.limited_by(limits, Measure::Streams) {
            let running = self.streams.enter(&self.store, &mut permit, subject).await;
            match running {
                Ok(running) if running > limit => {
                    count::limited(Measure::Streams.name(), scope.name());
                    return Err(Exceeded { measure: Measure::Streams, scope, limit, until: None });
                }
                Ok(_) => (),
                Err(err) => forgive(&err),
            }
        }
        Ok(permit)
    }

    /// Gives the place back, so that other processes know of it at once.
    pub async fn leave(&self, permit: StreamPermit) {
        self.streams.leave(&self.store, permit).await;
    }

    /// Tells the store of the turns that run here, so that it believes in them.
    pub async fn renew(&self) {
        self.streams.renew(&self.store).await;
    }

    /// Takes away what means nothing any more.
    pub async fn sweep(&self) {
        if let Err(err) = self.store.limits().sweep(now().as_second()).await {
            forgive(&err);
        }
    }

    /// Gives what this process has not used back to the others.
    pub async fn close(&self) {
        self.streams.close(&self.store).await;
        let shares =
            std::mem::take(&mut *self.shares.lock().unwrap_or_else(PoisonError::into_inner));
        for ((subject, measure), share) in shares {
            let window = Window::of(measure, now());
            let left = i64::try_from(share.unused(window.since)).unwrap_or_default();
            if left > 0 {
                // It lapses with its minute or day.
                let _ = self.store.limits().add(window.key(&subject, measure), -left).await;
            }
        }
    }

    /// How much is left where that is news; fails with when there is more.
    async fn take_one(
        &self,
        subject: &str,
        measure: Measure,
        limit: u64,
        amount: u64,
    ) -> Result<Option<(u64, Timestamp)>, Timestamp> {
        let window = Window::of(measure, now());
        loop {
            let taken = self.with_share(subject, measure, |share| {
                share.take(window.since, limit, amount, now().as_second())
            });
            match taken {
                Taken::Yes { left } => return Ok(left.map(|left| (left, window.end()))),
                Taken::No => return Err(window.end()),
                Taken::Ask { block } => {
                    let block = i64::try_from(block).unwrap_or(i64::MAX);
                    let key = window.key(subject, measure);
                    let total = match self.store.limits().add(key, block).await {
                        Ok(total) => total,
                        Err(err) => {
                            forgive(&err);
                            return Ok(None);
                        }
                    };
                    let excess = self.with_share(subject, measure, |share| {
                        share.lease(window.since, limit, total, block, now().as_second())
                    });
                    if excess > 0 {
                        // What there is not to be had stays for those who ask for less.
                        let given_back = self.store.limits().add(key, -excess).await;
                        if let Err(err) = given_back {
                            forgive(&err);
                        }
                    }
                }
            }
        }
    }

    fn with_share<T>(
        &self,
        subject: &str,
        measure: Measure,
        act: impl FnOnce(&mut Share) -> T,
    ) -> T {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if shares.len() > MANY {
            let now = now();
            shares.retain(|(_, measure), share| share.is_of(Window::of(*measure, now).since));
        }
        act(shares.entry((subject.to_owned(), measure)).or_default())
    }
}

/// The minute or day that a count is of.
#[derive(Debug, Clone, Copy)]
struct Window {
    since: i64,
    seconds: i64,
}

impl Window {
    fn of(measure: Measure, now: Timestamp) -> Self {
        let window = measure.window().unwrap_or(Duration::from_mins(1));
        let seconds = i64::try_from(window.as_secs()).unwrap_or(60);
        Self { since: now.as_second().div_euclid(seconds) * seconds, seconds }
    }

    fn end(self) -> Timestamp {
        Timestamp::from_second(self.since + self.seconds).unwrap_or(Timestamp::MAX)
    }

    fn key(self, subject: &str, measure: Measure) -> LimitKey<'_> {
        let measure = measure.name();
        // A clock of another server may be behind.
        let until = self.since + self.seconds + 60;
        LimitKey { subject, measure, since: self.since, until }
    }
}

/// A store that is away keeps nobody from what works without it; what does not is refused by whoever needs the store.
fn forgive(err: &StoreError) {
    warn!("limits are not counted now: {err}");
}

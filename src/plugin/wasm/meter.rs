use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use crate::plugin::CallError;

/// Of one call: waiting in them does not count as its time.
const HOST_CALLS: u32 = 100_000;

/// What a call has used of its time.
pub struct Meter {
    timeout: Duration,
    clock: Mutex<Clock>,
    host_calls: AtomicU32,
}

struct Clock {
    deadline: Instant,
    /// Since when it waits for what has a limit of its own.
    waiting: Option<Instant>,
}

impl Meter {
    /// Begins to measure.
    pub fn new(timeout: Duration) -> Self {
        let clock = Clock { deadline: Instant::now() + timeout, waiting: None };
        Self { timeout, clock: Mutex::new(clock), host_calls: AtomicU32::new(0) }
    }

    /// None: its time is over.
    pub fn left(&self) -> Option<Duration> {
        let clock = self.lock();
        let now = clock.waiting.unwrap_or_else(Instant::now);
        clock.deadline.checked_duration_since(now)
    }

    /// Waits for `future`, which has a limit of its own: the clock stands still meanwhile.
    pub async fn apart<R>(&self, future: impl Future<Output = R>) -> R {
        self.lock().waiting = Some(Instant::now());
        let result = future.await;
        let mut clock = self.lock();
        if let Some(since) = clock.waiting.take() {
            clock.deadline += since.elapsed();
        }
        result
    }

    /// Comes back once its time is over.
    pub async fn elapsed(&self) -> CallError {
        while let Some(left) = self.left() {
            tokio::time::sleep(left + Duration::from_millis(1)).await;
        }
        CallError::Limit(format!(
            "the component ran longer than {} s, its limit: `timeout` in `[limits.plugin]`",
            self.timeout.as_secs_f64()
        ))
    }

    /// Counts a call of the host.
    pub fn count(&self) -> Result<(), CallError> {
        if self.host_calls.fetch_add(1, Ordering::Relaxed) < HOST_CALLS {
            return Ok(());
        }
        Err(CallError::Limit(format!("the component called the host more than {HOST_CALLS} times")))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_apart_does_not_count() {
        let meter = Meter::new(Duration::from_millis(50));
        meter.apart(tokio::time::sleep(Duration::from_millis(80))).await;
        assert!(meter.left().is_some());
        assert!(matches!(meter.elapsed().await, CallError::Limit(_)));
        assert!(meter.left().is_none());
    }
}

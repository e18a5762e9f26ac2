use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use tokio::sync::{Semaphore, oneshot};

/// Room for the deepest calls and the deepest values that the limits admit. Only what is used is
/// ever taken from the machine.
const STACK: usize = 32 * 1024 * 1024;

/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);

static POOL: Pool = Pool {
    state: Mutex::new(State { jobs: VecDeque::new(), idle: 0 }),
    work: Condvar::new(),
    permits: Mutex::new(BTreeMap::new()),
};

/// The threads that run scripts. They are ours, and not the runtime's for blocking work, because
/// scripts need more stack than those have.
struct Pool {
    state: Mutex<State>,
    work: Condvar,
    /// By limit, because the limit may change with a reload.
    permits: Mutex<BTreeMap<usize, Arc<Semaphore>>>,
}

struct State {
    jobs: VecDeque<Job>,
    /// Threads that wait for a job.
    idle: usize,
}

type Job = Box<dyn FnOnce() + Send>;

/// Why a job was not run to its end.
#[derive(Debug, PartialEq, Eq)]
pub enum PoolError {
    /// All threads were taken, all the time.
    Full,
    /// It panicked, or there is no thread to be had.
    Failed,
}

/// Runs `job` on one of at most `threads` threads; waits up to `patience` for one to be free.
pub async fn run<R: Send + 'static>(
    threads: usize,
    patience: Duration,
    job: impl FnOnce() -> R + Send + 'static,
) -> Result<R, PoolError> {
    let semaphore = {
        let mut permits = POOL.permits.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Semaphore::new(threads.clamp(1, Semaphore::MAX_PERMITS)));
        permits.entry(threads).or_insert_with(new).clone()
    };
    let permit = match semaphore.clone().try_acquire_owned() {
        Ok(permit) => permit,
        Err(_) => tokio::time::timeout(patience, semaphore.acquire_owned())
            .await
            .map_err(|_| PoolError::Full)?
            .map_err(|_| PoolError::Failed)?,
    };
    let (reply, answer) = oneshot::channel();
    POOL.submit(Box::new(move || {
        let result = job();
        drop(permit);
        // Nobody waits any more for a call that was cancelled.
        let _ = reply.send(result);
    }))?;
    answer.await.map_err(|_| PoolError::Failed)
}

/// Runs `job` on a thread like those of the pool, and waits for it.
pub fn run_now<R: Send>(job: impl FnOnce() -> R + Send) -> Result<R, PoolError> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("kitfox-load".to_owned()).stack_size(STACK);
        let thread = builder.spawn_scoped(scope, job).map_err(|_| PoolError::Failed)?;
        thread.join().map_err(|_| PoolError::Failed)
    })
}

impl Pool {
    fn submit(&'static self, job: Job) -> Result<(), PoolError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.jobs.len() >= state.idle {
            let builder = thread::Builder::new().name("kitfox-script".to_owned()).stack_size(STACK);
            builder.spawn(|| self.work()).map_err(|_| PoolError::Failed)?;
        }
        state.jobs.push_back(job);
        self.work.notify_one();
        Ok(())
    }

    fn work(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // Its caller learns of the panic, because its reply is dropped.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.idle += 1;
            let (next, waited) = self
                .work
                .wait_timeout_while(state, IDLE, |state| state.jobs.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            state = next;
            state.idle -= 1;
            if waited.timed_out() {
                return;
            }
        }
    }
}

//! The one engine of the process: how components are compiled, where they live, and on which threads they run.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tracing::warn;
use wasmtime::{
    Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
};

/// How often running components are looked at. Each gives way to others as often.
const TICK: Duration = Duration::from_millis(5);

/// What one memory can grow to: all that a component can address, so that its code need not check where it reads. What it
/// may use of it is `memory` in `[limits.plugin]`.
const ADDRESSES: usize = 4 << 30;
/// Instances that exist at one time. Each has its place in memory reserved, which costs addresses and nothing else.
const INSTANCES: u32 = 512;
/// Of these, what calls may take: some are left for what is being loaded.
const PLACES: usize = 480;
/// Core instances that a component is made of: those of Python have 38.
pub const CORE_INSTANCES: u32 = 64;
pub const MEMORIES: u32 = 4;
pub const TABLES: u32 = 64;
/// Of one table: `CPython` has one of about 10,000 functions.
pub const TABLE_ELEMENTS: usize = 50_000;
/// Of a component's calls within itself.
const STACK: usize = 1024 * 1024;
/// The same, and what the host needs on it.
const ASYNC_STACK: usize = STACK + 1024 * 1024;

static MACHINE: OnceLock<Result<Machine, String>> = OnceLock::new();
static CACHING: AtomicBool = AtomicBool::new(false);

/// Keeps compiled code in the user's cache folder, by content. It counts before the first component is loaded.
///
/// The folder is the user's and not the project's: what is in it is run as it is, and projects are copied from others.
pub fn cache_compiled_code() {
    CACHING.store(true, Ordering::Relaxed);
}

fn cache() -> Option<Cache> {
    if !CACHING.load(Ordering::Relaxed) {
        return None;
    }
    match Cache::new(CacheConfig::new()) {
        Ok(cache) => Some(cache),
        Err(err) => {
            warn!("components are compiled anew at each start, for there is no cache: {err:#}");
            None
        }
    }
}

/// What all components share.
pub struct Machine {
    pub engine: Engine,
    /// Where components run: threads apart from those that serve requests, so that one that computes for long slows
    /// no stream more than the system's scheduler lets it.
    pub runtime: Runtime,
    /// Where components are compiled: half of the processors, so that the others are free.
    compilers: rayon::ThreadPool,
    clock: Arc<Clock>,
    /// By limit, because the limit may change with a reload.
    permits: Mutex<BTreeMap<usize, Arc<Semaphore>>>,
}

/// Fails where the system does not give what an engine needs; the text says what.
pub fn machine() -> Result<&'static Machine, String> {
    let machine = MACHINE.get_or_init(|| {
        Machine::start().map_err(|err| format!("the engine for components cannot start: {err:#}"))
    });
    machine.as_ref().map_err(Clone::clone)
}

impl Machine {
    fn start() -> anyhow::Result<Self> {
        let cache = cache();
        let engine = match Engine::new(&config(pool(), cache.clone())) {
            Ok(engine) => engine,
            Err(err) => {
                warn!(
                    "no memory can be reserved for components, and their calls are slower: {err:#}"
                );
                Engine::new(&config(InstanceAllocationStrategy::OnDemand, cache))?
            }
        };
        let processors = thread::available_parallelism().map_or(2, usize::from);
        let runtime = Builder::new_multi_thread()
            .worker_threads(processors.max(2))
            .thread_name("kitfox-wasm")
            .enable_time()
            .build()?;
        let compilers = rayon::ThreadPoolBuilder::new()
            .num_threads((processors / 2).max(1))
            .thread_name(|_| "kitfox-compile".to_owned())
            .build()?;
        let clock = Arc::new(Clock::default());
        clock.start(&engine)?;
        Ok(Self { engine, runtime, compilers, clock, permits: Mutex::default() })
    }

    /// Runs `work`, which compiles, on the threads for it.
    pub fn compile<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.compilers.install(work)
    }

    /// One of `limit` places for running components; waits up to `patience` for one to be free.
    pub async fn permit(&self, limit: usize, patience: Duration) -> Option<OwnedSemaphorePermit> {
        let semaphore = {
            let mut permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(limit.clamp(1, PLACES)));
            permits.entry(limit).or_insert_with(new).clone()
        };
        if let Ok(permit) = semaphore.clone().try_acquire_owned() {
            return Some(permit);
        }
        tokio::time::timeout(patience, semaphore.acquire_owned()).await.ok()?.ok()
    }

    /// Has the engine's clock go on for as long as the guard lives.
    pub fn ticking(&self) -> Ticking {
        self.clock.begin();
        Ticking(self.clock.clone())
    }
}

fn config(allocation: InstanceAllocationStrategy, cache: Option<Cache>) -> Config {
    let mut config = Config::new();
    config
        .allocation_strategy(allocation)
        .memory_reservation(ADDRESSES as u64)
        .max_wasm_stack(STACK)
        .async_stack_size(ASYNC_STACK)
        .epoch_interruption(true)
        .cache(cache);
    config
}

fn pool() -> InstanceAllocationStrategy {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES)
        .total_core_instances(INSTANCES * 4)
        .total_stacks(INSTANCES)
        .total_memories(INSTANCES)
        .total_tables(INSTANCES * 4)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memory_size(ADDRESSES)
        .table_elements(TABLE_ELEMENTS);
    InstanceAllocationStrategy::Pooling(pool)
}

/// Counts the engine's epochs while anything runs, and sleeps else.
#[derive(Default)]
struct Clock {
    running: Mutex<usize>,
    begun: Condvar,
}

/// Something runs.
pub struct Ticking(Arc<Clock>);

impl Clock {
    fn start(self: &Arc<Self>, engine: &Engine) -> std::io::Result<()> {
        let (clock, engine) = (self.clone(), engine.weak());
        let tick = move || {
            loop {
                clock.wait();
                thread::sleep(TICK);
                let Some(engine) = engine.upgrade() else { return };
                engine.increment_epoch();
            }
        };
        thread::Builder::new().name("kitfox-wasm-clock".to_owned()).spawn(tick).map(drop)
    }

    fn begin(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running += 1;
        if *running == 1 {
            self.begun.notify_one();
        }
    }

    fn wait(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.begun.wait_while(running, |running| *running == 0));
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}

use std::{
    cell::{Cell, RefCell},
    future::Future,
    rc::Rc,
    time::{Duration, Instant},
};

use rhai::{Dynamic, EvalAltResult, FnPtr, Map, Position, Scope};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::{config::PluginLimits, plugin::CallError};

/// How deep values may nest: JSON's usual limit, and far from what would exhaust a stack.
pub const DEPTH: usize = 128;

/// Operations between two looks at the clock.
const STRIDE: u32 = 256;

/// Accesses of variables between two looks at what they hold.
const SCAN_STRIDE: u32 = 1024;

/// Strings of the largest size that the variables of a call may hold together. Rhai bounds single
/// values, and not all of them: `map[key] = value` and `array[i] = value` grow unseen.
const MEMORY_FACTOR: usize = 32;

thread_local! {
    static METER: RefCell<Option<Rc<Meter>>> = const { RefCell::new(None) };
    static UNTIL_LOOK: Cell<u32> = const { Cell::new(STRIDE) };
    static UNTIL_SCAN: Cell<u32> = const { Cell::new(SCAN_STRIDE) };
}

/// What the script on this thread has used, and why it is to stop.
struct Meter {
    limits: PluginLimits,
    deadline: Cell<Instant>,
    operations: Cell<u64>,
    cancelled: CancellationToken,
    failure: RefCell<Option<CallError>>,
    next_scan: Cell<Instant>,
    /// The size of the variables at each level of calls, as last seen.
    levels: RefCell<Vec<usize>>,
}

/// Runs `script` under these limits. Where it stopped it, the reason is the second value.
pub fn metered<R>(
    limits: &PluginLimits,
    cancelled: &CancellationToken,
    script: impl FnOnce() -> R,
) -> (R, Option<CallError>) {
    let now = Instant::now();
    let meter = Rc::new(Meter {
        limits: limits.clone(),
        deadline: Cell::new(now + limits.timeout),
        operations: Cell::new(0),
        cancelled: cancelled.clone(),
        failure: RefCell::new(None),
        next_scan: Cell::new(now),
        levels: RefCell::default(),
    });
    UNTIL_LOOK.set(STRIDE);
    UNTIL_SCAN.set(SCAN_STRIDE);
    let before = METER.replace(Some(meter.clone()));
    let result = script();
    METER.set(before);
    let failure = meter.failure.take();
    (result, failure)
}

/// Counts an operation. Some: the script is to stop.
pub fn tick() -> Option<Dynamic> {
    let left = UNTIL_LOOK.get() - 1;
    if left > 0 {
        UNTIL_LOOK.set(left);
        return None;
    }
    UNTIL_LOOK.set(STRIDE);
    let meter = current()?;
    let failure = meter.look()?;
    meter.failure.replace(Some(failure));
    Some(Dynamic::UNIT)
}

/// Counts an access of a variable, and looks now and then at how much all of them hold.
pub fn visit(scope: &Scope<'_>, level: usize) -> Result<(), Box<EvalAltResult>> {
    let left = UNTIL_SCAN.get() - 1;
    if left > 0 {
        UNTIL_SCAN.set(left);
        return Ok(());
    }
    UNTIL_SCAN.set(SCAN_STRIDE);
    let Some(meter) = current() else { return Ok(()) };
    match meter.scan(scope, level) {
        Ok(()) => Ok(()),
        Err(failure) => Err(stop(failure)),
    }
}

/// The error that ends the script whatever it catches, with this reason.
#[expect(clippy::unnecessary_box_returns, reason = "Rhai's results hold its errors boxed")]
pub fn stop(failure: CallError) -> Box<EvalAltResult> {
    if let Some(meter) = current() {
        meter.failure.replace(Some(failure));
    }
    Box::new(EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE))
}

/// Waits for `future` on the script's own time.
pub fn wait<R>(handle: &Handle, future: impl Future<Output = R>) -> Result<R, CallError> {
    let Some(meter) = current() else { return Ok(handle.block_on(future)) };
    let left = meter.deadline.get().saturating_duration_since(Instant::now());
    handle.block_on(async {
        tokio::select! {
            biased;
            () = meter.cancelled.cancelled() => Err(CallError::Cancelled),
            result = tokio::time::timeout(left, future) => result.map_err(|_| meter.too_long()),
        }
    })
}

/// Waits for `future`, which has a limit of its own: the script's clock stands still meanwhile.
pub fn wait_apart<R>(handle: &Handle, future: impl Future<Output = R>) -> Result<R, CallError> {
    let Some(meter) = current() else { return Ok(handle.block_on(future)) };
    let begun = Instant::now();
    let result = handle.block_on(async {
        tokio::select! {
            biased;
            () = meter.cancelled.cancelled() => Err(CallError::Cancelled),
            result = future => Ok(result),
        }
    });
    meter.deadline.set(meter.deadline.get() + begun.elapsed());
    result
}

/// Sleeps on the script's own time.
pub fn sleep(duration: Duration) -> Result<(), Box<EvalAltResult>> {
    const NAP: Duration = Duration::from_millis(10);
    let end = Instant::now().checked_add(duration);
    loop {
        let now = Instant::now();
        let left = end.map_or(Duration::MAX, |end| end.saturating_duration_since(now));
        if left.is_zero() {
            return Ok(());
        }
        if let Some(meter) = current() {
            if meter.cancelled.is_cancelled() {
                return Err(stop(CallError::Cancelled));
            }
            if now > meter.deadline.get() {
                return Err(stop(meter.too_long()));
            }
        }
        std::thread::sleep(left.min(NAP));
    }
}

/// Fails where a string of this many bytes would be too long.
pub fn check_string(bytes: usize) -> Result<(), Box<EvalAltResult>> {
    match current() {
        Some(meter) if bytes > meter.limits.string_bytes => {
            Err(stop(too_long_a_string(meter.limits.string_bytes)))
        }
        Some(_) | None => Ok(()),
    }
}

/// What a limit of the engine means, in our words.
pub fn exceeded(limits: &PluginLimits, err: &EvalAltResult) -> Option<CallError> {
    let message = match err {
        EvalAltResult::ErrorStackOverflow(_) => format!(
            "the script called itself or others deeper than {} levels, its limit: \
             `call_depth` in `[limits.plugin]`",
            limits.call_depth
        ),
        EvalAltResult::ErrorDataTooLarge(kind, _) if kind.contains("string") => {
            return Some(too_long_a_string(limits.string_bytes));
        }
        EvalAltResult::ErrorDataTooLarge(..) => too_many_entries(limits.entries),
        EvalAltResult::ErrorTooManyOperations(_) => too_many_operations(limits.operations),
        EvalAltResult::ErrorTooManyVariables(_) | EvalAltResult::ErrorTooManyModules(_) => {
            "the script holds too many variables or modules".to_owned()
        }
        _ => return None,
    };
    Some(CallError::Limit(message))
}

impl Meter {
    fn look(&self) -> Option<CallError> {
        let operations = self.operations.get() + u64::from(STRIDE);
        self.operations.set(operations);
        if operations > self.limits.operations {
            return Some(CallError::Limit(too_many_operations(self.limits.operations)));
        }
        if self.cancelled.is_cancelled() {
            return Some(CallError::Cancelled);
        }
        (Instant::now() > self.deadline.get()).then(|| self.too_long())
    }

    fn scan(&self, scope: &Scope<'_>, level: usize) -> Result<(), CallError> {
        let begun = Instant::now();
        if begun < self.next_scan.get() {
            return Ok(());
        }
        let mut size = 0;
        for (_, _, value) in scope.iter_raw() {
            self.weigh(value, 0, &mut size)?;
        }
        // A long look is not repeated soon, so that looking never takes most of the time.
        self.next_scan.set(begun + begun.elapsed() * 3);

        let mut levels = self.levels.borrow_mut();
        levels.resize(level + 1, 0);
        levels[level] = size;
        if levels.iter().sum::<usize>() > self.budget() {
            return Err(self.too_much());
        }
        Ok(())
    }

    /// Adds about how many bytes a value takes. It gives up where that is too much, and so ends even
    /// where closures capture each other in ways that have more paths than parts.
    fn weigh(&self, value: &Dynamic, depth: usize, size: &mut usize) -> Result<(), CallError> {
        const ENTRY: usize = size_of::<Dynamic>();
        // Chains of closures nest as values do, though nobody sees it.
        if depth > DEPTH * 4 {
            return Err(CallError::Limit(too_deep()));
        }
        *size += ENTRY;
        if *size > self.budget() {
            return Err(self.too_much());
        }
        if value.is_shared() {
            return match value.read_lock::<Dynamic>() {
                Some(inner) => self.weigh(&inner, depth + 1, size),
                None => Ok(()),
            };
        }
        if let Ok(text) = value.as_immutable_string_ref() {
            *size += text.len();
        } else if let Ok(array) = value.as_array_ref() {
            self.check_entries(array.len())?;
            for entry in array.iter() {
                self.weigh(entry, depth + 1, size)?;
            }
        } else if let Some(map) = value.read_lock::<Map>() {
            self.check_entries(map.len())?;
            for (key, entry) in map.iter() {
                *size += key.len() + 2 * ENTRY;
                self.weigh(entry, depth + 1, size)?;
            }
        } else if let Ok(blob) = value.as_blob_ref() {
            *size += blob.len();
        } else if let Some(closure) = value.read_lock::<FnPtr>() {
            for entry in closure.iter_curry() {
                self.weigh(entry, depth + 1, size)?;
            }
        }
        Ok(())
    }

    fn check_entries(&self, entries: usize) -> Result<(), CallError> {
        if entries <= self.limits.entries {
            return Ok(());
        }
        Err(CallError::Limit(too_many_entries(self.limits.entries)))
    }

    fn budget(&self) -> usize {
        self.limits.string_bytes.saturating_mul(MEMORY_FACTOR)
    }

    fn too_much(&self) -> CallError {
        CallError::Limit(format!(
            "the script holds more than {} of values, its limit: {MEMORY_FACTOR} times \
             `string_bytes` in `[limits.plugin]`",
            bytes(self.budget())
        ))
    }

    fn too_long(&self) -> CallError {
        CallError::Limit(format!(
            "the script ran longer than {}, its limit: `timeout` in `[limits.plugin]`",
            seconds(self.limits.timeout)
        ))
    }
}

pub fn too_deep() -> String {
    format!("a value nests deeper than {DEPTH} levels, the limit")
}

fn current() -> Option<Rc<Meter>> {
    METER.with_borrow(Clone::clone)
}

fn too_many_operations(limit: u64) -> String {
    format!(
        "the script took more than {limit} operations, its limit: `operations` in `[limits.plugin]`"
    )
}

fn too_many_entries(limit: usize) -> String {
    format!(
        "an array or map has more than {limit} entries, the limit: `entries` in `[limits.plugin]`"
    )
}

fn too_long_a_string(limit: usize) -> CallError {
    CallError::Limit(format!(
        "a string is longer than {}, the limit: `string_bytes` in `[limits.plugin]`",
        bytes(limit)
    ))
}

fn bytes(size: usize) -> String {
    const MIB: usize = 1024 * 1024;
    if size >= MIB && size.is_multiple_of(MIB) {
        format!("{} MiB", size / MIB)
    } else {
        format!("{size} bytes")
    }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

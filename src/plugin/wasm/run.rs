use std::sync::Arc;

use futures::future::BoxFuture;
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use super::{
    capture::Capture,
    engine::machine,
    meter::Meter,
    state::{Caller, State},
};
use crate::{config::PluginLimits, plugin::CallError};

/// What an instance is made for: instantiates, and calls one export.
pub type Work<R> =
    Box<dyn for<'s> FnOnce(&'s mut Store<State>) -> BoxFuture<'s, wasmtime::Result<R>> + Send>;

/// What a component printed while it ran.
#[derive(Default)]
pub struct Printed {
    pub stdout: Capture,
    pub stderr: Capture,
}

/// Runs `work` in a store of its own, within the limits. What it printed is there however it ends.
pub async fn run<R>(
    limits: &PluginLimits,
    caller: Option<Caller>,
    printed: &Printed,
    work: Work<R>,
) -> Result<R, CallError> {
    let machine = machine().map_err(CallError::Thrown)?;
    let meter = Arc::new(Meter::new(limits.timeout));
    let state = State::new(limits.memory, caller, meter.clone(), printed);
    let mut store = Store::new(&machine.engine, state);
    store.limiter(|state| state);
    // What it gives to the host in one call: a text of the largest size, and room for what it is in.
    store.set_hostcall_fuel(limits.string_bytes.saturating_mul(2).saturating_add(64 * 1024));
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| match store.data().meter.left() {
        Some(_) => Ok(UpdateDeadline::Yield(1)),
        None => Ok(UpdateDeadline::Interrupt),
    });
    let _ticking = machine.ticking();
    let result = tokio::select! {
        biased;
        result = work(&mut store) => result,
        limit = meter.elapsed() => return Err(limit),
    };
    let err = match result {
        Ok(result) => return Ok(result),
        Err(err) => err,
    };
    let state = store.data_mut();
    if let Some(failure) = state.failure.take() {
        return Err(failure);
    }
    if meter.left().is_none() {
        return Err(meter.elapsed().await);
    }
    Err(explain(&err, state.wanted_memory, limits))
}

/// What a trap means, in our words.
fn explain(err: &wasmtime::Error, wanted_memory: bool, limits: &PluginLimits) -> CallError {
    if wanted_memory {
        return CallError::Limit(format!(
            "the component wanted more than {} MiB of memory, its limit: `memory` in `[limits.plugin]`",
            limits.memory >> 20
        ));
    }
    if let Some(exit) = err.downcast_ref::<I32Exit>() {
        return CallError::Thrown(format!("the component exited with the code {}", exit.0));
    }
    let text = format!("{err:#}");
    if text.contains("fuel allocated for hostcalls") {
        return CallError::Limit(format!(
            "the component gave more than {} bytes at once, the limit: `string_bytes` in `[limits.plugin]`",
            limits.string_bytes
        ));
    }
    match err.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => {
            CallError::Limit("the component called itself too deeply".to_owned())
        }
        Some(Trap::UnreachableCodeReached) => CallError::Thrown(
            "the component stopped itself, as after a panic: its log says more".to_owned(),
        ),
        Some(trap) => CallError::Thrown(format!("the component failed: {trap}")),
        None => CallError::Thrown(format!("the component failed: {}", err.root_cause())),
    }
}

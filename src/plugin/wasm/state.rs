use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::runtime::Handle;
use tokio_util::context::TokioContext;
use wasmtime::{ResourceLimiter, component::ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::{
    bindings::{host, kitfox::plugin::types},
    engine::{CORE_INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES},
    fetch::{self, Fetcher},
    meter::Meter,
    run::Printed,
};
use crate::{
    chatkit::AttachmentId,
    plugin::{
        CallError, HttpBody, HttpRequest, HttpResponse, Redirects,
        ctx::{HostCall, find_member},
    },
};

/// Handles (streams, timers, …) that one call may hold.
const HANDLES: usize = 10_000;
/// Random bytes that a component may ask for at once.
const RANDOM: u64 = 64 * 1024;

/// What the host holds for one instance: it lives as long as one call.
pub struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    fetcher: Fetcher,
    table: ResourceTable,
    pub meter: Arc<Meter>,
    /// None while it is loaded: there is no `ctx` yet.
    caller: Option<Caller>,
    /// What its memories may still grow by.
    memory: usize,
    /// Whether it was refused memory: what it does then is its own affair.
    pub wanted_memory: bool,
    /// Why the host ended the call.
    pub failure: Option<CallError>,
}

/// Who calls, and the runtime that does what components wait for: it is not the one that they run on.
#[derive(Clone)]
pub struct Caller {
    pub call: Arc<HostCall>,
    pub runtime: Handle,
}

impl State {
    /// `memory` is what it may have in all.
    pub fn new(
        memory: usize,
        caller: Option<Caller>,
        meter: Arc<Meter>,
        printed: &Printed,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        // Neither files, nor variables, nor arguments, nor addresses: clocks, chance, and what it prints.
        let wasi = WasiCtxBuilder::new()
            .stdout(printed.stdout.clone())
            .stderr(printed.stderr.clone())
            .max_random_size(RANDOM)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let fetcher = Fetcher::new(caller.clone(), meter.clone());
        Self {
            wasi,
            http: fetch::context(),
            fetcher,
            table,
            meter,
            caller,
            memory,
            wanted_memory: false,
            failure: None,
        }
    }

    /// What waits in the host: the call's failure, where it is one that the component may not go on after.
    fn answer<T>(&mut self, answer: Result<T, CallError>) -> wasmtime::Result<Result<T, String>> {
        match answer {
            Ok(answer) => Ok(Ok(answer)),
            Err(CallError::Thrown(message)) => Ok(Err(message)),
            Err(failure) => {
                let text = failure.to_string();
                self.failure = Some(failure);
                Err(wasmtime::Error::msg(text))
            }
        }
    }

    fn caller(&mut self) -> wasmtime::Result<Result<Caller, String>> {
        let caller = self.meter.count().and_then(|()| {
            self.caller.clone().ok_or_else(|| {
                CallError::Thrown(
                    "`describe` is called while the file is loaded, without `ctx`".to_owned(),
                )
            })
        });
        self.answer(caller)
    }
}

impl types::Host for State {}

impl host::Host for State {
    async fn invoke(
        &mut self,
        member: String,
        arguments: String,
    ) -> wasmtime::Result<Result<String, String>> {
        let caller = match self.caller()? {
            Ok(caller) => caller,
            Err(message) => return Ok(Err(message)),
        };
        let arguments = match serde_json::from_str::<Vec<Value>>(&arguments) {
            Ok(arguments) => arguments,
            Err(err) => {
                return Ok(Err(format!(
                    "the arguments of `ctx.{member}` are no JSON array: {err}"
                )));
            }
        };
        let apart = find_member(&member).is_ok_and(|it| it.waits_apart);
        let answer =
            TokioContext::new(caller.call.invoke(&member, arguments), caller.runtime.clone());
        let answer =
            if apart { Box::pin(self.meter.clone().apart(answer)).await } else { answer.await };
        self.answer(answer.map(|json| json.to_string()))
    }

    async fn fetch(
        &mut self,
        request: host::Request,
    ) -> wasmtime::Result<Result<host::Response, String>> {
        let caller = match self.caller()? {
            Ok(caller) => caller,
            Err(message) => return Ok(Err(message)),
        };
        let host::Request { method, url, query, headers, body, timeout_ms } = request;
        let request = HttpRequest {
            method: method.to_ascii_uppercase(),
            url,
            query,
            headers,
            body: body.map_or(HttpBody::None, HttpBody::Bytes),
            timeout: timeout_ms.map(|it| Duration::from_millis(it.into())),
            credential: None,
        };
        let call = caller.call.clone();
        let fetch =
            call.host.http(&call.plugin.manifest, &call.context, request, Redirects::Follow);
        let fetch = TokioContext::new(fetch, caller.runtime);
        let answer = self.meter.clone().apart(fetch).await;
        let answer = answer.map(|HttpResponse { status, headers, body }| host::Response {
            status,
            headers: headers.into_iter().collect(),
            body,
        });
        self.answer(answer)
    }

    async fn data(&mut self, path: String) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let caller = match self.caller()? {
            Ok(caller) => caller,
            Err(message) => return Ok(Err(message)),
        };
        Ok(caller.call.plugin.assets.data(&path).map(<[u8]>::to_vec))
    }

    async fn attachment(&mut self, id: String) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let caller = match self.caller()? {
            Ok(caller) => caller,
            Err(message) => return Ok(Err(message)),
        };
        let HostCall { host, context, .. } = &*caller.call;
        let most = host.config.limits.plugin.string_bytes;
        let id = AttachmentId::from(id);
        let bytes = host.attachment_bytes(context, &id, most);
        let bytes = TokioContext::new(bytes, caller.runtime).await;
        self.answer(bytes)
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.fetcher, table: &mut self.table, ctx: &mut self.http }
    }
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let Some(left) = self.memory.checked_sub(desired.saturating_sub(current)) else {
            self.wanted_memory = true;
            return Ok(false);
        };
        self.memory = left;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }
}

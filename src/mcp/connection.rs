use std::{sync::Arc, time::Duration};

use reqwest::Client;
use rmcp::{
    Peer, RoleClient,
    model::{
        CallToolRequest, CallToolRequestParams, ClientRequest, ListToolsRequest,
        PaginatedRequestParams, ProtocolVersion, RequestParamsMeta, ServerResult,
        SubscriptionFilter, Tool,
    },
    service::{
        ClientInitializeError, ClientLifecycleMode, ClientServiceExt, PeerRequestOptions,
        RequestHandle, RunningService, ServiceError,
    },
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use tokio_util::sync::CancellationToken;

use crate::{
    mcp::{
        asking::Calls,
        clean::{clean, clean_line, cut},
        fault::Fault,
        file::{Program, Protocol, ServerFile, Transport},
        handler::{Changes, Handler, Progress},
        hub::Hub,
        identity::Identity,
        tools::MAX_TOOLS,
        transport::{
            http::{self, HttpWire},
            stdio,
        },
    },
    telemetry::traceparent,
};

/// Of a list.
const MAX_PAGES: usize = 20;
/// Of a server's own instructions.
const MAX_INSTRUCTIONS: usize = 4096;
/// Calls of one connection that run at one time.
const MAX_CALLS: usize = 64;
/// Between two tries to hear of changes.
const LISTEN_AGAIN: Duration = Duration::from_secs(30);

/// A server that answers.
pub struct Connection {
    pub peer: Peer<RoleClient>,
    pub progress: Arc<Progress>,
    pub changes: Arc<Changes>,
    pub calls: Arc<Calls>,
    pub info: ServerInfo,
    wire: Wire,
    /// Cancelled, the connection closes.
    closing: CancellationToken,
}

enum Wire {
    Http(HttpWire),
    Stdio(stdio::Process),
}

/// What a server says of itself.
#[derive(Debug, Clone)]
pub struct ServerInfo {
    /// The revision that is spoken.
    pub protocol: String,
    /// Its name and version.
    pub server: Option<String>,
    pub instructions: Option<String>,
    /// Whether it tells when its tools change.
    pub tells_changes: bool,
}

/// A connection as its keeper holds it.
pub type Running = RunningService<RoleClient, Handler>;

/// Connects and finds out what the server speaks.
pub async fn connect(
    file: &ServerFile,
    hub: &Hub,
    client: Option<&Client>,
    identity: Identity,
) -> Result<(Connection, Running), Fault> {
    let handler = Handler {
        version: ProtocolVersion::V_2025_11_25,
        progress: Arc::default(),
        changes: Arc::default(),
        calls: Arc::default(),
    };
    match (&file.transport, client) {
        (Transport::Http { url }, Some(client)) => {
            let wire = HttpWire::new(client.clone(), identity.clone());
            let config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
                .max_concurrent_requests(MAX_CALLS);
            let transport = StreamableHttpClientTransport::with_client(wire.clone(), config);
            let result = handler.serve_with_lifecycle(transport, lifecycle(&file.protocol)).await;
            match result {
                Ok(running) => Ok(connection(running, Wire::Http(wire))),
                Err(err) => {
                    let fault = Fault::of_start(&err);
                    if fault.takes_no_messages() && http::is_old_sse(client, url, &identity).await {
                        return Err(Fault::OldTransport);
                    }
                    Err(fault)
                }
            }
        }
        (Transport::Http { .. }, None) => Err(Fault::Other("it has no HTTP client".to_owned())),
        (Transport::Stdio(program), _) => {
            connect_stdio(file, program, hub, handler, identity).await
        }
    }
}

async fn connect_stdio(
    file: &ServerFile,
    program: &Program,
    hub: &Hub,
    handler: Handler,
    identity: Identity,
) -> Result<(Connection, Running), Fault> {
    let (wire, process) = stdio::start(&file.id, program, &hub.project, identity, &hub.tasks)
        .map_err(|err| {
            Fault::Other(format!("`{}` cannot be started: {}", program.command, err.kind()))
        })?;
    let result: Result<Running, ClientInitializeError> =
        handler.serve_with_lifecycle(wire, lifecycle(&file.protocol)).await;
    match result {
        Ok(running) => Ok(connection(running, Wire::Stdio(process))),
        Err(err) => {
            // Its input has ended with the attempt: what it says last tells more than the broken pipe.
            let _ = tokio::time::timeout(Duration::from_secs(1), process.ended()).await;
            Err(process.end().map_or_else(|| Fault::of_start(&err), Fault::Ended))
        }
    }
}

fn lifecycle(protocol: &Protocol) -> ClientLifecycleMode {
    match protocol {
        Protocol::Auto => ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: Some(ProtocolVersion::V_2025_11_25),
        },
        Protocol::Fixed(version) if version.has_initialize() => ClientLifecycleMode::Initialize,
        Protocol::Fixed(version) => {
            ClientLifecycleMode::Discover { preferred_versions: vec![version.clone()] }
        }
    }
}

fn connection(running: Running, wire: Wire) -> (Connection, Running) {
    let peer = running.peer().clone();
    let info = peer.peer_info();
    let info = info.as_deref();
    let line = |text: &str| clean_line(text, 100);
    let server = info.and_then(|it| it.server_info.as_ref());
    let capabilities = info.and_then(|it| it.capabilities.tools.as_ref());
    let info = ServerInfo {
        protocol: info.map(|it| line(it.protocol_version.as_str())).unwrap_or_default(),
        server: server.map(|it| line(&format!("{} {}", it.name, it.version))),
        instructions: info
            .and_then(|it| it.instructions.as_deref())
            .map(|it| cut(clean(it).trim().to_owned(), MAX_INSTRUCTIONS))
            .filter(|it| !it.is_empty()),
        tells_changes: capabilities.and_then(|it| it.list_changed).unwrap_or(false),
    };
    let handler = running.service();
    let (progress, changes) = (handler.progress.clone(), handler.changes.clone());
    let calls = handler.calls.clone();
    let closing = CancellationToken::new();
    (Connection { peer, progress, changes, calls, info, wire, closing }, running)
}

impl Connection {
    /// Whether it can serve one identity only.
    pub fn has_session(&self) -> bool {
        match &self.wire {
            Wire::Http(wire) => wire.has_session(),
            Wire::Stdio(_) => true,
        }
    }

    /// Whether the newer era is spoken, which has no `initialize`.
    fn is_modern(&self) -> bool {
        self.peer.peer_info().is_some_and(|it| !it.protocol_version.has_initialize())
    }

    /// Closes it, whoever uses it.
    pub fn close(&self) {
        self.closing.cancel();
    }

    pub async fn closed(&self) {
        self.closing.cancelled().await;
    }

    /// How the program behind it ended, if it did.
    pub fn end(&self) -> Option<String> {
        match &self.wire {
            Wire::Http(_) => None,
            Wire::Stdio(process) => process.end(),
        }
    }

    /// The tools that the server lists for this identity, how long it says that they stay so, and whether there
    /// were more than are taken.
    pub async fn list(&self, identity: &Identity) -> Result<List, Fault> {
        let mut list = List::default();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let params = PaginatedRequestParams::default().with_cursor(cursor.take());
            let mut request = ListToolsRequest::with_param(params);
            request.extensions.insert(identity.clone());
            let result = self.peer.send_request(ClientRequest::ListToolsRequest(request)).await;
            let ServerResult::ListToolsResult(page) = result.map_err(|err| Fault::of_call(&err))?
            else {
                return Err(Fault::Other("it answers with what is no list".to_owned()));
            };
            list.tools.extend(page.tools);
            list.fresh_for = page.ttl_ms.map(Duration::from_millis);
            cursor = page.next_cursor;
            if cursor.is_none() || list.tools.len() > MAX_TOOLS {
                return Ok(list);
            }
        }
        list.has_more = true;
        Ok(list)
    }

    /// Sends a call; its answer comes with the handle.
    pub async fn send(
        &self,
        mut call: CallToolRequestParams,
        identity: &Identity,
    ) -> Result<RequestHandle<RoleClient>, ServiceError> {
        if let Some(parent) = traceparent() {
            call.set_traceparent(&parent);
        }
        let mut request = CallToolRequest::new(call);
        request.extensions.insert(identity.clone());
        let options = PeerRequestOptions::no_options();
        self.peer.send_request_with_option(ClientRequest::CallToolRequest(request), options).await
    }

    /// Hears of changed tools for as long as it is polled. Servers of the older era tell of them unasked.
    pub async fn listen(&self) {
        if !self.is_modern() || !self.info.tells_changes {
            return std::future::pending().await;
        }
        loop {
            let filter = SubscriptionFilter::builder().tools_list_changed().build();
            if let Ok(mut subscription) = self.peer.listen(filter).await {
                while let Ok(Some(_)) = subscription.next().await {
                    self.changes.tell();
                }
                // Something may have been missed.
                self.changes.tell();
            }
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }
}

/// What a server lists.
#[derive(Default)]
pub struct List {
    pub tools: Vec<Tool>,
    /// None: it does not say.
    pub fresh_for: Option<Duration>,
    /// There were more pages than are taken.
    pub has_more: bool,
}

use std::{pin::pin, sync::Arc};

use rmcp::{
    ErrorData, Peer, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CompleteRequestMethod, CompleteRequestParams,
        CompleteResult, CustomRequest, CustomResult, ErrorCode, Implementation,
        InitializeRequestParams, InitializeResult, ListPromptsRequestMethod, ListPromptsResult,
        ListResourceTemplatesRequestMethod, ListResourceTemplatesResult,
        ListResourcesRequestMethod, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
        ProgressNotificationParam, ProgressToken, ServerCapabilities, ServerConfig,
        SubscriptionFilter, Tool,
    },
    service::{RequestContext as McpContext, SubscriptionContext},
};
use tokio::sync::mpsc;

use crate::{
    app::{App, Generation},
    context::RequestContext,
    ops,
};

use super::content;

/// Progress that waits for a slow client before its tool waits too.
const PROGRESS_BUFFER: usize = 16;

/// What a client may ask of the tools of one generation, in the one request that this is made for.
#[derive(Clone)]
pub struct Tools {
    pub app: App,
    pub generation: Arc<Generation>,
    pub context: Arc<RequestContext>,
}

/// Tells a client how far its call is, if it asked for that.
struct Progress {
    peer: Peer<RoleServer>,
    token: Option<ProgressToken>,
    told: u32,
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        let capabilities =
            ServerCapabilities::builder().enable_tools().enable_tool_list_changed().build();
        let name = self.generation.config.project.name.clone();
        let implementation = Implementation::new(name, env!("CARGO_PKG_VERSION"));
        ServerConfig::new(capabilities).with_server_info(implementation)
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: McpContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        context.peer.set_peer_info(request.clone());
        let mut result = self.negotiate_initialize(&request)?;
        // In the revisions with `initialize` it would take a session to tell of changes.
        if let Some(tools) = &mut result.capabilities.tools {
            tools.list_changed = None;
        }
        Ok(result)
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: McpContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = ops::mcp_tools(&self.generation);
        Ok(ListToolsResult::with_all_items(tools.iter().map(|it| content::tool(it)).collect()))
    }

    /// The headers of a call are checked against its schema.
    fn get_tool(&self, name: &str) -> Option<Tool> {
        ops::find_mcp_tool(&self.generation, name).map(|it| content::tool(it))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: McpContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let name = request.name.as_ref();
        let Some(spec) = ops::find_mcp_tool(&self.generation, name) else {
            return Err(ErrorData::invalid_params(format!("there is no tool `{name}`"), None));
        };
        let (sender, mut receiver) = mpsc::channel(PROGRESS_BUFFER);
        let mut progress = Progress::of(&context);
        let mut call = pin!(ops::call_mcp_tool(
            &self.app,
            &self.generation,
            spec,
            request.arguments.unwrap_or_default(),
            self.context.clone(),
            sender,
        ));
        let result = loop {
            tokio::select! {
                biased;
                // The client has left.
                () = context.ct.cancelled() => {
                    return Err(ErrorData::internal_error("the call was cancelled", None));
                }
                Some(text) = receiver.recv() => progress.tell(text).await,
                result = &mut call => break result,
            }
        };
        while let Ok(text) = receiver.try_recv() {
            progress.tell(text).await;
        }
        let result = match result {
            Ok(value) => content::result(value),
            Err(message) => content::failure(message),
        };
        Ok(result.into())
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    /// Tells of each change of the list, until the client leaves or the server stops.
    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.app.changes();
        let mut known = ops::mcp_tools(&self.generation);
        loop {
            let generation = self.app.generation().seen_by(self.context.user.as_ref());
            let now = ops::mcp_tools(&generation);
            if now != known && context.accepted().tools_list_changed == Some(true) {
                let told = context.sink().notify_tool_list_changed().await;
                if told.is_err() {
                    return Ok(());
                }
            }
            known = now;
            tokio::select! {
                () = context.cancelled() => return Ok(()),
                () = self.app.stopping.cancelled() => return Ok(()),
                result = changes.changed() => if result.is_err() {
                    return Ok(());
                },
            }
        }
    }

    async fn complete(
        &self,
        _request: CompleteRequestParams,
        _context: McpContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Err(ErrorData::method_not_found::<CompleteRequestMethod>())
    }

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: McpContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListPromptsRequestMethod>())
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: McpContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourcesRequestMethod>())
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: McpContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListResourceTemplatesRequestMethod>())
    }

    /// A method that is none of MCP's, or one of them with parameters that cannot be read.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _context: McpContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let method = request.method;
        Err(match method.as_str() {
            "tools/call" => ErrorData::invalid_params(
                "`params` of `tools/call` are `name`, a string, and `arguments`, an object",
                None,
            ),
            "tools/list" => {
                ErrorData::invalid_params("`params` of `tools/list` are not valid", None)
            }
            _ => ErrorData::new(
                ErrorCode::METHOD_NOT_FOUND,
                format!("there is no method `{method}`"),
                None,
            ),
        })
    }
}

impl Progress {
    fn of(context: &McpContext<RoleServer>) -> Self {
        Self { peer: context.peer.clone(), token: context.meta.get_progress_token(), told: 0 }
    }

    async fn tell(&mut self, text: String) {
        let Some(token) = &self.token else {
            return;
        };
        // There is no telling how much is left, so it counts.
        self.told += 1;
        let progress = ProgressNotificationParam::new(token.clone(), f64::from(self.told));
        // A client that has left is noticed where its call is waited for.
        let _ = self.peer.notify_progress(progress.with_message(text)).await;
    }
}

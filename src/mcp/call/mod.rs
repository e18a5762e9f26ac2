//! Calls of servers' tools, and what they come to.

mod flight;
mod rounds;
mod waiting;

use std::sync::Arc;

use futures::future::BoxFuture;
use rmcp::model::{
    CallToolRequestParams, ErrorCode, ErrorData, InputRequiredResult, InputResponses, ServerResult,
};
use rmcp::service::ServiceError;
use serde_json::{Map, Value};

use crate::{
    chatkit::{Source, UrlSource},
    credential::{Connect, CredentialError, PassRules, Pending, Wanted},
    mcp::{
        clean::clean_line,
        connection::Connection,
        elicitation::{Elicitation, Refusal, declined},
        fault::Fault,
        identity::Identity,
        link::Use,
        result,
        server::{Caller, Server},
        tools::ListedTool,
    },
    tool::{Answered, CallContext, CallOrigin, ToolError, ToolProvider, TurnRequest},
};

use self::flight::{Flight, Landing, PROGRESS_CHARACTERS};
pub use self::waiting::Waiting;

/// Of one result.
const MOST_SOURCES: usize = 10;
/// Of revision 2025-11-25: the user has to open pages before the call can be made.
const URL_REQUIRED: ErrorCode = ErrorCode(-32042);

/// A tool of an MCP server, as turns call it.
pub struct ServerTool {
    pub server: Arc<Server>,
    pub tool: Arc<ListedTool>,
}

impl ToolProvider for ServerTool {
    fn call(
        &self,
        _name: &str,
        arguments: Value,
        context: CallContext,
    ) -> BoxFuture<'static, Result<Value, ToolError>> {
        let (server, tool) = (self.server.clone(), self.tool.clone());
        Box::pin(async move { server.call(&tool, arguments, &context).await })
    }

    fn resume(
        &self,
        _name: &str,
        arguments: Value,
        answered: Answered,
        context: CallContext,
    ) -> BoxFuture<'static, Result<Value, ToolError>> {
        let (server, tool) = (self.server.clone(), self.tool.clone());
        Box::pin(
            async move { Call::new(&server, &tool, arguments, &context).resume(answered).await },
        )
    }

    fn abandon(&self, state: &Value) {
        rounds::abandon(&self.server, state);
    }

    fn origin(&self) -> &str {
        &self.server.file().path
    }

    fn rules(&self) -> Option<&PassRules> {
        Some(&self.server.file().rules)
    }
}

/// A call of a tool, for whoever the context names.
struct Call<'a> {
    server: &'a Arc<Server>,
    tool: &'a ListedTool,
    arguments: Value,
    context: &'a CallContext,
    /// Why the user was not asked what the server wanted to know.
    declined: Option<String>,
}

/// What a server made of a call.
enum Landed {
    Value(Value),
    /// It wants something of the user, and the call once more with that.
    Wants(InputRequiredResult),
    /// The user has to open pages, and then it wants the call once more.
    Visits(Value),
}

/// What goes with a call that is made once more.
#[derive(Default)]
struct More {
    responses: Option<InputResponses>,
    state: Option<String>,
}

impl Server {
    /// Calls a tool for whoever the context names. Who has to give something first is asked for it.
    pub async fn call(
        self: &Arc<Self>,
        tool: &ListedTool,
        arguments: Value,
        context: &CallContext,
    ) -> Result<Value, ToolError> {
        Call::new(self, tool, arguments, context).begin().await
    }
}

impl<'a> Call<'a> {
    const fn new(
        server: &'a Arc<Server>,
        tool: &'a ListedTool,
        arguments: Value,
        context: &'a CallContext,
    ) -> Self {
        Self { server, tool, arguments, context, declined: None }
    }

    /// Makes the call. Who has to give something first is asked for it.
    async fn send(&mut self, more: &More) -> Result<Landed, ToolError> {
        // A token that is not taken is refreshed, once.
        let mut tries = 2;
        loop {
            tries -= 1;
            match self.try_send(more).await {
                Ok(landed) => return Ok(landed),
                Err(NoAnswer::Rejected) => {
                    let rules = &self.server.file().rules;
                    if let Some(connect) = rules.find_connect(&self.context.request).await {
                        return Err(self.context.connect(connect).await);
                    }
                    if tries == 0 {
                        return Err(self.explain(NoAnswer::Rejected).await);
                    }
                }
                Err(err) => return Err(self.explain(err).await),
            }
        }
    }

    async fn try_send(&mut self, more: &More) -> Result<Landed, NoAnswer> {
        let (server, context) = (self.server, self.context);
        let arguments = match &self.arguments {
            Value::Object(arguments) => arguments.clone(),
            Value::Null => Map::new(),
            _ => {
                let message = "the arguments are not valid: /: they are no object";
                return Err(NoAnswer::Tool(ToolError::Failed(message.to_owned())));
            }
        };
        let tool = self.tool;
        let arguments =
            tool.check(arguments).map_err(|err| NoAnswer::Tool(ToolError::Failed(err)))?;
        let thread = context.thread.as_ref().map(|it| &it.id);
        let caller = Caller { request: &context.request, thread };
        let pending = Pending {
            tool: &tool.name,
            schema: &tool.schema,
            arguments: &arguments,
            request: &context.request,
            thread,
            seals: &context.seals,
        };
        let outgoing = server.file().rules.prepare(pending).await?;
        let mut params = CallToolRequestParams::new(tool.name.clone())
            .with_arguments(outgoing.arguments().clone());
        params.input_responses.clone_from(&more.responses);
        params.request_state.clone_from(&more.state);
        let identity = Identity::of_call(outgoing)?;
        if tool.is_connect() {
            return Ok(Landed::Value(Value::String(format!(
                "the user has connected `{}`: its tools can be used from the next answer on",
                server.file().id
            ))));
        }
        let timeout = server.file().timeout;
        // What was not sent can be sent again, once.
        let mut tries = 2;
        loop {
            tries -= 1;
            // Anew each time: one that another made, and that is gone, is not made again for this caller.
            let link = server.link(caller, &identity);
            let r#use = link.hold();
            let ready = tokio::time::timeout(timeout, link.ready(&identity)).await;
            let result = match ready.unwrap_or(Err(Fault::Timeout(timeout.as_secs()))) {
                Ok(connection) => {
                    let result =
                        self.send_over(&connection, params.clone(), &identity, r#use).await;
                    if let Err(NoAnswer::Fault(Fault::NotReached(_))) = &result {
                        // Nobody is there any more: it is made again when somebody is.
                        connection.close();
                    }
                    result
                }
                Err(_) if !link.is_of(&identity) => Err(NoAnswer::NotSent),
                Err(fault) => Err(NoAnswer::Fault(fault)),
            };
            match result {
                Err(NoAnswer::NotSent) if tries > 0 => link.lost().await,
                Err(NoAnswer::Fault(Fault::NeedsLogin { challenge })) => {
                    let rules = &server.file().rules;
                    identity.ask_login(rules, &challenge, Wanted::Calls).await;
                    if identity.reject(rules, &context.request, &challenge).await {
                        return Err(NoAnswer::Rejected);
                    }
                    return Err(NoAnswer::Fault(Fault::NeedsLogin { challenge }));
                }
                result => return result,
            }
        }
    }

    async fn send_over(
        &mut self,
        connection: &Arc<Connection>,
        params: CallToolRequestParams,
        identity: &Identity,
        r#use: Use,
    ) -> Result<Landed, NoAnswer> {
        if connection.peer.is_transport_closed() {
            return Err(NoAnswer::NotSent);
        }
        let handle = connection.send(params, identity).await.map_err(|_| NoAnswer::NotSent)?;
        self.fly(Flight::new(self.server, connection, handle, identity, r#use)).await
    }

    /// Sees a call that was sent to its end, or to what the user is asked.
    async fn fly(&mut self, mut flight: Flight) -> Result<Landed, NoAnswer> {
        loop {
            let asking = match flight.land(self.context).await {
                Landing::Answer(answer) => return self.read(*answer).await,
                Landing::Late(fault) => return Err(NoAnswer::Fault(fault)),
                Landing::Asks(asking) => asking,
            };
            let answer = match Elicitation::read(&self.server.file().id, &asking.params) {
                Ok(elicitation) => {
                    flight = self
                        .hold(flight, asking.reply, elicitation)
                        .await
                        .map_err(NoAnswer::Tool)?;
                    continue;
                }
                Err(refusal) => {
                    let reason = self.note_refusal(&refusal);
                    match refusal {
                        Refusal::Unreadable(_) => Err(ErrorData::invalid_params(reason, None)),
                        Refusal::Forbidden(_) => Ok(declined(&reason)),
                    }
                }
            };
            // The server may have taken it back.
            let _ = asking.reply.send(answer);
        }
    }

    /// What an answer comes to.
    async fn read(&self, answer: Result<ServerResult, ServiceError>) -> Result<Landed, NoAnswer> {
        match answer {
            Ok(ServerResult::InputRequiredResult(result)) => Ok(Landed::Wants(result)),
            Ok(answer) => {
                let max = self.server.file().max_result_bytes;
                let value = result::read(answer, max).map_err(NoAnswer::Tool)?;
                cite(&value, self.context).await;
                Ok(Landed::Value(value))
            }
            Err(ServiceError::McpError(ErrorData {
                code: URL_REQUIRED, data: Some(data), ..
            })) => Ok(Landed::Visits(data)),
            Err(err) => Err(NoAnswer::Fault(Fault::of_call(&err))),
        }
    }

    /// What the model is told of a call that came to nothing.
    async fn explain(&self, no_answer: NoAnswer) -> ToolError {
        let explain = |fault: &Fault| self.server.explain(fault);
        match no_answer {
            NoAnswer::Needed(connect) => self.context.connect(connect).await,
            NoAnswer::Rejected => explain(&Fault::NeedsLogin { challenge: String::new() }),
            NoAnswer::Tool(err) => err,
            NoAnswer::NotSent => explain(&Fault::Broken),
            NoAnswer::Fault(fault) => explain(&fault),
        }
    }
}

impl Server {
    /// What the model is told of a call that came to nothing.
    fn explain(&self, fault: &Fault) -> ToolError {
        let id = &self.file().id;
        ToolError::Failed(match fault {
            Fault::Refused(message) => message.clone(),
            Fault::Broken => format!(
                "the connection to the server `{id}` broke: the call may have been carried out, or not"
            ),
            Fault::Timeout(seconds) => {
                format!("the server `{id}` did not answer within {seconds} s")
            }
            Fault::NeedsLogin { .. } if self.file().rules.passes_credentials() => {
                format!("the server `{id}` does not take the credentials that it was sent")
            }
            Fault::NeedsLogin { .. } => {
                format!(
                    "the server `{id}` wants to know who asks, and does not say where users log in: its operator adds \
                     a credential to the `headers` of its file, or `[oauth]`"
                )
            }
            Fault::NotReached(_)
            | Fault::Status(_)
            | Fault::OldTransport
            | Fault::Ended(_)
            | Fault::Other(_) => format!("the server `{id}` is not available: {fault}"),
        })
    }
}

/// Why a call has no value.
enum NoAnswer {
    NotSent,
    Fault(Fault),
    /// The user has to give something first.
    Needed(Connect),
    /// The server did not take the user's token, of which note was taken.
    Rejected,
    /// The tool said so.
    Tool(ToolError),
}

impl From<CredentialError> for NoAnswer {
    fn from(err: CredentialError) -> Self {
        match err {
            CredentialError::Needed(connect) => Self::Needed(connect),
            CredentialError::Missing { .. }
            | CredentialError::Unusable { .. }
            | CredentialError::Refused(_) => Self::Tool(err.into()),
        }
    }
}

/// Shows where the model's answer comes from: the links of a result that it called for.
async fn cite(value: &Value, context: &CallContext) {
    if !matches!(context.origin, CallOrigin::Model { .. }) {
        return;
    }
    let parts = value["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let links = parts.iter().filter(|it| it["type"] == "resource_link");
    for link in links.take(MOST_SOURCES) {
        let Some(url) = link["uri"].as_str().filter(|it| is_web(it)) else { continue };
        let title = link["title"].as_str().or_else(|| link["name"].as_str()).unwrap_or(url);
        let source = UrlSource {
            title: clean_line(title, PROGRESS_CHARACTERS),
            url: url.to_owned(),
            ..UrlSource::default()
        };
        let cite = TurnRequest::Cite { source: Source::Url(source), index: None };
        // Where nobody reads, nothing is shown.
        let _ = context.ask(cite).await;
    }
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

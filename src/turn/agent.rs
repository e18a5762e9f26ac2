use std::{fmt::Write, sync::Arc};

use futures::StreamExt;
use serde_json::{Map, Value, json};
use tracing::warn;

use crate::{
    app::Generation,
    chatkit::{ThreadMetadata, now},
    context::RequestContext,
    model::{InputContent, InputItem, ModelEvent, ModelRequest, Role, ToolCall},
    prompt::Agent,
    tool::{CallContext, CallOrigin, ToolError, ToolSpec, TurnRequest},
    turn::{Failure, Turn, TurnEnd, approvals::Hops, calls},
};

impl Turn {
    /// The agent's prompt for this moment.
    pub fn instructions(&self, tools: &[Arc<ToolSpec>]) -> Result<String, TurnEnd> {
        let scope = Scope {
            generation: &self.generation,
            request: &self.context,
            thread: Some(&self.thread),
            tools,
            history: self.transcript.text(),
            vars: &self.vars,
            credentials: self.seals.prompt(&self.generation.host.credentials),
        };
        let mut instructions = self
            .generation
            .prompts
            .render(&self.agent, scope.to_value())
            .map_err(|err| TurnEnd::Failed(Failure::Author(err.to_string())))?;
        for (server, text) in &*self.generation.server_instructions {
            if tools.iter().any(|it| it.server.as_deref() == Some(server.as_str())) {
                // Writing to a text cannot fail.
                let _ = write!(
                    instructions,
                    "\n\nOf the tools that begin with `{server}__`, their server says:\n{text}"
                );
            }
        }
        Ok(instructions)
    }
}

/// The tools that an agent may call.
pub fn tools(generation: &Generation, agent: &Agent) -> Vec<Arc<ToolSpec>> {
    generation
        .tools
        .0
        .values()
        .filter(|tool| agent.front.admits(&tool.spec.name))
        .map(|tool| tool.spec.clone())
        .collect()
}

/// What a prompt's template sees (plugin-api.md §2).
pub struct Scope<'a> {
    pub generation: &'a Generation,
    pub request: &'a RequestContext,
    pub thread: Option<&'a ThreadMetadata>,
    pub tools: &'a [Arc<ToolSpec>],
    pub history: String,
    pub vars: &'a Map<String, Value>,
    /// What stands for the user's credentials; null where they have none.
    pub credentials: Map<String, Value>,
}

impl Scope<'_> {
    pub fn to_value(self) -> Value {
        let mut scope = self.request.scope(now());
        let config = &self.generation.config;
        let thread = self.thread.map(|thread| {
            json!({
                "id": thread.id, "title": thread.title, "created_at": thread.created_at,
                "metadata": thread.metadata,
            })
        });
        let tools: Vec<Value> = self
            .tools
            .iter()
            .map(|tool| json!({ "name": tool.name, "description": tool.description }))
            .collect();
        scope.insert("thread".to_owned(), json!(thread));
        scope.insert("project".to_owned(), json!({ "name": config.project.name }));
        scope.insert("tools".to_owned(), Value::Array(tools));
        scope.insert("history".to_owned(), json!(self.history));
        scope.insert("vars".to_owned(), Value::Object(self.vars.clone()));
        scope.insert("credential".to_owned(), Value::Object(self.credentials));
        scope.insert("env".to_owned(), json!(config.prompts.env));
        Value::Object(scope)
    }
}

/// An agent that runs as a tool of another.
pub struct AgentRun {
    pub generation: Arc<Generation>,
    pub context: CallContext,
    pub agent: String,
    pub vars: Map<String, Value>,
    pub hops: Hops,
}

/// Runs the agent on `input` and gives its final text. What its tools show reaches the thread; the text
/// itself is said only where `stop` ends the turn.
pub async fn run(run: AgentRun, input: String, stop: bool) -> Result<String, ToolError> {
    let AgentRun { generation, mut context, agent, vars, mut hops } = run;
    let Some(agent) = generation.prompts.find(&agent).cloned() else {
        let message = format!("there is no agent `{agent}`: add prompts/{agent}.md");
        return Err(ToolError::Failed(message));
    };
    context.agent = Some(Arc::from(agent.id.as_str()));
    context.origin = CallOrigin::Agent;
    let model = generation
        .models
        .choose(agent.front.model.as_deref())
        .map_err(|err| ToolError::Failed(err.to_string()))?;
    let tools = tools(&generation, &agent);
    let mut input =
        vec![InputItem::Message { role: Role::User, content: vec![InputContent::Text(input)] }];
    for _ in 0..generation.config.limits.rounds {
        let scope = Scope {
            generation: &generation,
            request: &context.request,
            thread: context.thread.as_deref(),
            tools: &tools,
            history: String::new(),
            vars: &vars,
            credentials: context.seals.prompt(&generation.host.credentials),
        };
        let instructions = generation
            .prompts
            .render(&agent, scope.to_value())
            .map_err(|err| ToolError::Failed(err.to_string()))?;
        let request = ModelRequest {
            model: model.model.clone(),
            instructions,
            input: input.clone(),
            tools: tools.clone(),
            parallel_tool_calls: true,
            temperature: agent.front.temperature,
            reasoning: agent.front.reasoning.clone(),
            hosted: agent.front.hosted.clone(),
            spent: context.spent.clone(),
            ..ModelRequest::default()
        };
        let mut stream = model.provider.stream(request);
        let mut text = String::new();
        let mut called: Vec<ToolCall> = Vec::new();
        while let Some(event) = stream.next().await {
            let event = event.map_err(|err| {
                warn!(agent = %agent.id, "the model of agent `{}` failed: {err}", agent.id);
                ToolError::Failed("the agent's model failed".to_owned())
            })?;
            match event {
                ModelEvent::TextDelta { delta, .. } => text.push_str(&delta),
                ModelEvent::ToolCall(call) => called.push(call),
                ModelEvent::Raw(item) => input.push(InputItem::Raw(item)),
                ModelEvent::Done(_) => break,
                ModelEvent::MessageAdded
                | ModelEvent::ContentPartAdded { .. }
                | ModelEvent::Annotation { .. }
                | ModelEvent::ContentPartDone { .. }
                | ModelEvent::MessageDone
                | ModelEvent::ReasoningAdded
                | ModelEvent::ReasoningDelta { .. }
                | ModelEvent::ReasoningDone { .. }
                | ModelEvent::SearchAdded { .. }
                | ModelEvent::SearchDone(_)
                | ModelEvent::ImageAdded
                | ModelEvent::ImagePartial { .. }
                | ModelEvent::ImageDone { .. }
                | ModelEvent::Usage(_) => (),
            }
        }
        if called.is_empty() {
            if stop {
                context.ask(TurnRequest::Say { markdown: text.clone() }).await?;
            }
            return Ok(text);
        }
        if !text.is_empty() {
            let content = vec![InputContent::Text(text)];
            input.push(InputItem::Message { role: Role::Assistant, content });
        }
        hops = hops.next();
        calls::run_nested(&generation, &agent, called, &context, &hops, &mut input).await?;
    }
    Err(ToolError::Failed(format!("the agent `{}` did not come to an end", agent.id)))
}

use serde_json::{Value, json};

use crate::{
    chatkit::{
        Annotation, GeneratedImage, GeneratedImageItem, HiddenContextItem, ItemId, ItemKind,
        TaskItem, ThreadId, ThreadItem, ThreadMetadata, ThreadStreamEvent, now,
    },
    store::{Record, StoreError, UserStore},
    tool::{CallContext, ThreadPatch, ToolError, TurnCall, TurnRequest},
    turn::{
        Failure, Respond, Turn, TurnEnd,
        agent::{self, AgentRun},
        calls::{self, Consent, Gate},
        workflow,
    },
};

/// Agents that run as tools of one turn at one time: an agent that calls itself ends here.
const NESTED_AGENTS: usize = 8;
/// Calls that handlers of one turn, or of one route, wait for at one time: a tool that calls itself ends here, and not where
/// it has taken all threads that run scripts.
pub const NESTED_CALLS: usize = 32;

/// What the handlers of one turn may ask of it: one that loops ends here.
const REQUESTS: usize = 10_000;
/// Items that one turn may show.
const ITEMS: usize = 1_000;

impl Turn {
    /// Does what a handler asked for, and answers it.
    pub async fn serve(&mut self, call: TurnCall) -> Result<(), TurnEnd> {
        let TurnCall { request, origin, reply } = call;
        self.requested += 1;
        if self.requested > REQUESTS || (self.items.len() >= ITEMS && request.shows_an_item()) {
            let message = format!(
                "a turn shows at most {ITEMS} items, and does at most {REQUESTS} things for its handlers: see that \
                 none loops"
            );
            let _ = reply.send(Err(ToolError::Failed(message)));
            return Ok(());
        }
        let answer = match *request {
            TurnRequest::CallTool { name, arguments } => {
                if self.nested.len() >= NESTED_CALLS {
                    let _ = reply.send(Err(too_many_calls()));
                    return Ok(());
                }
                let context = CallContext { origin, ..self.call_context() };
                let gate = Gate { hops: self.hops.clone(), consent: Consent::Missing };
                let agent = Some(&self.agent);
                let call = calls::call(&self.generation, agent, &name, arguments, context, gate);
                self.nested.push(Box::pin(async move {
                    // A handler that was stopped waits for no answer.
                    let _ = reply.send(call.await);
                }));
                return Ok(());
            }
            TurnRequest::RunAgent { agent, input, stop } => {
                if self.nested.len() >= NESTED_AGENTS {
                    let message = "too many agents call each other in this turn".to_owned();
                    let _ = reply.send(Err(ToolError::Failed(message)));
                    return Ok(());
                }
                let run = AgentRun {
                    generation: self.generation.clone(),
                    context: self.call_context(),
                    agent,
                    vars: self.vars.clone(),
                    hops: self.hops.clone(),
                };
                self.nested.push(Box::pin(async move {
                    let _ = reply.send(agent::run(run, input, stop).await.map(Value::String));
                }));
                return Ok(());
            }
            TurnRequest::Error { message, retry } => {
                let _ = reply.send(Err(ToolError::Turn { message: message.clone(), retry }));
                return Err(TurnEnd::Failed(Failure::User { message, retry }));
            }
            TurnRequest::Respond => {
                let answer = match self.respond {
                    Respond::Anyway => Err(ToolError::Failed(
                        "`respond` is not for a turn: the agent answers here anyway".to_owned(),
                    )),
                    Respond::IfAsked | Respond::Asked => {
                        self.respond = Respond::Asked;
                        Ok(Value::Null)
                    }
                };
                let _ = reply.send(answer);
                return Ok(());
            }
            TurnRequest::ClientTool { name, arguments, progress } => {
                let end = self.call_client_tool(name, arguments, progress, origin).await?;
                let _ = reply.send(Err(end));
                return Ok(());
            }
            TurnRequest::Ask { questions } => {
                let _ = reply.send(Err(self.ask_user(questions)));
                return Ok(());
            }
            TurnRequest::Connect(connect) => {
                let _ = reply.send(Err(self.ask_to_connect(connect, &origin)));
                return Ok(());
            }
            TurnRequest::Input(inquiry) => {
                let _ = reply.send(Err(self.ask_for_call(inquiry, origin)));
                return Ok(());
            }
            TurnRequest::Widget(request) => {
                let _ = reply.send(self.act_on_widget(request).await?);
                return Ok(());
            }
            TurnRequest::RemoveItem(item) => {
                let _ = reply.send(self.remove_item(item).await?);
                return Ok(());
            }
            other => self.act(other).await?,
        };
        let _ = reply.send(Ok(answer));
        Ok(())
    }

    async fn act(&mut self, request: TurnRequest) -> Result<Value, TurnEnd> {
        match request {
            TurnRequest::Say { markdown } => {
                let mut item = Value::Null;
                for event in self.output.say(markdown) {
                    if let ThreadStreamEvent::ItemDone { item: said } = &event {
                        item = json!(said);
                    }
                    self.send_shown(event).await?;
                }
                Ok(item)
            }
            TurnRequest::Progress { icon, text } => {
                self.send(ThreadStreamEvent::ProgressUpdate { icon, text }).await?;
                Ok(Value::Null)
            }
            TurnRequest::Notice { level, message, title } => {
                self.send(ThreadStreamEvent::Notice { level, message, title }).await?;
                Ok(Value::Null)
            }
            TurnRequest::Effect { name, data } => {
                self.send(ThreadStreamEvent::ClientEffect { name, data }).await?;
                Ok(Value::Null)
            }
            TurnRequest::Hidden { text } => {
                let item = hidden(&self.thread, text);
                self.hidden.push(Record::Item(item));
                // Between rounds there is nothing that it could split.
                if !self.calls_running {
                    self.flush_hidden(Vec::new()).await?;
                }
                Ok(Value::Null)
            }
            TurnRequest::Image { url } => self.show(image(&self.thread, url)).await,
            TurnRequest::Task(patch) => {
                let item = TaskItem {
                    id: ItemId::generate(ItemKind::Task),
                    thread_id: self.thread.id.clone(),
                    created_at: now(),
                    task: workflow::new_task(patch),
                };
                self.show(ThreadItem::Task(item)).await
            }
            TurnRequest::BeginWorkflow { title, icon, expanded } => {
                let id = self.workflows.begin(&self.thread.id, title, icon, expanded);
                Ok(json!(id))
            }
            TurnRequest::WorkflowTask { workflow, index, task } => {
                let (events, index) = self.workflows.set_task(&workflow, index, task);
                if let Some(event) = self.output.close_workflow() {
                    self.send(event).await?;
                }
                for event in events {
                    self.send(event).await?;
                }
                Ok(json!(index))
            }
            TurnRequest::EndWorkflow { workflow, title, icon, expanded } => {
                let Some(item) = self.workflows.end(&workflow, title, icon, expanded) else {
                    return Ok(Value::Null);
                };
                self.show(item).await
            }
            TurnRequest::Cite { source, index } => {
                self.output.cite(Annotation { source, index });
                Ok(Value::Null)
            }
            TurnRequest::UpdateThread(mut patch) => {
                self.sink.cover.clean_patch(&mut patch);
                self.thread = update_thread(&self.sink.rows(), &self.thread.id, patch).await?;
                self.thread_changed = true;
                Ok(json!(self.thread))
            }
            TurnRequest::LoadThread => Ok(json!(self.thread)),
            // Served before.
            TurnRequest::Respond
            | TurnRequest::Widget(_)
            | TurnRequest::RemoveItem(_)
            | TurnRequest::CallTool { .. }
            | TurnRequest::RunAgent { .. }
            | TurnRequest::ClientTool { .. }
            | TurnRequest::Ask { .. }
            | TurnRequest::Connect(_)
            | TurnRequest::Input(_)
            | TurnRequest::Error { .. } => Ok(Value::Null),
        }
    }

    /// Shows a finished item of a handler, and answers with it.
    pub async fn show(&mut self, item: ThreadItem) -> Result<Value, TurnEnd> {
        if let Some(event) = self.output.close_workflow() {
            self.send(event).await?;
        }
        let answer = json!(item);
        self.send_shown(ThreadStreamEvent::ItemDone { item }).await?;
        Ok(answer)
    }
}

/// Applies a patch to the thread as it is in the store, where the user may have changed it meanwhile.
pub async fn update_thread(
    rows: &UserStore<'_>,
    thread: &ThreadId,
    patch: ThreadPatch,
) -> Result<ThreadMetadata, StoreError> {
    let ThreadPatch { title, metadata, allowed_image_domains, status } = patch;
    rows.update_thread(thread, |thread| {
        if let Some(title) = title {
            thread.title = title;
        }
        if let Some(metadata) = metadata {
            thread.metadata = metadata;
        }
        if let Some(domains) = allowed_image_domains {
            thread.allowed_image_domains = domains;
        }
        if let Some(status) = status {
            thread.status = status;
        }
    })
    .await
}

pub fn too_many_calls() -> ToolError {
    ToolError::Failed(format!(
        "more than {NESTED_CALLS} calls of tools by tools at one time: see that none calls itself for ever"
    ))
}

pub fn hidden(thread: &ThreadMetadata, text: String) -> ThreadItem {
    ThreadItem::HiddenContextItem(HiddenContextItem {
        id: ItemId::generate(ItemKind::HiddenContext),
        thread_id: thread.id.clone(),
        created_at: now(),
        content: Value::String(text),
    })
}

fn image(thread: &ThreadMetadata, url: String) -> ThreadItem {
    let id = ItemId::generate(ItemKind::Message);
    let image = GeneratedImage { id: id.as_str().replacen("msg_", "ig_", 1), url };
    ThreadItem::GeneratedImage(GeneratedImageItem {
        id,
        thread_id: thread.id.clone(),
        created_at: now(),
        image: Some(image),
    })
}

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use futures::{
    StreamExt,
    future::{BoxFuture, join_all},
    stream::FuturesUnordered,
};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    app::Generation,
    chatkit::{ItemId, ItemKind, ThreadItem},
    model::{InputItem, ToolCall},
    prompt::Agent,
    store::{CallInput, Record, ToolCallRecord},
    telemetry::{Place, Traced, audit, count},
    tool::{Answered, CallContext, CallOrigin, Tool, ToolError},
    turn::{
        Failure, Turn, TurnEnd,
        approvals::{Held, Hops, Need, digest_of},
        input::Entry,
        pairs,
        result::{Told, told},
        waiting::{Asked, only_the_agent_asks},
    },
    user::UserKey,
};

/// What the model is told of a call that the end of its turn cut off.
pub const UNFINISHED: &str = "error: the turn ended before this call did";

/// What the model is told of a call that ended the turn with questions to the user.
const ASKED: &str = "the user was asked: what they answered is below";

/// What a call came to.
struct Outcome {
    call: ToolCall,
    result: Result<Value, ToolError>,
    stop: bool,
    milliseconds: u64,
}

impl Turn {
    /// Runs the calls of one response side by side, and says whether the turn ends with them. They are kept
    /// with their results, those too that the end of the turn cuts off.
    pub async fn run_calls(&mut self, calls: Vec<ToolCall>) -> Result<bool, TurnEnd> {
        let response = ItemId::generate(ItemKind::ToolCall).to_string();
        let mut records: Vec<_> = calls
            .iter()
            .map(|call| ToolCallRecord {
                id: ItemId::generate(ItemKind::ToolCall),
                response: response.clone(),
                call_id: call.call_id.clone(),
                name: call.name.clone(),
                arguments: self.seals.unseal_names(&call.arguments).into_owned(),
                output: UNFINISHED.to_owned(),
                images: Vec::new(),
                client: None,
                approval: None,
                input: None,
                stopped: false,
                servers: BTreeSet::new(),
            })
            .collect();
        self.calls_running = true;
        let stop = self.finish_calls(calls, &mut records).await;
        self.calls_running = false;
        let servers = self.hops.come();
        for record in &mut records {
            record.servers.clone_from(&servers);
        }
        self.hold_connects(&records);
        self.bring_held_up_to_date(&records);
        let kept = self.flush_hidden(records.into_iter().map(Record::ToolCall).collect()).await;
        let stop = stop?;
        kept?;
        // Whoever began them has returned.
        Box::pin(self.end_workflows()).await?;
        Ok(stop)
    }

    /// Runs the calls, those that need to be alone after the others, and writes down what each came to.
    async fn finish_calls(
        &mut self,
        calls: Vec<ToolCall>,
        records: &mut [ToolCallRecord],
    ) -> Result<bool, TurnEnd> {
        let mut together = FuturesUnordered::new();
        let mut alone = Vec::new();
        self.hops = self.hops.next();
        let calls = self.hold_calls(calls, records);
        for (index, call) in calls {
            if is_parallel(&self.generation, &call) {
                let job = self.prepare(call, Run::Begin(Consent::Missing));
                together.push(async move { (index, job.await) });
            } else {
                alone.push((index, call));
            }
        }
        let mut stop = !self.waiting.held.is_empty();
        while let Some((index, outcome)) = self.drive(together.next()).await? {
            stop |= self.finish_call(outcome, &mut records[index])?;
        }
        for (index, call) in alone {
            let job = self.prepare(call, Run::Begin(Consent::Missing));
            let outcome = self.drive(job).await?;
            stop |= self.finish_call(outcome, &mut records[index])?;
        }
        Ok(stop)
    }

    /// Puts those calls aside that need the user's approval, and gives the others, each with its place.
    fn hold_calls(
        &mut self,
        calls: Vec<ToolCall>,
        records: &mut [ToolCallRecord],
    ) -> Vec<(usize, ToolCall)> {
        let mut others = Vec::with_capacity(calls.len());
        for (index, call) in calls.into_iter().enumerate() {
            let Some(need) = self.approval_needed(&call) else {
                others.push((index, call));
                continue;
            };
            match self.ask_approval(&call, &need) {
                Ok((approval, card)) => {
                    let call = ToolCallRecord {
                        approval: Some(Box::new(approval)),
                        ..records[index].clone()
                    };
                    let item = ThreadItem::Widget(card);
                    self.waiting.held.push(Held { call, item, shown: None });
                    self.waiting.has_cards = true;
                }
                Err(err) => records[index].output = format!("error: {err}"),
            }
        }
        others
    }

    /// Has those of these calls wait that need something of the user first.
    fn hold_connects(&mut self, records: &[ToolCallRecord]) {
        for (call_id, connect) in self.waiting.take_connects() {
            let Some(record) = records.iter().find(|it| *it.call_id == *call_id) else { continue };
            let ToolCallRecord { call_id, name, arguments, .. } = record.clone();
            let call = ToolCall { call_id, name, arguments };
            if let Ok((approval, card)) = self.ask_approval(&call, &Need::Connect(connect)) {
                let call = ToolCallRecord { approval: Some(Box::new(approval)), ..record.clone() };
                let item = ThreadItem::Widget(card);
                self.waiting.held.push(Held { call, item, shown: None });
                self.waiting.has_cards = true;
            }
        }
    }

    /// Goes on with a call of an earlier response, as the user has let it, and says whether the turn ends with it.
    pub async fn run_waiting(
        &mut self,
        mut record: ToolCallRecord,
        run: Run,
    ) -> Result<bool, TurnEnd> {
        let ToolCallRecord { call_id, name, arguments, .. } = record.clone();
        // What stands for credentials is opened for the user who approved, in this turn.
        let arguments = self.seals.reseal(&arguments).into_owned();
        let job = self.prepare(ToolCall { call_id, name, arguments }, run);
        self.calls_running = true;
        let stop = match self.drive(job).await {
            Ok(outcome) => self.finish_call(outcome, &mut record),
            Err(end) => Err(end),
        };
        self.calls_running = false;
        record.servers = self.hops.come();
        self.hold_connects(std::slice::from_ref(&record));
        self.bring_held_up_to_date(std::slice::from_ref(&record));
        self.transcript.keep_call(record.clone());
        let kept = self.sink.add_records(&[Record::ToolCall(record)]).await;
        let hidden = self.flush_hidden(Vec::new()).await;
        let stop = stop?;
        kept?;
        hidden?;
        // Whoever began them has returned.
        Box::pin(self.end_workflows()).await?;
        Ok(stop)
    }

    /// A call that is to wait is kept with all that there is to keep of it.
    fn bring_held_up_to_date(&mut self, records: &[ToolCallRecord]) {
        for Held { call, .. } in &mut self.waiting.held {
            if let Some(record) = records.iter().find(|it| it.id == call.id) {
                let (approval, input) = (call.approval.take(), call.input.take());
                *call = ToolCallRecord { approval, input, ..record.clone() };
            }
        }
    }

    fn approval_needed(&self, call: &ToolCall) -> Option<Need> {
        let tool = find_tool(&self.generation, Some(&self.agent), &call.name).ok()?;
        Need::of(tool, &self.hops, self.generation.config.mcp.cross_server)
    }

    fn finish_call(
        &mut self,
        outcome: Outcome,
        record: &mut ToolCallRecord,
    ) -> Result<bool, TurnEnd> {
        self.inspect(&outcome);
        let finished = self.note(outcome, record);
        if !self.seals.is_empty() {
            // Whoever the result passed through last need not have known what is secret in it.
            record.output = self.seals.scrubber().scrub(&record.output).into_owned();
        }
        finished
    }

    fn note(&mut self, outcome: Outcome, record: &mut ToolCallRecord) -> Result<bool, TurnEnd> {
        let Outcome { call, result, stop, milliseconds } = outcome;
        match result {
            Ok(value) => {
                info!(tool = %call.name, milliseconds, "called tool {}", call.name);
                Told { text: record.output, images: record.images } = told(&value);
                record.stopped = stop;
                Ok(stop)
            }
            Err(err) => {
                // Its text may quote arguments, which are the user's; a name that is no tool's may be
                // anything.
                let known = self.generation.tools.0.contains_key(&call.name);
                let name = if known { call.name.as_str() } else { "(unknown)" };
                match err {
                    ToolError::Ended => {
                        info!(tool = %name, milliseconds, "tool {name} ended the turn");
                    }
                    ToolError::Failed(_) | ToolError::Turn { .. } | ToolError::Cancelled => {
                        warn!(tool = %name, milliseconds, "tool {name} failed");
                    }
                }
                match err {
                    ToolError::Failed(_) => {
                        record.output = format!("error: {err}");
                        Ok(false)
                    }
                    ToolError::Turn { message, retry } => {
                        record.output = format!("error: {message}");
                        Err(TurnEnd::Failed(Failure::User { message, retry }))
                    }
                    ToolError::Ended if self.waiting.asked.contains_key(&call.call_id) => {
                        Ok(self.hold_for_answers(&call, record))
                    }
                    ToolError::Ended => {
                        record.client = self.waiting.answers(&call.call_id);
                        ASKED.clone_into(&mut record.output);
                        Ok(true)
                    }
                    ToolError::Cancelled => Err(TurnEnd::Cancelled),
                }
            }
        }
    }

    /// Puts a call aside that asks the user, and says whether it waits.
    fn hold_for_answers(&mut self, call: &ToolCall, record: &mut ToolCallRecord) -> bool {
        let Some(Asked { tool, item, state, shown }) = self.waiting.asked.remove(&call.call_id)
        else {
            return false;
        };
        // A tool that this one called: what it goes on to is no result of this one.
        if tool != call.name {
            record.output = format!("error: {}", only_the_agent_asks(&tool));
            return false;
        }
        let mut items = record.input.take().map(|it| it.items).unwrap_or_default();
        items.push(item.id().clone());
        // As it is stored: what stands for credentials is another in the turn that goes on with it.
        let stored = ToolCall { arguments: record.arguments.clone(), ..call.clone() };
        let digest = digest_of(&self.generation, &stored);
        let input = Some(Box::new(CallInput { items, is_open: true, digest, state }));
        let call = ToolCallRecord { input, ..record.clone() };
        self.waiting.held.push(Held { call, item, shown });
        true
    }

    /// Stores these records, and after them what handlers hid while they were made.
    pub async fn flush_hidden(&mut self, mut records: Vec<Record>) -> Result<(), TurnEnd> {
        records.append(&mut self.hidden);
        if !records.is_empty() {
            self.sink.add_records(&records).await?;
            self.transcript.entries.extend(records.into_iter().map(Entry::Record));
        }
        Ok(())
    }

    fn prepare(&self, call: ToolCall, run: Run) -> BoxFuture<'static, Outcome> {
        let stop = self.agent.front.stop_after.contains(&call.name)
            || self.generation.tools.0.get(&call.name).is_some_and(|tool| tool.spec.stop);
        let arguments = parse_arguments(&call.arguments);
        let generation = self.generation.clone();
        let agent = self.agent.clone();
        let origin = CallOrigin::Model { call_id: Arc::from(call.call_id.as_str()) };
        let context = CallContext { origin, ..self.call_context() };
        let hops = self.hops.clone();
        Box::pin(async move {
            let begin = Instant::now();
            let result = match (arguments, run) {
                (Ok(arguments), Run::Begin(consent)) => {
                    let gate = Gate { hops, consent };
                    let agent = Some(&agent);
                    self::call(&generation, agent, &call.name, arguments, context, gate).await
                }
                (Ok(arguments), Run::Resume(answered)) => {
                    match find_tool(&generation, Some(&agent), &call.name) {
                        Ok(tool) => {
                            let cancelled = context.cancelled.clone();
                            let whose = Whose::of(&context);
                            let provider = &tool.provider;
                            let rest = provider.resume(&call.name, arguments, *answered, context);
                            await_result(tool, rest, &cancelled, &hops, &whose).await
                        }
                        Err(err) => Err(ToolError::Failed(err)),
                    }
                }
                (Err(err), _) => Err(ToolError::Failed(err)),
            };
            let milliseconds = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
            Outcome { call, result, stop, milliseconds }
        })
    }

    /// Tells a developer who watches.
    fn inspect(&mut self, outcome: &Outcome) {
        if self.trace.is_none() {
            return;
        }
        let (output, failed) = match &outcome.result {
            Ok(value) => (told(value).text, false),
            Err(ToolError::Ended) => (ASKED.to_owned(), false),
            Err(err) => (err.to_string(), true),
        };
        self.trace_call(&outcome.call, &output, failed, outcome.milliseconds);
    }
}

/// Runs the calls of an agent that is itself a tool, side by side, and adds them with their results to its
/// model's input.
pub async fn run_nested(
    generation: &Arc<Generation>,
    agent: &Arc<Agent>,
    calls: Vec<ToolCall>,
    context: &CallContext,
    hops: &Hops,
    messages: &mut Vec<InputItem>,
) -> Result<(), ToolError> {
    for call in &calls {
        messages.push(InputItem::FunctionCall {
            call_id: call.call_id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        });
    }
    let order: Vec<_> = calls.iter().map(|call| call.call_id.clone()).collect();
    let (together, alone): (Vec<_>, Vec<_>) =
        calls.into_iter().partition(|call| is_parallel(generation, call));
    let run = async |it: ToolCall| {
        let result = match parse_arguments(&it.arguments) {
            Ok(arguments) => {
                let gate = Gate { hops: hops.clone(), consent: Consent::Missing };
                call(generation, Some(agent), &it.name, arguments, context.clone(), gate).await
            }
            Err(err) => Err(ToolError::Failed(err)),
        };
        (it.call_id, result)
    };
    let mut results = join_all(together.into_iter().map(&run)).await;
    for call in alone {
        results.push(run(call).await);
    }
    results.sort_by_key(|(call_id, _)| order.iter().position(|it| it == call_id));
    for (call_id, result) in results {
        let Told { text, images } = match result {
            Ok(value) => told(&value),
            Err(err @ ToolError::Failed(_)) => {
                Told { text: format!("error: {err}"), ..Told::default() }
            }
            Err(err @ (ToolError::Turn { .. } | ToolError::Ended | ToolError::Cancelled)) => {
                return Err(err);
            }
        };
        let output = pairs::output(text, &images);
        messages.push(InputItem::FunctionCallOutput { call_id, output });
    }
    Ok(())
}

/// Whether other calls may run beside it.
fn is_parallel(generation: &Generation, call: &ToolCall) -> bool {
    generation.tools.0.get(&call.name).is_none_or(|tool| tool.spec.parallel)
}

/// How a call of the model's runs.
pub enum Run {
    Begin(Consent),
    Resume(Box<Answered>),
}

/// What a call has to pass.
pub struct Gate {
    /// Of whoever calls.
    pub hops: Hops,
    pub consent: Consent,
}

/// Whether the user approved of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    Missing,
    Given,
}

/// Calls a tool through the gates of a model's call: it must exist, the agent must have it, and the user must have
/// approved where that is needed.
pub fn call(
    generation: &Arc<Generation>,
    agent: Option<&Arc<Agent>>,
    name: &str,
    arguments: Value,
    context: CallContext,
    gate: Gate,
) -> BoxFuture<'static, Result<Value, ToolError>> {
    let tool = match admit(generation, agent, name, &gate) {
        Ok(tool) => tool.clone(),
        Err(err) => return Box::pin(std::future::ready(Err(ToolError::Failed(err)))),
    };
    if tool.provider.rules().is_none()
        && let Err(err) = context.seals.check_elsewhere(&format!("the tool `{name}`"), &arguments)
    {
        return Box::pin(std::future::ready(Err(err.into())));
    }
    let cancelled = context.cancelled.clone();
    let whose = Whose::of(&context);
    let call = tool.provider.call(name, arguments, context);
    Box::pin(async move { await_result(&tool, call, &cancelled, &gate.hops, &whose).await })
}

async fn await_result(
    tool: &Tool,
    call: BoxFuture<'static, Result<Value, ToolError>>,
    cancelled: &CancellationToken,
    hops: &Hops,
    whose: &Whose,
) -> Result<Value, ToolError> {
    let begin = Instant::now();
    let traced = trace(tool, &whose.origin);
    let result = traced
        .run(async {
            tokio::select! {
                biased;
                () = cancelled.cancelled() => Err(ToolError::Cancelled),
                result = call => result,
            }
        })
        .await;
    let outcome = match &result {
        Ok(_) => "ok",
        Err(ToolError::Failed(_)) => "failed",
        Err(ToolError::Turn { .. } | ToolError::Ended) => "ended_turn",
        Err(ToolError::Cancelled) => "cancelled",
    };
    count::tool_call(&tool.spec.name, outcome, begin.elapsed());
    let (user, thread) = (whose.user.as_ref(), whose.thread.as_deref());
    audit::tool(user, thread, &tool.spec.name, tool.provider.origin(), outcome);
    if let Err(ToolError::Failed(_) | ToolError::Cancelled) = &result {
        traced.fail(outcome);
    }
    match (&tool.spec.server, &result) {
        // What it asks the user is from there as well.
        (Some(server), Ok(_) | Err(ToolError::Failed(_) | ToolError::Ended)) => hops.add(server),
        (Some(_), Err(ToolError::Turn { .. } | ToolError::Cancelled)) | (None, _) => (),
    }
    result
}

/// Who a call is for.
struct Whose {
    user: Option<UserKey>,
    thread: Option<String>,
    origin: CallOrigin,
}

impl Whose {
    fn of(context: &CallContext) -> Self {
        Self {
            user: context.request.user.as_ref().map(|it| it.key.clone()),
            thread: context.thread.as_ref().map(|it| it.id.to_string()),
            origin: context.origin.clone(),
        }
    }
}

/// A call as the conventions for traces have it.
fn trace(tool: &Tool, origin: &CallOrigin) -> Traced {
    let name = &tool.spec.name;
    let traced = Traced::begin(format!("execute_tool {name}"), Place::Internal);
    if traced.is_recording() {
        traced.set("gen_ai.operation.name", "execute_tool");
        traced.set("gen_ai.tool.name", name.clone());
        traced.set("gen_ai.tool.type", "function");
        if let CallOrigin::Model { call_id } = origin {
            traced.set("gen_ai.tool.call.id", call_id.clone());
        }
        if let Some(server) = &tool.spec.server {
            traced.set("kitfox.mcp.server", server.clone());
        }
    }
    traced
}

fn admit<'a>(
    generation: &'a Generation,
    agent: Option<&Arc<Agent>>,
    name: &str,
    gate: &Gate,
) -> Result<&'a Tool, String> {
    let tool = find_tool(generation, agent, name)?;
    match (gate.consent, Need::of(tool, &gate.hops, generation.config.mcp.cross_server)) {
        (Consent::Given, _) | (Consent::Missing, None) => Ok(tool),
        (Consent::Missing, Some(Need::Tool)) => Err(format!(
            "`{name}` needs the user's approval, for which only a call by the agent that the user talks to can wait: \
             leave it to that agent"
        )),
        // It shows only when a call is under way.
        (Consent::Missing, Some(Need::Connect(connect))) => Err(connect.to_string()),
        (Consent::Missing, Some(Need::Hop { from, to })) => Err(format!(
            "`{name}` needs the user's approval, because results of the MCP server `{from}` may leave to `{to}` with \
             it, and only a call by the agent that the user talks to can wait for that: leave it to that agent"
        )),
    }
}

/// The tool of this name, where there is one and the agent has it.
pub fn find_tool<'a>(
    generation: &'a Generation,
    agent: Option<&Arc<Agent>>,
    name: &str,
) -> Result<&'a Tool, String> {
    let unknown = || format!("there is no tool `{name}`");
    let tool = generation.tools.0.get(name).ok_or_else(unknown)?;
    if agent.is_some_and(|agent| !agent.front.admits(name)) {
        return Err(unknown());
    }
    Ok(tool)
}

/// The model's arguments: nothing at all counts as none.
pub fn parse_arguments(arguments: &str) -> Result<Value, String> {
    if arguments.trim().is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    serde_json::from_str(arguments)
        .map_err(|err| format!("the arguments are not valid JSON: {err}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parse_arguments;

    #[test]
    fn missing_arguments_are_none_and_broken_ones_an_error() {
        assert_eq!(parse_arguments(" "), Ok(json!({})));
        assert!(parse_arguments("{\"a\": ").is_err_and(|err| err.contains("not valid JSON")));
    }
}

use std::{sync::Arc, time::Instant};

use futures::{
    StreamExt,
    future::{BoxFuture, join_all},
    stream::FuturesUnordered,
};
use serde_json::Value;
use tracing::{info, warn};

use crate::{
    app::{Generation, Inspection},
    chatkit::{ItemId, ItemKind},
    model::{InputItem, ToolCall},
    prompt::Agent,
    store::{Record, ToolCallRecord},
    tool::{CallContext, CallOrigin, Tool, ToolError},
    turn::{
        Failure, Turn, TurnEnd,
        input::Entry,
        pairs,
        result::{Told, told},
    },
};

/// What the model is told of a call that the end of its turn cut off.
const UNFINISHED: &str = "error: the turn ended before this call did";

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
                arguments: call.arguments.clone(),
                output: UNFINISHED.to_owned(),
                images: Vec::new(),
                client: None,
            })
            .collect();
        self.calls_running = true;
        let stop = self.finish_calls(calls, &mut records).await;
        self.calls_running = false;
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
        for (index, call) in calls.into_iter().enumerate() {
            if is_parallel(&self.generation, &call) {
                let job = self.prepare(call);
                together.push(async move { (index, job.await) });
            } else {
                alone.push((index, call));
            }
        }
        let mut stop = false;
        while let Some((index, outcome)) = self.drive(together.next()).await? {
            stop |= self.finish_call(outcome, &mut records[index])?;
        }
        for (index, call) in alone {
            let job = self.prepare(call);
            let outcome = self.drive(job).await?;
            stop |= self.finish_call(outcome, &mut records[index])?;
        }
        Ok(stop)
    }

    fn finish_call(&self, outcome: Outcome, record: &mut ToolCallRecord) -> Result<bool, TurnEnd> {
        self.inspect(&outcome);
        let Outcome { call, result, stop, milliseconds } = outcome;
        match result {
            Ok(value) => {
                info!(tool = %call.name, milliseconds, "called tool {}", call.name);
                Told { text: record.output, images: record.images } = told(&value);
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

    /// Stores these records, and after them what handlers hid while they were made.
    pub async fn flush_hidden(&mut self, mut records: Vec<Record>) -> Result<(), TurnEnd> {
        records.append(&mut self.hidden);
        if !records.is_empty() {
            self.sink.add_records(&records).await?;
            self.transcript.entries.extend(records.into_iter().map(Entry::Record));
        }
        Ok(())
    }

    fn prepare(&self, call: ToolCall) -> BoxFuture<'static, Outcome> {
        let stop = self.agent.front.stop_after.contains(&call.name)
            || self.generation.tools.0.get(&call.name).is_some_and(|tool| tool.spec.stop);
        let arguments = parse_arguments(&call.arguments);
        let generation = self.generation.clone();
        let agent = self.agent.clone();
        let origin = CallOrigin::Model { call_id: Arc::from(call.call_id.as_str()) };
        let context = CallContext { origin, ..self.call_context() };
        Box::pin(async move {
            let begin = Instant::now();
            let result = match arguments {
                Ok(arguments) => {
                    self::call(&generation, Some(&agent), &call.name, arguments, context).await
                }
                Err(err) => Err(ToolError::Failed(err)),
            };
            let milliseconds = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
            Outcome { call, result, stop, milliseconds }
        })
    }

    /// Tells a developer who watches.
    fn inspect(&self, outcome: &Outcome) {
        if self.app.inspector.receiver_count() == 0 {
            return;
        }
        let (output, failed) = match &outcome.result {
            Ok(value) => (told(value).text, false),
            Err(ToolError::Ended) => (ASKED.to_owned(), false),
            Err(err) => (err.to_string(), true),
        };
        // Nobody listens any more: nobody misses it.
        let _ = self.app.inspector.send(Inspection {
            user: self.sink.user.clone(),
            thread_id: self.thread.id.to_string(),
            tool: outcome.call.name.clone(),
            arguments: outcome.call.arguments.clone(),
            output,
            failed,
            milliseconds: outcome.milliseconds,
        });
    }
}

/// Runs the calls of an agent that is itself a tool, side by side, and adds them with their results to its
/// model's input.
pub async fn run_nested(
    generation: &Arc<Generation>,
    agent: &Arc<Agent>,
    calls: Vec<ToolCall>,
    context: &CallContext,
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
                call(generation, Some(agent), &it.name, arguments, context.clone()).await
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

/// Calls a tool through the gates of a model's call: it must exist, the agent must have it, and it must
/// need no approval that cannot be given here.
pub fn call(
    generation: &Arc<Generation>,
    agent: Option<&Arc<Agent>>,
    name: &str,
    arguments: Value,
    context: CallContext,
) -> BoxFuture<'static, Result<Value, ToolError>> {
    let tool = match admit(generation, agent, name) {
        Ok(tool) => tool.clone(),
        Err(err) => return Box::pin(std::future::ready(Err(ToolError::Failed(err)))),
    };
    let cancelled = context.cancelled.clone();
    let call = tool.provider.call(name, arguments, context);
    Box::pin(async move {
        tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(ToolError::Cancelled),
            result = call => result,
        }
    })
}

fn admit<'a>(
    generation: &'a Generation,
    agent: Option<&Arc<Agent>>,
    name: &str,
) -> Result<&'a Tool, String> {
    let unknown = || format!("there is no tool `{name}`");
    let tool = generation.tools.0.get(name).ok_or_else(unknown)?;
    if agent.is_some_and(|agent| !agent.front.admits(name)) {
        return Err(unknown());
    }
    if tool.spec.needs_approval() {
        return Err(format!("`{name}` needs the user's approval, which cannot be asked for yet"));
    }
    Ok(tool)
}

/// The model's arguments: nothing at all counts as none.
fn parse_arguments(arguments: &str) -> Result<Value, String> {
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

//! Calls of tools and what they came to, paired: a provider refuses a call without an output.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use crate::{
    chatkit::{ClientToolCallItem, ClientToolCallStatus, ItemId, ThreadItem},
    credential::Seals,
    model::{InputContent, InputItem},
    store::{Record, ToolCallRecord},
    turn::{input::Entry, result::cut},
};

/// A call that is no call of the model's: a hook or an action made it.
pub fn push_client_tool_call(input: &mut Vec<InputItem>, call: &ClientToolCallItem) {
    // A pending call has no output, and providers refuse calls without one.
    if call.status == ClientToolCallStatus::Pending {
        return;
    }
    input.push(InputItem::FunctionCall {
        call_id: call.call_id.clone(),
        name: call.name.clone(),
        arguments: Value::Object(call.arguments.clone()).to_string(),
    });
    input.push(InputItem::FunctionCallOutput {
        call_id: call.call_id.clone(),
        output: output(client_output(call), &[]),
    });
}

fn client_output(call: &ClientToolCallItem) -> String {
    cut(call.output.as_ref().unwrap_or(&Value::Null).to_string())
}

/// A tool's output: its text, where it has one, and its images.
pub fn output(text: String, images: &[String]) -> Vec<InputContent> {
    let mut parts = Vec::with_capacity(1 + images.len());
    if !text.is_empty() || images.is_empty() {
        parts.push(InputContent::Text(text));
    }
    parts.extend(images.iter().map(|url| InputContent::Image { url: url.clone() }));
    parts
}

/// The calls of tools that the page runs, as far as they are in a part of a thread.
pub struct ClientCalls<'a> {
    completed: BTreeMap<&'a ItemId, &'a ClientToolCallItem>,
    /// Those whose output is the output of a call of the model's, and what such a call asked the user.
    pub owned: HashSet<&'a ItemId>,
}

impl<'a> ClientCalls<'a> {
    pub fn of(entries: &'a [Entry]) -> Self {
        let mut calls = Self { completed: BTreeMap::new(), owned: HashSet::new() };
        for entry in entries {
            match entry {
                Entry::Record(Record::Item(ThreadItem::ClientToolCall(call)))
                    if call.status == ClientToolCallStatus::Completed =>
                {
                    calls.completed.insert(&call.id, call);
                }
                Entry::Record(Record::ToolCall(record)) => {
                    calls.owned.extend(&record.client);
                    calls.owned.extend(record.approval.as_ref().map(|it| &it.card));
                    calls.owned.extend(record.input.iter().flat_map(|it| &it.items));
                }
                Entry::Record(Record::Item(_) | Record::MessageNote(_)) | Entry::Raw(_) => (),
            }
        }
        calls
    }

    /// What the model is told that a call came to: nothing while the page or the user has not answered it, which may be
    /// for ever.
    fn output(&self, record: &ToolCallRecord) -> Option<Vec<InputContent>> {
        if record.waits_for().is_some() {
            return None;
        }
        match &record.client {
            None => Some(output(record.output.clone(), &record.images)),
            Some(id) => self.completed.get(id).map(|call| output(client_output(call), &[])),
        }
    }
}

/// The calls of the response that `first` is of, which it begins.
pub fn same_response<'a>(entries: &'a [Entry], first: &ToolCallRecord) -> Vec<&'a ToolCallRecord> {
    entries
        .iter()
        .map_while(|entry| match entry {
            Entry::Record(Record::ToolCall(call)) if call.response == first.response => Some(call),
            _ => None,
        })
        .collect()
}

/// Calls of one response, those first of all, and what they came to.
pub fn push_calls(
    input: &mut Vec<InputItem>,
    records: &[&ToolCallRecord],
    client_calls: &ClientCalls<'_>,
    seals: &Seals,
) {
    let calls: Vec<_> =
        records.iter().filter_map(|call| Some((call, client_calls.output(call)?))).collect();
    for (call, _) in &calls {
        input.push(InputItem::FunctionCall {
            call_id: call.call_id.clone(),
            name: call.name.clone(),
            arguments: seals.reseal(&call.arguments).into_owned(),
        });
    }
    for (call, output) in calls {
        input.push(InputItem::FunctionCallOutput { call_id: call.call_id.clone(), output });
    }
}

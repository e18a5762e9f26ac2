//! `ctx.workflow`

use serde_json::Value;

use super::{
    Arguments,
    task::{read_changes, read_task},
};
use crate::{
    chatkit::{IconName, ItemId},
    plugin::{CallError, fields::Fields},
    tool::TurnRequest,
};

pub fn read(member: &str, arguments: &mut Arguments<'_>) -> Result<TurnRequest, String> {
    if member == "workflow" {
        let (title, icon, expanded) = read_summary("ctx.workflow", arguments.any())?;
        let expanded = expanded.unwrap_or_default();
        return Ok(TurnRequest::BeginWorkflow { title, icon, expanded });
    }
    let workflow = ItemId::from(arguments.text("the workflow's id")?);
    Ok(match member {
        "workflow.task" => {
            let task = read_task("workflow.task", arguments.any(), &["status"])?;
            TurnRequest::WorkflowTask { workflow, index: None, task }
        }
        "workflow.update" => {
            let index = arguments.any().as_u64().and_then(|it| usize::try_from(it).ok());
            let index = index.ok_or("`ctx.workflow.update` lacks the task's index")?;
            let task = read_changes("workflow.update", arguments.any())?;
            TurnRequest::WorkflowTask { workflow, index: Some(index), task }
        }
        _ => {
            let (title, icon, expanded) = read_summary("workflow.done", arguments.any())?;
            TurnRequest::EndWorkflow { workflow, title, icon, expanded }
        }
    })
}

/// Fails where the workflow is over.
pub fn check(member: &str, answer: Value) -> Result<Value, CallError> {
    if answer.is_null() && member == "workflow" {
        return Err(CallError::Thrown("the workflow could not be begun".to_owned()));
    }
    if answer.is_null() && matches!(member, "workflow.task" | "workflow.update") {
        let message = "the workflow has ended: begin another with `ctx.workflow()`".to_owned();
        return Err(CallError::Thrown(message));
    }
    Ok(answer)
}

type Summary = (Option<String>, Option<IconName>, Option<bool>);

fn read_summary(of: &str, options: Value) -> Result<Summary, String> {
    let mut fields = Fields::read(of, options, &["title", "icon", "expanded"])?;
    Ok((fields.text("title")?, read_icon(&mut fields)?, fields.boolean("expanded")?))
}

fn read_icon(fields: &mut Fields<'_>) -> Result<Option<IconName>, String> {
    fields.text("icon")?.as_deref().map(IconName::parse).transpose()
}

//! `ctx.workflow`

use std::sync::Arc;

use rhai::{Map, Module};
use serde_json::Value;

use crate::{
    chatkit::{IconName, ItemId, StatusIndicator},
    tool::{TaskPatch, TurnRequest},
};

use super::{
    super::{
        error::{Failure, fail},
        options::{Fault, Options},
    },
    Call, Ctx, function,
    task::{read_changes, read_task},
};

type Done = Result<(), Failure>;

/// What `ctx.workflow(…)` gives: steps that the user sees while work is done.
#[derive(Clone)]
pub struct WorkflowHandle {
    call: Arc<Call>,
    id: ItemId,
}

/// What `workflow.task(…)` gives: one of its steps.
#[derive(Clone)]
pub struct TaskHandle {
    workflow: WorkflowHandle,
    index: usize,
}

pub fn register(module: &mut Module) {
    function("workflow").set_into_module(module, |ctx: &mut Ctx| begin(ctx, Map::new()));
    function("workflow").set_into_module(module, |ctx: &mut Ctx, options: Map| begin(ctx, options));
    function("task").set_into_module(
        module,
        |workflow: &mut WorkflowHandle, task: Map| -> Result<TaskHandle, Failure> {
            let patch =
                read_task("workflow.task", task, &["status"]).map_err(|it| fail(it.into_text()))?;
            let index = workflow.set_task(None, patch)?;
            Ok(TaskHandle { workflow: workflow.clone(), index })
        },
    );
    function("update").set_into_module(module, |task: &mut TaskHandle, changes: Map| -> Done {
        let patch = read_changes("task.update", changes).map_err(|it| fail(it.into_text()))?;
        task.workflow.set_task(Some(task.index), patch).map(drop)
    });
    function("done").set_into_module(module, |task: &mut TaskHandle| -> Done {
        let patch = TaskPatch { status: Some(StatusIndicator::Complete), ..TaskPatch::default() };
        task.workflow.set_task(Some(task.index), patch).map(drop)
    });
    function("done")
        .set_into_module(module, |workflow: &mut WorkflowHandle| workflow.end(Map::new()));
    function("done").set_into_module(module, |workflow: &mut WorkflowHandle, options: Map| {
        workflow.end(options)
    });
}

impl WorkflowHandle {
    fn set_task(&self, index: Option<usize>, task: TaskPatch) -> Result<usize, Failure> {
        let request = TurnRequest::WorkflowTask { workflow: self.id.clone(), index, task };
        let answer = self.call.ask("workflow", request)?;
        answer
            .as_u64()
            .and_then(|index| usize::try_from(index).ok())
            .ok_or_else(|| fail("the workflow has ended: begin another with `ctx.workflow()`"))
    }

    fn end(&self, options: Map) -> Done {
        let summary = Summary::read("workflow.done", options).map_err(|it| fail(it.into_text()))?;
        let Summary { title, icon, expanded } = summary;
        let request = TurnRequest::EndWorkflow { workflow: self.id.clone(), title, icon, expanded };
        self.call.ask("workflow", request).map(drop)
    }
}

fn begin(ctx: &mut Ctx, options: Map) -> Result<WorkflowHandle, Failure> {
    let summary = Summary::read("ctx.workflow", options).map_err(|it| fail(it.into_text()))?;
    let Summary { title, icon, expanded } = summary;
    let expanded = expanded.unwrap_or_default();
    match ctx.0.ask("workflow", TurnRequest::BeginWorkflow { title, icon, expanded })? {
        Value::String(id) => Ok(WorkflowHandle { call: ctx.0.clone(), id: id.into() }),
        _ => Err(fail("the workflow could not be begun")),
    }
}

struct Summary {
    title: Option<String>,
    icon: Option<IconName>,
    expanded: Option<bool>,
}

impl Summary {
    fn read(function: &str, options: Map) -> Result<Self, Fault> {
        let mut options = Options::new(function, options, &["title", "icon", "expanded"])?;
        Ok(Self {
            title: options.string("title")?,
            icon: read_icon(&mut options)?,
            expanded: options.boolean("expanded")?,
        })
    }
}

fn read_icon(options: &mut Options<'_>) -> Result<Option<IconName>, Fault> {
    let icon = options.string("icon")?;
    icon.as_deref().map(IconName::parse).transpose().map_err(Fault::new)
}

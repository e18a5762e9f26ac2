//! `ctx.workflow`

use std::sync::Arc;

use rhai::{Dynamic, Map, Module};
use serde_json::{Value, json};

use super::{
    super::{
        error::{Failure, fail},
        value::to_json,
    },
    Call, Ctx, function,
};

type Done = Result<(), Failure>;

/// What `ctx.workflow(…)` gives: steps that the user sees while work is done.
#[derive(Clone)]
pub struct WorkflowHandle {
    call: Arc<Call>,
    id: Value,
}

/// What `workflow.task(…)` gives: one of its steps.
#[derive(Clone)]
pub struct TaskHandle {
    workflow: WorkflowHandle,
    index: Value,
}

pub fn register(module: &mut Module) {
    function("workflow").set_into_module(module, |ctx: &mut Ctx| begin(ctx, Map::new()));
    function("workflow").set_into_module(module, |ctx: &mut Ctx, options: Map| begin(ctx, options));
    function("task").set_into_module(
        module,
        |workflow: &mut WorkflowHandle, task: Map| -> Result<TaskHandle, Failure> {
            let WorkflowHandle { call, id } = &*workflow;
            let index = call.invoke_json("workflow.task", vec![id.clone(), map(task)?])?;
            Ok(TaskHandle { workflow: workflow.clone(), index })
        },
    );
    function("update").set_into_module(module, |task: &mut TaskHandle, changes: Map| -> Done {
        task.update(map(changes)?)
    });
    function("done").set_into_module(module, |task: &mut TaskHandle| -> Done {
        task.update(json!({ "status": "complete" }))
    });
    function("done")
        .set_into_module(module, |workflow: &mut WorkflowHandle| workflow.end(Map::new()));
    function("done").set_into_module(module, |workflow: &mut WorkflowHandle, options: Map| {
        workflow.end(options)
    });
}

impl WorkflowHandle {
    fn end(&self, options: Map) -> Done {
        let arguments = vec![self.id.clone(), map(options)?];
        self.call.invoke_json("workflow.done", arguments).map(drop)
    }
}

impl TaskHandle {
    fn update(&self, changes: Value) -> Done {
        let WorkflowHandle { call, id } = &self.workflow;
        let arguments = vec![id.clone(), self.index.clone(), changes];
        call.invoke_json("workflow.update", arguments).map(drop)
    }
}

fn begin(ctx: &Ctx, options: Map) -> Result<WorkflowHandle, Failure> {
    let id = ctx.0.invoke_json("workflow", vec![map(options)?])?;
    Ok(WorkflowHandle { call: ctx.0.clone(), id })
}

fn map(map: Map) -> Result<Value, Failure> {
    to_json(&Dynamic::from_map(map)).map_err(fail)
}

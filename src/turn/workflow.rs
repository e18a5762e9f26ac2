use std::collections::BTreeMap;

use crate::{
    chatkit::{
        IconName, ItemId, ItemKind, StatusIndicator, Task, ThreadId, ThreadItem, ThreadItemUpdate,
        ThreadStreamEvent, TypedFileSource, TypedUrlSource, Workflow, WorkflowItem, WorkflowKind,
        WorkflowSummary, now,
    },
    tool::{TaskKind, TaskPatch, TaskSources},
};

/// The workflows that handlers of a turn have begun and not ended.
#[derive(Default)]
pub struct Workflows(BTreeMap<ItemId, WorkflowItem>);

impl Workflows {
    pub fn begin(
        &mut self,
        thread: &ThreadId,
        title: Option<String>,
        icon: Option<IconName>,
        expanded: bool,
    ) -> ItemId {
        let id = ItemId::generate(ItemKind::Workflow);
        let summary = title.map(|title| WorkflowSummary::Custom { title, icon });
        let workflow =
            Workflow { kind: WorkflowKind::Custom, tasks: Vec::new(), summary, expanded };
        let item =
            WorkflowItem { id: id.clone(), thread_id: thread.clone(), created_at: now(), workflow };
        self.0.insert(id.clone(), item);
        id
    }

    /// Adds a task, or changes the one at `index`: what is to be sent, and the task's index. An ended
    /// workflow stays as it is.
    pub fn set_task(
        &mut self,
        id: &ItemId,
        index: Option<usize>,
        patch: TaskPatch,
    ) -> (Vec<ThreadStreamEvent>, Option<usize>) {
        let Some(item) = self.0.get_mut(id) else { return (Vec::new(), None) };
        let tasks = &mut item.workflow.tasks;
        let update = if let Some(task_index) = index {
            let Some(task) = tasks.get_mut(task_index) else { return (Vec::new(), None) };
            change(task, patch);
            ThreadItemUpdate::WorkflowTaskUpdated { task_index, task: task.clone() }
        } else {
            let task = new_task(patch);
            tasks.push(task.clone());
            if tasks.len() == 1 {
                let item = ThreadItem::Workflow(item.clone());
                return (vec![ThreadStreamEvent::ItemAdded { item }], Some(0));
            }
            ThreadItemUpdate::WorkflowTaskAdded { task_index: tasks.len() - 1, task }
        };
        let index = index.unwrap_or(item.workflow.tasks.len() - 1);
        (vec![ThreadStreamEvent::ItemUpdated { item_id: id.clone(), update }], Some(index))
    }

    /// The finished workflow, unless it was ended before or never had a task.
    pub fn end(
        &mut self,
        id: &ItemId,
        title: Option<String>,
        icon: Option<IconName>,
        expanded: Option<bool>,
    ) -> Option<ThreadItem> {
        let mut item = self.0.remove(id)?;
        if item.workflow.tasks.is_empty() {
            return None;
        }
        settle(&mut item.workflow.tasks);
        item.workflow.expanded = expanded.unwrap_or(item.workflow.expanded);
        item.workflow.summary = match (title, item.workflow.summary.take()) {
            (Some(title), _) => Some(WorkflowSummary::Custom { title, icon }),
            (None, Some(WorkflowSummary::Custom { title, icon: old })) => {
                Some(WorkflowSummary::Custom { title, icon: icon.or(old) })
            }
            (None, _) => {
                let duration = now().duration_since(item.created_at).as_secs();
                Some(WorkflowSummary::Duration { duration })
            }
        };
        Some(ThreadItem::Workflow(item))
    }

    /// All that are open, ended now.
    pub fn end_all(&mut self) -> Vec<ThreadItem> {
        let open: Vec<ItemId> = self.0.keys().cloned().collect();
        open.iter().filter_map(|id| self.end(id, None, None, None)).collect()
    }
}

/// Of tasks whose workflow ends: whatever is not done now never will be.
pub fn settle(tasks: &mut [Task]) {
    for task in tasks {
        let status = status(task);
        if *status == StatusIndicator::Loading {
            *status = StatusIndicator::None;
        }
    }
}

fn status(task: &mut Task) -> &mut StatusIndicator {
    let (Task::Custom { status_indicator, .. }
    | Task::Thought { status_indicator, .. }
    | Task::WebSearch { status_indicator, .. }
    | Task::File { status_indicator, .. }
    | Task::Image { status_indicator, .. }) = task;
    status_indicator
}

/// A task as a handler wrote it.
pub fn new_task(patch: TaskPatch) -> Task {
    let (status_indicator, title) = (StatusIndicator::None, None);
    let mut task = match patch.kind {
        TaskKind::Custom => Task::Custom { status_indicator, title, icon: None, content: None },
        TaskKind::Thought => Task::Thought { status_indicator, title, content: String::new() },
        TaskKind::WebSearch => Task::WebSearch {
            status_indicator,
            title,
            title_query: None,
            queries: Vec::new(),
            sources: Vec::new(),
        },
        TaskKind::File => Task::File { status_indicator, title, sources: Vec::new() },
        TaskKind::Image => Task::Image { status_indicator, title },
    };
    change(&mut task, patch);
    task
}

/// Changes what a task of its kind has; all else is without meaning for it.
fn change(task: &mut Task, patch: TaskPatch) {
    let TaskPatch {
        kind: _,
        title: new_title,
        content: new_content,
        icon: new_icon,
        status: new_status,
        query,
        queries: new_queries,
        sources: new_sources,
    } = patch;
    if let Some(new_status) = new_status {
        *status(task) = new_status;
    }
    let (Task::Custom { title, .. }
    | Task::Thought { title, .. }
    | Task::WebSearch { title, .. }
    | Task::File { title, .. }
    | Task::Image { title, .. }) = task;
    *title = new_title.or(title.take());
    match task {
        Task::Custom { icon, content, .. } => {
            *content = new_content.or(content.take());
            *icon = new_icon.or(icon.take());
        }
        Task::Thought { content, .. } => {
            if let Some(new_content) = new_content {
                *content = new_content;
            }
        }
        Task::WebSearch { title_query, queries, sources, .. } => {
            *title_query = query.or(title_query.take());
            if let Some(new_queries) = new_queries {
                *queries = new_queries;
            }
            if let Some(TaskSources { pages, .. }) = new_sources {
                *sources = pages.into_iter().map(|source| TypedUrlSource { source }).collect();
            }
        }
        Task::File { sources, .. } => {
            if let Some(TaskSources { files, .. }) = new_sources {
                *sources = files.into_iter().map(|source| TypedFileSource { source }).collect();
            }
        }
        Task::Image { .. } => (),
    }
}

use std::collections::BTreeMap;

use crate::{
    chatkit::{
        Annotation, AssistantMessageContent, AssistantMessageItem, FileSource, GeneratedImage,
        GeneratedImageItem, ItemId, ItemKind, StatusIndicator, Task, ThreadId, ThreadItem,
        ThreadItemUpdate, ThreadStreamEvent, TypedFileSource, TypedUrlSource, UrlSource, Workflow,
        WorkflowItem, WorkflowKind, WorkflowSummary, now,
    },
    model::{ModelEvent, Search, SearchKind},
    turn::workflow::settle,
};

/// Turns what a model says into what the client sees, as `stream_agent_response` of the
/// reference's `chatkit/agents.py` does. It lives as long as the turn.
pub struct Output {
    thread: ThreadId,
    /// The message that is being written.
    message: Option<AssistantMessageItem>,
    /// Whether its last part was declared done.
    part_done: bool,
    workflow: Option<WorkflowItem>,
    /// The thought that streams: the first of a workflow.
    thought: Option<Thought>,
    /// Where in the workflow the searches of the provider stand, by its ids.
    searches: BTreeMap<String, usize>,
    /// Tells the summaries of one reasoning item from those of the next.
    reasoning: usize,
    image: Option<GeneratedImageItem>,
    /// How many partial images are expected, for progress.
    partial_images: u64,
    /// Annotations that wait for the next text.
    citations: Vec<Annotation>,
}

struct Thought {
    reasoning: usize,
    summary_index: usize,
    task_index: usize,
}

impl Output {
    pub fn new(thread: ThreadId, partial_images: u64) -> Self {
        Self {
            thread,
            message: None,
            part_done: false,
            workflow: None,
            thought: None,
            searches: BTreeMap::new(),
            reasoning: 0,
            image: None,
            partial_images,
            citations: Vec::new(),
        }
    }

    /// Puts an annotation on what is said next.
    pub fn cite(&mut self, annotation: Annotation) {
        self.citations.push(annotation);
    }

    /// The events for one model event; [`ModelEvent::MessageDone`] is [`Self::finish_message`]'s.
    pub fn convert(&mut self, event: ModelEvent) -> Vec<ThreadStreamEvent> {
        match event {
            ModelEvent::MessageAdded => {
                let mut events = Vec::from_iter(self.close_workflow());
                let message = AssistantMessageItem::new(self.thread.clone());
                events.push(ThreadStreamEvent::ItemAdded {
                    item: ThreadItem::AssistantMessage(message.clone()),
                });
                self.message = Some(message);
                self.part_done = false;
                events
            }
            ModelEvent::ContentPartAdded { content_index } => {
                let Some(message) = &mut self.message else { return Vec::new() };
                part(message, content_index);
                self.part_done = false;
                let content = AssistantMessageContent::default();
                let update = ThreadItemUpdate::ContentPartAdded { content_index, content };
                vec![ThreadStreamEvent::ItemUpdated { item_id: message.id.clone(), update }]
            }
            ModelEvent::TextDelta { content_index, delta } => {
                Vec::from_iter(self.text_delta(content_index, delta))
            }
            ModelEvent::Annotation { content_index, annotation } => {
                let Some(message) = &mut self.message else { return Vec::new() };
                vec![annotate(message, content_index, *annotation)]
            }
            ModelEvent::ContentPartDone { content_index, text } => {
                let mut events = self.flush_citations(content_index);
                let Some(message) = &mut self.message else { return events };
                part(message, content_index).text.clone_from(&text);
                self.part_done = true;
                // The annotations are in the finished item; here the reference sends none.
                let content = AssistantMessageContent { text, annotations: Vec::new() };
                let update = ThreadItemUpdate::ContentPartDone { content_index, content };
                events.push(ThreadStreamEvent::ItemUpdated { item_id: message.id.clone(), update });
                events
            }
            ModelEvent::ReasoningAdded => {
                self.reasoning += 1;
                Vec::from_iter(self.open_workflow())
            }
            ModelEvent::SearchAdded { id, kind } => {
                let search = Search { id, kind, queries: Vec::new(), sources: Vec::new() };
                let mut events = Vec::from_iter(self.open_workflow());
                events.extend(self.set_search(search, StatusIndicator::Loading));
                events
            }
            ModelEvent::SearchDone(search) => {
                let mut events = Vec::from_iter(self.open_workflow());
                events.extend(self.set_search(search, StatusIndicator::Complete));
                events
            }
            ModelEvent::ReasoningDelta { summary_index, delta } => {
                Vec::from_iter(self.think(summary_index, &delta))
            }
            ModelEvent::ReasoningDone { summary_index, text } => {
                Vec::from_iter(self.thought_done(summary_index, text))
            }
            ModelEvent::ImageAdded => {
                let item = GeneratedImageItem {
                    id: ItemId::generate(ItemKind::Message),
                    thread_id: self.thread.clone(),
                    created_at: now(),
                    image: None,
                };
                self.image = Some(item.clone());
                vec![ThreadStreamEvent::ItemAdded { item: ThreadItem::GeneratedImage(item) }]
            }
            ModelEvent::ImagePartial { index, base64 } => {
                let Some(item) = &mut self.image else { return Vec::new() };
                let image = image(item, &base64);
                let progress = match self.partial_images {
                    0 => 0.0,
                    #[expect(clippy::cast_precision_loss, reason = "a handful of images")]
                    expected => (index as f64 / expected as f64).min(1.0),
                };
                let update =
                    ThreadItemUpdate::GeneratedImageUpdated { image, progress: Some(progress) };
                vec![ThreadStreamEvent::ItemUpdated { item_id: item.id.clone(), update }]
            }
            ModelEvent::ImageDone { base64 } => {
                let Some(mut item) = self.image.take() else { return Vec::new() };
                image(&mut item, &base64);
                vec![ThreadStreamEvent::ItemDone { item: ThreadItem::GeneratedImage(item) }]
            }
            ModelEvent::MessageDone
            | ModelEvent::ToolCall(_)
            | ModelEvent::Raw(_)
            | ModelEvent::Usage(_)
            | ModelEvent::Done(_) => Vec::new(),
        }
    }

    /// The event for a text delta, of which there are many more than of all others.
    pub fn text_delta(&mut self, content_index: usize, delta: String) -> Option<ThreadStreamEvent> {
        let message = self.message.as_mut()?;
        part(message, content_index).text.push_str(&delta);
        let update = ThreadItemUpdate::TextDelta { content_index, delta };
        Some(ThreadStreamEvent::ItemUpdated { item_id: message.id.clone(), update })
    }

    /// The finished message, and the events that still precede its `done`.
    pub fn finish_message(&mut self) -> (Vec<ThreadStreamEvent>, Option<AssistantMessageItem>) {
        let events = if self.part_done { Vec::new() } else { self.flush_citations(0) };
        let message = self
            .message
            .take()
            .map(|message| AssistantMessageItem { created_at: now(), ..message });
        (events, message)
    }

    /// A finished message that a handler says.
    pub fn say(&mut self, text: String) -> Vec<ThreadStreamEvent> {
        let mut events = Vec::from_iter(self.close_workflow());
        let mut message = AssistantMessageItem::new(self.thread.clone());
        message.content.push(AssistantMessageContent {
            text,
            annotations: std::mem::take(&mut self.citations),
        });
        events.push(ThreadStreamEvent::ItemDone { item: ThreadItem::AssistantMessage(message) });
        events
    }

    /// Closes the workflow of the model's thoughts, if one is open: something else is shown now, or the
    /// turn ends.
    pub fn close_workflow(&mut self) -> Option<ThreadStreamEvent> {
        let mut item = self.workflow.take()?;
        self.thought = None;
        self.searches.clear();
        settle(&mut item.workflow.tasks);
        let duration = now().duration_since(item.created_at).as_secs();
        item.workflow.summary = Some(WorkflowSummary::Duration { duration });
        item.workflow.expanded = false;
        Some(ThreadStreamEvent::ItemDone { item: ThreadItem::Workflow(item) })
    }

    /// Opens the workflow of the model's thoughts and searches, unless it is open.
    fn open_workflow(&mut self) -> Option<ThreadStreamEvent> {
        if self.workflow.is_some() {
            return None;
        }
        let item = WorkflowItem {
            id: ItemId::generate(ItemKind::Workflow),
            thread_id: self.thread.clone(),
            created_at: now(),
            workflow: Workflow {
                kind: WorkflowKind::Reasoning,
                tasks: Vec::new(),
                summary: None,
                expanded: false,
            },
        };
        self.workflow = Some(item.clone());
        Some(ThreadStreamEvent::ItemAdded { item: ThreadItem::Workflow(item) })
    }

    fn set_search(&mut self, search: Search, status: StatusIndicator) -> Option<ThreadStreamEvent> {
        let item = self.workflow.as_mut()?;
        let tasks = &mut item.workflow.tasks;
        let id = search.id.clone();
        let task = search_task(search, status);
        let update = if let Some(&task_index) = self.searches.get(&id) {
            tasks[task_index] = task.clone();
            ThreadItemUpdate::WorkflowTaskUpdated { task_index, task }
        } else {
            let task_index = tasks.len();
            tasks.push(task.clone());
            self.searches.insert(id, task_index);
            ThreadItemUpdate::WorkflowTaskAdded { task_index, task }
        };
        Some(ThreadStreamEvent::ItemUpdated { item_id: item.id.clone(), update })
    }

    fn think(&mut self, summary_index: usize, delta: &str) -> Option<ThreadStreamEvent> {
        let item = self.workflow.as_mut()?;
        if item.workflow.tasks.is_empty() {
            let task = thought(delta.to_owned());
            item.workflow.tasks.push(task.clone());
            self.thought =
                Some(Thought { reasoning: self.reasoning, summary_index, task_index: 0 });
            let update = ThreadItemUpdate::WorkflowTaskAdded { task_index: 0, task };
            return Some(ThreadStreamEvent::ItemUpdated { item_id: item.id.clone(), update });
        }
        let streaming = self
            .thought
            .as_ref()
            .filter(|it| it.reasoning == self.reasoning && it.summary_index == summary_index)?;
        let task_index = streaming.task_index;
        let task = item.workflow.tasks.get_mut(task_index)?;
        if let Task::Thought { content, .. } = task {
            content.push_str(delta);
        }
        let update = ThreadItemUpdate::WorkflowTaskUpdated { task_index, task: task.clone() };
        Some(ThreadStreamEvent::ItemUpdated { item_id: item.id.clone(), update })
    }

    fn thought_done(&mut self, summary_index: usize, text: String) -> Option<ThreadStreamEvent> {
        let item = self.workflow.as_mut()?;
        let task = thought(text);
        let streamed = self
            .thought
            .take_if(|it| it.reasoning == self.reasoning && it.summary_index == summary_index);
        let update = if let Some(Thought { task_index, .. }) = streamed {
            item.workflow.tasks[task_index] = task.clone();
            ThreadItemUpdate::WorkflowTaskUpdated { task_index, task }
        } else {
            let task_index = item.workflow.tasks.len();
            item.workflow.tasks.push(task.clone());
            ThreadItemUpdate::WorkflowTaskAdded { task_index, task }
        };
        Some(ThreadStreamEvent::ItemUpdated { item_id: item.id.clone(), update })
    }

    fn flush_citations(&mut self, content_index: usize) -> Vec<ThreadStreamEvent> {
        let Some(message) = &mut self.message else { return Vec::new() };
        if message.content.is_empty() {
            return Vec::new();
        }
        std::mem::take(&mut self.citations)
            .into_iter()
            .map(|annotation| annotate(message, content_index, annotation))
            .collect()
    }
}

fn search_task(search: Search, status_indicator: StatusIndicator) -> Task {
    let Search { kind, queries, sources, .. } = search;
    match kind {
        SearchKind::Web => Task::WebSearch {
            status_indicator,
            title: None,
            title_query: queries.first().cloned(),
            queries,
            sources: sources
                .into_iter()
                .map(|url| {
                    let title = host(&url).to_owned();
                    TypedUrlSource { source: UrlSource { title, url, ..UrlSource::default() } }
                })
                .collect(),
        },
        SearchKind::Files => Task::File {
            status_indicator,
            title: (!queries.is_empty()).then(|| queries.join(", ")),
            sources: sources
                .into_iter()
                .map(|filename| TypedFileSource {
                    source: FileSource {
                        title: filename.clone(),
                        filename,
                        ..FileSource::default()
                    },
                })
                .collect(),
        },
    }
}

/// What a page is called of which no more is known.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or(rest)
}

fn thought(content: String) -> Task {
    Task::Thought { status_indicator: StatusIndicator::None, title: None, content }
}

fn image(item: &mut GeneratedImageItem, base64: &str) -> GeneratedImage {
    let url = format!("data:image/png;base64,{base64}");
    // An id of its own, the same for all states of the image.
    let id = item.id.as_str().replacen("msg_", "ig_", 1);
    let image = GeneratedImage { id, url };
    item.image = Some(image.clone());
    image
}

fn annotate(
    message: &mut AssistantMessageItem,
    content_index: usize,
    annotation: Annotation,
) -> ThreadStreamEvent {
    let annotations = &mut part(message, content_index).annotations;
    let annotation_index = annotations.len();
    annotations.push(annotation.clone());
    let annotation = Box::new(annotation);
    let update = ThreadItemUpdate::AnnotationAdded { content_index, annotation_index, annotation };
    ThreadStreamEvent::ItemUpdated { item_id: message.id.clone(), update }
}

fn part(message: &mut AssistantMessageItem, index: usize) -> &mut AssistantMessageContent {
    if message.content.len() <= index {
        message.content.resize_with(index + 1, AssistantMessageContent::default);
    }
    &mut message.content[index]
}

use serde::{Deserialize, Serialize};

use super::{Annotation, AssistantMessageContent, GeneratedImage, Task, Widget};

/// A change of an item that is in progress, or of a widget at any time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum ThreadItemUpdate {
    #[serde(rename = "assistant_message.content_part.added")]
    ContentPartAdded { content_index: usize, content: AssistantMessageContent },
    #[serde(rename = "assistant_message.content_part.text_delta")]
    TextDelta { content_index: usize, delta: String },
    #[serde(rename = "assistant_message.content_part.annotation_added")]
    AnnotationAdded { content_index: usize, annotation_index: usize, annotation: Box<Annotation> },
    #[serde(rename = "assistant_message.content_part.done")]
    ContentPartDone { content_index: usize, content: AssistantMessageContent },
    #[serde(rename = "widget.streaming_text.value_delta")]
    WidgetTextDelta { component_id: String, delta: String, done: bool },
    #[serde(rename = "widget.root.updated")]
    WidgetRootUpdated { widget: Widget },
    #[serde(rename = "widget.component.updated")]
    WidgetComponentUpdated { component_id: String, component: Widget },
    #[serde(rename = "workflow.task.added")]
    WorkflowTaskAdded { task_index: usize, task: Task },
    #[serde(rename = "workflow.task.updated")]
    WorkflowTaskUpdated { task_index: usize, task: Task },
    #[serde(rename = "generated_image.updated")]
    GeneratedImageUpdated {
        image: GeneratedImage,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        progress: Option<f64>,
    },
}

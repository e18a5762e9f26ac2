use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use super::{Page, ThreadId};

/// A thread without its items, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThreadMetadata {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    pub id: ThreadId,
    pub created_at: Timestamp,
    #[serde(default)]
    pub status: ThreadStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_image_domains: Option<Vec<String>>,
    /// What plugins keep with the thread. It never reaches a client.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

impl ThreadMetadata {
    pub fn new() -> Self {
        Self {
            title: None,
            id: ThreadId::generate(),
            created_at: super::now(),
            status: ThreadStatus::Active,
            allowed_image_domains: None,
            metadata: Map::new(),
        }
    }
}

impl Default for ThreadMetadata {
    fn default() -> Self {
        Self::new()
    }
}

/// A thread as clients see it: metadata hidden, with a page of its items.
///
/// The items are kept as the JSON that was stored, so that a page is sent without being parsed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Thread {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    pub id: ThreadId,
    pub created_at: Timestamp,
    pub status: ThreadStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_image_domains: Option<Vec<String>>,
    /// Always `{}`.
    pub metadata: Map<String, Value>,
    pub items: Page<Box<RawValue>>,
}

impl Thread {
    /// What a client may see of `thread`, with this page of its items.
    pub fn new(thread: &ThreadMetadata, items: Page<Box<RawValue>>) -> Self {
        let ThreadMetadata { title, id, created_at, status, allowed_image_domains, metadata: _ } =
            thread.clone();
        Self { title, id, created_at, status, allowed_image_domains, metadata: Map::new(), items }
    }
}

/// Whether a thread takes messages.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ThreadStatus {
    #[default]
    Active,
    Locked {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    Closed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

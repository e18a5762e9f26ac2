use serde::{Deserialize, Serialize};

use super::ThreadItem;

// Threads, pages and attachments are answers as they are.

/// Answers `input.transcribe`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptionResult {
    /// What is to stand in the composer.
    pub text: String,
}

/// Answers `threads.sync_custom_action`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SyncCustomActionResponse {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_item: Option<ThreadItem>,
}

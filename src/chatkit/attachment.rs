use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AttachmentId, ThreadId};

/// A file that the user gave. What plugins keep with it (`metadata`) is never serialized here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Attachment {
    File(FileAttachment),
    Image(ImageAttachment),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileAttachment {
    pub id: AttachmentId,
    pub name: String,
    pub mime_type: String,
    /// Where to upload to; gone once that was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_descriptor: Option<AttachmentUploadDescriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<ThreadId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageAttachment {
    pub id: AttachmentId,
    pub name: String,
    pub mime_type: String,
    /// Where to upload to; gone once that was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_descriptor: Option<AttachmentUploadDescriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<ThreadId>,
    /// Empty where it is kept: it is made anew each time that it is sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub preview_url: String,
}

impl Attachment {
    pub const fn id(&self) -> &AttachmentId {
        match self {
            Self::File(file) => &file.id,
            Self::Image(image) => &image.id,
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::File(file) => &file.name,
            Self::Image(image) => &image.name,
        }
    }

    pub fn mime_type(&self) -> &str {
        match self {
            Self::File(file) => &file.mime_type,
            Self::Image(image) => &image.mime_type,
        }
    }
}

/// How a client uploads the bytes of an attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentUploadDescriptor {
    pub url: String,
    pub method: UploadMethod,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UploadMethod {
    #[serde(rename = "POST")]
    Post,
    #[serde(rename = "PUT")]
    Put,
}

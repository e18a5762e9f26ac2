use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use uuid::Uuid;

/// Declares one type per kind of id, so that a thread's id cannot be passed for an item's.
// A macro because the kinds differ in name and prefix only, and a generic id with a marker type
// would show the marker in every signature.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let id = String::deserialize(deserializer)?;
                // Not every database can look for such a text.
                if id.contains('\0') {
                    return Err(D::Error::custom("it holds a NUL character"));
                }
                Ok(Self(id.into()))
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id.into())
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.into())
            }
        }
    )*};
}

ids! {
    /// `thr_…`
    ThreadId
    /// `msg_…`, `tc_…`, `tsk_…`, `wf_…`, `shcx_…`: see [`ItemKind`].
    ItemId
    /// `atc_…`
    AttachmentId
}

/// What an item's id says about it. The prefixes are those of the reference's `store.py`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    Message,
    ToolCall,
    Task,
    Workflow,
    HiddenContext,
}

impl ThreadId {
    /// A new id: unique for ever, and sorted by the time it was made.
    pub fn generate() -> Self {
        Self::from(generate("thr"))
    }
}

impl ItemId {
    /// A new id: unique for ever, and sorted by the time it was made among those of its kind.
    pub fn generate(kind: ItemKind) -> Self {
        Self::from(generate(match kind {
            ItemKind::Message => "msg",
            ItemKind::ToolCall => "tc",
            ItemKind::Task => "tsk",
            ItemKind::Workflow => "wf",
            ItemKind::HiddenContext => "shcx",
        }))
    }
}

impl AttachmentId {
    /// A new id: unique for ever, and sorted by the time it was made.
    pub fn generate() -> Self {
        Self::from(generate("atc"))
    }
}

fn generate(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::now_v7().simple())
}

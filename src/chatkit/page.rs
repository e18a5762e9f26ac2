use serde::{Deserialize, Serialize};

/// Some of a longer list, and where the rest begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    pub data: Vec<T>,
    pub has_more: bool,
    /// The cursor of the next page, there is one only if there is more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl<T> Page<T> {
    pub const fn empty() -> Self {
        Self { data: Vec::new(), has_more: false, after: None }
    }
}

/// The order of a list by the time its entries were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    Asc,
    #[default]
    Desc,
}

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// Names of tools that are counted apart. They come from files and from MCP servers, of which there may be any
/// number over the life of a process.
const MOST: usize = 300;

/// What stands for the tools beyond these.
const OTHERS: &str = "(other)";

/// The names that are counted apart so far.
#[derive(Debug, Default)]
pub struct ToolNames(Mutex<BTreeSet<String>>);

impl ToolNames {
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeSet::new()))
    }

    /// The name that `tool` is counted under.
    pub fn label(&self, tool: &str) -> String {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.contains(tool) {
            if names.len() >= MOST {
                return OTHERS.to_owned();
            }
            names.insert(tool.to_owned());
        }
        tool.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_beyond_the_first_hundreds_are_counted_together() {
        let names = ToolNames::new();
        for number in 0..MOST {
            assert_eq!(names.label(&format!("t{number}")), format!("t{number}"));
        }
        assert_eq!(names.label("one_more"), OTHERS);
        assert_eq!(names.label("t0"), "t0");
    }
}

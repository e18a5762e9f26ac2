use std::{borrow::Cow, collections::HashMap, sync::Arc};

use sha2::{Digest, Sha256};

use crate::tool::ToolSpec;

/// How long a name may be that providers take.
const MAX_LENGTH: usize = 64;

/// The names that the model knows the tools of a request by: providers take `[A-Za-z0-9_-]{1,64}`.
#[derive(Debug, Default)]
pub struct ToolNames {
    /// Full name → the model's, where they differ.
    for_model: HashMap<String, String>,
    /// The model's → full name, where they differ.
    full: HashMap<String, String>,
}

impl ToolNames {
    pub fn new(tools: &[Arc<ToolSpec>]) -> Self {
        let mut names = Self::default();
        for tool in tools.iter().filter(|tool| !is_fit(&tool.name)) {
            let is_taken = |name: &str| {
                names.full.contains_key(name) || tools.iter().any(|other| other.name == name)
            };
            let mut name = shorten(replace(&tool.name), &tool.name);
            if is_taken(&name) {
                name = with_hash(&replace(&tool.name), &tool.name);
            }
            names.for_model.insert(tool.name.clone(), name.clone());
            names.full.insert(name, tool.name.clone());
        }
        names
    }

    pub fn for_model<'a>(&'a self, name: &'a str) -> Cow<'a, str> {
        if is_fit(name) {
            return Cow::Borrowed(name);
        }
        match self.for_model.get(name) {
            Some(name) => Cow::Borrowed(name),
            // A tool of former turns.
            None => Cow::Owned(shorten(replace(name), name)),
        }
    }

    pub fn full_name(&self, name: String) -> String {
        self.full.get(&name).cloned().unwrap_or(name)
    }
}

fn is_fit(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_LENGTH && name.bytes().all(is_fit_byte)
}

const fn is_fit_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn replace(name: &str) -> String {
    let is_fit = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-');
    let replaced: String = name.chars().map(|char| if is_fit(char) { char } else { '_' }).collect();
    if replaced.is_empty() { "_".to_owned() } else { replaced }
}

fn shorten(replaced: String, name: &str) -> String {
    if replaced.len() > MAX_LENGTH { with_hash(&replaced, name) } else { replaced }
}

fn with_hash(replaced: &str, name: &str) -> String {
    let hash = Sha256::digest(name.as_bytes());
    let begin = &replaced[..replaced.len().min(55)];
    format!("{begin}_{:02x}{:02x}{:02x}{:02x}", hash[0], hash[1], hash[2], hash[3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::tool;

    #[test]
    fn names_that_providers_refuse_are_replaced_and_found_again() {
        let long = format!("server__{}", "x".repeat(80));
        let names = ToolNames::new(&[tool("ok"), tool("a.b"), tool(&long), tool("größe")]);
        assert_eq!(names.for_model("ok"), "ok");
        assert_eq!(names.for_model("a.b"), "a_b");
        assert_eq!(names.for_model("größe"), "gr__e");
        let short = names.for_model(&long).into_owned();
        assert_eq!(short.len(), 64);
        assert_eq!(short, format!("server__{}_79ddeb4c", "x".repeat(47)));
        for name in ["ok", "a.b", &long, "größe"] {
            assert_eq!(names.full_name(names.for_model(name).into_owned()), name);
        }
    }

    #[test]
    fn two_tools_never_share_a_name() {
        let names =
            ToolNames::new(&[tool("a.b"), tool("a_b"), tool("a b"), tool("猫"), tool("犬")]);
        let all = ["a.b", "a_b", "a b", "猫", "犬"];
        for name in all {
            let for_model = names.for_model(name).into_owned();
            assert!(is_fit(&for_model), "{for_model}");
            assert_eq!(names.full_name(for_model), name);
        }
        assert_eq!(names.for_model("a_b"), "a_b");
    }

    #[test]
    fn a_tool_of_former_turns_keeps_a_name_that_providers_take() {
        assert_eq!(ToolNames::default().for_model("gone.tool"), "gone_tool");
    }
}

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// An entry of the permission `tools`: a tool's name, in which `*` stands for any characters and `?` for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolPattern {
    /// A name must match them all. More than one where the operator narrowed it by another that overlaps.
    globs: Vec<String>,
}

impl ToolPattern {
    pub fn matches(&self, tool: &str) -> bool {
        self.globs.iter().all(|it| covers(it, tool))
    }

    /// Whether it allows all that `other` allows.
    pub fn covers(&self, other: &Self) -> bool {
        self.globs.iter().all(|glob| other.globs.iter().any(|it| covers(glob, it)))
    }

    /// What both allow, if that can be anything.
    pub fn and(&self, other: &Self) -> Option<Self> {
        if self.covers(other) {
            return Some(other.clone());
        }
        if other.covers(self) {
            return Some(self.clone());
        }
        let globs: Vec<_> = self.globs.iter().chain(&other.globs).cloned().collect();
        // A name that the other does not cover is a name that it does not match.
        globs.iter().all(|it| it.contains(['*', '?'])).then_some(Self { globs })
    }
}

impl FromStr for ToolPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('!') {
            return Err(format!("`{text}` takes away: permissions list only what is allowed"));
        }
        let is_of_name = |it: char| it.is_alphanumeric() || "_-.:/*?".contains(it);
        if text.is_empty() || !text.chars().all(is_of_name) {
            return Err(format!(
                "`{text}` is no tool's name: write it as `notes__add`, with `*` for any characters"
            ));
        }
        Ok(Self { globs: vec![text.to_owned()] })
    }
}

impl fmt::Display for ToolPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.globs.join(" and "))
    }
}

impl Serialize for ToolPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether `glob` matches all that `other` matches, which is a glob or a name.
fn covers(glob: &str, other: &str) -> bool {
    let (glob, other): (Vec<_>, Vec<_>) = (glob.chars().collect(), other.chars().collect());
    let (mut at, mut other_at) = (0, 0);
    // The last star, and up to where it reaches: it takes one more wherever what follows fails.
    let mut star = None;
    while let Some(char) = other.get(other_at) {
        match glob.get(at) {
            Some('*') => {
                at += 1;
                star = Some((at, other_at));
            }
            Some(it) if it == char || (*it == '?' && *char != '*') => {
                at += 1;
                other_at += 1;
            }
            _ => {
                let Some((after_star, reach)) = star else {
                    return false;
                };
                at = after_star;
                other_at = reach + 1;
                star = Some((after_star, other_at));
            }
        }
    }
    glob[at..].iter().all(|it| *it == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> ToolPattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        let table = [
            ("notes__*", "notes__add", true),
            ("notes__*", "notes__", true),
            ("notes__*", "my_notes__add", false),
            ("*__add", "notes__add", true),
            ("*__add", "notes__add_all", false),
            ("a*b*c", "a_b_b_c", true),
            ("a*b*c", "a_c_b", false),
            ("note?", "notes", true),
            ("note?", "note", false),
            ("*", "anything", true),
            ("get", "get_weather", false),
        ];
        for (glob, tool, matches) in table {
            assert_eq!(pattern(glob).matches(tool), matches, "{glob} {tool}");
        }
    }

    #[test]
    fn a_pattern_covers_those_that_allow_no_more() {
        let table = [
            ("*", "notes__*", true),
            ("notes__*", "notes__a*", true),
            ("notes__*", "notes__add", true),
            ("notes__a*", "notes__*", false),
            ("notes__add", "notes__*", false),
            ("note?", "note*", false),
            ("note*", "note?", true),
            ("?", "?", true),
        ];
        for (wide, narrow, covers) in table {
            assert_eq!(pattern(wide).covers(&pattern(narrow)), covers, "{wide} {narrow}");
        }
    }

    #[test]
    fn what_two_patterns_share_must_match_both() {
        let both = pattern("notes__*").and(&pattern("*__add")).unwrap();
        assert!(both.matches("notes__add"));
        assert!(!both.matches("notes__delete") && !both.matches("tasks__add"));
        assert_eq!(pattern("*").and(&pattern("a*")), Some(pattern("a*")));
        assert_eq!(pattern("a*").and(&pattern("*")), Some(pattern("a*")));
        assert_eq!(pattern("a*").and(&pattern("list")), None);
    }
}

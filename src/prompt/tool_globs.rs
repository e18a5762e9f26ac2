use globset::{Glob, GlobMatcher};

/// Which tools an agent gets: globs over their names, of which the last that matches decides. `!` takes
/// away; a list that only takes away begins with all tools.
#[derive(Debug, Clone)]
pub struct ToolGlobs {
    patterns: Vec<String>,
    globs: Vec<(GlobMatcher, Admits)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admits {
    Yes,
    No,
}

impl ToolGlobs {
    /// Fails with the first pattern that is no glob, and why.
    pub fn new(patterns: Vec<String>) -> Result<Self, (usize, String)> {
        let mut globs = Vec::with_capacity(patterns.len());
        for (index, pattern) in patterns.iter().enumerate() {
            let (pattern, admits) = match pattern.strip_prefix('!') {
                Some(rest) => (rest, Admits::No),
                None => (pattern.as_str(), Admits::Yes),
            };
            let glob = Glob::new(pattern).map_err(|err| (index, err.kind().to_string()))?;
            globs.push((glob.compile_matcher(), admits));
        }
        Ok(Self { patterns, globs })
    }

    /// As they were written.
    pub fn patterns(&self) -> &[String] {
        &self.patterns
    }

    pub fn admits(&self, tool: &str) -> bool {
        let is_only_negative =
            !self.globs.is_empty() && self.globs.iter().all(|(_, admits)| *admits == Admits::No);
        let last = self.globs.iter().rev().find(|(glob, _)| glob.is_match(tool));
        last.map_or(is_only_negative, |(_, admits)| *admits == Admits::Yes)
    }
}

/// All tools.
impl Default for ToolGlobs {
    fn default() -> Self {
        Self::new(vec!["*".to_owned()]).expect("a star is a glob")
    }
}

impl PartialEq for ToolGlobs {
    fn eq(&self, other: &Self) -> bool {
        self.patterns == other.patterns
    }
}

#[cfg(test)]
mod tests {
    use super::ToolGlobs;

    #[test]
    fn the_last_glob_that_matches_decides() {
        #[track_caller]
        fn check(patterns: &[&str], expected: &str) {
            let patterns = patterns.iter().map(|it| (*it).to_owned()).collect();
            let globs = ToolGlobs::new(patterns).unwrap();
            let tools = ["get_note", "delete_note", "jira__get.issue", "jira__delete"];
            let admitted: Vec<_> = tools.into_iter().filter(|it| globs.admits(it)).collect();
            assert_eq!(admitted.join(" "), expected);
        }
        check(&["*"], "get_note delete_note jira__get.issue jira__delete");
        check(&["*", "!delete_*"], "get_note jira__get.issue jira__delete");
        check(&["!delete_*", "*"], "get_note delete_note jira__get.issue jira__delete");
        check(&["!jira__*"], "get_note delete_note");
        check(&["jira__*", "!*delete*", "delete_note"], "delete_note jira__get.issue");
        check(&["get_note"], "get_note");
        check(&["{get,delete}_note"], "get_note delete_note");
        check(&[], "");
    }

    #[test]
    fn a_pattern_that_is_no_glob_is_named() {
        let err = ToolGlobs::new(vec!["*".to_owned(), "!a[".to_owned()]).unwrap_err();
        assert_eq!(err.0, 1);
    }
}

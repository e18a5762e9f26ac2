use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a file of the project is not in force, told to the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadError {
    /// Relative to the project's folder, with `/`.
    pub file: String,
    /// From 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// From 1, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What is wrong: lower case, no full stop, the thing in backticks.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl LoadError {
    pub fn new(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, column: None, message: message.into(), remedy: None }
    }

    #[must_use]
    pub fn at(mut self, line: usize, column: Option<usize>) -> Self {
        self.line = Some(line);
        self.column = column;
        self
    }

    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// `file:line:column: message (remedy)`
impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(remedy) = &self.remedy {
            write!(f, " ({remedy})")?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::LoadError;

    #[test]
    fn what_is_known_of_the_place_is_said() {
        let error = LoadError::new("a.md", "`x` is wrong");
        assert_eq!(error.to_string(), "a.md: `x` is wrong");
        assert_eq!(error.clone().at(3, None).to_string(), "a.md:3: `x` is wrong");
        let whole = error.at(3, Some(4)).remedy("mend it");
        assert_eq!(whole.to_string(), "a.md:3:4: `x` is wrong (mend it)");
        assert_eq!(
            serde_json::to_value(&whole).unwrap(),
            json!({ "file": "a.md", "line": 3, "column": 4, "message": "`x` is wrong", "remedy": "mend it" })
        );
    }
}

use std::collections::BTreeMap;

use crate::{
    load_error::LoadError,
    plugin::{
        Permissions,
        toml_file::{TomlFile, entries},
    },
};

/// approvals.toml: which permissions the operator approved for which plugin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Approvals {
    by_name: BTreeMap<String, Permissions>,
}

/// The file's name, in the project's folder.
pub const APPROVALS_FILE: &str = "approvals.toml";

const HEADER: &str = "\
# The permissions that were approved, by plugin. `kitfox plugins approve NAME` writes this file.
";

impl Approvals {
    /// Parses the text of approvals.toml.
    pub fn parse(text: &str) -> Result<Self, Vec<LoadError>> {
        let (mut reader, table) = TomlFile::parse(APPROVALS_FILE, text)?;
        let mut approvals = Self::default();
        for entry in entries(&table) {
            approvals.by_name.insert(entry.0.to_owned(), reader.permissions(&entry));
        }
        reader.finish()?;
        Ok(approvals)
    }

    /// What was approved for the plugin `name`.
    pub fn find(&self, name: &str) -> Option<&Permissions> {
        self.by_name.get(name)
    }

    /// Replaces what was approved for the plugin `name`.
    pub fn approve(&mut self, name: &str, permissions: &Permissions) {
        self.by_name.insert(name.to_owned(), permissions.clone());
    }

    /// The text of approvals.toml.
    pub fn to_toml(&self) -> String {
        let tables = toml::to_string(&self.by_name).expect("lists, texts and booleans are TOML");
        format!("{HEADER}\n{tables}")
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::config::RawPermissions;

    fn permissions(text: &str) -> Permissions {
        let written: RawPermissions = toml::from_str(text).unwrap();
        Permissions::parse(&written).unwrap()
    }

    #[test]
    fn what_was_approved_can_be_read_in_review_and_read_back() {
        let mut approvals = Approvals::default();
        approvals.approve("weather", &permissions("http = ['a.test', '*.b.test']\nmodel = true"));
        approvals.approve("clock", &Permissions::default());
        let text = approvals.to_toml();
        assert_snapshot!(text, @r#"
        # The permissions that were approved, by plugin. `kitfox plugins approve NAME` writes this file.

        [clock]

        [weather]
        http = ["a.test", "*.b.test"]
        model = true
        "#);
        assert_eq!(Approvals::parse(&text).unwrap(), approvals);
        assert_eq!(approvals.find("clock"), Some(&Permissions::default()));
        assert_eq!(approvals.find("other"), None);
    }

    #[test]
    fn an_approval_replaces_the_one_before() {
        let mut approvals = Approvals::parse("[weather]\nhttp = ['a.test']").unwrap();
        approvals.approve("weather", &permissions("model = true"));
        assert_eq!(approvals.find("weather"), Some(&permissions("model = true")));
    }

    #[test]
    fn a_broken_file_approves_nothing() {
        let errors = Approvals::parse("[weather]\nhtp = ['a.test']\n").unwrap_err();
        assert_snapshot!(errors[0], @"approvals.toml:2:1: unknown key `htp` (did you mean `http`?)");
    }
}

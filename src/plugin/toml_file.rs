use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::{
    config::RawPermissions,
    load_error::LoadError,
    plugin::{Permissions, permission},
    user::Allow,
};

/// Reads a small TOML file with all its mistakes told at once, each with its place.
pub struct TomlFile<'a> {
    file: &'a str,
    text: &'a str,
    errors: Vec<LoadError>,
}

/// A key, where it stands, its value, where that stands.
pub type Entry<'t, 'a> = (&'t str, Range<usize>, &'t DeValue<'a>, Range<usize>);

impl<'a> TomlFile<'a> {
    /// `file` is what errors call it.
    pub fn parse(file: &'a str, text: &'a str) -> Result<(Self, DeTable<'a>), Vec<LoadError>> {
        let mut reader = Self { file, text, errors: Vec::new() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for err in errors {
            let message = err.message().lines().map(str::trim).collect::<Vec<_>>().join(", ");
            reader.refuse(err.span().unwrap_or_default(), message, None);
        }
        // What was understood of a broken file would be told as mistakes that nobody made.
        reader.finish()?;
        Ok((Self { file, text, errors: Vec::new() }, table.into_inner()))
    }

    /// Fails with what was refused, in the order of its place.
    pub fn finish(mut self) -> Result<(), Vec<LoadError>> {
        if self.errors.is_empty() {
            return Ok(());
        }
        self.errors.sort_by_key(|it| (it.line, it.column));
        Err(self.errors)
    }

    pub fn refuse(&mut self, span: Range<usize>, message: String, remedy: Option<String>) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |it| it + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        let err = LoadError::new(self.file, message).at(line, Some(column));
        self.errors.push(match remedy {
            Some(remedy) => err.remedy(remedy),
            None => err,
        });
    }

    pub fn refuse_key(&mut self, span: Range<usize>, key: &str, known: &[&str]) {
        let remedy = match nearest(key, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: `{}`", known.join("`, `")),
        };
        self.refuse(span, format!("unknown key `{key}`"), Some(remedy));
    }

    pub fn refuse_kind(
        &mut self,
        span: Range<usize>,
        key: &str,
        wanted: &str,
        value: &DeValue<'_>,
    ) {
        let found = match value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.refuse(span, format!("`{key}` must be {wanted}, not {found}"), None);
    }

    pub fn text(&mut self, (key, _, value, span): &Entry<'_, '_>) -> Option<String> {
        let text = value.as_str();
        if text.is_none() {
            self.refuse_kind(span.clone(), key, "a string", value);
        }
        text.map(str::to_owned)
    }

    pub fn permissions(&mut self, (key, _, value, span): &Entry<'_, '_>) -> Permissions {
        let Some(table) = value.as_table() else {
            self.refuse_kind(span.clone(), key, "a table", value);
            return Permissions::default();
        };
        let mut written = RawPermissions::default();
        for entry in entries(table) {
            match entry.0 {
                "http" => written.http = Some(self.list(&entry)),
                "credentials" => written.credentials = Some(self.list(&entry)),
                "knowledge" => written.knowledge = Some(self.list(&entry)),
                "env" => written.env = Some(self.list(&entry)),
                "tools" => written.tools = Some(self.list(&entry)),
                "model" => written.model = self.boolean(&entry),
                "public" => written.public = self.boolean(&entry),
                unknown => self.refuse_key(entry.1, unknown, permission::KEYS),
            }
        }
        // Its entries were refused one by one, where they stand.
        Permissions::parse(&written).unwrap_or_default()
    }

    pub fn allow(&mut self, (key, _, value, span): &Entry<'_, '_>) -> Allow {
        let texts = value.as_array().map(|it| it.iter().map(|it| it.get_ref().as_str()));
        let words: Option<Option<Vec<String>>> =
            texts.map(|it| it.map(|it| it.map(str::to_owned)).collect());
        let Some(Some(words)) = words else {
            self.refuse_kind(span.clone(), key, "a list of strings", value);
            return Allow::default();
        };
        Allow::parse(&words).unwrap_or_else(|err| {
            self.refuse(span.clone(), err, None);
            Allow::default()
        })
    }

    fn list(&mut self, (key, _, value, span): &Entry<'_, '_>) -> Vec<String> {
        let Some(array) = value.as_array() else {
            self.refuse_kind(span.clone(), key, "a list of strings", value);
            return Vec::new();
        };
        let mut list = Vec::new();
        for entry in array {
            let Some(text) = entry.get_ref().as_str() else {
                self.refuse_kind(entry.span(), key, "a list of strings", entry.get_ref());
                continue;
            };
            match permission::check_entry(key, text) {
                Ok(()) => list.push(text.to_owned()),
                Err(err) => self.refuse(entry.span(), format!("`permissions.{key}`: {err}"), None),
            }
        }
        list
    }

    fn boolean(&mut self, (key, _, value, span): &Entry<'_, '_>) -> Option<bool> {
        let boolean = value.as_bool();
        if boolean.is_none() {
            self.refuse_kind(span.clone(), key, "`true` or `false`", value);
        }
        boolean
    }
}

pub fn entries<'t, 'a>(table: &'t DeTable<'a>) -> impl Iterator<Item = Entry<'t, 'a>> {
    table
        .iter()
        .map(|(key, value)| (key.get_ref().as_ref(), key.span(), value.get_ref(), value.span()))
}

/// The known name that was probably meant.
pub fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |it: &&str| strsim::damerau_levenshtein(&name.to_lowercase(), it);
    let close = |it: &&str| distance(it) <= 1 + it.len().min(name.len()) / 3;
    known.iter().copied().filter(close).min_by_key(distance)
}

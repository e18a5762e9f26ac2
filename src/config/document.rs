//! Files that people write as values that know where they stand, and how to read them with all their
//! mistakes told at once.

use std::{cell::RefCell, time::Duration};

use crate::{load_error::LoadError, user::Allow};

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub content: Content,
    pub place: Place,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    Null,
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    /// From the environment, which knows no types: text that may stand for any other kind.
    /// `shown` is what an error may quote.
    Untyped {
        text: String,
        shown: String,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
    Date,
    /// Its mistake was told already.
    Wrong,
}

/// A key of a map and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    pub name: String,
    pub place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Both from 1, the column in characters.
    File {
        line: usize,
        column: usize,
    },
    Variable(String),
    Unknown,
}

impl Place {
    /// Where the byte `offset` of `text` stands.
    pub fn of_offset(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |it| it + 1);
        Self::File {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// Collects what is wrong with one file.
pub struct Reader {
    file: String,
    errors: RefCell<Vec<LoadError>>,
}

impl Reader {
    pub fn new(file: impl Into<String>) -> Self {
        Self { file: file.into(), errors: RefCell::default() }
    }

    /// The errors, in the order of their places.
    pub fn into_errors(self) -> Vec<LoadError> {
        let mut errors = self.errors.into_inner();
        errors.sort_by_key(|it| (it.line.is_none(), it.line, it.column));
        errors
    }

    pub fn refuse(&self, place: &Place, message: impl Into<String>, remedy: Option<String>) {
        let message = message.into();
        let mut error = match place {
            Place::File { line, column } => {
                LoadError::new(&self.file, message).at(*line, Some(*column))
            }
            Place::Variable(name) => LoadError::new(&self.file, format!("{message} (in `{name}`)")),
            Place::Unknown => LoadError::new(&self.file, message),
        };
        error.remedy = remedy;
        self.errors.borrow_mut().push(error);
    }

    pub fn root(&self, node: Node) -> Field<'_> {
        Field { reader: self, path: String::new(), node }
    }
}

/// A value under its path, e.g. `server.listen`.
#[derive(Clone)]
pub struct Field<'a> {
    reader: &'a Reader,
    pub path: String,
    pub node: Node,
}

/// A map whose keys were checked. Every reader of a key tells what is wrong and gives `None`, as for a
/// key that is not there.
#[derive(Clone)]
pub struct Table<'a> {
    reader: &'a Reader,
    path: String,
    place: Place,
    entries: Vec<(Key, Node)>,
}

impl<'a> Field<'a> {
    pub fn refuse(&self, message: impl Into<String>) {
        self.reader.refuse(&self.node.place, message, None);
    }

    pub fn refuse_with_remedy(&self, message: impl Into<String>, remedy: impl Into<String>) {
        self.reader.refuse(&self.node.place, message, Some(remedy.into()));
    }

    /// "`path` must be `what`, not …"
    pub fn must_be(&self, what: &str) {
        if self.node.content == Content::Wrong {
            return;
        }
        let must = format!("`{}` must be {what}", self.path);
        match self.node.place {
            // It may be a secret, in the wrong variable.
            Place::Variable(_) => self.refuse(must),
            Place::File { .. } | Place::Unknown => {
                self.refuse(format!("{must}, not {}", self.shown()));
            }
        }
    }

    fn shown(&self) -> String {
        match &self.node.content {
            Content::Null | Content::Wrong => "empty".to_owned(),
            Content::Boolean(it) => format!("`{it}`"),
            Content::Integer(it) => format!("`{it}`"),
            Content::Float(it) => format!("`{it}`"),
            Content::Text(shown) | Content::Untyped { shown, .. } => format!("`{shown}`"),
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a map".to_owned(),
            Content::Date => "a date".to_owned(),
        }
    }

    pub fn text(&self) -> Option<String> {
        match &self.node.content {
            Content::Text(text) | Content::Untyped { text, .. } => Some(text.clone()),
            _ => {
                self.must_be("text");
                None
            }
        }
    }

    pub fn text_not_empty(&self) -> Option<String> {
        let text = self.text()?;
        if text.trim().is_empty() {
            self.refuse(format!("`{}` must not be empty", self.path));
            return None;
        }
        Some(text)
    }

    pub fn boolean(&self) -> Option<bool> {
        let found = self.find_boolean();
        if found.is_none() {
            self.must_be("`true` or `false`");
        }
        found
    }

    /// As [`Self::boolean`], for values that may be something else.
    pub fn find_boolean(&self) -> Option<bool> {
        match &self.node.content {
            Content::Boolean(it) => Some(*it),
            Content::Untyped { text, .. } => match text.trim() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// A whole number from `least` up that `T` can hold.
    pub fn count<T: TryFrom<i128>>(&self, least: i128) -> Option<T> {
        let number = match &self.node.content {
            Content::Integer(it) => Some(*it),
            Content::Untyped { text, .. } => text.trim().replace('_', "").parse().ok(),
            _ => None,
        };
        let found = number.filter(|it| *it >= least).and_then(|it| T::try_from(it).ok());
        if found.is_none() {
            self.must_be(&format!("a whole number, at least {least}"));
        }
        found
    }

    /// A number between the two, both included.
    pub fn number(&self, least: f64, most: f64) -> Option<f64> {
        let number = match &self.node.content {
            Content::Float(it) => Some(*it),
            #[expect(clippy::cast_precision_loss, reason = "far beyond any number that is valid")]
            Content::Integer(it) => Some(*it as f64),
            Content::Untyped { text, .. } => text.trim().parse().ok(),
            _ => None,
        };
        let found = number.filter(|it| (least..=most).contains(it));
        if found.is_none() {
            self.must_be(&format!("a number from {least} to {most}"));
        }
        found
    }

    /// `500ms`, `10s`, `2m`.
    pub fn duration(&self, least: Duration) -> Option<Duration> {
        let found = match &self.node.content {
            Content::Text(text) | Content::Untyped { text, .. } => parse_duration(text.trim()),
            _ => None,
        };
        let Some(duration) = found else {
            self.must_be("a duration like `500ms`, `10s`, `2m` or `8h`");
            return None;
        };
        if duration < least {
            self.must_be(&format!("at least `{}ms`", least.as_millis()));
            return None;
        }
        Some(duration)
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let found = match &self.node.content {
            Content::Text(text) | Content::Untyped { text, .. } => {
                words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
            }
            _ => None,
        };
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.must_be(&format!("one of {}", list_of(&names)));
        }
        found
    }

    /// The fields of a list; from the environment, a TOML array or values between commas.
    pub fn list(&self) -> Option<Vec<Self>> {
        let nodes = match &self.node.content {
            Content::List(nodes) => nodes.clone(),
            Content::Untyped { text, .. } if text.trim_start().starts_with('[') => {
                self.nested(text)?.into_list()?
            }
            Content::Untyped { text, .. } => text
                .split(',')
                .map(str::trim)
                .filter(|it| !it.is_empty())
                .map(|it| Node {
                    content: Content::Untyped { text: it.to_owned(), shown: it.to_owned() },
                    place: self.node.place.clone(),
                })
                .collect(),
            _ => {
                self.must_be("a list");
                return None;
            }
        };
        let field = |(index, node)| Self {
            reader: self.reader,
            path: format!("{}[{index}]", self.path),
            node,
        };
        Some(nodes.into_iter().enumerate().map(field).collect())
    }

    /// A list of texts.
    pub fn texts(&self) -> Option<Vec<String>> {
        // All are read before the first failure counts, so that each is told.
        let texts: Vec<_> = self.list()?.iter().map(Self::text_not_empty).collect();
        texts.into_iter().collect()
    }

    /// A list of texts, or one.
    pub fn text_or_texts(&self) -> Option<Vec<String>> {
        match &self.node.content {
            Content::Text(text) => Some(vec![text.clone()]),
            _ => self.texts(),
        }
    }

    /// A map with any keys; from the environment, an inline table of TOML.
    pub fn map(&self) -> Option<Table<'a>> {
        let entries = match &self.node.content {
            Content::Map(entries) => entries.clone(),
            Content::Untyped { text, .. } if text.trim_start().starts_with('{') => {
                self.nested(text)?.into_map()?
            }
            _ => {
                self.must_be("a map of keys and values");
                return None;
            }
        };
        Some(Table {
            reader: self.reader,
            path: self.path.clone(),
            place: self.node.place.clone(),
            entries,
        })
    }

    /// A map with these keys; others are told.
    pub fn table(&self, known: &[&str]) -> Option<Table<'a>> {
        let table = self.map()?;
        table.check_keys(known);
        Some(table)
    }

    fn nested(&self, text: &str) -> Option<Node> {
        match toml::de::DeValue::parse(text) {
            Ok(value) => Some(node_at(value.into_inner(), &self.node.place)),
            Err(err) => {
                self.refuse(format!("`{}` is not valid TOML: {}", self.path, err.message()));
                None
            }
        }
    }
}

impl<'a> Table<'a> {
    /// One that has no keys.
    pub fn empty(reader: &'a Reader, path: &str) -> Self {
        Self { reader, path: path.to_owned(), place: Place::Unknown, entries: Vec::new() }
    }

    /// Tells the keys that are none of these.
    pub fn check_keys(&self, known: &[&str]) {
        for (key, _) in &self.entries {
            if !known.contains(&key.name.as_str()) {
                self.reader.refuse(
                    &key.place,
                    format!("unknown key `{}`", self.path_of(&key.name)),
                    Some(suggestion(&key.name, known)),
                );
            }
        }
    }

    fn path_of(&self, key: &str) -> String {
        let separator = if self.path.is_empty() { "" } else { "." };
        let is_bare = |it: char| it.is_alphanumeric() || it == '_' || it == '-';
        if key.chars().all(is_bare) && !key.is_empty() {
            format!("{}{separator}{key}", self.path)
        } else {
            format!("{}{separator}\"{key}\"", self.path)
        }
    }

    pub fn refuse(&self, message: impl Into<String>, remedy: impl Into<String>) {
        self.reader.refuse(&self.place, message, Some(remedy.into()));
    }

    pub fn get(&self, key: &str) -> Option<Field<'a>> {
        let (_, node) = self.entries.iter().find(|(it, _)| it.name == key)?;
        Some(Field { reader: self.reader, path: self.path_of(key), node: node.clone() })
    }

    /// The keys as they stand in the file, with their values.
    pub fn fields(&self) -> Vec<(Key, Field<'a>)> {
        let field = |(key, node): &(Key, Node)| {
            let path = self.path_of(&key.name);
            (key.clone(), Field { reader: self.reader, path, node: node.clone() })
        };
        self.entries.iter().map(field).collect()
    }

    /// The table under `key`, without keys where there is none.
    #[must_use]
    pub fn table(&self, key: &str, known: &[&str]) -> Self {
        self.get(key)
            .and_then(|it| it.table(known))
            .unwrap_or_else(|| Self::empty(self.reader, &self.path_of(key)))
    }

    /// The table under `key`, whose keys are names that the user gives.
    #[must_use]
    pub fn map(&self, key: &str) -> Self {
        self.get(key)
            .and_then(|it| it.map())
            .unwrap_or_else(|| Self::empty(self.reader, &self.path_of(key)))
    }

    /// `allow`: everyone, where it is left out.
    pub fn allow(&self) -> Allow {
        let Some(field) = self.get("allow") else { return Allow::default() };
        let words = field.text_or_texts().unwrap_or_default();
        // What is wrong with it lets nobody in, should anybody go on with it.
        Allow::parse(&words).unwrap_or_else(|err| {
            field.refuse(err);
            Allow::parse(&[]).unwrap_or_default()
        })
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Node {
    /// Parses a TOML file, or tells all that keeps it from being one.
    pub fn from_toml(text: &str, reader: &Reader) -> Option<Self> {
        let (table, errors) = toml::de::DeTable::parse_recoverable(text);
        let is_valid = errors.is_empty();
        for error in errors {
            let place = error
                .span()
                .map_or(Place::Unknown, |span| Place::of_offset(text, span.start.min(text.len())));
            reader.refuse(&place, one_line(error.message()), None);
        }
        let place = Place::File { line: 1, column: 1 };
        let content = toml_map(table.into_inner(), &|span| Place::of_offset(text, span.start));
        // What was understood of a broken file would be told as mistakes that nobody made.
        is_valid.then_some(Self { content, place })
    }

    fn into_list(self) -> Option<Vec<Self>> {
        match self.content {
            Content::List(nodes) => Some(nodes),
            _ => None,
        }
    }

    fn into_map(self) -> Option<Vec<(Key, Self)>> {
        match self.content {
            Content::Map(entries) => Some(entries),
            _ => None,
        }
    }
}

/// "did you mean …", or what is known where nothing is near.
pub fn suggestion(name: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|it| (strsim::damerau_levenshtein(&name.to_lowercase(), it), *it))
        .min()
        .filter(|(distance, it)| *distance <= 1 + it.chars().count().min(name.chars().count()) / 3);
    match near {
        Some((_, near)) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", list_of(known)),
    }
}

/// `a`, `b`, `c`
pub fn list_of(names: &[&str]) -> String {
    names.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
}

pub fn one_line(text: &str) -> String {
    // What is not seen could make a line of a log look like two, or like another.
    let is_seen = |it: &char| !it.is_control() && !('\u{200e}'..='\u{202e}').contains(it);
    let lines = text.lines().map(|line| line.trim().chars().filter(is_seen).collect::<String>());
    lines.filter(|it| !it.is_empty()).collect::<Vec<_>>().join(", ")
}

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|it: char| !it.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    match text[digits..].trim_start() {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "h" => Some(Duration::from_secs(number.checked_mul(60 * 60)?)),
        _ => None,
    }
}

/// A value whose parts all stand at `place`.
fn node_at(value: toml::de::DeValue<'_>, place: &Place) -> Node {
    Node { content: toml_content(value, &|_| place.clone()), place: place.clone() }
}

type PlaceOf<'a> = &'a dyn Fn(std::ops::Range<usize>) -> Place;

fn toml_map(table: toml::de::DeTable<'_>, place_of: PlaceOf<'_>) -> Content {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, value): (toml::Spanned<toml::de::DeString<'_>>, toml::Spanned<_>)| {
        let key_place = place_of(key.span());
        let place = place_of(value.span());
        let key = Key { name: key.into_inner().into_owned(), place: key_place };
        (key, Node { content: toml_content(value.into_inner(), place_of), place })
    };
    Content::Map(entries.into_iter().map(entry).collect())
}

fn toml_content(value: toml::de::DeValue<'_>, place_of: PlaceOf<'_>) -> Content {
    use toml::de::DeValue;
    match value {
        DeValue::String(it) => Content::Text(it.into_owned()),
        DeValue::Integer(it) => i128::from_str_radix(it.as_str(), it.radix())
            .map_or_else(|_| Content::Text(it.to_string()), Content::Integer),
        DeValue::Float(it) => {
            it.as_str().parse().map_or_else(|_| Content::Text(it.to_string()), Content::Float)
        }
        DeValue::Boolean(it) => Content::Boolean(it),
        DeValue::Datetime(_) => Content::Date,
        DeValue::Array(array) => Content::List(
            array
                .into_iter()
                .map(|it| {
                    let place = place_of(it.span());
                    Node { content: toml_content(it.into_inner(), place_of), place }
                })
                .collect(),
        ),
        DeValue::Table(table) => toml_map(table, place_of),
    }
}

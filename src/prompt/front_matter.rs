//! What stands above an agent's template, as YAML.

use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, json};
use serde_saphyr::{Location, Spanned};

use crate::{
    config::document::{Content, Field, Key, Node, Place, Reader, Table, one_line},
    load_error::LoadError,
    media,
    prompt::{
        AttachmentRules, FrontMatter, History, HistoryForm, Reasoning, Start, Titles,
        template::{Source, Start as SourceStart},
        tool_globs::ToolGlobs,
    },
};

const KEYS: &[&str] = &[
    "name",
    "model",
    "tools",
    "stop_after",
    "history",
    "temperature",
    "reasoning",
    "hosted",
    "allow_cancel",
    "titles",
    "attachments",
    "start",
    "when",
    "allow",
];

/// A file of an agent, taken apart.
pub struct Parsed {
    pub front: FrontMatter,
    pub body: Source,
    /// The templates among the values, named by [`StartNames`].
    pub values: Vec<Source>,
    /// The keys of `[models]` that it names, and where.
    pub models: Vec<(String, Place)>,
}

/// The names of the templates of an agent's start screen: greeting, then label and text of each prompt.
pub struct StartNames<'a>(pub &'a str);

impl StartNames<'_> {
    // No path holds two slashes in a row.
    pub fn greeting(&self) -> String {
        format!("{}//greeting", self.0)
    }

    pub fn label(&self, index: usize) -> String {
        format!("{}//label/{index}", self.0)
    }

    pub fn prompt(&self, index: usize) -> String {
        format!("{}//prompt/{index}", self.0)
    }
}

/// Parses the file at `path` below prompts/, whose lines end in `\n`.
pub fn parse(path: &str, text: &str) -> Result<Parsed, Vec<LoadError>> {
    let reader = Reader::new(format!("prompts/{path}"));
    let Ok((yaml, body)) = split(text) else {
        let place = Place::File { line: 1, column: 1 };
        let remedy = "end it with a line `---`";
        reader.refuse(&place, "the front matter has no end", Some(remedy.to_owned()));
        return Err(reader.into_errors());
    };
    let first_line = text[..text.len() - body.len()].matches('\n').count() + 1;
    let body = Source {
        name: path.to_owned(),
        path: path.to_owned(),
        text: Arc::from(body),
        start: SourceStart::Line(first_line),
    };
    let mut values = Vec::new();
    let root = match parse_yaml(yaml) {
        Ok(None) => Table::empty(&reader, ""),
        Ok(Some(node)) => {
            let root = reader.root(node);
            let Content::Map(_) = root.node.content else {
                root.refuse("the front matter must be a map of keys and values");
                return Err(reader.into_errors());
            };
            root.table(KEYS).unwrap_or_else(|| Table::empty(&reader, ""))
        }
        Err(err) => {
            let place = err.location().map_or(Place::Unknown, place_of);
            reader.refuse(&place, yaml_message(&err), None);
            return Err(reader.into_errors());
        }
    };
    let front = read(&root, path, &mut values);
    let titles = root.get("titles").filter(|it| matches!(it.node.content, Content::Map(_)));
    let titles_model = titles.and_then(|it| it.map()?.get("model"));
    let named = [root.get("model"), titles_model].into_iter().flatten();
    let models = named.filter_map(|it| Some((it.text()?, it.node.place))).collect();
    let errors = reader.into_errors();
    if errors.is_empty() { Ok(Parsed { front, body, values, models }) } else { Err(errors) }
}

struct NoEnd;

/// The front matter, where there is one, and what follows it.
fn split(text: &str) -> Result<(&str, &str), NoEnd> {
    let Some((first, rest)) = text.split_once('\n') else {
        return if text.trim_end() == "---" { Err(NoEnd) } else { Ok(("", text)) };
    };
    if first.trim_end() != "---" {
        return Ok(("", text));
    }
    let mut end = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return Ok((&rest[..end], &rest[end + line.len()..]));
        }
        end += line.len();
    }
    Err(NoEnd)
}

fn parse_yaml(yaml: &str) -> Result<Option<Node>, serde_saphyr::Error> {
    // In front of it stands the line `---`: with a line in its place all lines count as in the file.
    let yaml = format!("\n{yaml}");
    let node: Option<Spanned<Yaml>> = serde_saphyr::from_str(&yaml)?;
    Ok(node.map(Node::from).filter(|it| it.content != Content::Null))
}

fn yaml_message(err: &serde_saphyr::Error) -> String {
    let message = one_line(&err.without_snippet().to_string());
    // The place is told apart from the message.
    let message = message.split(" at line ").next().unwrap_or_default();
    match message.strip_prefix("duplicate mapping key: ").and_then(|it| it.split(',').next()) {
        Some(key) => format!("the key `{key}` stands twice"),
        None => message.to_owned(),
    }
}

fn place_of(location: Location) -> Place {
    match (usize::try_from(location.line()), usize::try_from(location.column())) {
        (Ok(line @ 1..), Ok(column)) => Place::File { line, column: column.max(1) },
        (_, _) => Place::Unknown,
    }
}

fn read(root: &Table<'_>, path: &str, values: &mut Vec<Source>) -> FrontMatter {
    let text = |key| root.get(key).and_then(|it| it.text_not_empty());
    let default = FrontMatter::default();
    let id = path.strip_suffix(".md").unwrap_or(path);
    FrontMatter {
        name: text("name").unwrap_or_else(|| id.to_owned()),
        model: text("model"),
        tools: root.get("tools").and_then(|it| read_tools(&it)).unwrap_or_default(),
        stop_after: root.get("stop_after").and_then(|it| it.text_or_texts()).unwrap_or_default(),
        history: root.get("history").and_then(|it| read_history(&it)).unwrap_or_default(),
        temperature: root.get("temperature").and_then(|it| it.number(0.0, 2.0)),
        reasoning: root.get("reasoning").and_then(|it| read_reasoning(&it)),
        hosted: root.get("hosted").and_then(|it| read_hosted(&it)).unwrap_or_default(),
        allow_cancel: root
            .get("allow_cancel")
            .and_then(|it| it.boolean())
            .unwrap_or(default.allow_cancel),
        titles: root.get("titles").and_then(|it| read_titles(&it)).unwrap_or_default(),
        attachments: root
            .get("attachments")
            .and_then(|it| read_attachments(&it))
            .unwrap_or_default(),
        start: root.get("start").and_then(|it| read_start(&it, path, values)).unwrap_or_default(),
        when_tool_choice: root
            .get("when")
            .and_then(|it| it.table(&["tool_choice"])?.get("tool_choice")?.text_or_texts())
            .unwrap_or_default(),
        allow: root.allow(),
    }
}

fn read_tools(field: &Field<'_>) -> Option<ToolGlobs> {
    let patterns = field.text_or_texts()?;
    match ToolGlobs::new(patterns) {
        Ok(globs) => Some(globs),
        Err((index, why)) => {
            let at = field.list().and_then(|it| it.into_iter().nth(index));
            let at = at.as_ref().unwrap_or(field);
            at.refuse(format!("`{}` is no glob: {why}", at.path));
            None
        }
    }
}

fn read_history(field: &Field<'_>) -> Option<History> {
    let table = field.table(&["items", "form"])?;
    let default = History::default();
    let words = [("items", HistoryForm::Items), ("transcript", HistoryForm::Transcript)];
    Some(History {
        items: table.get("items").and_then(|it| it.count(1)).unwrap_or(default.items),
        form: table.get("form").and_then(|it| it.word(&words)).unwrap_or(default.form),
    })
}

fn read_reasoning(field: &Field<'_>) -> Option<Reasoning> {
    let table = field.table(&["effort", "show"])?;
    Some(Reasoning {
        effort: table.get("effort").and_then(|it| it.text_not_empty()),
        show: table.get("show").and_then(|it| it.boolean()).unwrap_or_default(),
    })
}

fn read_hosted(field: &Field<'_>) -> Option<Vec<Value>> {
    Some(field.list()?.iter().filter_map(read_hosted_tool).collect())
}

/// `web_search` or `{ image_generation: { partial_images: 3 } }`.
fn read_hosted_tool(field: &Field<'_>) -> Option<Value> {
    if let Content::Text(name) = &field.node.content {
        return Some(json!({ "type": name }));
    }
    let example = "a name, such as `web_search`, or one name with its settings, such as \
                   `{ image_generation: { partial_images: 3 } }`";
    let Content::Map(entries) = &field.node.content else {
        field.must_be(example);
        return None;
    };
    let [(key, settings)] = entries.as_slice() else {
        field.must_be(example);
        return None;
    };
    let mut tool = Map::from_iter([("type".to_owned(), json!(key.name))]);
    match to_json(settings) {
        Value::Object(settings) => tool.extend(settings.into_iter().filter(|(it, _)| it != "type")),
        Value::Null => (),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            field.must_be(example);
            return None;
        }
    }
    Some(Value::Object(tool))
}

fn read_titles(field: &Field<'_>) -> Option<Titles> {
    match field.find_boolean() {
        Some(true) => return Some(Titles::On),
        Some(false) => return Some(Titles::Off),
        None => (),
    }
    if !matches!(field.node.content, Content::Map(_)) {
        field.must_be("`true`, `false` or a map with `model` and `prompt`");
        return None;
    }
    let table = field.table(&["model", "prompt"])?;
    Some(Titles::With {
        model: table.get("model").and_then(|it| it.text_not_empty()),
        prompt: table.get("prompt").and_then(|it| it.text_not_empty()),
    })
}

fn read_attachments(field: &Field<'_>) -> Option<AttachmentRules> {
    match field.find_boolean() {
        Some(true) => return Some(AttachmentRules::Any),
        Some(false) => return Some(AttachmentRules::None),
        None => (),
    }
    if !matches!(field.node.content, Content::Map(_)) {
        field.must_be("`true`, `false` or a map with `accept`, `max_size` and `max_count`");
        return None;
    }
    let table = field.table(&["accept", "max_size", "max_count"])?;
    let accept = table.get("accept").and_then(|field| {
        let types = field.text_or_texts()?;
        if types.is_empty() || !types.iter().all(|it| media::is_pattern(it)) {
            field.refuse(format!(
                "`{}` must name types, such as `image/*` and `application/pdf`",
                field.path
            ));
        }
        Some(types)
    });
    Some(AttachmentRules::Some {
        accept,
        max_size: table.get("max_size").and_then(|it| it.count(1)),
        max_count: table.get("max_count").and_then(|it| it.count(1)),
    })
}

fn read_start(field: &Field<'_>, path: &str, values: &mut Vec<Source>) -> Option<Start> {
    let names = StartNames(path);
    let mut template = |field: &Field<'_>, name: String| {
        let text = field.text()?;
        let start = SourceStart::Value(field.node.place.clone());
        let path = path.to_owned();
        values.push(Source { name, path, text: Arc::from(text.as_str()), start });
        Some(text)
    };
    let table = field.table(&["greeting", "prompts"])?;
    let greeting = table.get("greeting").and_then(|it| template(&it, names.greeting()));
    let mut prompts = Vec::new();
    for field in table.get("prompts").and_then(|it| it.list()).unwrap_or_default() {
        let Some(table) = field.table(&["label", "prompt"]) else { continue };
        let (Some(label), Some(prompt)) = (table.get("label"), table.get("prompt")) else {
            field.refuse(format!("`{}` must have a `label` and a `prompt`", field.path));
            continue;
        };
        let index = prompts.len();
        let label = template(&label, names.label(index));
        let prompt = template(&prompt, names.prompt(index));
        if let (Some(label), Some(prompt)) = (label, prompt) {
            prompts.push((label, prompt));
        }
    }
    Some(Start { greeting, prompts })
}

fn to_json(node: &Node) -> Value {
    match &node.content {
        Content::Null | Content::Date | Content::Wrong => Value::Null,
        Content::Boolean(it) => json!(it),
        Content::Integer(it) => {
            i64::try_from(*it).map_or_else(|_| json!(it.to_string()), Value::from)
        }
        Content::Float(it) => json!(it),
        Content::Text(text) | Content::Untyped { text, .. } => json!(text),
        Content::List(nodes) => nodes.iter().map(to_json).collect(),
        Content::Map(entries) => {
            let pair = |(key, node): &(Key, Node)| (key.name.clone(), to_json(node));
            Value::Object(entries.iter().map(pair).collect())
        }
    }
}

struct Yaml(Content);

impl From<Spanned<Yaml>> for Node {
    fn from(yaml: Spanned<Yaml>) -> Self {
        Self { content: yaml.value.0, place: place_of(yaml.referenced) }
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(YamlVisitor).map(Self)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Integer(value.into()))
    }

    fn visit_i128<E: serde::de::Error>(self, value: i128) -> Result<Content, E> {
        Ok(Content::Integer(value))
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Content, E> {
        i128::try_from(value).map(Content::Integer).map_err(|_| E::custom("the number is too big"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Content, A::Error> {
        let mut nodes = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Yaml>>()? {
            nodes.push(item.into());
        }
        Ok(Content::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Content, A::Error> {
        let mut nodes: Vec<(Key, Node)> = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let place = place_of(key.referenced);
            let value = entries.next_value::<Spanned<Yaml>>()?;
            nodes.push((Key { name: key.value, place }, value.into()));
        }
        Ok(Content::Map(nodes))
    }
}

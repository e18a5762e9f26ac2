use std::{collections::BTreeMap, fmt};

use crate::config::document::{Content, Key, Node, Place, Reader};

/// Where names in kitfox.toml get their values from.
#[derive(Clone, Default)]
pub struct Environment(pub BTreeMap<String, String>);

impl Environment {
    /// That of this process.
    pub fn of_process() -> Self {
        // What is no Unicode cannot be named in a file either.
        let variables = std::env::vars_os();
        Self(
            variables
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
        )
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The values of those of `names` that are set.
    pub fn of_names(&self, names: &[String]) -> BTreeMap<String, String> {
        names.iter().filter_map(|it| Some((it.clone(), self.get(it)?.to_owned()))).collect()
    }

    /// Puts every `KITFOX_SECTION__KEY` over what the file says.
    pub fn put_over(&self, root: &mut Node) {
        for (name, value) in &self.0 {
            let Some(path) = name.strip_prefix("KITFOX_") else { continue };
            // Without `__` it is none of ours: Kubernetes sets `KITFOX_PORT` for a service `kitfox`. The
            // keys of `[routes]` are paths, which cannot be in a name, so it is set whole.
            if path != "ROUTES" && !path.contains("__") {
                continue;
            }
            let keys: Vec<&str> = path.split("__").filter(|it| !it.is_empty()).collect();
            put(root, &keys, name, value);
        }
    }
}

/// Values are often secrets: they stay out of logs and panics.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn put(node: &mut Node, keys: &[&str], variable: &str, value: &str) {
    let place = Place::Variable(variable.to_owned());
    let Some((key, rest)) = keys.split_first() else {
        let text = value.to_owned();
        node.content = Content::Untyped { shown: text.clone(), text };
        node.place = place;
        return;
    };
    if !matches!(node.content, Content::Map(_)) {
        node.content = Content::Map(Vec::new());
        node.place = place.clone();
    }
    let Content::Map(entries) = &mut node.content else { return };
    let index = entries.iter().position(|(it, _)| is_same(&it.name, key)).unwrap_or_else(|| {
        let empty = Node { content: Content::Null, place: place.clone() };
        entries.push((Key { name: key.to_lowercase(), place }, empty));
        entries.len() - 1
    });
    put(&mut entries[index].1, rest, variable, value);
}

/// Variables have neither small letters nor hyphens: `CAT_LOUNGE` is also `cat-lounge`.
fn is_same(name: &str, key: &str) -> bool {
    name.replace('-', "_").eq_ignore_ascii_case(key)
}

/// Puts values in for every `${NAME}` below `node`, whose path is `path`; `text` is the file's.
pub fn resolve(
    node: &mut Node,
    path: &str,
    text: &str,
    environment: &Environment,
    reader: &Reader,
) {
    match &mut node.content {
        Content::Text(written) if written.contains('$') => match substitute(written, environment) {
            Ok(Substituted::Same(same)) => *written = same,
            Ok(Substituted::New(new)) => {
                let shown = std::mem::take(written);
                node.content = Content::Untyped { text: new, shown };
            }
            Err(problem) => {
                let place = place_within(text, &node.place, &problem.written);
                let message = format!("`{path}` {}", problem.message);
                reader.refuse(&place, message, Some(problem.remedy));
                node.content = Content::Wrong;
            }
        },
        Content::List(nodes) => {
            for (index, node) in nodes.iter_mut().enumerate() {
                resolve(node, &format!("{path}[{index}]"), text, environment, reader);
            }
        }
        Content::Map(entries) => {
            for (key, node) in entries {
                resolve(node, &format!("{path}.{}", key.name), text, environment, reader);
            }
        }
        _ => (),
    }
}

enum Substituted {
    /// It named no variable.
    Same(String),
    New(String),
}

struct Problem {
    /// The piece of the value that is wrong.
    written: String,
    message: String,
    remedy: String,
}

fn substitute(written: &str, environment: &Environment) -> Result<Substituted, Problem> {
    let mut value = String::with_capacity(written.len());
    let mut is_new = false;
    let mut rest = written;
    while let Some(start) = rest.find("${") {
        if let Some(before) = rest[..start].strip_suffix('$') {
            value.push_str(before);
            value.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        value.push_str(&rest[..start]);
        let opened = &rest[start + 2..];
        let inner = opened.find('}').map(|end| &opened[..end]);
        let Some((inner, (name, default))) = inner.and_then(|it| Some((it, parse_name(it)?)))
        else {
            return Err(Problem {
                written: rest[start..].chars().take(12).collect(),
                message: "has a `${` that names no variable".to_owned(),
                remedy:
                    "write `${NAME}` or `${NAME:-default}`, and `$${` for the characters themselves"
                        .to_owned(),
            });
        };
        let found = environment.get(name);
        match (found, default) {
            (Some("") | None, Some(default)) => value.push_str(default),
            (Some(found), _) => value.push_str(found),
            (None, None) => {
                return Err(Problem {
                    written: format!("${{{name}"),
                    message: format!("names the environment variable `{name}`, which is not set"),
                    remedy: format!("set it, or give a default: `${{{name}:-…}}`"),
                });
            }
        }
        is_new = true;
        rest = &opened[inner.len() + 1..];
    }
    value.push_str(rest);
    Ok(if is_new { Substituted::New(value) } else { Substituted::Same(value) })
}

fn parse_name(inner: &str) -> Option<(&str, Option<&str>)> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let is_name = name.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_')
        && name.chars().all(|it| it.is_ascii_alphanumeric() || it == '_');
    is_name.then_some((name, default))
}

/// Where `piece` stands in the value that begins at `place`.
fn place_within(text: &str, place: &Place, piece: &str) -> Place {
    let Place::File { line, column } = place else { return place.clone() };
    let before: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let in_line: usize = text[before..].chars().take(column - 1).map(char::len_utf8).sum();
    let start = before + in_line;
    match text[start..].find(piece) {
        Some(offset) => Place::of_offset(text, start + offset),
        None => place.clone(),
    }
}

//! Templates: how they are compiled, what they include, and where in their file an error is.

use std::{io, sync::Arc};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value, escape_formatter,
};

use crate::{
    config::document::{Place, one_line},
    jinja::{self, TooLong},
    load_error::LoadError,
};

/// Steps of one rendering: many times what a long prompt needs, and well under a second.
const FUEL: u64 = 1_000_000;

const OUTPUT_BYTES: usize = 1 << 20;

/// The text of a template and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The template's name. That of a file is its path below prompts/.
    pub name: String,
    /// The file's path below prompts/.
    pub path: String,
    pub text: Arc<str>,
    pub start: Start,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// The text begins with this line of the file, and goes to its end.
    Line(usize),
    /// The text is a value of the front matter.
    Value(Place),
}

/// Another template that must be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    pub name: String,
    /// In bytes.
    offset: usize,
}

/// An environment without templates.
pub fn environment<'source>() -> Environment<'source> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_path_join_callback(|name, _| name.strip_prefix("./").unwrap_or(name).into());
    // What is not known is nothing to read: "Hi" and not "Hi none".
    environment.set_formatter(|out, state, value| {
        if value.is_none() { Ok(()) } else { escape_formatter(out, state, value) }
    });
    environment.set_fuel(Some(FUEL));
    // Errors know their column in debug mode only.
    environment.set_debug(true);
    environment
}

/// Renders a template of the environment.
pub fn render(environment: &Environment<'_>, name: &str, scope: Value) -> Result<String, Error> {
    let mut output = LimitedOutput(Vec::new());
    environment.get_template(name)?.render_captured_to(scope, &mut output)?;
    let text = String::from_utf8(output.0).expect("templates write text");
    Ok(text.trim_matches(['\n', '\r']).to_owned())
}

struct LimitedOutput(Vec<u8>);

impl io::Write for LimitedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source {
    pub fn of_partial(path: &str, text: &str) -> Self {
        let (name, path) = (path.to_owned(), path.to_owned());
        Self { name, path, text: Arc::from(text), start: Start::Line(1) }
    }

    pub fn error(&self, message: impl Into<String>) -> LoadError {
        LoadError::new(format!("prompts/{}", self.path), message)
    }

    /// An error at this byte of the text.
    pub fn error_at(&self, offset: usize, message: impl Into<String>) -> LoadError {
        let error = self.error(message);
        match (&self.start, Place::of_offset(&self.text, offset)) {
            (Start::Line(first), Place::File { line, column }) => {
                error.at(first + line - 1, Some(column))
            }
            (Start::Value(Place::File { line, column }), _) => error.at(*line, Some(*column)),
            (_, _) => error,
        }
    }

    fn error_in_line(&self, line: usize, message: impl Into<String>) -> LoadError {
        let error = self.error(message);
        match &self.start {
            Start::Line(first) => error.at(first + line - 1, None),
            Start::Value(Place::File { line, column }) => error.at(*line, Some(*column)),
            Start::Value(_) => error,
        }
    }

    /// Compiles the text, for its mistakes, and finds what it includes.
    pub fn check(&self) -> Result<Vec<Include>, LoadError> {
        jinja::check_lengths(&self.text)
            .map_err(|it| self.error_at(it.offset, it.message).remedy(TooLong::REMEDY))?;
        let environment = environment();
        environment
            .template_from_named_str(&self.name, &self.text)
            .map_err(|err| explain(&err, &self.name, |_| Some(self)))?;
        if let Some((offset, message)) = find_unknown(&environment, &self.text) {
            return Err(self.error_at(offset, message));
        }
        let includes = find_includes(&self.text);
        for include in &includes {
            if include.name.starts_with('/') || include.name.split('/').any(|it| it == "..") {
                let message = format!("`{}` is outside of prompts/", include.name);
                return Err(self
                    .error_at(include.offset, message)
                    .remedy("name a file by its path below prompts/, such as `_tone.md`"));
            }
        }
        Ok(includes)
    }

    pub fn missing(&self, include: &Include, is_broken: bool) -> LoadError {
        let name = &include.name;
        let (problem, remedy) = if is_broken {
            ("has an error of its own", format!("mend `prompts/{name}`"))
        } else {
            ("does not exist", format!("add `prompts/{name}`, or take the line out"))
        };
        let message = format!("includes `{name}`, which {problem}");
        self.error_at(include.offset, message).remedy(remedy)
    }
}

/// An error of the template engine in our words, in the file that `find` knows for the template. `name`
/// is the template that was asked for.
pub fn explain<'a>(
    err: &Error,
    name: &str,
    find: impl Fn(&str) -> Option<&'a Source>,
) -> LoadError {
    // What happens in an included file is the cause of an error at the include.
    let mut innermost = err;
    while let Some(cause) = std::error::Error::source(innermost).and_then(|it| it.downcast_ref()) {
        innermost = cause;
    }
    let (message, remedy) = describe(innermost);
    let Some(source) = find(innermost.name().unwrap_or(name)) else {
        return with_remedy(LoadError::new("prompts", message), remedy);
    };
    let error = match (innermost.range(), innermost.line()) {
        (Some(range), _) => source.error_at(range.start, message),
        (None, Some(line)) => source.error_in_line(line, message),
        (None, None) => source.error(message),
    };
    with_remedy(error, remedy)
}

fn with_remedy(error: LoadError, remedy: Option<String>) -> LoadError {
    match remedy {
        Some(remedy) => error.remedy(remedy),
        None => error,
    }
}

fn describe(err: &Error) -> (String, Option<String>) {
    let detail = err.detail().map(one_line);
    match (err.kind(), detail) {
        (ErrorKind::UndefinedError, detail) => {
            let thing =
                detail.as_deref().and_then(|it| it.split('`').nth(1)).unwrap_or("it").to_owned();
            let message = detail.unwrap_or_else(|| "the value is undefined".to_owned());
            (
                message,
                Some(format!("test it first, as in `{{% if {thing} %}}`, or give a `default`")),
            )
        }
        (ErrorKind::OutOfFuel, _) => {
            ("the template takes too many steps".to_owned(), Some("shorten its loops".to_owned()))
        }
        (ErrorKind::WriteFailure, _) => (
            format!("the rendered text is longer than {OUTPUT_BYTES} bytes"),
            Some("shorten it, or show less of what users send".to_owned()),
        ),
        (
            ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction,
            Some(detail),
        ) => {
            let name =
                detail.trim_end_matches(" is unknown").rsplit(' ').next().unwrap_or_default();
            (format!("{} `{name}`", err.kind()), None)
        }
        (ErrorKind::SyntaxError | ErrorKind::InvalidOperation, Some(detail)) => (detail, None),
        (ErrorKind::TemplateNotFound, Some(detail)) => {
            (detail, Some("name a file by its path below prompts/".to_owned()))
        }
        (kind, Some(detail)) => (format!("{kind}: {detail}"), None),
        (kind, None) => (kind.to_string(), None),
    }
}

/// What stands between `{{` and `}}` or `{%` and `%}`, with its place in bytes.
fn find_tags(text: &str) -> Vec<(usize, &str)> {
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find('{').map(|it| at + it) {
        let inner = open + 2;
        at = match text.get(open..inner) {
            Some("{#") => text[inner..].find("#}").map_or(text.len(), |it| inner + it + 2),
            Some("{{") => {
                let end = find_end(text, inner, "}}");
                tags.push((inner, text[inner..end].trim_end_matches("}}")));
                end
            }
            Some("{%") => {
                let end = find_end(text, inner, "%}");
                let tag = text[inner..end].trim_end_matches("%}");
                if trimmed(tag) == "raw" {
                    end_of_raw(text, end)
                } else {
                    tags.push((inner, tag));
                    end
                }
            }
            Some(_) | None => open + 1,
        };
    }
    tags
}

fn trimmed(tag: &str) -> &str {
    tag.trim_matches(['-', '+', ' ', '\t', '\r', '\n'])
}

/// The templates that `text` names by a literal and cannot do without.
fn find_includes(text: &str) -> Vec<Include> {
    let mut includes = Vec::new();
    for (start, tag) in find_tags(text) {
        if let Some(name) = included(trimmed(tag)) {
            let offset = start + tag.find(name).unwrap_or_default();
            let name = name.strip_prefix("./").unwrap_or(name).to_owned();
            includes.push(Include { name, offset });
        }
    }
    includes
}

/// The first filter or test that there is not. The engine itself misses it only when it is used.
fn find_unknown(environment: &Environment<'_>, text: &str) -> Option<(usize, String)> {
    for (start, tag) in find_tags(text) {
        for (offset, word, kind) in filters_and_tests(tag) {
            let (expression, name) = match kind {
                ErrorKind::UnknownFilter => (format!("none | {word}"), "filter"),
                _ => (format!("none is {word}"), "test"),
            };
            let result =
                environment.compile_expression_owned(expression).and_then(|it| it.eval(()));
            if result.is_err_and(|err| err.kind() == kind) {
                return Some((start + offset, format!("unknown {name} `{word}`")));
            }
        }
    }
    None
}

/// The names after `|` and after `is`, outside of quotes.
fn filters_and_tests(tag: &str) -> Vec<(usize, &str, ErrorKind)> {
    let mut found = Vec::new();
    let mut expected = None;
    let mut at = 0;
    while let Some(next) = tag[at..].chars().next() {
        let rest = &tag[at..];
        let is_in_name = |it: char| it.is_alphanumeric() || it == '_';
        let length = match next {
            '"' | '\'' => end_of_quoted(tag, at) - at,
            _ if is_in_name(next) => rest.find(|it| !is_in_name(it)).unwrap_or(rest.len()),
            _ => next.len_utf8(),
        };
        let word = &rest[..length];
        expected = match (word, expected) {
            ("|", _) => Some(ErrorKind::UnknownFilter),
            ("is", None) => Some(ErrorKind::UnknownTest),
            ("not", Some(ErrorKind::UnknownTest)) => expected,
            (_, _) if next.is_whitespace() => expected,
            (_, Some(kind)) if next.is_alphabetic() || next == '_' => {
                found.push((at, word, kind));
                None
            }
            (_, _) => None,
        };
        at += length;
    }
    found
}

/// The byte after `end`, which does not count inside of quotes.
fn find_end(text: &str, from: usize, end: &str) -> usize {
    let mut at = from;
    while let Some(next) = text[at..].chars().next() {
        if text[at..].starts_with(end) {
            return at + end.len();
        }
        at =
            if matches!(next, '"' | '\'') { end_of_quoted(text, at) } else { at + next.len_utf8() };
    }
    text.len()
}

/// The byte after the text in quotes that begins at `from`.
fn end_of_quoted(text: &str, from: usize) -> usize {
    let mut characters = text[from..].char_indices();
    let quote = characters.next().map(|(_, it)| it);
    while let Some((index, it)) = characters.next() {
        if it == '\\' {
            characters.next();
        } else if Some(it) == quote {
            return from + index + 1;
        }
    }
    text.len()
}

fn end_of_raw(text: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(open) = text[at..].find("{%").map(|it| at + it + 2) {
        let word = text[open..].trim_start_matches(['-', '+']).trim_start();
        if word.starts_with("endraw") {
            return open;
        }
        at = open;
    }
    text.len()
}

/// The literal name in a tag like `include "_tone.md"`.
fn included(tag: &str) -> Option<&str> {
    let (word, rest) = tag.split_once(|it: char| it.is_whitespace() || it == '"' || it == '\'')?;
    if !matches!(word, "include" | "import" | "from" | "extends") {
        return None;
    }
    // The quote may have been what ended the word.
    let rest = if rest.is_empty() { rest } else { &tag[word.len()..] }.trim_start();
    let quote = rest.chars().next().filter(|it| matches!(it, '"' | '\''))?;
    let (name, after) = rest[1..].split_once(quote)?;
    let after = after.trim();
    let is_needed = match word {
        "include" => after.is_empty() || after.starts_with("with") || after.starts_with("without"),
        _ => true,
    };
    (is_needed && !name.contains('\\') && !after.starts_with(['~', '+', '|'])).then_some(name)
}

//! Rhai's errors in our words.

use rhai::{Dynamic, EvalAltResult, LexError, ParseError, ParseErrorType, Position};

use super::{
    options::{Fault, nearest},
    value::type_name,
};
use crate::load_error::LoadError;

pub type Failure = Box<EvalAltResult>;

/// An error that scripts can catch, with this text.
#[expect(clippy::unnecessary_box_returns, reason = "Rhai's results hold its errors boxed")]
pub fn fail(message: impl Into<String>) -> Failure {
    Box::new(EvalAltResult::ErrorRuntime(message.into().into(), Position::NONE))
}

/// Where in which file an error happened, and the error itself without those around it.
pub struct Origin<'a> {
    /// None: the file that was called.
    pub file: Option<&'a str>,
    pub position: Position,
    pub err: &'a EvalAltResult,
}

impl<'a> Origin<'a> {
    pub fn of(err: &'a EvalAltResult) -> Self {
        let mut origin = Self { file: None, position: err.position(), err };
        loop {
            let inner = match origin.err {
                EvalAltResult::ErrorInFunctionCall(_, file, inner, _) => {
                    origin.file = Some(file.as_str()).filter(|it| !it.is_empty()).or(origin.file);
                    inner
                }
                EvalAltResult::ErrorInModule(file, inner, _) => {
                    origin.file = Some(file.as_str()).filter(|it| !it.is_empty()).or(origin.file);
                    inner
                }
                _ => return origin,
            };
            if !inner.position().is_none() {
                origin.position = inner.position();
            }
            origin.err = inner;
        }
    }

    /// `plugins/hello.rhai:12:5`
    pub fn place(&self, called: &str) -> String {
        let mut place = self.file.unwrap_or(called).to_owned();
        for number in [self.position.line(), self.position.position()].into_iter().flatten() {
            place = format!("{place}:{number}");
        }
        place
    }
}

/// The error of a file that does not parse.
pub fn parse_error(file: &str, text: &str, constants: &[String], err: &ParseError) -> LoadError {
    let fault = explain_parse(text, constants, err);
    at(file, err.position(), fault)
}

/// The error of a file that fails while it is loaded.
pub fn run_error(file: &str, err: &EvalAltResult) -> LoadError {
    let origin = Origin::of(err);
    at(origin.file.unwrap_or(file), origin.position, explain(origin.err))
}

pub fn at(file: &str, position: Position, fault: Fault) -> LoadError {
    let mut err = LoadError::new(file, fault.message);
    if let Some(line) = position.line() {
        err = err.at(line, position.position());
    }
    if let Some(remedy) = fault.remedy {
        err = err.remedy(remedy);
    }
    err
}

/// What a runtime error says, without its place.
pub fn explain(err: &EvalAltResult) -> Fault {
    match err {
        EvalAltResult::ErrorRuntime(value, _) => Fault::new(thrown_text(value)),
        EvalAltResult::ErrorParsing(kind, _) => Fault::new(lower(&kind.to_string())),
        EvalAltResult::ErrorVariableNotFound(name, _) => {
            Fault::new(format!("`{name}` is not defined"))
        }
        EvalAltResult::ErrorFunctionNotFound(signature, _) => no_function(signature),
        EvalAltResult::ErrorModuleNotFound(name, _) => {
            Fault::new(format!("there is no script `{name}` to import"))
                .remedy("name a .rhai file of the same pack, as `import \"helpers\" as helpers`")
        }
        EvalAltResult::ErrorPropertyNotFound(name, _) => {
            Fault::new(format!("there is no property `{name}`"))
        }
        EvalAltResult::ErrorDotExpr(text, _) => dot(text),
        EvalAltResult::ErrorIndexingType(kind, _) => {
            Fault::new(format!("a value of the type {} has no entries", plain_types(kind)))
        }
        EvalAltResult::ErrorIndexNotFound(index, _) => {
            Fault::new(format!("there is no entry `{index}`"))
        }
        EvalAltResult::ErrorArrayBounds(length, index, _) => {
            Fault::new(format!("there is no entry {index} in an array of {length}"))
        }
        EvalAltResult::ErrorStringBounds(length, index, _) => {
            Fault::new(format!("there is no character {index} in a string of {length}"))
        }
        EvalAltResult::ErrorMismatchDataType(wanted, found, _)
        | EvalAltResult::ErrorMismatchOutputType(wanted, found, _) => Fault::new(format!(
            "a value of the type {} was given where {} is wanted",
            plain_types(found),
            plain_types(wanted)
        )),
        EvalAltResult::ErrorFor(_) => {
            Fault::new("`for` needs an array, a map's `keys()` or `values()`, a range or a string")
        }
        EvalAltResult::ErrorDataRace(..) => {
            Fault::new("a closure uses the variable that it is called on, and both would change it")
                .remedy("put what is called on into a variable of its own first")
        }
        EvalAltResult::ErrorAssignmentToConstant(name, _) => {
            Fault::new(format!("`{name}` is a constant and cannot be changed"))
        }
        EvalAltResult::ErrorNonPureMethodCallOnConstant(name, _) => {
            let name = name.strip_prefix("set$").unwrap_or(name);
            Fault::new(format!("`{name}` would change a constant"))
        }
        _ => {
            // Without its position: Rhai would write it at the end.
            let text = err.to_string();
            Fault::new(lower(text.split(" (line ").next().unwrap_or(&text)))
        }
    }
}

/// What `throw` threw, as text.
pub fn thrown_text(value: &Dynamic) -> String {
    if let Ok(text) = value.as_immutable_string_ref() {
        return text.to_string();
    }
    if let Some(map) = value.read_lock::<rhai::Map>()
        && let Some(message) = map.get("message")
    {
        return message.to_string();
    }
    super::value::to_json(value)
        .map_or_else(|_| format!("a {}", type_name(value)), |json| json.to_string())
}

fn explain_parse(text: &str, constants: &[String], err: &ParseError) -> Fault {
    if let Some(fault) = keyword_as_key(text, err) {
        return fault;
    }
    match err.err_type() {
        ParseErrorType::VariableUndefined(name) => {
            let fault = Fault::new(format!("`{name}` is not defined"));
            match name.as_str() {
                "null" | "nil" | "None" | "undefined" => fault.remedy("write `()` for nothing"),
                _ if is_let(text, name) => fault.remedy(format!(
                    "a `fn` sees top-level constants only: write `const {name}`, or pass it as an argument"
                )),
                _ => match nearest(name, constants.iter().map(String::as_str)) {
                    Some(near) => fault.remedy(format!("did you mean `{near}`?")),
                    None => fault,
                },
            }
        }
        ParseErrorType::ModuleUndefined(name) => Fault::new(format!("`{name}` is not imported"))
            .remedy(format!("write `import \"FILE\" as {name};` at the top")),
        ParseErrorType::BadInput(LexError::ImproperSymbol(symbol, _)) if symbol == "eval" => {
            Fault::new("`eval` is not available").remedy("call a function instead")
        }
        ParseErrorType::FnMissingName => match word_at(text, err.position()) {
            Some(word) => Fault::new(format!("`{word}` is reserved and cannot name a function"))
                .remedy("give the function another name"),
            None => Fault::new("a name is missing after `fn`"),
        },
        ParseErrorType::BadInput(LexError::UnexpectedInput(input)) => {
            Fault::new(format!("`{input}` is not expected here")).remedy(UNBALANCED)
        }
        ParseErrorType::UnexpectedEOF => Fault::new("the script ends too early").remedy(UNBALANCED),
        ParseErrorType::MissingToken(token, why) => {
            Fault::new(format!("`{token}` is missing {why}").trim_end().to_owned())
                .remedy(UNBALANCED)
        }
        kind @ (ParseErrorType::PropertyExpected
        | ParseErrorType::VariableExpected
        | ParseErrorType::ExprExpected(_)) => {
            Fault::new(lower(&kind.to_string())).remedy(UNBALANCED)
        }
        kind => Fault::new(lower(&kind.to_string())),
    }
}

const UNBALANCED: &str = "look here and before for a bracket, comma or quote that is missing";

/// Keywords of Rhai that people want as keys.
fn keyword_as_key(text: &str, err: &ParseError) -> Option<Fault> {
    const KEYWORDS: &[&str] = &[
        "as", "break", "catch", "const", "continue", "do", "else", "export", "false", "fn", "for",
        "if", "import", "in", "let", "loop", "private", "return", "switch", "throw", "true", "try",
        "until", "while", "this",
    ];
    let word = word_at(text, err.position()).filter(|it| KEYWORDS.contains(&it.as_str()))?;
    let (before, rest) = line_at(text, err.position())?;
    let fault = Fault::new(format!("`{word}` is a keyword of Rhai"));
    if rest[word.len()..].trim_start().starts_with(':') {
        return Some(fault.remedy(format!("quote it to use it as a key: `\"{word}\": …`")));
    }
    if before.trim_end().ends_with('.') {
        return Some(fault.remedy(format!("write `[\"{word}\"]` to use it as a property")));
    }
    None
}

fn word_at(text: &str, position: Position) -> Option<String> {
    let (_, rest) = line_at(text, position)?;
    let word: String = rest.chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect();
    Some(word).filter(|it| !it.is_empty())
}

/// The line before and after a position.
fn line_at(text: &str, position: Position) -> Option<(String, String)> {
    let line = text.lines().nth(position.line()?.checked_sub(1)?)?;
    let column = position.position()?.checked_sub(1)?;
    Some((line.chars().take(column).collect(), line.chars().skip(column).collect()))
}

fn is_let(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        line.strip_prefix("let ")
            .and_then(|it| it.trim_start().strip_prefix(name))
            .is_some_and(|it| it.trim_start().starts_with(['=', ';']))
    })
}

fn no_function(signature: &str) -> Fault {
    let (name, types) = signature.split_once(" (").unwrap_or((signature, ""));
    let types = plain_types(types.trim_end_matches(')'));
    if let Some(property) = name.strip_prefix("get$").or_else(|| name.strip_prefix("set$")) {
        return Fault::new(format!("there is no property `{property}` on {types}"));
    }
    if types.is_empty() {
        return Fault::new(format!("there is no function `{name}()`"));
    }
    Fault::new(format!("there is no function `{name}` that takes ({types})"))
}

/// `Unknown property 'x' - a getter is not registered for type 'y'`, and its like.
fn dot(text: &str) -> Fault {
    let mut quoted = text.split('\'').skip(1).step_by(2);
    match (quoted.next(), quoted.next()) {
        (Some(property), Some(kind)) if text.starts_with("Unknown property") => {
            let fault =
                Fault::new(format!("there is no property `{property}` on {}", plain_types(kind)));
            if kind == "()" {
                fault.remedy("write `?.` where the value may be absent")
            } else {
                fault
            }
        }
        (Some(property), Some(kind)) => {
            Fault::new(format!("`{property}` of {} cannot be set", plain_types(kind)))
        }
        _ => Fault::new(lower(text)),
    }
}

/// Rhai's names of types as people know them.
fn plain_types(types: &str) -> String {
    let plain = |kind: &str| {
        let kind = kind.trim();
        match kind {
            "i64" => "integer".to_owned(),
            "f64" => "float".to_owned(),
            "bool" => "boolean".to_owned(),
            "char" => "character".to_owned(),
            "Fn" => "closure".to_owned(),
            _ if kind.contains("String") || kind.contains("&str") => "string".to_owned(),
            _ => kind.rsplit("::").next().unwrap_or(kind).to_owned(),
        }
    };
    types.split(", ").filter(|it| !it.is_empty()).map(plain).collect::<Vec<_>>().join(", ")
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(char::to_lowercase);
    first.into_iter().flatten().chain(chars).collect::<String>().trim_end_matches('.').to_owned()
}

//! The template engine as widgets have it: Jinja2's way where the two differ, and nothing without measure.

use std::{borrow::Cow, io};

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value,
    escape_formatter, filters,
    value::{Kwargs, Rest, StringInput, ValueKind, ValueOrKwargs},
};
use minijinja_contrib::pycompat::unknown_method_callback;

use crate::{config::document::one_line, load_error::LoadError};

use super::{
    budget::{self, Undefined, VALUE_BYTES, VALUE_NODES},
    file::WidgetFile,
    rewrite::{Kind, LIST, NUMBER, Rewritten, STORED, VALUE},
};

const NAME: &str = "widget";
/// Of a number's or text's width when it is formatted, in digits.
const WIDTH_DIGITS: usize = 2;

/// An environment with this template.
pub fn environment(text: String, fuel: u64) -> Result<Environment<'static>, Error> {
    let mut environment = empty();
    environment.set_fuel(Some(fuel));
    environment.add_template_owned(NAME, text)?;
    Ok(environment)
}

/// Whether there is such a filter or test. The engine itself misses it only when it is used.
pub fn knows(kind: Kind, name: &str) -> bool {
    let (expression, unknown) = match kind {
        Kind::Filter => (format!("none | {name}"), ErrorKind::UnknownFilter),
        Kind::Test => (format!("none is {name}"), ErrorKind::UnknownTest),
    };
    let environment = empty();
    let result = environment.compile_expression_owned(expression).and_then(|it| it.eval(()));
    result.err().is_none_or(|err| err.kind() != unknown)
}

pub fn render(environment: &Environment<'_>, data: Value) -> Result<String, Error> {
    let mut output = LimitedOutput(Vec::new());
    environment.get_template(NAME)?.render_captured_to(data, &mut output)?;
    Ok(String::from_utf8(output.0).expect("templates write text"))
}

/// An error of the template engine in our words, at its place in the file.
pub fn explain(err: &Error, file: &WidgetFile, rewritten: &Rewritten) -> LoadError {
    let mut innermost = err;
    while let Some(cause) = std::error::Error::source(innermost).and_then(|it| it.downcast_ref()) {
        innermost = cause;
    }
    let (message, remedy) = describe(innermost);
    let place = [innermost, err].into_iter().find_map(Error::range);
    let error = match place {
        Some(range) => file.error_at(rewritten.original(range.start), message),
        None => file.error(message),
    };
    match remedy {
        Some(remedy) => error.remedy(remedy),
        None => error,
    }
}

fn describe(err: &Error) -> (String, Option<&'static str>) {
    let detail = err.detail().map(one_line);
    match (err.kind(), detail) {
        (ErrorKind::UndefinedError, detail) => (
            detail.unwrap_or_else(|| "a value is undefined".to_owned()),
            Some("name it in the widget's data, `()` for none, or give it a `default`"),
        ),
        (ErrorKind::OutOfFuel, _) => {
            ("the template takes too many steps".to_owned(), Some("give it less data"))
        }
        (ErrorKind::WriteFailure, _) => {
            (format!("the widget is longer than {VALUE_BYTES} bytes"), Some("show less in it"))
        }
        (ErrorKind::SyntaxError | ErrorKind::InvalidOperation, Some(detail)) => (detail, None),
        (kind, Some(detail)) => (format!("{kind}: {detail}"), None),
        (kind, None) => (kind.to_string(), None),
    }
}

fn empty<'source>() -> Environment<'source> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_unknown_method_callback(method);
    environment.set_formatter(print);
    // Errors know their place in debug mode only.
    environment.set_debug(true);
    environment
        .add_filter(VALUE, |state: &mut State<'_, '_>, value: &Value| budget::admit(state, value));
    environment
        .add_filter(STORED, |state: &mut State<'_, '_>, value: &Value| budget::keep(state, value));
    environment.add_filter(NUMBER, number);
    environment
        .add_function(LIST, |state: &mut State<'_, '_>, value: &Value| budget::list(state, value));
    environment.add_filter("batch", batch);
    environment.add_filter("format", format);
    environment.add_filter("join", join);
    environment.add_filter("list", list);
    environment.add_filter("reject", reject);
    environment.add_filter("rejectattr", rejectattr);
    environment.add_filter("replace", replace);
    environment.add_filter("select", select);
    environment.add_filter("selectattr", selectattr);
    environment.add_filter("slice", slice);
    environment.add_filter("string", string);
    environment.add_filter("tojson", tojson);
    // They lay out text, or tell what is none of a widget's business.
    environment.remove_filter("indent");
    environment.remove_filter("pprint");
    environment.remove_global("debug");
    environment
}

struct LimitedOutput(Vec<u8>);

impl io::Write for LimitedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > VALUE_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn print(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    budget::measure(state, value, Undefined::Refused)?;
    escape_formatter(out, state, value)
}

fn number(value: &Value) -> Result<Value, Error> {
    if value.kind() == ValueKind::Number || value.is_undefined() {
        return Ok(value.clone());
    }
    let message =
        format!("only numbers are multiplied in a widget's template, not a {}", value.kind());
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

#[expect(clippy::needless_pass_by_value, reason = "so does the engine call filters")]
fn tojson(
    state: &mut State<'_, '_>,
    value: &Value,
    indent: Option<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    if value.is_undefined() {
        // Says what it is that is undefined.
        state.format(value.clone())?;
    }
    budget::measure(state, value, Undefined::Refused)?;
    // Blanks mean nothing in a widget.
    let _ = (indent, kwargs.get::<Option<Value>>("indent")?);
    kwargs.assert_all_used()?;
    filters::tojson(value, None, Kwargs::from_iter([("indent", Value::from(()))]))
}

fn string(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    budget::measure(state, value, Undefined::Kept)?;
    filters::string(state, value)
}

fn list(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    budget::measure(state, value, Undefined::Kept)?;
    let list = filters::list(state, value.clone())?;
    budget::list(state, &list)
}

fn join(
    state: &mut State<'_, '_>,
    value: &Value,
    joiner: Option<StringInput<'_>>,
    attribute: Option<&str>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let named = kwargs.get::<Option<&str>>("d")?.map_or(0, str::len);
    let length = joiner.as_ref().map_or(named, |it| it.as_str().len());
    let size = budget::measure(state, value, Undefined::Kept)?;
    budget::spend(state, size.bytes.saturating_add(size.nodes.saturating_mul(length)))?;
    filters::join(state, value, joiner, attribute, kwargs)
}

fn select(
    state: &mut State<'_, '_>,
    value: &Value,
    test: Option<Cow<'_, str>>,
    args: Rest<ValueOrKwargs>,
) -> Result<Vec<Value>, Error> {
    let value = spend_on_testing(state, value, &args)?;
    filters::select(state, value, test, args)
}

fn reject(
    state: &mut State<'_, '_>,
    value: &Value,
    test: Option<Cow<'_, str>>,
    args: Rest<ValueOrKwargs>,
) -> Result<Vec<Value>, Error> {
    let value = spend_on_testing(state, value, &args)?;
    filters::reject(state, value, test, args)
}

fn selectattr(
    state: &mut State<'_, '_>,
    value: &Value,
    attribute: Cow<'_, str>,
    test: Option<Cow<'_, str>>,
    args: Rest<ValueOrKwargs>,
) -> Result<Vec<Value>, Error> {
    let value = spend_on_testing(state, value, &args)?;
    filters::selectattr(state, value, attribute, test, args)
}

fn rejectattr(
    state: &mut State<'_, '_>,
    value: &Value,
    attribute: Cow<'_, str>,
    test: Option<Cow<'_, str>>,
    args: Rest<ValueOrKwargs>,
) -> Result<Vec<Value>, Error> {
    let value = spend_on_testing(state, value, &args)?;
    filters::rejectattr(state, value, attribute, test, args)
}

/// A test may look through what it is given, once for each entry.
fn spend_on_testing(
    state: &mut State<'_, '_>,
    value: &Value,
    args: &[ValueOrKwargs],
) -> Result<Value, Error> {
    let value = budget::admit(state, value)?;
    let entries = budget::measure(state, &value, Undefined::Kept)?.nodes;
    let mut searched = 0_usize;
    for arg in args {
        let size = budget::measure(state, arg, Undefined::Kept)?;
        searched = searched.saturating_add(size.nodes + size.bytes);
    }
    budget::spend(state, entries.saturating_mul(searched))?;
    Ok(value)
}

fn replace(
    state: &mut State<'_, '_>,
    value: StringInput<'_>,
    from: StringInput<'_>,
    to: StringInput<'_>,
) -> Result<Value, Error> {
    spend_on_replacing(state, value.as_str(), from.as_str(), to.as_str())?;
    filters::replace(state, value, from, to)
}

fn spend_on_replacing(
    state: &mut State<'_, '_>,
    value: &str,
    from: &str,
    to: &str,
) -> Result<(), Error> {
    let count = value.matches(from).count();
    budget::spend(state, value.len().saturating_add(count.saturating_mul(to.len())))
}

#[expect(clippy::needless_pass_by_value, reason = "so does the engine call filters")]
fn batch(
    state: &mut State<'_, '_>,
    value: Value,
    count: usize,
    fill: Option<Value>,
) -> Result<Value, Error> {
    let value = budget::list(state, &value)?;
    filters::batch(state, value, count.min(VALUE_NODES), fill)
}

#[expect(clippy::needless_pass_by_value, reason = "so does the engine call filters")]
fn slice(
    state: &mut State<'_, '_>,
    value: Value,
    count: usize,
    fill: Option<Value>,
) -> Result<Value, Error> {
    if count > VALUE_NODES {
        return Err(budget::too_large());
    }
    let value = budget::list(state, &value)?;
    filters::slice(state, value, count, fill)
}

fn format(
    state: &mut State<'_, '_>,
    text: &Value,
    args: Rest<ValueOrKwargs>,
) -> Result<Value, Error> {
    for value in args.iter() {
        spend_on_formatting(state, text, value)?;
    }
    filters::format(state, text, args)
}

/// A format may print each value as often as it likes, and as wide as it says.
fn spend_on_formatting(
    state: &mut State<'_, '_>,
    text: &Value,
    value: &Value,
) -> Result<(), Error> {
    let text = text.as_str().unwrap_or_default();
    let is_wide = text.contains('*')
        || text.split(|it: char| !it.is_ascii_digit()).any(|it| it.len() > WIDTH_DIGITS);
    if is_wide {
        let message = "the width in a format has one or two digits";
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    let size = budget::measure(state, value, Undefined::Kept)?;
    let places = text.matches(['%', '{']).count();
    budget::spend(state, text.len().saturating_add(places.saturating_mul(size.bytes + 100)))
}

/// Python's methods of texts, lists and maps.
fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    match (value.as_str(), method, args) {
        (Some(joiner), "join", [values, ..]) => {
            let size = budget::measure(state, values, Undefined::Kept)?;
            let joiners = size.nodes.saturating_mul(joiner.len());
            budget::spend(state, size.bytes.saturating_add(joiners))?;
        }
        (Some(text), "replace", [from, to, ..]) => {
            let [from, to] = [from, to].map(|it| it.as_str().unwrap_or_default());
            spend_on_replacing(state, text, from, to)?;
        }
        (Some(_), "format", args) => {
            for arg in args {
                spend_on_formatting(state, value, arg)?;
            }
        }
        _ => (),
    }
    unknown_method_callback(state, value, method, args)
}

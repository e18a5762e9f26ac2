//! Functions beside Rhai's own, and better ones for some of these.

use std::{cell::RefCell, collections::HashMap, fmt::Write as _};

use jiff::{
    Timestamp, Zoned,
    fmt::{rfc2822, strtime, temporal::Pieces},
    tz::{Offset, TimeZone},
};
use regex::{Regex, RegexBuilder};
use rhai::{Array, Dynamic, FuncRegistration, ImmutableString, Module};

use super::{
    error::{Failure, fail},
    limits,
    options::duration,
    value::{to_dynamic, to_json},
};

/// `date(…)`
#[derive(Clone)]
pub struct Date(Zoned);

type Answer = Result<Dynamic, Failure>;

pub fn register(module: &mut Module) {
    for name in ["json", "parse_json"] {
        function(name).set_into_module(module, |text: &str| -> Answer {
            let value: serde_json::Value = serde_json::from_str(text)
                .map_err(|err| fail(format!("this is not valid JSON: {err}")))?;
            Ok(to_dynamic(&value))
        });
    }
    function("to_json").set_into_module(module, |value: Dynamic| -> Answer {
        let text = to_json(&value).map_err(fail)?.to_string();
        limits::check_string(text.len())?;
        Ok(text.into())
    });
    function("sleep").set_into_module(module, |seconds: i64| sleep(&seconds.into()));
    function("sleep").set_into_module(module, |seconds: f64| sleep(&seconds.into()));
    strings(module);
    dates(module);
}

fn function(name: &str) -> FuncRegistration {
    FuncRegistration::new(name).in_global_namespace()
}

fn sleep(seconds: &Dynamic) -> Result<(), Failure> {
    match duration(seconds) {
        Some(duration) => limits::sleep(duration),
        None => Err(fail(format!("`sleep` cannot wait {seconds} seconds"))),
    }
}

fn strings(module: &mut Module) {
    function("join").set_into_module(module, |array: Array| join(&array, ""));
    function("join")
        .set_into_module(module, |array: Array, separator: &str| join(&array, separator));
    function("title_case").set_into_module(module, title_case);
    function("slug").set_into_module(module, slug);
    function("regex_replace").set_into_module(
        module,
        |text: &str, pattern: &str, with: &str| -> Answer {
            let regex = regex(pattern)?;
            let mut replaced = String::new();
            let mut end = 0;
            for captures in regex.captures_iter(text) {
                let Some(found) = captures.get(0) else { continue };
                replaced.push_str(&text[end..found.start()]);
                captures.expand(with, &mut replaced);
                limits::check_string(replaced.len())?;
                end = found.end();
            }
            replaced.push_str(&text[end..]);
            limits::check_string(replaced.len())?;
            Ok(replaced.into())
        },
    );
    function("regex_find").set_into_module(module, |text: &str, pattern: &str| -> Answer {
        let found = regex(pattern)?.find(text).map(|it| it.as_str().to_owned());
        Ok(found.map_or(Dynamic::UNIT, Into::into))
    });
    // Rhai's changes the string and returns nothing, which surprises those who write `let x = y.trim()`.
    function("trim").with_purity(false).set_into_module(
        module,
        |text: &mut ImmutableString| -> ImmutableString {
            *text = text.trim().into();
            text.clone()
        },
    );
    // Rhai's looks at the size when the memory is taken already.
    function("replace")
        .with_purity(false)
        .set_into_module(module, |text: &mut ImmutableString, from: &str, to: &str| {
            replace(text, from, to)
        });
    function("replace")
        .with_purity(false)
        .set_into_module(module, |text: &mut ImmutableString, from: char, to: &str| {
            replace(text, &from.to_string(), to)
        });
}

fn join(array: &Array, separator: &str) -> Answer {
    let mut text = String::new();
    for (index, entry) in array.iter().enumerate() {
        if index > 0 {
            text.push_str(separator);
        }
        // A string, number or boolean as it is, anything else as JSON.
        if entry.is_array() || entry.is_map() {
            text.push_str(&to_json(entry).map_err(fail)?.to_string());
        } else {
            let _ = write!(text, "{entry}");
        }
        limits::check_string(text.len())?;
    }
    Ok(text.into())
}

fn replace(text: &mut ImmutableString, from: &str, to: &str) -> Result<(), Failure> {
    let count = text.matches(from).count();
    let grown = text.len().saturating_add(count.saturating_mul(to.len()));
    limits::check_string(grown.saturating_sub(count.saturating_mul(from.len())))?;
    *text = text.replace(from, to).into();
    Ok(())
}

fn title_case(text: &str) -> String {
    let mut cased = String::with_capacity(text.len());
    let mut inside = false;
    for character in text.chars() {
        if inside {
            cased.extend(character.to_lowercase());
        } else {
            cased.extend(character.to_uppercase());
        }
        inside = character.is_alphanumeric() || matches!(character, '\'' | '’');
    }
    cased
}

fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_alphanumeric() {
            slug.extend(character.to_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

/// The compiled pattern. It is kept, because scripts use theirs again and again.
fn regex(pattern: &str) -> Result<Regex, Failure> {
    const KEPT: usize = 32;
    const LARGEST: usize = 256 * 1024;
    thread_local! {
        static REGEXES: RefCell<HashMap<String, Regex>> = RefCell::default();
    }
    REGEXES.with_borrow_mut(|regexes| {
        if let Some(regex) = regexes.get(pattern) {
            return Ok(regex.clone());
        }
        let regex = RegexBuilder::new(pattern)
            .size_limit(LARGEST)
            .build()
            .map_err(|err| fail(format!("`{pattern}` is not a valid pattern: {err}")))?;
        if regexes.len() == KEPT {
            regexes.clear();
        }
        regexes.insert(pattern.to_owned(), regex.clone());
        Ok(regex)
    })
}

fn dates(module: &mut Module) {
    function("date").set_into_module(module, |text: &str| -> Result<Date, Failure> {
        parse_date(text).map(Date).ok_or_else(|| {
            fail(format!(
                "`{text}` is no date: write it as `2026-11-20`, `2026-11-20T08:30:00Z` or \
                 `Fri, 20 Nov 2026 08:30:00 GMT`"
            ))
        })
    });
    function("format").set_into_module(module, |date: &mut Date, pattern: &str| -> Answer {
        let text = strtime::format(pattern, &date.0)
            .map_err(|err| fail(format!("`{pattern}` is not a valid pattern of a date: {err}")))?;
        limits::check_string(text.len())?;
        Ok(text.into())
    });
    for name in ["to_string", "to_debug"] {
        function(name).set_into_module(module, |date: &mut Date| {
            date.0.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
        });
    }
}

/// A date or time of day with the offset that the text says, else in UTC.
fn parse_date(text: &str) -> Option<Zoned> {
    let text = text.trim();
    if let Ok(pieces) = Pieces::parse(text) {
        let offset = pieces.to_numeric_offset().unwrap_or(Offset::UTC);
        let time = pieces.time().unwrap_or_default();
        return pieces.date().to_datetime(time).to_zoned(TimeZone::fixed(offset)).ok();
    }
    if let Ok(zoned) = rfc2822::parse(text) {
        return Some(zoned);
    }
    text.parse::<Timestamp>().ok().map(|it| it.to_zoned(TimeZone::UTC))
}

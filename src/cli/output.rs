use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use serde_json::json;

use crate::load_error::LoadError;

/// Where a command prints: text for people, or JSON.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub json: bool,
}

impl Output {
    /// A line for people; nothing in JSON.
    pub fn line(self, text: impl AsRef<str>) {
        if !self.json {
            print(&mut io::stdout(), text.as_ref());
        }
    }

    /// A value for programs; nothing for people.
    pub fn value(self, value: &impl Serialize) {
        if self.json {
            let text = serde_json::to_string(value).unwrap_or_default();
            print(&mut io::stdout(), &text);
        }
    }

    /// A part of a line, at once.
    pub fn part(self, text: &str) {
        if !self.json {
            let mut out = io::stdout();
            // A closed pipe is no failure of ours.
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        }
    }

    /// Why the command failed.
    pub fn failed(self, err: &anyhow::Error) {
        if self.json {
            print(&mut io::stdout(), &json!({ "error": format!("{err:#}") }).to_string());
        } else {
            let error = if io::stderr().is_terminal() { "\x1b[31merror:\x1b[0m" } else { "error:" };
            print(&mut io::stderr(), &format!("{error} {err:#}"));
        }
    }

    /// What is wrong with the project's files.
    pub fn problems(self, errors: &[LoadError]) {
        for err in errors {
            let mut place = err.file.clone();
            for number in [err.line, err.column].into_iter().flatten() {
                place = format!("{place}:{number}");
            }
            self.line(format!("{} {}", red(&format!("{place}:")), err.message));
            if let Some(remedy) = &err.remedy {
                self.line(format!("    {remedy}"));
            }
        }
    }
}

/// What there is to choose from, for an error about something that there is not.
pub fn known<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "there is none".to_owned(),
        [name] => format!("there is {name}"),
        names => format!("there are {}", names.join(", ")),
    }
}

/// As `color`, where the terminal shows it.
pub fn paint(text: &str, color: &str) -> String {
    if io::stdout().is_terminal() { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_owned() }
}

pub fn red(text: &str) -> String {
    paint(text, "31")
}

pub fn dim(text: &str) -> String {
    paint(text, "2")
}

pub fn bold(text: &str) -> String {
    paint(text, "1")
}

fn print(out: &mut impl Write, text: &str) {
    // A closed pipe is no failure of ours.
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::known;

    #[test]
    fn what_there_is_is_said_in_one_phrase() {
        assert_eq!(known([].into_iter()), "there is none");
        assert_eq!(known(["a"].into_iter()), "there is `a`");
        assert_eq!(known(["a", "b"].into_iter()), "there are `a`, `b`");
    }
}

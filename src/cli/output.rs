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

    /// Asks somebody at the terminal for a yes; where nobody is there, it is a no.
    pub async fn confirm(self, question: &str) -> io::Result<bool> {
        if self.json || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Ok(false);
        }
        self.part(&format!("{question} [y/N] "));
        let mut answer = String::new();
        let read = move || io::stdin().read_line(&mut answer).map(|_| answer);
        let answer = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }

    /// Why the command failed.
    pub fn failed(self, err: &anyhow::Error) {
        if self.json {
            print(&mut io::stdout(), &json!({ "error": format!("{err:#}") }).to_string());
        } else {
            let error = if io::stderr().is_terminal() { "\x1b[31merror:\x1b[0m" } else { "error:" };
            print(&mut io::stderr(), &format!("{error} {}", plain_lines(&format!("{err:#}"))));
        }
    }

    /// What is wrong with the project's files.
    pub fn problems(self, errors: &[LoadError]) {
        for err in errors {
            let mut place = err.file.clone();
            for number in [err.line, err.column].into_iter().flatten() {
                place = format!("{place}:{number}");
            }
            let message = plain_lines(&err.message);
            self.line(format!("{} {message}", red(&format!("{}:", plain(&place)))));
            if let Some(remedy) = &err.remedy {
                self.line(format!("    {}", plain_lines(remedy)));
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

/// A text of whoever as one line: nothing in it moves the cursor, or turns what stands beside it around.
pub fn plain(text: &str) -> String {
    let is_odd = |it: char| {
        it.is_control()
            || matches!(it, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().map(|it| if is_odd(it) { '\u{fffd}' } else { it }).collect()
}

/// The same for a text of several lines.
fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
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
    use super::{known, plain};

    #[test]
    fn what_there_is_is_said_in_one_phrase() {
        assert_eq!(known([].into_iter()), "there is none");
        assert_eq!(known(["a"].into_iter()), "there is `a`");
        assert_eq!(known(["a", "b"].into_iter()), "there are `a`, `b`");
    }

    #[test]
    fn a_text_of_whoever_stays_one_line() {
        assert_eq!(plain("a\x1b[2J\r\nb\u{202e}c é"), "a\u{fffd}[2J\u{fffd}\u{fffd}b\u{fffd}c é");
    }
}

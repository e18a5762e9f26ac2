//! What the user sees of a call that waits for them.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::{
    chatkit::Widget,
    credential::Connect,
    media::is_unseen,
    store::ApprovalState,
    tool::{Tool, Visit},
    turn::approvals::{APPROVE, DENY, Need},
};

/// Marks the root of these widgets, which plugins do not change.
const KEY: &str = "kitfox.approval";
/// Of those that show where the user gives what a call needs.
const CONNECT: &str = "kitfox.connect";
/// Of those that show a page which a call has the user open.
const VISIT: &str = "kitfox.visit";

/// Of a tool's name or title, and of who provides it, in characters.
const NAME_LENGTH: usize = 80;
/// Of one text among the arguments, in characters.
const TEXT_LENGTH: usize = 1_000;
/// Of all arguments, in characters.
const LENGTH: usize = 6_000;
/// Of an address that is shown, in characters.
const URL_LENGTH: usize = 300;

/// Asks whether this call may run.
pub fn ask(tool: &Tool, arguments: &Value, need: &Need) -> Widget {
    if let Need::Connect(connect) = need {
        return ask_to_connect(tool, connect);
    }
    let spec = &tool.spec;
    let title = spec.annotations.get("title").and_then(Value::as_str).unwrap_or(&spec.name);
    let provider = match &spec.server {
        Some(server) => format!("MCP server {server}"),
        None => tool.provider.origin().to_owned(),
    };
    let mut children = vec![
        json!({ "type": "Text", "value": format!("Run “{}”?", name(title)), "weight": "semibold" }),
        json!({ "type": "Caption", "value": format!("{} · {}", name(&spec.name), name(&provider)) }),
    ];
    let shown = Shown::of(arguments);
    children.push(match &shown.text {
        Some(text) => json!({ "type": "Markdown", "value": format!("```json\n{text}\n```") }),
        None => json!({ "type": "Text", "value": "Without arguments.", "size": "sm" }),
    });
    if shown.left_out > 0 {
        let note = format!(
            "Not all is shown: {} characters of the arguments are left out.",
            shown.left_out
        );
        children.push(json!({ "type": "Text", "value": note, "size": "sm", "color": "warning" }));
    }
    if let Need::Hop { from, to } = need {
        let note = format!(
            "What came from “{}” before may be sent on to “{}” with it.",
            name(from),
            name(to)
        );
        children.push(json!({ "type": "Text", "value": note, "size": "sm", "color": "warning" }));
    }
    let button = |label: &str, action: &str| {
        let action = json!({ "type": action, "loadingBehavior": "container" });
        json!({ "label": label, "action": action })
    };
    Widget(json!({
        "type": "Card",
        "key": KEY,
        "status": { "text": "Waits for your approval", "icon": "circle-question" },
        "children": children,
        "confirm": button("Approve", APPROVE),
        "cancel": button("Deny", DENY),
    }))
}

/// Shows where the user gives what the call needs.
fn ask_to_connect(tool: &Tool, connect: &Connect) -> Widget {
    let (label, spec) = (name(&connect.label), &tool.spec);
    let title = spec.annotations.get("title").and_then(Value::as_str).unwrap_or(&spec.name);
    let button = |label: &str, action: &str| {
        let action = json!({ "type": action, "loadingBehavior": "container" });
        json!({ "label": label, "action": action })
    };
    // In the label's place, what would end the link does not.
    let shown: String = label.chars().filter(|it| !"[]()<>`*_\\".contains(*it)).collect();
    Widget(json!({
        "type": "Card",
        "key": KEY,
        "id": CONNECT,
        "status": { "text": "Waits for you to connect", "icon": "circle-question" },
        "children": [
            { "type": "Text", "value": format!("Connect {label}"), "weight": "semibold" },
            { "type": "Text", "value": format!("“{}” needs your account there.", name(title)), "size": "sm" },
            { "type": "Markdown", "value": format!("[Connect {shown}]({})", connect.link) },
            { "type": "Caption", "value": "It opens in another tab. Come back here and continue." },
        ],
        "confirm": button("Continue", APPROVE),
        "cancel": button("Not now", DENY),
    }))
}

/// Shows a page that a call has the user open, who decides whether they do.
pub fn ask_to_visit(visit: &Visit) -> Widget {
    let Visit { server, message, url, host } = visit;
    let button = |label: &str, action: &str| {
        let action = json!({ "type": action, "loadingBehavior": "container" });
        json!({ "label": label, "action": action })
    };
    let shown = match url.char_indices().nth(URL_LENGTH) {
        Some((end, _)) => format!("{}…", &url[..end]),
        None => url.clone(),
    };
    Widget(json!({
        "type": "Card",
        "key": KEY,
        "id": VISIT,
        "status": { "text": "Waits for you to open a page", "icon": "circle-question" },
        "children": [
            { "type": "Text", "value": format!("“{}” asks you to open a page at {host}", name(server)), "weight": "semibold" },
            { "type": "Text", "value": message, "size": "sm" },
            { "type": "Markdown", "value": format!("[Open {host}]({url})") },
            { "type": "Caption", "value": shown },
            { "type": "Caption", "value": "Open it only if you expect this. It opens in another tab: come back here when you are done." },
        ],
        "confirm": button("Done", APPROVE),
        "cancel": button("Decline", DENY),
    }))
}

/// Whether it is a card that shows where the user gives what a call needs.
pub fn asks_to_connect(card: &Widget) -> bool {
    is_card(card) && card.0["id"] == CONNECT
}

/// The same when it is decided: what was shown stays, and there is nothing to choose.
pub fn settle(mut card: Widget, state: ApprovalState) -> Widget {
    let is_connect = asks_to_connect(&card);
    let is_visit = is_card(&card) && card.0["id"] == VISIT;
    let (text, icon) = match state {
        ApprovalState::Pending => return card,
        ApprovalState::Approved | ApprovalState::Void if is_connect || is_visit => {
            ("Continued", "check-circle")
        }
        ApprovalState::Denied | ApprovalState::Passed if is_connect => {
            ("Not connected", "empty-circle")
        }
        ApprovalState::Denied | ApprovalState::Passed if is_visit => ("Declined", "empty-circle"),
        ApprovalState::Approved => ("Approved", "check-circle"),
        ApprovalState::Denied => ("Denied", "empty-circle"),
        ApprovalState::Passed => ("Not approved", "empty-circle"),
        ApprovalState::Void => ("Not run: the tool has changed since", "info"),
    };
    if let Some(root) = card.0.as_object_mut() {
        root.shift_remove("confirm");
        root.shift_remove("cancel");
        root.insert("status".to_owned(), json!({ "text": text, "icon": icon }));
    }
    card
}

/// Whether a widget is such a card.
pub fn is_card(widget: &Widget) -> bool {
    widget.0["key"] == KEY
}

/// What a card says of where it stands.
pub fn status(card: &Widget) -> &str {
    card.0["status"]["text"].as_str().unwrap_or_default()
}

/// Arguments as people are shown them.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    /// None where there are none.
    text: Option<String>,
    /// In characters.
    left_out: usize,
}

impl Shown {
    fn of(arguments: &Value) -> Self {
        if arguments.is_null() || arguments.as_object().is_some_and(Map::is_empty) {
            return Self { text: None, left_out: 0 };
        }
        let mut left_out = 0;
        let presented = present(arguments, &mut left_out);
        let mut text = format!("{presented:#}");
        if let Some((end, _)) = text.char_indices().nth(LENGTH) {
            left_out += text[end..].chars().count();
            text.truncate(end);
            text.push('…');
        }
        let mut shown = String::with_capacity(text.len());
        for char in text.chars() {
            push_visible(&mut shown, char);
        }
        Self { text: Some(shown), left_out }
    }
}

/// The arguments without what must not be shown, long texts cut.
// The one place where what people are shown of arguments is made.
fn present(value: &Value, left_out: &mut usize) -> Value {
    match value {
        Value::String(text) => Value::String(match text.char_indices().nth(TEXT_LENGTH) {
            Some((end, _)) => {
                *left_out += text[end..].chars().count();
                format!("{}…", &text[..end])
            }
            None => text.clone(),
        }),
        Value::Array(list) => list.iter().map(|it| present(it, left_out)).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, it)| (key.clone(), present(it, left_out))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// JSON keeps its meaning when what cannot be seen is written out.
fn push_visible(text: &mut String, char: char) {
    // Between the lines of JSON; in its texts they are escaped.
    if char == '\n' || !is_unseen(char) {
        text.push(char);
        return;
    }
    for unit in char.encode_utf16(&mut [0; 2]) {
        // A string takes whatever is written to it.
        let _ = write!(text, "\\u{unit:04x}");
    }
}

/// A name that somebody else chose, in one short line.
fn name(text: &str) -> String {
    let line: String = text.chars().filter(|it| !is_unseen(*it)).collect();
    match line.char_indices().nth(NAME_LENGTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn shown(arguments: &Value) -> String {
        Shown::of(arguments).text.unwrap()
    }

    #[test]
    fn arguments_are_shown_as_they_are() {
        assert_snapshot!(shown(&json!({ "z": "a\n```\nb", "a": [1, null, "1"] })), @r#"
        {
          "z": "a\n```\nb",
          "a": [
            1,
            null,
            "1"
          ]
        }
        "#);
        assert_eq!(Shown::of(&json!({})), Shown { text: None, left_out: 0 });
    }

    #[test]
    fn nothing_in_arguments_is_unseen_or_turns_the_rest_round() {
        let text = shown(&json!({ "pa\u{202e}th": "a\u{200b}\u{7f}\u{e0041}\r\n\u{1b}[31mb" }));
        let text = text.lines().nth(1).unwrap();
        assert_snapshot!(text, @r#"  "pa\u202eth": "a\u200b\u007f\udb40\udc41\r\n\u001b[31mb""#);
        let read: Value = serde_json::from_str(&format!("{{{text}}}")).unwrap();
        assert_eq!(read["pa\u{202e}th"], json!("a\u{200b}\u{7f}\u{e0041}\r\n\u{1b}[31mb"));
    }

    #[test]
    fn what_is_left_out_is_counted_and_one_long_text_hides_no_other_argument() {
        let found = Shown::of(&json!({ "text": "x".repeat(5_000), "to": "eve" }));
        assert_eq!(found.left_out, 4_000);
        assert!(found.text.unwrap().contains(r#""to": "eve""#));
        let many = Shown::of(&json!(vec!["é".repeat(100); 1_000]));
        assert!(many.left_out > 90_000, "{}", many.left_out);
        assert_eq!(many.text.unwrap().chars().count(), LENGTH + 1);
    }
}

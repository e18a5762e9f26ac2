use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::chatkit::{ThreadItemUpdate, Widget};

/// How a widget becomes another: by what its texts grew, where nothing else has changed; else as a whole.
///
/// These are the reference's rules. Only a text that has no `id` of its own, which no delta can name, makes
/// more of it here: the whole widget.
pub fn diff(before: &Widget, after: &Widget) -> Vec<ThreadItemUpdate> {
    let whole = || vec![ThreadItemUpdate::WidgetRootUpdated { widget: after.clone() }];
    if !is_same_but_for_growth(&before.0, &after.0) {
        return whole();
    }
    let (mut old, mut new) = (Texts::default(), Texts::default());
    old.collect(&before.0);
    new.collect(&after.0);
    if old.others != new.others || old.is_ambiguous || new.is_ambiguous {
        return whole();
    }
    let mut updates = Vec::new();
    for id in &new.order {
        let (Some(old), Some((text, done))) = (old.values.get(id), new.values.get(id)) else {
            return whole();
        };
        let Some(delta) = text.strip_prefix(old.0) else { return whole() };
        if !delta.is_empty() {
            updates.push(ThreadItemUpdate::WidgetTextDelta {
                component_id: (*id).to_owned(),
                delta: delta.to_owned(),
                done: *done,
            });
        }
    }
    updates
}

/// The texts of a widget that may grow.
#[derive(Default)]
struct Texts<'a> {
    /// By id: the text, and whether it is done.
    values: BTreeMap<&'a str, (&'a str, bool)>,
    order: Vec<&'a str>,
    /// Those without an id.
    others: Vec<&'a str>,
    is_ambiguous: bool,
}

impl<'a> Texts<'a> {
    fn collect(&mut self, component: &'a Value) {
        if let Some(text) = growing_text(component) {
            match component.get("id").and_then(Value::as_str).filter(|id| !id.is_empty()) {
                Some(id) => {
                    let done = component.get("streaming") != Some(&Value::Bool(true));
                    self.order.push(id);
                    self.is_ambiguous |= self.values.insert(id, (text, done)).is_some();
                }
                None => self.others.push(text),
            }
        }
        match component.get("children") {
            Some(Value::Array(children)) => children.iter().for_each(|it| self.collect(it)),
            Some(child) => self.collect(child),
            None => (),
        }
    }
}

/// The text of a component whose text may grow.
fn growing_text(component: &Value) -> Option<&str> {
    let kind = component.get("type")?.as_str()?;
    component.get("value")?.as_str().filter(|_| matches!(kind, "Markdown" | "Text"))
}

fn is_same_but_for_growth(before: &Value, after: &Value) -> bool {
    let (Value::Object(old), Value::Object(new)) = (before, after) else { return before == after };
    let grown = match (growing_text(before), growing_text(after)) {
        (Some(before), Some(after)) => after.starts_with(before),
        (_, _) => false,
    };
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    names.into_iter().all(|name| match name.as_str() {
        "value" if grown => true,
        "children" => are_same_children(old, new),
        name => old.get(name) == new.get(name),
    })
}

fn are_same_children(before: &Map<String, Value>, after: &Map<String, Value>) -> bool {
    match (before.get("children"), after.get("children")) {
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            before.len() == after.len()
                && before.iter().zip(after).all(|(a, b)| is_same_but_for_growth(a, b))
        }
        (Some(before), Some(after)) => is_same_but_for_growth(before, after),
        (before, after) => before == after,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::diff;
    use crate::chatkit::Widget;

    fn updates(before: &Value, after: &Value) -> Value {
        let card = |children: &Value| Widget::new(json!({ "type": "Card", "children": children }));
        json!(diff(&card(before), &card(after)))
    }

    #[track_caller]
    fn is_whole(before: &Value, after: &Value) {
        let expected = json!([{
            "type": "widget.root.updated", "widget": { "type": "Card", "children": after },
        }]);
        assert_eq!(updates(before, after), expected);
    }

    #[test]
    fn a_text_that_grows_is_told_by_what_came_to_it() {
        let text = |value: &str, streaming: bool| {
            json!([{ "type": "Row", "children": [
                { "type": "Text", "id": "t", "value": value, "streaming": streaming },
                { "type": "Markdown", "id": "m", "value": value },
            ] }])
        };
        assert_eq!(
            updates(&text("é", true), &text("éà", true)),
            json!([
                { "type": "widget.streaming_text.value_delta", "component_id": "t", "delta": "à", "done": false },
                { "type": "widget.streaming_text.value_delta", "component_id": "m", "delta": "à", "done": true },
            ])
        );
        assert_eq!(updates(&text("a", true), &text("a", true)), json!([]));
        // As in the reference, that it is done is another state of it.
        is_whole(&text("a", true), &text("ab", false));
    }

    #[test]
    fn whatever_else_changes_is_told_as_a_whole() {
        let text = |value: &str| json!([{ "type": "Text", "id": "t", "value": value }]);
        is_whole(&text("ab"), &text("a"));
        is_whole(&text("ab"), &text("b"));
        is_whole(&text("a"), &json!([{ "type": "Text", "id": "u", "value": "a" }]));
        is_whole(&text("a"), &json!([{ "type": "Title", "id": "t", "value": "ab" }]));
        is_whole(&text("a"), &json!([{ "type": "Text", "id": "t", "value": "a", "key": "k" }]));
        is_whole(&text("a"), &json!([]));
        is_whole(
            &json!([{ "type": "Title", "value": "a" }]),
            &json!([{ "type": "Title", "value": "ab" }]),
        );
        // Growth that no delta can tell.
        is_whole(
            &json!([{ "type": "Text", "value": "a" }]),
            &json!([{ "type": "Text", "value": "ab" }]),
        );
        let twice = |value: &str| json!([{ "type": "Text", "id": "t", "value": value }, { "type": "Text", "id": "t", "value": value }]);
        is_whole(&twice("a"), &twice("ab"));
    }
}

use std::time::{Duration, Instant};

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{WidgetTemplate, root};

fn parse(template: &str) -> WidgetTemplate {
    let text = json!({ "version": "1.0", "name": "a", "template": template }).to_string();
    WidgetTemplate::parse("plugins/a.widget", &text).unwrap_or_else(|err| panic!("{err}"))
}

fn render(template: &str, data: &Value) -> Value {
    parse(template).render(data).unwrap_or_else(|err| panic!("{err}")).0
}

fn load_error(template: &str) -> String {
    let text = json!({ "template": template }).to_string();
    WidgetTemplate::parse("plugins/a.widget", &text).err().unwrap().to_string()
}

/// A card whose title is what the template prints.
fn value(template: &str, data: &Value) -> Value {
    let (statements, expression) = template.rsplit_once("=> ").unwrap_or(("", template));
    let template =
        format!(r#"{statements}{{"type": "Card", "title": {{{{ ({expression}) | tojson }}}}}}"#);
    render(&template, data)["title"].clone()
}

fn error(template: &str, data: &Value) -> String {
    parse(template).render(data).unwrap_err().to_string()
}

#[test]
fn a_template_is_filled_in_as_jinja2_does() {
    let list = r#"{"type":"ListView","children":[{%- set _c -%}{%- for item in items -%},{"type":"ListViewItem","key":{{ (item.id) | tojson }},"children":[{"type":"Text","value":{{ ("by " ~ item.name) | tojson }},"color":{% if item.id == selected %}"emphasis"{% else %}{{ (none) | tojson }}{% endif %}}]}{%- endfor -%}{%- endset -%}{{- (_c[1:] if _c and _c[0] == ',' else _c) -}}]}"#;
    let data = json!({ "items": [{ "id": "1", "name": "Ada" }, { "id": "2", "name": "</script>\"\n\u{2028}" }], "selected": "1" });
    assert_eq!(
        render(list, &data),
        json!({ "type": "ListView", "children": [
            { "type": "ListViewItem", "key": "1", "children": [{ "type": "Text", "value": "by Ada", "color": "emphasis" }] },
            { "type": "ListViewItem", "key": "2", "children": [{ "type": "Text", "value": "by </script>\"\n\u{2028}" }] },
        ] })
    );
    assert_eq!(
        render(list, &json!({ "items": [], "selected": null })),
        json!({ "type": "ListView", "children": [] })
    );

    let appended = r#"
        {%- set ns = namespace(children=[], count=0) -%}
        {%- for group in groups|default([]) -%}
          {%- set row = {"type": "ListViewItem", "key": group.name, "children": [{"type": "Text", "value": group.name|upper}]} -%}
          {%- set _ = ns.children.append(row) -%}
          {%- set ns.count = ns.count + 1 -%}
        {%- endfor -%}
        {{ {"type": "ListView", "limit": ns.count * 2, "children": ns.children} | tojson }}"#;
    assert_eq!(
        render(appended, &json!({ "groups": [{ "name": "a" }, { "name": "b" }] })),
        json!({ "type": "ListView", "limit": 4, "children": [
            { "type": "ListViewItem", "key": "a", "children": [{ "type": "Text", "value": "A" }] },
            { "type": "ListViewItem", "key": "b", "children": [{ "type": "Text", "value": "B" }] },
        ] })
    );
}

#[test]
fn values_are_what_they_are_in_jinja2() {
    for (template, expected) in [
        ("'{{ 1 + 1 }}'", json!("{{ 1 + 1 }}")),
        ("a", json!({ "b": [1, 2.5, true] })),
        ("a.b[0] * 3 ~ '!'", json!("3!")),
        ("a.b[0] * 2.5 - 1", json!(1.5)),
        ("a.b | length", json!(4)),
        ("['x', 'y'] | join(', ')", json!("x, y")),
        ("', '.join(['x', 'y'])", json!("x, y")),
        ("'%.2f' | format(2)", json!("2.00")),
        ("'a-b'.replace('-', '+') | replace('+', '.')", json!("a.b")),
        ("range(3) | list", json!([0, 1, 2])),
        ("a.b | map('string') | list | first", json!("1")),
        (
            "{% set x = [1] %}{% set _ = x.append(2) %}{% set _ = x.extend([3]) %}=> x",
            json!([1, 2, 3]),
        ),
        ("{% set x = [1] + [2] %}{% set _ = x.append(3) %}=> x", json!([1, 2, 3])),
        (
            "{% set ns = namespace() %}{% set ns.d = {'b': 1, 'a': 2} %}=> ns.d.keys() | list",
            json!(["b", "a"]),
        ),
        ("{% set x, y = 1, 2 %}=> y", json!(2)),
        ("1 in [1, 2] and [1] == [1]", json!(true)),
        ("c | default('none')", json!("none")),
        ("c is defined", json!(false)),
        ("a.c | default(none) is none", json!(true)),
    ] {
        assert_eq!(
            value(template, &json!({ "a": { "b": [1, null, 2.5, true] } })),
            expected,
            "{template}"
        );
    }
}

#[test]
fn what_is_undefined_is_an_error_with_its_place_even_where_it_is_only_tested() {
    let error = |template: &str| error(template, &json!({ "a": {} }));
    assert_snapshot!(error("{\"type\": \"Card\",\n\"x\": {{ title | tojson }}}"), @"plugins/a.widget:1:81: `title` is undefined (name it in the widget's data, `()` for none, or give it a `default`)");
    assert_snapshot!(error("{% if a.title %}{% endif %}"), @"plugins/a.widget:1:54: `a.title` is undefined (name it in the widget's data, `()` for none, or give it a `default`)");
    assert_snapshot!(error("{% set x = [1] %}{% for i in items %}{% endfor %}"), @"plugins/a.widget:1:75: `items` is undefined (name it in the widget's data, `()` for none, or give it a `default`)");
    assert_snapshot!(error("{{ {\"type\": a.kind} | tojson }}"), @"plugins/a.widget:1:65: `a.kind` is undefined (name it in the widget's data, `()` for none, or give it a `default`)");
    assert_snapshot!(error("{{ title ~ 'x' }}"), @"plugins/a.widget:1:44: `title` is undefined (name it in the widget's data, `()` for none, or give it a `default`)");
}

#[test]
fn a_template_with_a_mistake_is_refused_with_its_place() {
    assert_snapshot!(load_error("{\"type\": \"Card\",\n \"x\": {{ a | }}}"), @"plugins/a.widget:1:51: unexpected end of variable block, expected identifier");
    assert_snapshot!(load_error("{% if a %}"), @"plugins/a.widget:1:22: unexpected end of input, expected end of block");
    assert_snapshot!(load_error("{{ a | tojsn }}"), @"plugins/a.widget:1:21: unknown filter `tojsn`");
    assert_snapshot!(load_error("{% if a is not nothing %}{% endif %}"), @"plugins/a.widget:1:29: unknown test `nothing`");
    assert_snapshot!(load_error("{% macro a() %}{% endmacro %}"), @"plugins/a.widget:1:17: `macro` is not available in a widget's template (write it with `for`, `if` and `set`)");
}

#[test]
fn what_is_no_widget_is_refused() {
    let error = |template: &str| error(template, &json!({}));
    assert_snapshot!(error("{\"type\": Card}"), @"plugins/a.widget: the template does not give JSON: expected value at line 1 column 10 of what it gives (write each value as `{{ value | tojson }}`)");
    assert_snapshot!(error("[]"), @"plugins/a.widget: a widget must be a map with a `type`");
    assert_snapshot!(error("{\"type\": \"Text\"}"), @"plugins/a.widget: a widget cannot be a `Text`: its `type` is `Card` or `ListView` or `Basic`");
    assert_snapshot!(error("{\"type\": \"Card\", \"children\": [{}]}"), @"plugins/a.widget: the widget's component at `/children/0` has no `type`");
    assert_snapshot!(error("{\"type\": \"Card\", \"id\": 3}"), @"plugins/a.widget: `id` of the widget's component at `/` must be a string");
    let template = parse("{\"type\": \"Card\"}");
    assert_snapshot!(template.render(&json!([])).unwrap_err(), @r#"plugins/a.widget: the data of a widget must be a map (name its fields, as in `#{ title: "…" }`)"#);
    assert_eq!(root(json!({ "type": "Basic", "a": null })).unwrap().0, json!({ "type": "Basic" }));
}

#[test]
fn data_that_does_not_fit_the_schema_is_shown_all_the_same() {
    let text = json!({
        "template": "{\"type\": \"Card\", \"title\": {{ title | tojson }}}",
        "jsonSchema": { "type": "object", "properties": { "title": { "type": "string" } } },
    });
    let template = WidgetTemplate::parse("plugins/a.widget", &text.to_string()).unwrap();
    assert_eq!(template.render(&json!({ "title": 3 })).unwrap().0["title"], 3);
    let text = json!({ "template": "{\"type\": \"Card\"}", "jsonSchema": { "type": 3 } });
    assert!(WidgetTemplate::parse("plugins/a.widget", &text.to_string()).is_ok());
}

#[test]
fn a_hostile_template_ends_early_and_takes_little() {
    let big = "x".repeat(900_000);
    let doubling = "{% set a = a ~ a %}".repeat(60);
    let appending = "{% set a = [a, a] %}".repeat(60);
    let grown = "{% set b %}{% for i in range(60) %}{{ a }}{% endfor %}{% endset %}".repeat(60);
    for template in [
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(a='ab') %}{% for i in range(60) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
        "{% set ns = namespace(a='ab') %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
        "{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
        "{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = [*ns.a, *ns.a] %}{% endfor %}",
        "{% set ns = namespace(a=1) %}{% for i in range(100000) %}{% set ns.a = [ns.a] %}{% endfor %}{{ ns.a }}",
        "{% set ns = namespace(a=1) %}{% for i in range(100000) %}{% set ns.a = {'a': ns.a} %}{% endfor %}",
        "{% set ns = namespace(a=[1]) %}{% for i in range(100000) %}{% set ns.a = (ns.a, ) %}{% endfor %}",
        "{% set ns = namespace() %}{% set ns.a = ns %}{% set ns.b = {'a': ns} %}{{ '' ~ ns }}{{ ns | tojson }}",
        "{% set l = [] %}{% set _ = l.append(l) %}{% set _ = l.append(l) %}{{ l }}",
        "{% set l = [] %}{% set m = [l] %}{% set _ = l.append(m) %}",
        "{% for i in range(1000) %}{{ big }}{% endfor %}",
        "{% set x %}{% for i in range(100000) %}{{ big }}{% endfor %}{% endset %}",
        "{% set x = 'a' * 90000000 %}",
        "{% set x = 90000000 * 'a' %}",
        "{% set x = [1] * 90000000 %}",
        "{% set x = ('a', ) * 90000000 %}",
        "{{ [big, big, big] | join(big) }}",
        "{{ big | replace('x', big) }}",
        "{{ big.replace('x', big) }}",
        "{{ big.replace('', big) }}",
        "{{ big.join(range(1000)) }}",
        "{{ '%900000000d' | format(1) }}",
        "{{ '%*d' | format(900000000, 1) }}",
        "{{ '{:>900000000}'.format(1) }}",
        "{{ '{0}{0}{0}{0}{0}{0}{0}'.format(big) }}",
        "{{ '%(a)s%(a)s%(a)s%(a)s' | format(a=big) }}",
        "{{ 'a' | indent(900000000) }}",
        "{{ [1] | batch(900000000, 'x') }}",
        "{{ [1] | slice(900000000) }}",
        "{{ range(100000) | map('string') | map('replace', '', big) | list }}",
        "{% for i in range(100000) %}{% if big ~ big == big %}{% endif %}{% endfor %}",
        &format!("{doubling}{{{{ a }}}}"),
        &format!("{appending}{{{{ a | tojson }}}}"),
        &grown.replace("{{ a }}", "{{ big }}"),
        &"{% for a in [1] %}".repeat(140),
        &"[".repeat(400),
    ] {
        let begin = Instant::now();
        let text = json!({ "template": template }).to_string();
        let result = WidgetTemplate::parse("plugins/a.widget", &text)
            .and_then(|it| it.render(&json!({ "a": "ab", "big": big })));
        let err =
            result.err().unwrap_or_else(|| panic!("{}", &template[..template.len().min(120)]));
        assert!(err.to_string().len() < 400, "{err}");
        let took = begin.elapsed();
        assert!(
            took < Duration::from_secs(10),
            "{took:?}: {}",
            &template[..template.len().min(120)]
        );
    }
}

#[test]
fn a_test_that_looks_through_much_for_each_entry_is_refused() {
    let data = json!({ "names": ["a", "b", "c"], "known": ["b", "d"] });
    assert_eq!(value("names | select('in', known) | list", &data), json!(["b"]));
    assert_eq!(value("names | reject('in', known) | list", &data), json!(["a", "c"]));
    for filter in
        ["select('in', ", "reject('in', ", "selectattr('a', 'in', ", "rejectattr('a', 'in', "]
    {
        let text = error(
            &format!("{{{{ range(99999) | {filter}range(99999) | list) | list | length }}}}"),
            &json!({}),
        );
        assert!(text.contains("a value is larger than a widget can be"), "{text}");
    }
}

#[test]
fn what_would_take_the_stack_of_the_process_is_a_mistake_in_the_file() {
    for link in ["|string", " + 1", ".a", "()"] {
        let template = format!("{{{{ 1{} }}}}", link.repeat(5000));
        let text = load_error(&template);
        assert!(text.ends_with(": a tag holds more than 400 words and marks in a row (divide it: give its parts names with `{% set %}`)"), "{text}");
    }
}

#[test]
fn a_list_is_no_widget() {
    let err =
        WidgetTemplate::parse("plugins/a.widget", "[\"1.0\", \"a\", \"{}\", {}]").err().unwrap();
    assert_snapshot!(err, @"plugins/a.widget: this is no widget: it is a list (a .widget file is JSON with `name`, `template` and `jsonSchema`)");
}

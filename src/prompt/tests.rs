use std::{collections::BTreeMap, sync::Arc};

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{AttachmentRules, History, HistoryForm, Prompts, Reasoning, Start, Titles, ToolGlobs};
use crate::{config::ModelConfig, load_error::LoadError, user::Allow};

fn files(files: &[(&str, &str)]) -> BTreeMap<String, Arc<str>> {
    files.iter().map(|(path, text)| ((*path).to_owned(), Arc::from(*text))).collect()
}

#[track_caller]
fn load(written: &[(&str, &str)]) -> Prompts {
    let (prompts, errors) = Prompts::load(&files(written), None);
    assert!(errors.is_empty(), "{}", lines(&errors));
    prompts
}

fn lines(errors: &[LoadError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn errors(written: &[(&str, &str)]) -> String {
    lines(&Prompts::load(&files(written), None).1)
}

fn scope() -> Value {
    json!({
        "user": { "id": "u1", "name": "Ada", "email": null },
        "page": { "url": "https://a.org/x", "title": null, "headings": ["A", "B"] },
        "project": { "name": "Cats" },
        "selected_text": null,
        "metadata": { "note": "{{ user.id }} <b>&" },
    })
}

fn render(prompts: &Prompts) -> String {
    let agent = prompts.find("assistant").unwrap();
    prompts.render(agent, scope()).unwrap_or_else(|err| err.to_string())
}

/// What the agent with this file says.
fn rendered(text: &str) -> String {
    render(&load(&[("assistant.md", text)]))
}

#[test]
fn the_contracts_example_has_all_its_values() {
    let prompts = load(&[(
        "support.md",
        r#"---
name: Support                      # shown to people
model: default                     # a key of [models]; overridden by the composer's choice
tools: ["*", "!delete_*"]          # globs over tool names; MCP tools are SERVER__TOOL
stop_after: ["show_order"]         # the turn ends after these
history: { items: 30, form: transcript }
temperature: 0.4
reasoning: { effort: low, show: true }
hosted: [web_search, { image_generation: { partial_images: 3 } }]
allow_cancel: false
titles: { model: small, prompt: "Name it" }
attachments: { accept: ["image/*"], max_size: 5242880, max_count: 10 }
start: { greeting: "Hi {{ user.name }}", prompts: [{ label: "My order", prompt: "Where is my order?" }] }
when: { tool_choice: [support] }   # composer tool ids that select this agent
---
You help the customers of {{ project.name }}.
{% if page.title %}The user is looking at "{{ page.title }}" ({{ page.url }}).{% endif %}
"#,
    )]);
    let agent = prompts.find("support").unwrap();
    let front = &agent.front;
    assert_eq!(front.name, "Support");
    assert_eq!(front.model.as_deref(), Some("default"));
    assert!(front.admits("get_order") && !front.admits("delete_order"));
    assert_eq!(front.stop_after, ["show_order"]);
    assert_eq!(front.history, History { items: 30, form: HistoryForm::Transcript });
    assert_eq!(front.temperature, Some(0.4));
    assert_eq!(front.reasoning, Some(Reasoning { effort: Some("low".to_owned()), show: true }));
    assert_eq!(
        front.hosted,
        [
            json!({ "type": "web_search" }),
            json!({ "type": "image_generation", "partial_images": 3 })
        ]
    );
    assert!(!front.allow_cancel);
    assert_eq!(
        front.titles,
        Titles::With { model: Some("small".to_owned()), prompt: Some("Name it".to_owned()) }
    );
    assert_eq!(
        front.attachments,
        AttachmentRules::Some {
            accept: Some(vec!["image/*".to_owned()]),
            max_size: Some(5_242_880),
            max_count: Some(10)
        }
    );
    assert_eq!(front.when_tool_choice, ["support"]);
    assert_eq!(prompts.render(agent, scope()).unwrap(), "You help the customers of Cats.");
    let prompt = ("My order".to_owned(), "Where is my order?".to_owned());
    assert_eq!(
        prompts.render_start(agent, scope()).unwrap(),
        Start { greeting: Some("Hi Ada".to_owned()), prompts: vec![prompt] }
    );
}

#[test]
fn without_front_matter_all_has_its_default() {
    #[track_caller]
    fn check(text: &str) {
        let prompts = load(&[("assistant.md", text)]);
        let front = &prompts.find("assistant").unwrap().front;
        assert_eq!(front.name, "assistant");
        assert_eq!(front.tools, ToolGlobs::default());
        assert_eq!(front.history, History { items: 40, form: HistoryForm::Items });
        assert_eq!((&front.titles, &front.attachments), (&Titles::On, &AttachmentRules::Any));
        assert!(front.allow_cancel && front.model.is_none() && front.hosted.is_empty());
        assert_eq!(render(&prompts), "Hello");
    }
    check("Hello");
    check("Hello\n");
    check("---\n---\nHello\n");
    check("---\n# nothing\n---\n\nHello\n\n");
    check("\u{feff}---\r\nallow_cancel: true\r\n---\r\nHello\r\n");
}

#[test]
fn false_turns_titles_and_attachments_off() {
    let prompts = load(&[("a.md", "---\ntitles: false\nattachments: false\ntools: []\n---\n")]);
    let front = &prompts.find("a").unwrap().front;
    assert_eq!((&front.titles, &front.attachments), (&Titles::Off, &AttachmentRules::None));
    assert!(!front.admits("anything"));
}

#[test]
fn an_empty_folder_has_an_agent() {
    let prompts = Prompts::default();
    let agent = prompts.choose(None, "assistant").unwrap();
    assert_eq!((agent.id.as_str(), agent.front.name.as_str()), ("assistant", "Assistant"));
    assert_eq!(prompts.agents().count(), 1);
    assert_snapshot!(prompts.render(agent, scope()).unwrap(), @r"
    You are a helpful assistant of Cats.
    Answer in the user's language, briefly and to the point. Use your tools where they help, and say so when you do not know.
    The user's name is Ada.
    The user is looking at this page:  https://a.org/x
    ");
}

#[test]
fn the_built_in_agent_stands_back_behind_the_projects_own() {
    let prompts = load(&[("support.md", "Help")]);
    let ids: Vec<_> = prompts.agents().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["support"]);
    assert_eq!(prompts.choose(None, "support").unwrap().id, "support");
    assert_eq!(prompts.choose(None, "assistant").unwrap().front.name, "Assistant");
}

#[test]
fn a_broken_assistant_is_not_replaced_by_the_built_in_one() {
    let (prompts, errors) = Prompts::load(&files(&[("assistant.md", "{{")]), None);
    assert_eq!(errors.len(), 1);
    assert!(prompts.choose(None, "assistant").is_none());
}

#[test]
fn the_composers_choice_selects_an_agent() {
    let prompts = load(&[
        ("assistant.md", "A"),
        ("search.md", "---\nwhen: { tool_choice: [search, find] }\n---\nS"),
    ]);
    let choose = |choice| prompts.choose(choice, "assistant").map(|it| it.id.as_str());
    assert_eq!(choose(None), Some("assistant"));
    assert_eq!(choose(Some("find")), Some("search"));
    assert_eq!(choose(Some("other")), Some("assistant"));
    assert!(prompts.choose(None, "nobody").is_none());
}

#[test]
fn only_files_at_the_top_are_agents() {
    let prompts = load(&[
        ("assistant.md", "{% include 'x/y.md' %} {% include \"./_tone.md\" %}"),
        ("x/y.md", "deep {% include '_tone.md' %}"),
        ("_tone.md", "---\nkind"),
    ]);
    let ids: Vec<_> = prompts.agents().map(|it| it.id.as_str()).collect();
    assert_eq!(ids, ["assistant"]);
    assert_eq!(render(&prompts), "deep ---\nkind ---\nkind");
}

#[test]
fn templates_have_what_jinja_has() {
    #[track_caller]
    fn check(template: &str, expected: &str) {
        assert_eq!(rendered(template), expected, "{template}");
    }
    check("{{ metadata.note }}", "{{ user.id }} <b>&");
    check("Hi {{ user.email }}{{ page.title }}!", "Hi !");
    check("{{ user.email or 'nobody' }}", "nobody");
    check("{% if page.nope %}a{% else %}b{% endif %}{{ page.nope | default('c') }}", "bc");
    check("{% if selected_text is none and nope is undefined %}yes{% endif %}", "yes");
    check("{{ page.headings | join(', ') }} {{ page.headings | tojson }}", r#"A, B ["A", "B"]"#);
    check(
        "{% for k, v in user.items() %}{{ k }} {% endfor %}{{ 'a-b'.split('-')[1] }}",
        "id name email b",
    );
    check("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m('a' | upper) }}", "<A>");
    check(
        "{% set ns = namespace(n=0) %}{% for h in page.headings %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
        "2",
    );
    check(
        "{# {% include 'x' %} #}{% raw %}{% include 'x' %}{{ y }}{% endraw %}",
        "{% include 'x' %}{{ y }}",
    );
    check("{{ '{% include \"x\" %}' }}", "{% include \"x\" %}");
    check(
        "{{ user.name | replace('|', 'is x') | length is odd }}{{ 3 is divisibleby 3 }}{{ 1 is in [1] }}",
        "TrueTrueTrue",
    );
    check("{% include 'x' ignore missing %}{% include ['x', 'y'] ignore missing %}ok", "ok");
}

#[test]
fn macros_and_blocks_come_from_other_files() {
    let prompts = load(&[
        (
            "assistant.md",
            "{% from '_m.md' import hi %}{% import \"_m.md\" as m %}{{ hi('a') }}{{ m.hi('b') }}",
        ),
        ("_m.md", "{% macro hi(x) %}[{{ x }}]{% endmacro %}"),
        ("b.md", "{% extends '_base.md' %}{% block x %}B{% endblock %}"),
        ("_base.md", "<{% block x %}{% endblock %}>"),
    ]);
    assert_eq!(render(&prompts), "[a][b]");
    assert_eq!(prompts.render(prompts.find("b").unwrap(), scope()).unwrap(), "<B>");
}

#[test]
fn what_goes_wrong_while_rendering_is_named_with_its_place() {
    let front = "---\nname: A\n---\n";
    let say = |body: &str| rendered(&format!("{front}{body}"));
    assert_snapshot!(say("Hello\n  {{ page.nope }}"), @r"prompts/assistant.md:5:6: `page.nope` is undefined (test it first, as in `{% if page.nope %}`, or give a `default`)");
    assert_snapshot!(say("{{ usr.name }}"), @r"prompts/assistant.md:4:4: `usr` is undefined (test it first, as in `{% if usr %}`, or give a `default`)");
    assert_snapshot!(say("{{ page.nope.more }}"), @r"prompts/assistant.md:4:8: `page.nope` is undefined (test it first, as in `{% if page.nope %}`, or give a `default`)");
    assert_snapshot!(say("{{ user.name.shout() }}"), @r"prompts/assistant.md:4:13: unknown method: string has no method named shout");
    assert_snapshot!(say("{{ shout() }}"), @r"prompts/assistant.md:4:4: unknown function `shout`");
    assert_snapshot!(say("{% include page.url %}"), @r"prompts/assistant.md:4:4: tried to include non-existing template 'https://a.org/x' (name a file by its path below prompts/)");
    assert_snapshot!(say("{{ 1 + user.name }}"), @r"prompts/assistant.md:4:4: tried to use + operator on unsupported types number and string");
    let prompts =
        load(&[("assistant.md", "a\n{% include '_b.md' %}"), ("_b.md", "b\n\n {{ nope }}")]);
    assert_snapshot!(render(&prompts), @r"prompts/_b.md:3:5: `nope` is undefined (test it first, as in `{% if nope %}`, or give a `default`)");
    let prompts = load(&[("assistant.md", "---\nstart:\n  greeting: \"{{ nope }}\"\n---\n")]);
    let agent = prompts.find("assistant").unwrap();
    assert_snapshot!(prompts.render_start(agent, scope()).unwrap_err(), @r"prompts/assistant.md:3:13: `nope` is undefined (test it first, as in `{% if nope %}`, or give a `default`)");
}

#[test]
fn templates_that_do_not_end_are_stopped() {
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
    assert_snapshot!(rendered(endless), @r"prompts/assistant.md:1:39: the template takes too many steps (shorten its loops)");
    assert_snapshot!(rendered("{% for a in range(9999) %}{{ 'x' * 999 }}{% endfor %}"), @r"prompts/assistant.md: the rendered text is longer than 1048576 bytes (shorten it, or show less of what users send)");
    assert_snapshot!(rendered("{% include 'assistant.md' %}"), @r"prompts/assistant.md:1:4: recursion limit exceeded");
    assert_snapshot!(rendered("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"), @r"prompts/assistant.md:1:19: recursion limit exceeded");
}

#[test]
fn front_matter_that_is_wrong_is_named_with_its_place() {
    let say = |front: &str| errors(&[("a.md", &format!("---\n{front}\n---\nHello"))]);
    assert_snapshot!(say("nmae: A\nhistory:\n  item: 3\ncolour: blue"), @r"
    prompts/a.md:2:1: unknown key `nmae` (did you mean `name`?)
    prompts/a.md:4:3: unknown key `history.item` (did you mean `items`?)
    prompts/a.md:5:1: unknown key `colour` (known here: `name`, `model`, `tools`, `stop_after`, `history`, `temperature`, `reasoning`, `hosted`, `allow_cancel`, `titles`, `attachments`, `start`, `when`, `allow`)
    ");
    assert_snapshot!(say("tools: 3\nstop_after: [a, {}]\nhistory: { items: 0, form: text }\ntemperature: hot\nreasoning: low"), @r"
    prompts/a.md:2:8: `tools` must be a list, not `3`
    prompts/a.md:3:17: `stop_after[1]` must be text, not a map
    prompts/a.md:4:19: `history.items` must be a whole number, at least 1, not `0`
    prompts/a.md:4:28: `history.form` must be one of `items`, `transcript`, not `text`
    prompts/a.md:5:14: `temperature` must be a number from 0 to 2, not `hot`
    prompts/a.md:6:12: `reasoning` must be a map of keys and values, not `low`
    ");
    assert_snapshot!(say("hosted: web\nallow_cancel: maybe\ntitles: 1\nattachments: { max_size: big, accept: [png] }\nwhen: search"), @r"
    prompts/a.md:2:9: `hosted` must be a list, not `web`
    prompts/a.md:3:15: `allow_cancel` must be `true` or `false`, not `maybe`
    prompts/a.md:4:9: `titles` must be `true`, `false` or a map with `model` and `prompt`, not `1`
    prompts/a.md:5:26: `attachments.max_size` must be a whole number, at least 1, not `big`
    prompts/a.md:5:39: `attachments.accept` must name types, such as `image/*` and `application/pdf`
    prompts/a.md:6:7: `when` must be a map of keys and values, not `search`
    ");
    assert_snapshot!(say("hosted: [{ a: 1 }, { a: {}, b: {} }, 4]\ntools: ['a[']\nname:\nstart: { prompts: [{ label: a }] }"), @r"
    prompts/a.md:2:10: `hosted[0]` must be a name, such as `web_search`, or one name with its settings, such as `{ image_generation: { partial_images: 3 } }`, not a map
    prompts/a.md:2:20: `hosted[1]` must be a name, such as `web_search`, or one name with its settings, such as `{ image_generation: { partial_images: 3 } }`, not a map
    prompts/a.md:2:38: `hosted[2]` must be a name, such as `web_search`, or one name with its settings, such as `{ image_generation: { partial_images: 3 } }`, not `4`
    prompts/a.md:3:9: `tools[0]` is no glob: unclosed character class; missing ']'
    prompts/a.md:4:5: `name` must be text, not empty
    prompts/a.md:5:20: `start.prompts[0]` must have a `label` and a `prompt`
    ");
    assert_snapshot!(say("name: 'A\ntools: []"), @r"prompts/a.md:3:1: invalid indentation in multiline quoted scalar");
    assert_snapshot!(say("name: A\n b: [}"), @r"prompts/a.md:3:3: mapping values are not allowed in this context");
    assert_snapshot!(say("name: A\nname: B"), @r"prompts/a.md:3:1: the key `name` stands twice");
    assert_snapshot!(say("- a"), @r"prompts/a.md:2:1: the front matter must be a map of keys and values");
    assert_snapshot!(say("start:\n  greeting: Hi {{ user.name"), @r"prompts/a.md:3:13: unexpected end of input, expected end of variable block");
    assert_snapshot!(errors(&[("a.md", "---\nname: A\nHello")]), @r"prompts/a.md:1:1: the front matter has no end (end it with a line `---`)");
    assert_snapshot!(errors(&[("a.md", "---")]), @r"prompts/a.md:1:1: the front matter has no end (end it with a line `---`)");
}

#[test]
fn template_mistakes_are_found_at_load() {
    let say = |body: &str| errors(&[("a.md", &format!("---\nname: A\n---\n{body}"))]);
    assert_snapshot!(say("Hello\n{% if page %}"), @r"prompts/a.md:5:12: unexpected end of input, expected end of block");
    assert_snapshot!(say("{{ a b }}"), @r"prompts/a.md:4:6: unexpected identifier, expected end of variable block");
    assert_snapshot!(say("{{ 'a | b' | upper |shout }}"), @r"prompts/a.md:4:21: unknown filter `shout`");
    assert_snapshot!(say("{% if user is not none and user is not loud %}{% endif %}"), @r"prompts/a.md:4:40: unknown test `loud`");
    assert_snapshot!(say("ä {% fi %}"), @r"prompts/a.md:4:6: unknown statement fi");
    assert_snapshot!(say("\n{% include '_nope.md' %}{% import 'x/m.md' as m %}"), @r"
    prompts/a.md:5:13: includes `_nope.md`, which does not exist (add `prompts/_nope.md`, or take the line out)
    prompts/a.md:5:36: includes `x/m.md`, which does not exist (add `prompts/x/m.md`, or take the line out)
    ");
    assert_snapshot!(say("{% include \"../kitfox.toml\" %}"), @r"prompts/a.md:4:13: `../kitfox.toml` is outside of prompts/ (name a file by its path below prompts/, such as `_tone.md`)");
    assert_snapshot!(say("{%- include '/etc/passwd' -%}"), @r"prompts/a.md:4:14: `/etc/passwd` is outside of prompts/ (name a file by its path below prompts/, such as `_tone.md`)");
    assert_snapshot!(errors(&[("_b.md", "\n{{"), ("assistant.md", "{% include '_b.md' %}")]), @r"
    prompts/_b.md:2:1: unexpected end of input, expected expression
    prompts/assistant.md:1:13: includes `_b.md`, which has an error of its own (mend `prompts/_b.md`)
    ");
}

#[test]
fn agents_that_name_a_model_that_is_not_there_are_told() {
    let prompts = load(&[
        ("a.md", "---\nmodel: fast\ntitles: { model: tiny }\n---\n"),
        ("b.md", "---\nmodel: slow\ntitles: true\n---\n"),
        ("_c.md", "---\nmodel: none\n---\n"),
    ]);
    let model = |name: &str| ModelConfig {
        provider: "demo".to_owned(),
        model: "demo".to_owned(),
        label: name.to_owned(),
        allow: Allow::default(),
    };
    let models = ["default", "fast"].map(|it| (it.to_owned(), model(it)));
    assert_snapshot!(lines(&prompts.check_models(&BTreeMap::from(models))), @r"
    prompts/a.md:3:18: there is no model `tiny` (use `default`, `fast`, or add `[models.tiny]` to kitfox.toml)
    prompts/b.md:2:8: there is no model `slow` (use `default`, `fast`, or add `[models.slow]` to kitfox.toml)
    ");
    assert!(prompts.check_models(&BTreeMap::new()).is_empty());
}

#[test]
fn odd_templates_do_not_confuse_the_search_for_includes() {
    #[track_caller]
    fn check(body: &str) {
        // Whatever is wrong with it: that it is told, or rendered, is enough.
        let (prompts, errors) = Prompts::load(&files(&[("assistant.md", body)]), None);
        assert_eq!(prompts.find("assistant").is_some(), errors.is_empty(), "{body}");
    }
    for body in [
        "{",
        "{{",
        "{%",
        "{#",
        "{{ '",
        "{% raw",
        "{% raw %}",
        "{{ 'ä\\",
        "{% include",
        "{% include '",
        "}}ä{ä",
        "{{|",
        "{% include\"x\" %}",
        "{% raw %}{% endra",
        "{ä%",
        "%}{{ {'a': {'b': 1}} }}",
    ] {
        check(body);
    }
}

#[test]
fn a_broken_file_keeps_its_last_good_version() {
    let good = [("assistant.md", "one {% include '_p.md' %}"), ("_p.md", "p1")];
    let first = load(&good);
    let check = |previous: &Prompts, written: &[(&str, &str)], expected: &str, count: usize| {
        let (prompts, errors) = Prompts::load(&files(written), Some(previous));
        assert_eq!(
            (render(&prompts).as_str(), errors.len()),
            (expected, count),
            "{}",
            lines(&errors)
        );
        prompts
    };
    // A broken agent stays, while its partial changes.
    let second = check(&first, &[("assistant.md", "{{ two"), ("_p.md", "p2")], "one p2", 1);
    // It is still broken, and its partial is too.
    let third = check(&second, &[("assistant.md", "---\nx: 1\n---"), ("_p.md", "{%")], "one p2", 2);
    // Its partial is deleted: it needs the last one.
    let fourth = check(&third, &[good[0]], "one p2", 1);
    // And it is deleted from a new version that needs it.
    let fifth = check(&fourth, &[("assistant.md", "two {% include '_p.md' %}")], "one p2", 1);
    // All is well again.
    check(&fifth, &[("assistant.md", "three")], "three", 0);
}

#[test]
fn a_deleted_agent_is_gone() {
    let first = load(&[("assistant.md", "A"), ("b.md", "B")]);
    let (second, errors) = Prompts::load(&files(&[("assistant.md", "A")]), Some(&first));
    assert!(errors.is_empty() && second.find("b").is_none() && first.find("b").is_some());
}

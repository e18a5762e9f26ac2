/** Items that wait for the person, or for the page around the chat: structured input and calls of client tools. */
import { el, icon } from "./dom.js";

let last = 0;

/** Questions with suggested answers, until they are answered or skipped. */
export class StructuredInputView {
  node = el("article", { class: "item ask", "aria-label": "Questions to you" });
  #actions;
  #item;
  #shown;

  constructor(actions) {
    this.#actions = actions;
  }

  update(item) {
    this.#item = item;
    const now = JSON.stringify([item.status, item.inputs]);
    // What is half filled in stays.
    if (now === this.#shown) return;
    this.#shown = now;
    const questions = item.inputs ?? [];
    this.node.replaceChildren(item.status === "pending" ? this.#form(questions) : answered(questions));
  }

  #form(questions) {
    const fields = questions.map((it) => new Question(it));
    const skip = el("button", { type: "button", class: "quiet", onclick: () => submit({ status: "skipped", answers: {} }) }, "Skip");
    const form = el(
      "form",
      { class: "ask-form" },
      fields.map((it) => it.node),
      el("div", { class: "card-row" }, el("button", { type: "submit", class: "w-button color-primary" }, "Answer"), skip),
    );
    const submit = async (input) => {
      form.inert = true;
      await this.#actions.answer(this.#item, input);
      form.inert = false;
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      submit(submissionOf(fields.map((it) => [it.id, it.values])));
    });
    return form;
  }
}

/** What is sent for the values of each question; where none has any, all are skipped. */
export function submissionOf(values) {
  if (values.every(([, it]) => it.length === 0)) return { status: "skipped", answers: {} };
  const answers = values.map(([id, it]) => [id, it.length > 0 ? { values: it } : { values: [], skipped: true }]);
  return { status: "answered", answers: Object.fromEntries(answers) };
}

/** A question with its answer as a form: the suggestions and a free text, or a free text alone. */
class Question {
  id;
  node;
  #free;
  #choices = [];

  constructor({ id, type, question, description, options, multiple }) {
    this.id = id;
    const name = `ask-${(last += 1)}`;
    this.#free = type === "freeform" ? el("textarea", { class: "w-field", rows: "3", "aria-label": question }) : el("input", { class: "w-field", type: "text", placeholder: "Something else", autocomplete: "off", "aria-label": `Something else: ${question}` });
    const kind = multiple === true ? "checkbox" : "radio";
    const choice = (value) => {
      const box = el("input", { type: kind, name });
      this.#choices.push([box, value]);
      return box;
    };
    const lines = type === "freeform" ? [this.#free] : (options ?? []).map(({ value }) => el("label", { class: "w-choice" }, choice(value), el("span", {}, value)));
    if (type !== "freeform") {
      const other = choice(undefined);
      other.setAttribute("aria-label", "Something else");
      this.#free.addEventListener("input", () => { other.checked = this.#free.value.trim() !== ""; });
      lines.push(el("div", { class: "w-choice" }, other, this.#free));
    }
    this.node = el("fieldset", { class: "ask-question" }, el("legend", {}, question), description && el("p", { class: "muted" }, description), lines);
  }

  get values() {
    const free = this.#free.value.trim();
    const chosen = this.#choices.length === 0 ? [free] : this.#choices.filter(([box]) => box.checked).map(([, value]) => value ?? free);
    return chosen.filter((it) => it !== "");
  }
}

function answered(questions) {
  return el(
    "dl",
    { class: "ask-answers" },
    questions.map(({ question, answer }) => {
      const values = answer?.skipped ? [] : (answer?.values ?? []);
      return el("div", {}, el("dt", {}, question), el("dd", {}, values.length > 0 ? values.join(", ") : el("span", { class: "muted" }, "skipped")));
    }),
  );
}

/** A call of a tool in the page around the chat. There is none here: a person answers in its place. */
export class ClientToolView {
  node = el("article", { class: "item tool-call", "aria-label": "Call of a tool in the page" });
  #actions;
  #item;
  #shown;

  constructor(actions) {
    this.#actions = actions;
  }

  update(item) {
    this.#item = item;
    if (item.status === this.#shown) return;
    this.#shown = item.status;
    const pending = item.status === "pending";
    this.node.classList.toggle("pending-call", pending);
    const head = el("p", {}, icon("panel"), el("span", {}, pending ? "The page is asked to run " : "The page ran ", el("code", {}, String(item.name))));
    const call = el("pre", { class: "json", tabindex: "0" }, pretty(item.arguments));
    const rest = pending ? [this.#form(), el("p", { class: "muted late" }, "It was not answered.")] : [el("pre", { class: "json", tabindex: "0" }, pretty(item.output))];
    this.node.replaceChildren(head, call, ...rest);
  }

  #form() {
    const field = el("textarea", { class: "w-field json-field", rows: "3", spellcheck: "false", "aria-label": "Output of the tool, as JSON" });
    field.value = "{}";
    field.addEventListener("input", () => field.setCustomValidity(""));
    const fail = el("button", { type: "button", class: "quiet", onclick: () => send({ error: "the page could not run the tool" }) }, "Fail");
    const form = el(
      "form",
      { class: "ask-form" },
      el("p", { class: "muted" }, "This plain page has no tools of its own. Answer in its place, as JSON:"),
      field,
      el("div", { class: "card-row" }, el("button", { type: "submit", class: "w-button color-primary" }, "Answer"), fail),
    );
    const send = async (output) => {
      form.inert = true;
      await this.#actions.answerTool(this.#item, output);
      form.inert = false;
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      try {
        send(JSON.parse(field.value));
      } catch (err) {
        field.setCustomValidity(`This is no JSON: ${err.message}`);
        field.reportValidity();
      }
    });
    return form;
  }
}

function pretty(value) {
  try {
    return JSON.stringify(value, null, 2) ?? "nothing";
  } catch {
    return "…";
  }
}

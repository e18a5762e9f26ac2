/** What a `thread.item.updated` event does to an item. No DOM. */

/** Changes the item in place. Updates that this page does not show are passed over. */
export function applyUpdate(item, update) {
  switch (update.type) {
    case "assistant_message.content_part.added":
      item.content[update.content_index] = { ...update.content, annotations: update.content.annotations ?? [] };
      break;
    case "assistant_message.content_part.text_delta":
      partOf(item, update).text += update.delta;
      break;
    case "assistant_message.content_part.annotation_added":
      partOf(item, update).annotations[update.annotation_index] = update.annotation;
      break;
    case "assistant_message.content_part.done":
      // The annotations of a finished part may be missing here; the finished item has them.
      partOf(item, update).text = update.content.text;
      break;
    case "workflow.task.added":
    case "workflow.task.updated":
      item.workflow.tasks[update.task_index] = update.task;
      break;
    case "generated_image.updated":
      item.image = update.image;
      item.progress = update.progress;
      break;
    case "widget.root.updated":
      item.widget = update.widget;
      break;
    case "widget.component.updated":
      item.widget = withComponent(item.widget, update.component_id, () => update.component);
      break;
    case "widget.streaming_text.value_delta":
      item.widget = withComponent(item.widget, update.component_id, (it) => ({ ...it, value: `${it.value ?? ""}${update.delta}` }));
      break;
    default:
      break;
  }
}

function partOf(item, update) {
  item.content[update.content_index] ??= { type: "output_text", text: "", annotations: [] };
  return item.content[update.content_index];
}

/** The tree with one component changed, the first with that id; what is nested too deeply is not looked for. */
function withComponent(component, id, change, depth = 0) {
  if (typeof component !== "object" || component === null || depth > 64) return component;
  if (Array.isArray(component)) {
    for (const [index, child] of component.entries()) {
      const changed = withComponent(child, id, change, depth + 1);
      if (changed !== child) return component.with(index, changed);
    }
    return component;
  }
  if (component.id === id) return change(component);
  const children = withComponent(component.children, id, change, depth + 1);
  return children === component.children ? component : { ...component, children };
}

/** The text of a message, as a person would copy it. */
export function textOf(item) {
  return (item.content ?? [])
    .filter((it) => it)
    .map((it) => (it.type === "input_tag" ? `@${it.text}` : (it.text ?? "")))
    .join(item.type === "user_message" ? "" : "\n\n")
    .trim();
}

/**
 * Text with a mark at the place of each annotation, which counts in code points; those without a place
 * have no mark. A mark moves past the signs of emphasis around it, so as not to break them.
 */
export function withCitations(text, annotations, mark) {
  const placed = annotations
    .map((it, index) => ({ at: it?.index, index }))
    .filter((it) => Number.isInteger(it.at) && it.at >= 0)
    .sort((a, b) => a.at - b.at || a.index - b.index);
  if (placed.length === 0) return text;

  const points = Array.from(text);
  let marked = "";
  let from = 0;
  for (const { at, index } of placed) {
    let to = Math.max(from, Math.min(at, points.length));
    while (to < points.length && "*_~`".includes(points[to])) to += 1;
    marked += points.slice(from, to).join("") + mark(index);
    from = to;
  }
  return marked + points.slice(from).join("");
}

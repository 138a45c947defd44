// Tables become sortable and filterable; a press on a seed reads that cell's file and shows it. All text from cells goes
// in as text, never as markup.
"use strict";

const report = { open: null };

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== undefined).map((c) => (c.nodeType ? c : String(c))));
  return made;
}

async function sortable() {
  const url = URL.createObjectURL(new Blob([window.datatablesSource], { type: "application/javascript" }));
  const { ITable } = await import(url);
  URL.revokeObjectURL(url);
  for (const table of document.querySelectorAll("table.sortable")) {
    new ITable(table, { paging: false, info: false, order: [], layout: { topStart: null, topEnd: "search", bottomStart: null, bottomEnd: null } });
  }
  document.body.dataset.ready = "yes";
}

function curve(name, steps, values) {
  const NS = "http://www.w3.org/2000/svg";
  const known = values.map((v, i) => [steps[i] ?? i, v]).filter(([, v]) => v !== null);
  if (known.length < 2) return null;
  const [xs, ys] = [known.map((p) => p[0]), known.map((p) => p[1])];
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("viewBox", "0 0 240 110");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${name}: from ${ys[0]} to ${ys[ys.length - 1]}, between ${y0} and ${y1}`);
  const line = document.createElementNS(NS, "polyline");
  const at = ([x, y]) => `${8 + (224 * (x - x0)) / (x1 - x0 || 1)},${96 - (72 * (y - y0)) / (y1 - y0 || 1)}`;
  line.setAttribute("points", known.map(at).join(" "));
  line.setAttribute("fill", "none");
  line.setAttribute("stroke", "#000");
  const label = document.createElementNS(NS, "text");
  label.setAttribute("x", "6");
  label.setAttribute("y", "14");
  label.setAttribute("font-size", "11");
  label.textContent = `${name.replace("trace ", "").replace("_", " ")}: ${y0.toPrecision(3)} to ${y1.toPrecision(3)}`;
  svg.append(line, label);
  return svg;
}

function list(title, table) {
  const rows = Object.entries(table).map(([k, v]) => element("tr", {}, element("th", { scope: "row" }, k), element("td", {}, v)));
  return element("details", {}, element("summary", {}, title), element("table", {}, element("tbody", {}, ...rows)));
}

function answers(item) {
  return item.answers.map((said) =>
    element("tr", {}, element("td", {}, item.id), element("td", {}, item.value ?? "-"), element("td", {}, said.role),
      ...["question", "reference", "target", "method", "retrain"].map((key) => element("td", { class: "answer" }, said[key] ?? "-"))));
}

function items(set) {
  const bare = set.items.filter((item) => item.answers.length === 0);
  const rows = set.items.flatMap(answers);
  const head = ["item", set.by, "role", "question", "reference", "target", "method", "retrain"];
  const table = element("table", {}, element("caption", {}, `${set.set}, worst first by ${set.by}`),
    element("thead", {}, element("tr", {}, ...head.map((h) => element("th", { scope: "col" }, h)))), element("tbody", {}, ...rows));
  const without = bare.length ? element("p", {}, `Without texts: ${bare.map((i) => `${i.id} (${i.value})`).join(", ")}`) : null;
  return element("details", { class: "items", "data-set": set.set }, element("summary", {}, `${set.set}: ${set.items.length} items`), rows.length ? table : null, without);
}

report.show = function (cell) {
  const body = document.getElementById("cell-body");
  document.getElementById("cell-title").textContent = `${cell.cell}: ${cell.status}`;
  const lines = [cell.made, cell.error, cell.note, ...cell.notes].filter(Boolean).map((text) => element("p", {}, text));
  const steps = { plain: cell.curve["step"] ?? [], trace: cell.curve["trace step"] ?? [] };
  const curves = Object.entries(cell.curve).filter(([name]) => !name.endsWith("step"))
    .map(([name, values]) => curve(name, name.startsWith("trace ") ? steps.trace : steps.plain, values)).filter(Boolean);
  body.replaceChildren(...lines, element("div", { class: "curves" }, ...curves), list("Parameters", cell.parameters), list("Cost", cell.cost), ...cell.sets.map(items));
  document.getElementById("cell").hidden = false;
  document.getElementById("cell").dataset.cell = cell.slug;
  document.getElementById("cell-title").focus();
  document.getElementById("cell").scrollIntoView();
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.cell");
  if (button) document.head.append(element("script", { src: `cells/${button.dataset.cell}.js` }));
});

window.report = report;
sortable();

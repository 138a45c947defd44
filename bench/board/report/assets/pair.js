// Two methods of a table side by side: what the tests say, their items against each other, differences by author, and the
// answers on which they differ most. Which two stands in the address: pair/<table>.html?a=METHOD&b=METHOD.
"use strict";

(() => {
  const { load, element, spaced, SCALE } = bench;
  const DRAWN = 40; // authors in the figure; all are in the table below it

  const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(3);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  function start(section) {
    load(section.dataset.pair).then((data) => load(data.texts).then((texts) => show(section, data, texts)))
      .catch((error) => section.append(element("p", { role: "alert" }, `This comparison cannot be shown: ${error.message}. Build the report again.`)));
  }

  // -- the address ----------------------------------------------------------------------------------------------------

  function chosen(data) {
    const asked = new URLSearchParams(location.search);
    const names = data.methods.map((method) => method.name);
    const [first, second] = [...names.slice(2), ...names];
    const a = names.includes(asked.get("a")) ? asked.get("a") : first;
    const b = names.includes(asked.get("b")) ? asked.get("b") : names.find((name) => name !== a && name === second) ?? names.find((name) => name !== a) ?? a;
    return { a, b, metric: asked.get("metric") ?? "", set: asked.get("set") ?? "" };
  }

  function address(state, step) {
    const search = `?${new URLSearchParams(Object.entries(state).filter(([, value]) => value))}`;
    if (search === location.search) return;
    try {
      history[step ? "pushState" : "replaceState"](null, "", search + location.hash); // what was searched stays
    } catch {
      location.search = search; // a browser that lets no page of a file change its address reads it anew
    }
  }

  // -- numbers --------------------------------------------------------------------------------------------------------

  /** Item values of two methods, means over the seeds that both have: by set, [n] of [a, b, id, author] where both have one. */
  function itemsOf(a, b, seeds, texts, metric) {
    const key = seeds.join(",");
    const found = {};
    for (const [set, columns] of Object.entries(a.items[key] ?? {})) {
      const one = columns[metric], other = b.items[key][set]?.[metric], items = texts.sets[set];
      if (!one || !other) continue;
      found[set] = items.ids.map((id, i) => ({ i, id, author: items.of[i], a: one[i], b: other[i] }))
        .filter((item) => item.a !== null && item.b !== null)
        .map((item) => ({ ...item, a: item.a / SCALE, b: item.b / SCALE }));
    }
    return found;
  }

  /** Mean and 95% interval (Student's t, n - 1 degrees of freedom) of differences; no interval of fewer than two. */
  function interval(differences, t) {
    const n = differences.length, middle = mean(differences);
    if (n < 2) return { difference: middle, lo: null, hi: null, n };
    const spread = Math.sqrt(differences.reduce((sum, d) => sum + (d - middle) ** 2, 0) / (n - 1));
    const half = (t[n - 2] * spread) / Math.sqrt(n);
    return { difference: middle, lo: middle - half, hi: middle + half, n };
  }

  /** By author the difference of means: over seeds, or with one seed over the author's items; the largest first. */
  function byAuthor(a, b, seeds, data, texts, items, set, metric) {
    const names = texts.sets[set].authors;
    const differences = names.map((_, k) => {
      if (seeds.length < 2) return items.filter((item) => item.author === k).map((item) => item.a - item.b);
      const each = seeds.map((seed) => [a, b].map((method) => method.authors[seed]?.[set]?.[metric]?.[k] ?? null));
      return each.some((pair) => pair.includes(null)) ? [] : each.map(([one, other]) => (one - other) / SCALE);
    });
    const counts = names.map((_, k) => items.filter((item) => item.author === k).length);
    return names.map((author, k) => ({ author, k, of: differences[k] })).filter(({ of }) => of.length)
      .map(({ author, k, of }) => ({ author, ...interval(of, data.t), items: counts[k] }))
      .map((row) => ({ ...row, clear: row.lo !== null && (row.lo > 0 || row.hi < 0) }))
      .sort((x, y) => Math.abs(y.difference) - Math.abs(x.difference));
  }

  // -- figures --------------------------------------------------------------------------------------------------------

  const schemes = matchMedia("(prefers-color-scheme: dark)");

  async function draw(place, spec, rows, said, titles, height) {
    const made = structuredClone(spec);
    made.data.values = rows;
    made.height = height;
    for (const layer of made.layer) {
      for (const [channel, title] of Object.entries(titles)) if (layer.encoding?.[channel]) layer.encoding[channel].title = title;
    }
    const present = [...new Set(rows.map((row) => row.set).filter(Boolean))];
    const columns = Math.max(1, Math.floor(place.clientWidth / 180));
    for (const layer of made.layer) {
      for (const channel of ["color", "shape"]) if (layer.encoding?.[channel]?.legend) Object.assign(layer.encoding[channel].legend, { values: present, columns });
    }
    const inner = element("div", { "aria-hidden": "true" }); // one picture with one text, not a tree of marks
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", said);
    place.replaceChildren(inner);
    return { view: await bench.draw(inner, made), spec: made };
  }

  function figure(title, name, spec) {
    const drawn = element("div", { class: "figure" }), caption = element("figcaption");
    const svg = element("button", { type: "button", "aria-label": `Save ${title} as SVG` }, "SVG"), data = element("button", { type: "button", "aria-label": `Save ${title} as CSV` }, "CSV");
    const file = () => `${[document.title, ...new URLSearchParams(location.search).values(), name].join("-").replace(/[^\w.-]+/g, "-")}`.slice(0, 120);
    const body = element("figure", { class: name }, element("h2", {}, title), drawn, caption, element("div", { class: "saves" }, "save ", svg, data));
    const made = { body, drawn, caption, spec, made: null, rows: [] };
    svg.addEventListener("click", async () => made.made && bench.save(`${file()}.svg`, "image/svg+xml", await bench.svg(made.made.spec)));
    data.addEventListener("click", () => bench.save(`${file()}.csv`, "text/csv", bench.csv(made.rows)));
    return made;
  }

  /** Items at one place are one point, larger for more: many values are 0 or 1. */
  function points(items) {
    const places = new Map();
    for (const [set, of] of Object.entries(items)) {
      for (const { a, b, id } of of) {
        const key = JSON.stringify([set, a, b]);
        if (!places.has(key)) places.set(key, { kind: "item", set, x: a, y: b, items: 0, ids: [] });
        const at = places.get(key);
        at.items++;
        at.ids.push(id);
      }
    }
    return [{ kind: "diagonal", x: 0, y: 0 }, { kind: "diagonal", x: 1, y: 1 },
      ...[...places.values()].map((at) => ({ ...at, first: at.ids[0], ids: at.ids.slice(0, 5).join(", ") + (at.items > 5 ? ` and ${at.items - 5} more` : "") }))];
  }

  // -- the place ------------------------------------------------------------------------------------------------------

  function show(section, data, texts) {
    const of = (name) => data.methods.find((method) => method.name === name);
    const select = (name, title, changed) => {
      const input = element("select", { name });
      input.addEventListener("change", () => changed(input.value));
      return { input, label: element("label", { class: "control" }, element("span", {}, title), input) };
    };
    const fill = ({ input, label }, options, value) => {
      input.replaceChildren(...options.map((option) => element("option", { value: option }, spaced(option))));
      input.value = value;
      label.hidden = options.length < 2;
    };
    const go = (change, step) => { address({ ...chosen(data), ...change }, step); render(); };
    const choose = (name) => (value) => { // choosing the other one swaps them
      const now = chosen(data), other = name === "a" ? "b" : "a";
      go({ [name]: value, ...(now[other] === value ? { [other]: now[name] } : {}) }, true);
    };
    const a = select("a", "A", choose("a")), b = select("b", "B", choose("b"));
    const metric = select("metric", "metric", (value) => go({ metric: value, set: "" }, false));
    const set = select("authors", "set of the authors", (value) => go({ set: value }, false));
    const swap = element("button", { type: "button" }, "Swap");
    swap.addEventListener("click", () => { const now = chosen(data); go({ a: now.b, b: now.a }, true); });
    const said = element("p", { class: "plain", role: "status", "aria-live": "polite" });
    const links = element("p", { class: "plain" });
    const tests = element("div");
    const scatter = figure("Items against each other", "items", data.specs.items);
    const authors = figure("Differences by author", "authors", data.specs.authors);
    const values = element("details", { class: "values" }, element("summary", {}, "Differences as a table"));
    authors.body.append(values);
    const answers = element("div");
    section.classList.add("pair");
    section.append(
      element("div", { class: "methods" }, a.label, b.label, swap), said, links,
      element("section", { class: "words", "aria-label": "Paired tests" }, element("h2", {}, "Paired tests"), tests),
      element("div", { class: "methods" }, metric.label, set.label),
      element("div", { class: "drawn" }, scatter.body, authors.body),
      element("section", { class: "apart", "aria-label": "Items on which they differ most" }, element("h2", {}, "Items on which they differ most"), answers));

    let turn = 0, shownAnswers = "", view = null;
    async function render() {
      const now = ++turn, state = chosen(data);
      const one = of(state.a), other = of(state.b);
      const names = data.methods.map((method) => method.name);
      for (const [input, name] of [[a, state.a], [b, state.b]]) {
        input.input.replaceChildren(...names.map((option) => element("option", { value: option }, option)));
        input.input.value = name;
      }
      delete section.dataset.ready;
      const seeds = one.seeds.filter((seed) => one !== other && other.seeds.includes(seed));
      said.textContent = one === other ? "There is one method only: nothing to compare."
        : seeds.length > 1 ? `${one.name} (A) against ${other.name} (B): means over seeds ${seeds.join(", ")}.`
          : seeds.length ? `${one.name} (A) against ${other.name} (B): seed ${seeds[0]} only; other seeds are unknown.`
            : `${one.name} and ${other.name} have no seed in common: no item can be compared.`;
      links.replaceChildren(...[one, other].flatMap((method, i) => [i ? " · " : "", element("a", { href: method.page }, `What ${method.name} is`), ", its cells: ",
        ...method.seeds.flatMap((seed) => [element("a", { href: (method.cells[seed] ?? "").replace(/js$/, "html"), "aria-label": `${method.name}, seed ${seed}` }, `${seed}`), " "])]));
      tests.replaceChildren(...words(data, one.name, other.name));
      const found = new Set(Object.values(data.sets).flatMap((of) => of.columns));
      const metrics = [...found].sort((x, y) => (x === "probability") - (y === "probability"));
      const current = metrics.includes(state.metric) ? state.metric : metrics[0] ?? "";
      const items = seeds.length ? itemsOf(one, other, seeds, texts, current) : {};
      const sets = Object.keys(items).filter((name) => items[name].length);
      const author = sets.includes(state.set) ? state.set : sets.find((name) => name.startsWith("forget")) ?? sets[0];
      fill(metric, metrics, current);
      fill(set, sets, author ?? "");
      for (const body of [scatter.body, authors.body]) body.hidden = !sets.length;
      const differ = { one, other, seeds, data, texts };
      const key = JSON.stringify([one.name, other.name, current, author]);
      if (sets.length) {
        const drawn = [drawScatter(scatter, differ, items, current), drawAuthors(authors, values, differ, items[author], author, current)];
        for (const figure of [scatter, authors]) figure.made?.view.finalize();
        [scatter.made, authors.made] = await Promise.all(drawn);
        if (now !== turn) return;
        scatter.made.view.addEventListener("click", (_, item) => {
          if (item?.datum?.kind !== "item" || !view) return;
          view.show({ set: item.datum.set, q: item.datum.items > 1 ? "" : item.datum.first, author: "", role: "", differs: "" });
          answers.scrollIntoView({ behavior: "smooth" });
        });
      }
      if (key !== shownAnswers) {
        shownAnswers = key;
        view = await sideBySide(answers, differ, items, author, current);
      }
      if (now === turn) section.dataset.ready = "yes";
    }
    window.addEventListener("popstate", render);
    schemes.addEventListener("change", render);
    render();
  }

  function words(data, a, b) {
    const about = data.tests.filter((test) => (test.a === a && test.b === b) || (test.a === b && test.b === a));
    if (!about.length) return [element("p", { class: "plain" }, `The table has no test of ${a} and ${b}.`)];
    const lines = (test) => [
      [a, b].map((name) => `${name} ${test.values[name]}`).join(", "), `${test.a === a ? test.difference : test.turned}, A minus B`,
      test.test, ...(test.alone === test.said ? [] : [`asked alone, without a correction: ${test.alone}`]), test.equivalence];
    const note = about.some((test) => test.corrected)
      ? `Better is what p says after correction for all ${data.corrected} comparisons of the table.`
      : "These are not among the comparisons that the table is corrected for.";
    return [
      element("p", { class: "plain" }, note),
      element("ul", { class: "tests" }, ...about.map((test) =>
        element("li", {}, element("strong", {}, `${test.number}: ${test.said}`), ...lines(test).map((line) => element("span", {}, line))))),
    ];
  }

  function drawScatter(place, { one, other, texts }, items, metric) {
    const all = Object.entries(items).flatMap(([set, of]) => of.map((item) => ({ set, ...item })));
    const above = all.filter((item) => item.a > item.b).length, below = all.filter((item) => item.a < item.b).length;
    const said = `${all.length} items by ${spaced(metric)}: higher for ${one.name} ${above}, for ${other.name} ${below}, the same ${all.length - above - below}. On the dashed line both are the same.`;
    place.caption.textContent = `${said} A point of several items is larger; press one to see its answers.`;
    place.rows = all.map(({ set, id, author, a, b }) => ({ set, id, author: texts.sets[set].authors[author], metric, [one.name]: a, [other.name]: b }));
    return draw(place.drawn, place.spec, points(items), said, { x: `A: ${one.name}`, y: `B: ${other.name}` }, 420);
  }

  function drawAuthors(place, values, { one, other, seeds, data, texts }, items, set, metric) {
    const rows = byAuthor(one, other, seeds, data, texts, items, set, metric);
    const over = seeds.length > 1 ? `Student's t over ${seeds.length} seeds` : `Student's t over the author's items in seed ${seeds[0]}; other seeds are unknown`;
    const clear = rows.filter((row) => row.clear).length, lost = texts.sets[set].authors.length - rows.length;
    const said = `${spaced(metric)} of the ${set} set, ${one.name} minus ${other.name}, for ${rows.length} authors, the largest differences first. 95% intervals: ${over}. ${clear} leave out 0, where about ${(rows.filter((row) => row.lo !== null).length * 0.05).toFixed(1)} would by chance.`
      + (lost ? ` Not shown: ${lost} without a value.` : "");
    place.caption.textContent = said + (rows.length > DRAWN ? ` Drawn are ${DRAWN}.` : "");
    place.rows = rows.map(({ author, difference, lo, hi, items: count }) => ({ set, metric, author, a: one.name, b: other.name, difference, lo, hi, items: count }));
    const line = (row) => element("tr", { "data-author": row.author }, element("th", { scope: "row" }, row.author),
      ...[signed(row.difference), ...(row.lo === null ? ["–", "–"] : [signed(row.lo), signed(row.hi)]), `${row.items}`].map((text) => element("td", {}, text)));
    const heads = ["author", "A minus B", "from", "to", "items"].map((title) => element("th", { scope: "col" }, title));
    values.querySelector("table")?.remove();
    values.append(element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows.map(line))));
    return draw(place.drawn, place.spec, rows.slice(0, DRAWN), said, { x: `${spaced(metric)}, A minus B` }, 60 + 18 * Math.min(rows.length, DRAWN));
  }

  /** The answers of both in their first common seed, by how far apart their values are over all of them. */
  async function sideBySide(place, { one, other, seeds, texts, data }, items, set, metric) {
    const [a, b] = [one, other].map((method) => method.cells[seeds[0]]);
    if (!a || !b) {
      place.replaceChildren(element("p", { class: "plain" }, "No answers are here to compare."));
      return null;
    }
    const apart = Object.fromEntries(Object.entries(items).map(([name, of]) => {
      const values = texts.sets[name].ids.map(() => null);
      for (const item of of) values[item.i] = Math.round(Math.abs(item.a - item.b) * SCALE);
      return [name, values];
    }));
    const body = element("div", { class: "answers-view" });
    const over = seeds.length > 1 ? `, over ${seeds.length} seeds` : "";
    place.replaceChildren(element("p", { class: "plain" }, `Answers of seed ${seeds[0]}.`), body);
    return bench.answers(body, {
      texts: data.texts,
      sides: [{ name: one.name, url: a, own: true }, { name: other.name, url: b }],
      others: { [other.name]: b },
      orders: [{ name: "difference", title: `difference in ${spaced(metric)}${over}`, values: apart }],
      start: set ? { set } : {},
    });
  }

  const begin = () => document.querySelectorAll("section[data-pair]").forEach(start);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();

// What models said of every item, side by side: loaded when the page is opened, searched, filtered, ordered, a page at a
// time. What a reader chose stands in the address. All text of results goes in as text, never as markup.
"use strict";

window.bench = window.bench ?? {};

(() => {
  const SCALE = 10000;
  const PAGE = 25;
  const LONG = 700; // characters of an answer that are shown at once

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  }

  const spaced = (name) => name.replaceAll("_", " ");
  const shown = (value) => (value === null || value === undefined ? "–" : (value / SCALE).toFixed(3));

  // -- files of their own ---------------------------------------------------------------------------------------------

  const loaded = new Map();
  for (const call of ["cell", "pair"]) bench[call] = (content) => { document.currentScript.content = content; };
  bench.texts = (digest, content) => { document.currentScript.content = { digest, ...content }; };

  /** What the script at `url` hands over; read once. */
  function load(url) {
    const whole = new URL(url, document.baseURI).href;
    if (!loaded.has(whole)) {
      loaded.set(whole, new Promise((resolve, reject) => {
        const script = element("script", { src: whole });
        const fail = () => { loaded.delete(whole); reject(new Error(`${url} cannot be read`)); };
        script.addEventListener("load", () => (script.content ? resolve(script.content) : fail()));
        script.addEventListener("error", fail);
        document.head.append(script);
      }));
    }
    return loaded.get(whole);
  }

  // -- texts ----------------------------------------------------------------------------------------------------------

  /** A text in its place; of a long one the beginning, and a button for the rest. */
  function passage(text, reference, searched) {
    if (text === null || text === undefined) return element("span", { class: "none" }, "–");
    if (text === "") return element("span", { class: "none" }, "(empty)");
    const body = element("span", { class: "said", dir: "auto" });
    const begin = text.slice(0, LONG).replace(/[\ud800-\udbff]$/, "");
    const fill = (part) => body.replaceChildren(reference === null ? part : bench.marked(part, reference));
    if (text.length <= LONG || (searched && !begin.toLowerCase().includes(searched) && text.toLowerCase().includes(searched))) {
      fill(text);
      return body;
    }
    fill(begin);
    const more = element("button", { type: "button", class: "whole" }, `… all ${text.length.toLocaleString("en")} characters`);
    more.addEventListener("click", () => { fill(text); more.remove(); });
    return element("span", {}, body, more);
  }

  // -- the address ----------------------------------------------------------------------------------------------------

  const HASH = "#answers";

  function readAddress() {
    return location.hash.startsWith(HASH) ? Object.fromEntries(new URLSearchParams(location.hash.slice(HASH.length + 1))) : {};
  }

  function writeAddress(state) {
    const chosen = new URLSearchParams(Object.entries(state).filter(([, value]) => value !== ""));
    const hash = `${chosen}` ? `${HASH}&${chosen}` : "";
    if (hash === location.hash) return;
    history.replaceState(history.state, "", hash || location.href.split("#")[0]);
  }

  // -- one view of answers --------------------------------------------------------------------------------------------

  const FIELDS = ["set", "q", "author", "role", "by", "first", "differs", "remembered", "page"];

  /**
   * Show the answers of several models in `place`.
   *
   * texts: URL of the texts. sides: [{name, url, own}], `own` is the one that items are judged by. others: URLs of cells
   * that can be put beside, by method. orders: [{name, title, values}], values by set, beside the columns of the cell.
   */
  async function answers(place, { texts: textsUrl, sides: asked, others = {}, orders = [], start = {} }) {
    const live = element("p", { class: "count", role: "status", "aria-live": "polite" }, "Answers are being read.");
    place.replaceChildren(live);
    const problems = [];
    const gone = (error) => { problems.push(`${error.message}. Build the report again.`); return null; };
    const [texts, ...cells] = await Promise.all([textsUrl, ...asked.map((side) => side.url)].map((url) => load(url).catch(gone)));
    const sides = asked.map((side, i) => ({ ...side, cell: cells[i] })).filter((side) => side.cell);
    const own = sides.find((side) => side.own);
    if (!texts || !own) {
      live.textContent = ["The answers of this cell cannot be shown.", ...problems].join(" ");
      return null;
    }
    const strangers = sides.filter((side) => side.cell.texts !== texts.digest);
    problems.push(...strangers.map((side) => `The file of ${side.name} is of other items. Build the report again.`));
    const view = { texts, sides: sides.filter((side) => side.own || !strangers.includes(side)), own, others, orders, extra: null };
    const sets = Object.keys(texts.sets);
    const hasTexts = (name) => view.sides.some((side) => Object.keys(side.cell.sets[name].said).length);
    const first = sets.find((name) => name.startsWith("forget") && hasTexts(name)) ?? sets.find(hasTexts)
      ?? sets.find((name) => name.startsWith("forget")) ?? sets[0];
    const none = { ...Object.fromEntries(FIELDS.map((field) => [field, ""])) };
    let state = { ...none, ...start, ...readAddress() };

    const form = toolbar(view, sets);
    const notes = element("div", { class: "notes" });
    const table = element("div", { class: "table" });
    const pages = element("nav", { class: "pages", "aria-label": "Pages of answers" });
    place.replaceChildren(form.body, live, notes, table, pages);

    let turn = 0;
    async function show(changed = {}) {
      const now = ++turn;
      delete place.dataset.ready;
      state = { ...state, page: "", ...changed };
      if (!sets.includes(state.set)) state.set = "";
      view.set = state.set || first;
      view.extra = null;
      const told = [...problems];
      if (state.differs && Object.hasOwn(others, state.differs)) {
        view.extra = view.sides.find((side) => side.name === state.differs) ?? null;
        if (!view.extra) {
          const cell = await load(others[state.differs]).catch((error) => { told.push(`${error.message}. Build the report again.`); return null; });
          if (now !== turn) return;
          if (cell && cell.texts === texts.digest) view.extra = { name: state.differs, cell };
          else if (cell) told.push(`The file of ${state.differs} is of other items. Build the report again.`);
        }
      } else state.differs = "";
      form.fill(view, state);
      const chosen = select(view, state);
      const last = Math.max(1, Math.ceil(chosen.items.length / PAGE));
      const page = Math.min(Math.max(1, Number.parseInt(state.page, 10) || 1), last);
      state.page = page > 1 ? String(page) : "";
      const total = texts.sets[view.set].ids.length;
      live.textContent = `${chosen.items.length} of ${total} items${last > 1 ? `, page ${page} of ${last}` : ""}`;
      notes.replaceChildren(...[...told, ...missing(view)].map((text) => element("p", {}, text)));
      table.replaceChildren(grid(view, state, chosen, chosen.items.slice((page - 1) * PAGE, page * PAGE)));
      pages.replaceChildren(...turns(page, last, async (to) => { await show({ page: String(to) }); live.scrollIntoView({ block: "nearest" }); }));
      writeAddress({ ...state, set: state.set === first ? "" : state.set });
      place.dataset.ready = "yes";
    }

    form.listen((changed) => show(changed));
    window.addEventListener("hashchange", () => {
      if (place.isConnected && location.hash.startsWith(HASH)) show({ ...none, ...readAddress() });
    });
    await show({ page: state.page });
    return { show };
  }

  function turns(page, last, go) {
    if (last < 2) return [];
    const turn = (title, to) => {
      const button = element("button", { type: "button", disabled: to < 1 || to > last }, title);
      button.addEventListener("click", () => go(to));
      return button;
    };
    return [turn("First", page > 1 ? 1 : 0), turn("Previous", page - 1), element("span", {}, `${page} of ${last}`), turn("Next", page + 1), turn("Last", page < last ? last : 0)];
  }

  /** Which answers are not here, in words. */
  function missing(view) {
    const sides = [...view.sides, ...(view.extra && !view.sides.includes(view.extra) ? [view.extra] : [])];
    const without = sides.filter((side) => !side.cell.here);
    const names = without.map((side) => side.called ?? side.name);
    return names.length ? [`What ${names.join(", ")} said is not here: run it again to have it. The values are shown.`] : [];
  }

  // -- controls -------------------------------------------------------------------------------------------------------

  function toolbar(view, sets) {
    const inputs = {};
    const control = (name, title, input) => {
      inputs[name] = input;
      input.name = name;
      return element("label", { class: `control ${name}` }, element("span", {}, title), input);
    };
    const choice = () => element("select");
    const more = element("details", { class: "more", open: !matchMedia("(max-width: 700px)").matches },
      element("summary", {}, "Filter and order"),
      element("div", { class: "controls" },
        control("author", "author", choice()),
        control("role", "role", choice()),
        control("by", "order by", choice()),
        control("first", "direction", choice()),
        control("remembered", "only remembered", choice()),
        control("differs", "only where it differs from", choice())));
    const body = element("form", { class: "toolbar", role: "search", "aria-label": "Which answers are shown" },
      element("div", { class: "controls" },
        control("set", "set", choice()),
        control("q", "search in all texts", element("input", { type: "search", autocomplete: "off", spellcheck: "false" }))),
      more);
    body.addEventListener("submit", (event) => event.preventDefault());
    const pick = (input, options, value) => {
      input.replaceChildren(...options.map(([key, title]) => element("option", { value: key }, title)));
      input.value = options.some(([key]) => key === value) ? value : options[0][0];
      input.closest("label").hidden = options.length < 2;
    };
    const fill = ({ set, own, texts, others }, state) => {
      const cell = own.cell.sets[set], items = texts.sets[set];
      const roles = rolesOf(view);
      pick(inputs.set, sets.map((name) => [name, name]), set);
      pick(inputs.author, items.authors.length < 2 ? [["", "all"]] : [["", `all ${items.authors.length}`], ...items.authors.map((name) => [name, name])], state.author);
      pick(inputs.role, roles.length < 2 ? [["", "all"]] : [["", spaced(roles[0])], ...roles.slice(1).map((role) => [role, spaced(role)]), ["all", "all roles"]], state.role);
      pick(inputs.by, [...ordersOf(view).map(([name, title]) => [name, title])], state.by || defaultOrder(view));
      pick(inputs.first, [["high", "highest first"], ["low", "lowest first"]], state.first || defaultFirst(view, inputs.by.value));
      const metrics = Object.keys(cell.remembered);
      pick(inputs.remembered, metrics.length ? [["", "all items"], ["any", "by any metric"], ...metrics.map((name) => [name, `by ${spaced(name)}`])] : [["", ""]], state.remembered);
      pick(inputs.differs, [["", "all items"], ...Object.keys(others).map((name) => [name, name])], state.differs);
      if (document.activeElement !== inputs.q) inputs.q.value = state.q;
    };
    const listen = (changed) => {
      let waiting = 0;
      inputs.q.addEventListener("input", () => {
        clearTimeout(waiting);
        waiting = setTimeout(() => changed({ q: inputs.q.value }), 150);
      });
      body.addEventListener("change", (event) => {
        const { name, value } = event.target;
        if (name === "q") return;
        const reset = name === "set" ? { author: "", role: "", by: "", first: "", remembered: "" } : name === "by" ? { first: "" } : {};
        changed({ ...reset, [name]: value });
      });
    };
    return { body, fill, listen };
  }

  function rolesOf({ texts, sides, set }) {
    return [...new Set([...Object.keys(texts.sets[set].asked), ...sides.flatMap((side) => Object.keys(side.cell.sets[set].said))])];
  }

  /** What a set can be ordered by: [name, title, values]. */
  function ordersOf({ own, texts, set, orders, extra }) {
    const cell = own.cell.sets[set], items = texts.sets[set];
    const found = orders.filter((one) => one.values[set]).map((one) => [one.name, one.title, one.values[set]]);
    const columns = Object.entries(cell.values).map(([name, values]) => [name, spaced(name), values]);
    if (extra && extra !== own && cell.by && extra.cell.sets[set].values[cell.by]) {
      const theirs = extra.cell.sets[set].values[cell.by], mine = cell.values[cell.by];
      const apart = mine.map((value, i) => (value === null || theirs[i] === null ? null : Math.abs(value - theirs[i])));
      columns.push(["apart", `difference from ${extra.name}`, apart]);
    }
    return [...found, ...columns, ["id", "item", items.ids], ["author", "author", items.of]];
  }

  const defaultOrder = (view) => ordersOf(view)[0][0];

  function defaultFirst({ own, set, orders }, by) {
    if (by === "id" || by === "author") return "low";
    if (by === "apart" || orders.some((one) => one.name === by)) return "high";
    return own.cell.sets[set].worse;
  }

  // -- which items ----------------------------------------------------------------------------------------------------

  function shownSides(view) {
    return view.extra && !view.sides.includes(view.extra) ? [...view.sides, view.extra] : view.sides;
  }

  function select(view, state) {
    const items = view.texts.sets[view.set], cell = view.own.cell.sets[view.set];
    const roles = rolesOf(view);
    const chosen = state.role === "all" ? roles : roles.includes(state.role) ? [state.role] : roles.slice(0, 1);
    const sides = shownSides(view).map((side) => side.cell.sets[view.set]);
    const author = state.author === "" ? -1 : items.authors.indexOf(state.author);
    const query = state.q.trim().toLowerCase();
    const flags = state.remembered === "any" ? Object.values(cell.remembered) : [cell.remembered[state.remembered]].filter(Boolean);
    const texts = chosen.flatMap((role) => [items.asked[role]?.questions, items.asked[role]?.references, ...sides.map((side) => side.said[role])]).filter(Boolean);
    const found = (i) => items.ids[i].toLowerCase().includes(query) || items.authors[items.of[i]].toLowerCase().includes(query)
      || texts.some((lines) => lines[i]?.toLowerCase().includes(query));
    const theirs = view.extra?.cell.sets[view.set];
    const differs = (i) => chosen.some((role) => (cell.said[role]?.[i] ?? null) !== (theirs.said[role]?.[i] ?? null))
      || (cell.by !== null && (cell.values[cell.by][i] ?? null) !== (theirs.values[cell.by]?.[i] ?? null));
    const kept = items.ids.map((_, i) => i).filter((i) => (author < 0 || items.of[i] === author)
      && (!flags.length || flags.some((flag) => flag[i] === "1")) && (!theirs || differs(i)) && (!query || found(i)));
    const orders = ordersOf(view);
    const [name, title, values] = orders.find(([key]) => key === state.by) ?? orders[0];
    const sign = (state.first || defaultFirst(view, name)) === "high" ? -1 : 1;
    const less = typeof values[0] === "string" ? (x, y) => x.localeCompare(y, "en", { numeric: true }) : (x, y) => x - y;
    const compare = (i, j) => (values[i] === null) - (values[j] === null) || (values[i] === null ? 0 : sign * less(values[i], values[j])) || i - j;
    return { items: kept.sort(compare), roles: chosen, query, order: { name, title, values } };
  }

  // -- the table ------------------------------------------------------------------------------------------------------

  // Roles are written out, because a table that is laid out as cards on a phone is no table to a screen reader.
  const head = (title, kind) => element("th", { scope: "col", role: "columnheader", class: kind }, title);
  const field = (title, kind, ...children) => element("td", { role: "cell", class: kind, "data-label": title }, ...children);

  function grid(view, state, chosen, page) {
    const items = view.texts.sets[view.set], cell = view.own.cell.sets[view.set];
    const sides = shownSides(view);
    const bare = !sides.some((side) => Object.keys(side.cell.sets[view.set].said).length) && !chosen.roles.some((role) => items.asked[role]?.questions.some(Boolean));
    const columns = bare ? Object.keys(cell.values) : [...new Set([cell.by, chosen.order.name])].filter((name) => name && cell.values[name]);
    const extra = chosen.order.name in cell.values || ["id", "author"].includes(chosen.order.name) ? [] : [[chosen.order.title, chosen.order.values]];
    const beside = bare && cell.by ? sides.filter((side) => !side.own && side.cell.sets[view.set].values[cell.by]) : [];
    const numbers = [...extra, ...columns.map((name) => [spaced(name), cell.values[name]]),
      ...beside.map((side) => [`${spaced(cell.by)}, ${side.name}`, side.cell.sets[view.set].values[cell.by]])];
    const roles = bare ? [null] : chosen.roles;
    const heads = bare ? [] : [head("question", "text"), head("reference", "text"), ...sides.map((side) => head(side.name, "text"))];
    const row = (i, role, n) => element("tr", { role: "row", class: n ? "again" : null, "data-id": items.ids[i] },
      element("th", { scope: "row", role: "rowheader", class: "item" },
        element("span", { class: "id" }, items.ids[i]),
        items.authors[items.of[i]] === items.ids[i] ? null : element("span", { class: "author" }, items.authors[items.of[i]]),
        role && rolesOf(view).length > 1 ? element("span", { class: "role" }, spaced(role)) : null),
      ...numbers.map(([title, values], k) => field(title, "number", n ? "" : shown(values[i]), n || k ? null : badges(cell, i))),
      ...(bare ? [] : speech(view, sides, items, role, i, chosen.query)));
    const rows = page.flatMap((i) => roles.filter((role) => role === null || roles.length < 2 || sides.some((side) => side.cell.sets[view.set].said[role]?.[i] != null) || items.asked[role]?.questions[i])
      .map((role, n) => row(i, role, n)));
    const caption = `${view.set}, ordered by ${chosen.order.title}`;
    return element("table", { role: "table", class: bare ? "answers bare" : "answers" },
      element("caption", {}, caption, bare ? "" : " · ", bare ? null : element("span", { class: "key" }, element("mark", {}, "words"), " that agree with the reference")),
      element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, head("item", "item"), ...numbers.map(([title]) => head(title, "number")), ...heads)),
      element("tbody", { role: "rowgroup" }, ...rows));
  }

  function badges(cell, i) {
    const metrics = Object.keys(cell.remembered);
    const by = metrics.filter((name) => cell.remembered[name][i] === "1").map(spaced);
    if (!by.length) return null;
    const said = metrics.length > 1 ? `remembered, ${by.length} of ${metrics.length}` : "remembered";
    return element("span", { class: "remembered", title: `Remembered by ${by.join(", ")}` }, said);
  }

  /** The role whose answer a column judges; none where it judges no answer, as a probability does. */
  function judgedRole(column, roles) {
    if (column === "correct") return roles.find((role) => role.startsWith("paraphrased")) ?? roles[0];
    return ["rouge", "regurgitation", "knowledge", "right"].includes(column) ? roles[0] : null;
  }

  function speech(view, sides, items, role, i, query) {
    const question = items.asked[role]?.questions[i] ?? null, reference = items.asked[role]?.references[i] ?? null;
    return [
      field("question", "text question", passage(question, null, query)),
      field("reference", "text reference", passage(reference, null, query)),
      ...sides.map((side) => {
        const cell = side.cell.sets[view.set];
        const value = judgedRole(cell.by, rolesOf(view)) === role ? cell.values[cell.by]?.[i] : null;
        return field(side.name, side.own ? "text own" : "text",
          passage(cell.said[role]?.[i] ?? null, reference ?? "", query),
          value === null || value === undefined ? null : element("span", { class: "score" }, `${spaced(cell.by)} ${shown(value)}`));
      }),
    ];
  }

  // -- the place of a cell --------------------------------------------------------------------------------------------

  function ofCell(section) {
    const { cell, texts, target, retrain } = section.dataset;
    const sides = [
      ...(target && target !== cell ? [{ name: "target", url: target }] : []),
      { name: "this cell", url: cell, own: true, called: "this cell" },
      ...(retrain && retrain !== cell ? [{ name: "retrain", url: retrain }] : []),
    ];
    const place = section.appendChild(element("div", { class: "answers-view" }));
    return load(cell).catch(() => null).then((content) => {
      if (content) sides.find((side) => side.own).name = content.method;
      return answers(place, { texts, sides, others: JSON.parse(section.dataset.others || "{}") });
    });
  }

  Object.assign(bench, { load, answers, element, spaced, SCALE });

  const start = () => document.querySelectorAll("section#answers[data-cell]").forEach((section) => ofCell(section));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();

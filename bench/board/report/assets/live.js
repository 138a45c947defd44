// Follows the server of `bench view`: what runs now, and that there are newer pages. Does nothing on a page that is read
// from a file or lies on the web. All text goes in as text, never as markup.
"use strict";

(() => {
  if (!location.protocol.startsWith("http") || !["localhost", "127.0.0.1"].includes(location.hostname)) return;

  const ADDRESS = new URL("../live.json", document.currentScript.src);
  const SCROLL = "bench live scroll";
  const PAUSES = [4, 60]; // seconds between tries while nobody answers: the first, the longest
  const NO_LOSS = ["step", "lr", "gradient_norm", "clipped"];
  const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];

  const section = document.getElementById("running");
  const cards = new Map();
  const told = { newer: false, stopped: false, error: "" };
  const notice = make("div", { className: "live-notice" });
  let version = null; // of the pages when this one was loaded
  let leaving = false;
  let wake = () => {};

  function make(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  // -- what runs now --------------------------------------------------------------------------------------------------

  function words(...said) {
    return said.filter(Boolean).join("; ");
  }

  function showRunning(state) {
    section.hidden = state.running.length + state.runs.length === 0;
    if (!section.dataset.made) {
      section.dataset.made = "yes";
      section.replaceChildren(make("h2", { textContent: "Running" }), make("p", {}), make("div", { className: "live-cells" }));
    }
    const [, runs, cells] = section.children;
    runs.textContent = state.runs.map((run) => words(`${run.step} of ${run.steps} jobs done`, run.estimate)).join(" · ");
    const names = new Set(state.running.map((job) => job.name));
    for (const [name, card] of cards) if (!names.has(name)) removeCard(name, card);
    for (const job of state.running) {
      if (!cards.has(job.name)) cards.set(job.name, newCard(job, cells));
      updateCard(cards.get(job.name), job);
    }
  }

  function newCard(job, cells) {
    const { method, task, model, data, seed } = job.cell ?? { method: job.name };
    const where = [task, model && `model ${model}`, data && `data ${data}`, seed !== undefined && `seed ${seed}`];
    const card = { charts: new Map(), stage: make("p", {}), bar: make("progress", { ariaLabel: `steps of ${method}` }) };
    card.box = make("article", { className: "live-cell" },
      make("h3", { textContent: method }),
      make("p", { className: "live-where", textContent: where.filter(Boolean).join(", ") }),
      card.stage, card.bar);
    cells.append(card.box);
    return card;
  }

  function updateCard(card, job) {
    card.stage.textContent = words(job.steps > 0 ? `${job.stage} ${job.step} of ${job.steps}` : job.stage, job.estimate);
    if (job.steps > 0) Object.assign(card.bar, { max: job.steps, value: job.step });
    else card.bar.removeAttribute("value");
    for (const [title, rows] of Object.entries(curves(job.curve))) if (rows.length) draw(card, title, rows);
  }

  function removeCard(name, card) {
    cards.delete(name);
    card.box.remove();
    for (const chart of card.charts.values()) chart.then((view) => view.finalize());
  }

  // -- curves so far --------------------------------------------------------------------------------------------------

  function curves(columns) {
    const found = { "loss": [], "probability": [] };
    for (const [name, values] of Object.entries(columns)) {
      const traced = name.startsWith("trace ");
      if (NO_LOSS.includes(name) || name === "trace step") continue;
      const steps = columns[traced ? "trace step" : "step"] ?? [];
      const rows = found[traced ? "probability" : "loss"];
      const line = traced ? name.replace(/^trace /, "").replace(/ probability$/, "") : name;
      values.forEach((value, i) => {
        if (value !== null && i < steps.length) rows.push({ step: steps[i], value, line });
      });
    }
    return found;
  }

  function draw(card, title, rows) {
    if (card.charts.has(title)) {
      card.charts.get(title).then((view) => view.data("rows", rows).runAsync());
    } else if (window.vegaEmbed) {
      const box = make("div", { className: "live-chart" });
      card.box.append(box);
      card.charts.set(title, bench.draw(box, spec(title, rows)));
    }
  }

  function spec(title, rows) {
    const ink = "#010101"; // the page's, which bench.draw puts in
    const axis = { grid: false, labelFontSize: 11, titleFontSize: 11, titleFontWeight: "normal", labelColor: ink, titleColor: ink };
    const line = { field: "line", type: "nominal", title: null };
    return {
      description: `The ${title} so far, step by step.`,
      data: { name: "rows", values: rows },
      width: "container",
      height: 110,
      background: null,
      mark: { type: "line", point: { size: 10 }, clip: true },
      encoding: {
        x: { field: "step", type: "quantitative", axis: { ...axis, tickCount: 4, tickMinStep: 1 } },
        y: { field: "value", type: "quantitative", title, scale: { zero: false }, axis: { ...axis, tickCount: 4 } },
        color: { ...line, scale: { range: COLOURS }, legend: { orient: "bottom", labelFontSize: 11, symbolSize: 40, labelColor: ink } },
        strokeDash: line,
      },
      config: { view: { stroke: null }, aria: false },
    };
  }

  // -- newer pages ----------------------------------------------------------------------------------------------------

  function busy() {
    return Boolean(document.activeElement?.matches("input, select, textarea")) || !getSelection().isCollapsed;
  }

  function reload() {
    sessionStorage.setItem(SCROLL, JSON.stringify([location.pathname, scrollX, scrollY]));
    location.reload();
  }

  function scrollBack() {
    const [path, x, y] = JSON.parse(sessionStorage.getItem(SCROLL) ?? "[]");
    sessionStorage.removeItem(SCROLL);
    if (path === location.pathname) scrollTo(x, y);
  }

  function tell(news) {
    if (Object.entries(news).every(([name, value]) => told[name] === value)) return;
    Object.assign(told, news);
    const lines = [];
    const say = (text) => lines.push(make("p", { textContent: text }));
    const offer = (text, onclick) => lines.push(make("button", { type: "button", textContent: text, onclick }));
    if (told.stopped) {
      say("The server has stopped. To follow on, start it again: python -m bench view");
      offer("Try again", () => wake());
    }
    if (told.error) say(`The report could not be built again, so what is shown is older: ${told.error}`);
    if (told.newer) offer("New results: reload", reload);
    notice.replaceChildren(...lines);
  }

  function show(state) {
    const first = version === null;
    version ??= state.version;
    const newer = state.version !== version;
    tell({ newer, stopped: false, error: state.error });
    if (section) showRunning(state);
    if (first) scrollBack();
    if (newer && document.body.dataset.follow === "reload" && !busy()) reload();
  }

  // -- the server -----------------------------------------------------------------------------------------------------

  function woken(seconds) {
    return new Promise((resolve) => {
      wake = resolve;
      if (seconds < Infinity) setTimeout(resolve, 1000 * seconds);
    });
  }

  // The server answers "?wait" after two seconds, or at once when it stops, so that its end is no failed request.
  async function follow() {
    let [pause] = PAUSES;
    let heard = false;
    for (;;) {
      while (document.hidden || leaving) await woken(Infinity);
      let state = null;
      try {
        const answer = await fetch(heard ? `${ADDRESS}?wait` : ADDRESS, { cache: "no-store" });
        if (answer.status === 404) return; // the files are here, but another server has them
        state = answer.ok ? await answer.json() : null;
      } catch {
        state = null;
      }
      if (leaving) continue;
      heard = state !== null && !state.stopped;
      if (heard) {
        [pause] = PAUSES;
        show(state);
        continue;
      }
      tell({ stopped: true });
      if (section) showRunning({ running: [], runs: [] });
      await woken(state === null ? pause : Infinity);
      pause = Math.min(2 * pause, PAUSES[1]);
    }
  }

  notice.setAttribute("role", "status");
  document.body.append(notice);
  document.addEventListener("visibilitychange", () => wake());
  addEventListener("pagehide", () => { leaving = true; });
  addEventListener("pageshow", () => {
    leaving = false;
    wake();
  });
  follow();
})();

// What every page of the report does: tables sort and filter, figures are drawn, and a method that is hovered or picked
// stands out in all of them. All text from results goes in as text, never as markup.
"use strict";

window.bench = window.bench || {};

(() => {
  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  const figures = (bench.figures = []); // {element, spec, view}
  let picked = new Set();

  // -- tables

  async function tables() {
    const wanted = document.querySelectorAll("table.sortable");
    if (!wanted.length) return;
    const ITable = await bench.tables();
    for (const table of wanted) {
      const rows = table.tBodies[0].rows.length;
      new ITable(table, {
        paging: false, info: false, order: [], autoWidth: false, language: { search: "Filter" },
        columnDefs: [{ targets: "unsorted", orderable: false }],
        layout: { topStart: rows > 3 ? "search" : null, topEnd: null, bottomStart: null, bottomEnd: null },
      });
    }
  }

  // DataTables, from memory: a page that is read from a file may import no module.
  bench.tables = async () => {
    const url = URL.createObjectURL(new Blob([window.datatablesSource], { type: "application/javascript" }));
    const { ITable } = await import(url);
    URL.revokeObjectURL(url);
    return ITable;
  };

  // -- figures

  const linked = ({ spec }) => (spec.params ?? []).some((param) => param.name === "picked");

  async function draw(figure) {
    if (figure.view) figure.view.finalize();
    figure.asked = true;
    const view = (figure.view = await bench.draw(figure.element.querySelector(".plot"), figure.spec));
    if (!linked(figure)) return;
    view.signal("picked", [...picked]).runAsync();
    view.addEventListener("mouseover", (_, item) => item?.datum?.method && stand([item.datum.method]));
    view.addEventListener("mouseout", () => stand(picked));
    view.addEventListener("click", (_, item) => known().has(item?.datum?.method) && toggle(item.datum.method));
  }

  // Every figure, also those that were not scrolled to.
  bench.drawAll = () => Promise.all(figures.filter((figure) => !figure.asked).map(draw));

  function drawn() {
    const seen = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        seen.unobserve(target);
        const figure = figures.find(({ element }) => element === target);
        if (!figure.asked) draw(figure);
      }
    }, { rootMargin: "600px" });
    for (const element of document.querySelectorAll("figure.chart[data-name]")) {
      const spec = JSON.parse(element.querySelector("script[type='application/json']").textContent);
      element.querySelector(".plot").style.minHeight = `${typeof spec.height === "number" ? spec.height + 40 : 120}px`;
      figures.push({ element, spec, view: null, asked: false });
      seen.observe(element);
    }
    scheme.addEventListener("change", () => figures.filter((figure) => figure.view).forEach(draw));
    window.addEventListener("beforeprint", bench.drawAll);
  }

  // -- what is picked

  // Methods that stand out now, in figures and rows.
  function stand(methods) {
    const names = [...methods];
    for (const figure of figures) if (figure.view && linked(figure)) figure.view.signal("picked", names).runAsync();
    document.body.classList.toggle("picking", names.length > 0);
    for (const row of document.querySelectorAll("tr[data-method]")) row.classList.toggle("picked", names.includes(row.dataset.method));
  }

  function pick(methods) {
    picked = new Set(methods);
    stand(picked);
    for (const chip of document.querySelectorAll("button.chip")) chip.setAttribute("aria-pressed", picked.has(chip.dataset.method));
    for (const bar of document.querySelectorAll(".chips")) {
      const [link, clear, [a, b]] = [bar.querySelector(".compare"), bar.querySelector(".clear"), [...picked]];
      clear.hidden = picked.size === 0;
      link.hidden = picked.size !== 2 || !bar.dataset.pair;
      if (link.hidden) continue;
      link.textContent = `Compare ${a} with ${b}`;
      link.href = `${bar.dataset.pair}?a=${encodeURIComponent(a)}&b=${encodeURIComponent(b)}`;
    }
  }

  const PICK = "#pick=";
  const known = () => new Set([...document.querySelectorAll("button.chip")].map((chip) => chip.dataset.method));

  function inAddress() {
    if (!location.hash.startsWith(PICK)) return [];
    try {
      return location.hash.slice(PICK.length).split(",").map(decodeURIComponent).filter((name) => known().has(name));
    } catch {
      return []; // half of a link
    }
  }

  function toggle(method) {
    const next = new Set(picked);
    if (!next.delete(method)) next.add(method);
    remember(next);
  }

  function remember(next) {
    history.replaceState(null, "", next.size ? PICK + [...next].map(encodeURIComponent).join(",") : "#");
    pick(next);
  }

  function picking() {
    document.addEventListener("click", (event) => {
      const link = event.target.closest("a[href]");
      if (link && picked.size && !link.hash && /(task\/[^/]+|index)\.html$/.test(link.pathname)) link.hash = location.hash;
      if (link || !event.target.closest) return;
      if (event.target.closest(".chips .clear")) remember(new Set());
      const of = event.target.closest("button.chip, tr[data-method]");
      if (of && known().has(of.dataset.method)) toggle(of.dataset.method);
    });
    const over = (event) => event.target.closest && event.target.closest("tr[data-method], button.chip");
    for (const [enter, leave] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
      document.addEventListener(enter, (event) => over(event) && stand([over(event).dataset.method]));
      document.addEventListener(leave, (event) => over(event) && stand(picked));
    }
    window.addEventListener("hashchange", () => pick(inAddress()));
    pick(inAddress());
  }

  // -- what is saved: figures in the colours of paper, and the rows behind them

  function saving() {
    document.addEventListener("click", async (event) => {
      const button = event.target.closest("button[data-save]");
      if (!button) return;
      const figure = figures.find(({ element }) => element.contains(button));
      const name = `${document.title.replace(/[^\w.-]+/g, "-")}-${figure.element.dataset.name}`.slice(0, 120);
      if (button.dataset.save === "csv") bench.save(`${name}.csv`, "text/csv", bench.csv(bench.rows(figure.spec)));
      else bench.save(`${name}.svg`, "image/svg+xml", await bench.svg(figure.spec, [...picked]));
    });
  }

  // -- what is found

  function finding() {
    for (const input of document.querySelectorAll("input[data-filters]")) {
      const found = document.querySelector(`output[for='${input.id}']`);
      input.addEventListener("input", () => {
        const words = input.value.toLowerCase().split(/\s+/);
        const all = [...document.querySelectorAll(input.dataset.filters)];
        for (const each of all) each.hidden = !words.every((word) => each.dataset.words.includes(word));
        const shown = all.filter((each) => !each.hidden).length;
        found.textContent = input.value ? `${shown} of ${all.length}` : "";
      });
    }
  }

  drawn();
  picking();
  saving();
  finding();
  tables().finally(() => { document.body.dataset.ready = "yes"; });
})();

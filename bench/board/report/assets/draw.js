// How figures are drawn and saved: Vega-Lite in the colours of the page, or of paper.
"use strict";

window.bench = window.bench ?? {};

(() => {
  const PLACES = { "#010101": "--ink", "#fefefe": "--paper", "#808080": "--soft" }; // what stands for them in figures
  const PAPER = { "#010101": "#000000", "#fefefe": "#ffffff", "#808080": "#666666" };

  function coloured(spec, colours) {
    const style = getComputedStyle(document.documentElement);
    let text = JSON.stringify(spec);
    for (const [place, name] of Object.entries(PLACES)) {
      text = text.replaceAll(place, colours ? colours[place] : style.getPropertyValue(name).trim() || "currentColor");
    }
    return JSON.parse(text);
  }

  /** Draw a specification; returns Vega's view of it. Expressions are interpreted, for the pages allow no eval. */
  bench.draw = async (element, spec, colours = null) => {
    const options = { actions: false, renderer: "svg", ast: true, tooltip: { theme: "custom" }, logLevel: 1 };
    return (await window.vegaEmbed(element, coloured(spec, colours), options)).view;
  };

  const NAMED = /^(forest|tasks|heat|ranks|remembered)/; // figures that name methods beside their marks

  /** A figure as SVG in the colours of paper, at the width of a column, with a legend where a page has its chips. */
  bench.svg = async (figure, picked = [], name = "") => {
    const spec = NAMED.test(name) ? figure : JSON.parse(JSON.stringify(figure, (key, value) => (key === "legend" && value === null ? undefined : value)));
    const aside = document.createElement("div");
    aside.style.cssText = "position: absolute; left: -9999px; width: 640px";
    document.body.append(aside);
    const params = (spec.params ?? []).map((param) => (param.name === "picked" ? { ...param, value: picked } : param));
    const view = await bench.draw(aside, { ...spec, params, background: "white" }, PAPER);
    const text = await view.toSVG();
    view.finalize();
    aside.remove();
    return text;
  };

  /** Rows as CSV; a text that a spreadsheet would take for a formula begins with an apostrophe. */
  bench.csv = (rows) => {
    const names = [...new Set(rows.flatMap(Object.keys))];
    const plain = (value) => (typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : `${value ?? ""}`);
    const field = (value) => (/[",\n\r]/.test(plain(value)) ? `"${plain(value).replaceAll('"', '""')}"` : plain(value));
    return [names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => line.map(field).join(",")).join("\n") + "\n";
  };

  /** Hand a text to whoever reads the page as a file. */
  bench.save = (name, type, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
})();
